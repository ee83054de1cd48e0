"""The CRM's tables. Imports go up the foreign keys: workspace, contact, identity, conversation, message."""

from __future__ import annotations

from contacts.models.contact import (
    Contact,
    ContactMerge,
    LeadStatus,
    MergeDismissal,
    StatusChange,
    TransitionRefused,
)
from contacts.models.conversation import AutomationEvent, Conversation, KapsoSession
from contacts.models.identity import Identity, IdentityLink, ProfileFact
from contacts.models.message import Message, MessageReceipt
from contacts.models.tombstone import Tombstone
from contacts.models.workspace import Membership, PhoneNumber, Workspace

__all__ = [
    "AutomationEvent",
    "Contact",
    "ContactMerge",
    "Conversation",
    "Identity",
    "IdentityLink",
    "KapsoSession",
    "LeadStatus",
    "Membership",
    "MergeDismissal",
    "Message",
    "MessageReceipt",
    "PhoneNumber",
    "ProfileFact",
    "StatusChange",
    "Tombstone",
    "TransitionRefused",
    "Workspace",
]
