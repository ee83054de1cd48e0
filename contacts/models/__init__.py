"""The CRM's tables. Imports go up the foreign keys: workspace, contact, identity, conversation, message."""

from __future__ import annotations

from contacts.models.change import Change, ChangesKept
from contacts.models.contact import (
    Contact,
    ContactMerge,
    LeadStatus,
    MergeDismissal,
    StatusChange,
    TransitionRefused,
)
from contacts.models.conversation import AutomationEvent, Conversation, KapsoSession
from contacts.models.found import SearchedLead, SearchedMessage
from contacts.models.identity import Identity, IdentityLink, ProfileFact
from contacts.models.imports import Import, ImportPiece, ImportRow
from contacts.models.message import Message, MessageReceipt
from contacts.models.team import CustomField, Invitation, Notification, Preferences, SavedFilter, Tag
from contacts.models.tombstone import Tombstone
from contacts.models.work import BulkChange, FollowUp, LeadChange, Note
from contacts.models.workspace import Membership, PhoneNumber, Role, Workspace

__all__ = [
    "AutomationEvent",
    "BulkChange",
    "Change",
    "ChangesKept",
    "Contact",
    "ContactMerge",
    "Conversation",
    "CustomField",
    "FollowUp",
    "Identity",
    "IdentityLink",
    "Import",
    "ImportPiece",
    "ImportRow",
    "Invitation",
    "KapsoSession",
    "LeadChange",
    "LeadStatus",
    "Membership",
    "MergeDismissal",
    "Message",
    "MessageReceipt",
    "Note",
    "Notification",
    "PhoneNumber",
    "Preferences",
    "ProfileFact",
    "Role",
    "SavedFilter",
    "SearchedLead",
    "SearchedMessage",
    "StatusChange",
    "Tag",
    "Tombstone",
    "TransitionRefused",
    "Workspace",
]
