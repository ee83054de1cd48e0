"""The CRM's state as plain data, so that two ways of getting there can be compared: ids and bookkeeping aside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Model

from contacts.models import (
    AutomationEvent,
    Contact,
    Conversation,
    Identity,
    IdentityLink,
    KapsoSession,
    Message,
    MessageReceipt,
    PhoneNumber,
    ProfileFact,
)

# `made_by_sync`, `is_sealed` and `typed_at` say how a row came to be, not what it says; `is_shared` and `home` serve
# the derivation. The others are ids: what they point to is compared where it hangs.
BOOKKEEPING = {
    "id", "created_at", "made_by_sync", "is_sealed", "typed_at", "is_shared", "home_id", "contact_id",
    "conversation_id", "merged_into_id", "identity_id",
}  # fmt: skip


Row = Mapping[str, Any]


def columns(row: Model) -> Row:
    return _shown({name: getattr(row, name) for name in _names(type(row))})


def crm_state() -> list[Any]:
    """Living leads with all that hangs on them, what waits for a lead, and the facts that everything comes from."""
    everything: dict[str, Any] = {
        "identities": _by(Identity, "contact_id"),
        "threads": _by(Conversation, "contact_id"),
        "messages": _by(Message, "contact_id"),
        "sessions": _by(KapsoSession, "conversation_id"),
    }
    living = Contact.objects.living().values()
    leads = [_lead(contact, everything) for contact in living]
    return [*_sorted(leads), _waiting(everything, {contact["id"] for contact in living}), _facts()]


def _lead(contact: Row, everything: dict[str, Any]) -> Row:
    messages = everything["messages"][contact["id"]]
    threads = [
        {
            "thread": _shown(thread),
            "sessions": _sorted(map(_shown, everything["sessions"][thread["id"]])),
            "wamids": sorted(m["kapso_message_id"] for m in messages if m["conversation_id"] == thread["id"]),
        }
        for thread in everything["threads"][contact["id"]]
    ]
    return {
        "lead": _shown(contact),
        "identities": _sorted(map(_shown, everything["identities"][contact["id"]])),
        "threads": _sorted(threads),
        "messages": _messages(messages),
    }


def _waiting(everything: dict[str, Any], living: set[int]) -> Row:
    messages = everything["messages"]
    return {
        "messages without a lead": _messages(messages[None]),
        "messages without a thread": [
            m["kapso_message_id"]
            for lead, rows in messages.items()
            for m in rows
            if lead and not m["conversation_id"]
        ],
        "sessions without a thread": _sorted(map(_shown, everything["sessions"][None])),
        "identities without a lead": _sorted(map(_shown, everything["identities"][None])),
        "messages under merged leads": sum(len(messages[lead]) for lead in messages.keys() - living - {None}),
        "threads of merged leads": len(everything["threads"].keys() - living),
    }


def _facts() -> Row:
    """`named` links are left out: they lead to messages, and a message may have named somebody else at first."""
    return {
        "links": _sorted(
            IdentityLink.objects.exclude(kind="named").values_list("kind", "a__value", "b__value", "at")
        ),
        "profiles": _sorted(
            map(_shown, ProfileFact.objects.values(*_names(ProfileFact), "identity__kind", "identity__value"))
        ),
        "receipts": _sorted(map(_shown, MessageReceipt.objects.values())),
        "automation": _sorted(map(_shown, AutomationEvent.objects.values())),
        "numbers": _sorted(
            PhoneNumber.objects.values_list(
                "phone_number_id", "connected_at", "disconnected_at", "told_untimed"
            )
        ),
    }


def _by(model: type[Model], owner: str) -> dict[Any, list[Row]]:
    found: dict[Any, list[Row]] = defaultdict(list)
    for row in model._default_manager.values():
        found[row[owner]].append(row)
    return found


def _names(model: type[Model]) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


def _shown(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in BOOKKEEPING}


def _messages(rows: list[Row]) -> list[Row]:
    return sorted(map(_shown, rows), key=lambda m: (m["phone_number_id"], m["kapso_message_id"]))


def _sorted(rows: Iterable[Any]) -> list[Any]:
    return sorted(rows, key=repr)
