"""The CRM's state as plain data, so that two ways of getting there can be compared: ids and bookkeeping aside."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, QuerySet

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
    "id", "created_at", "made_by_sync", "is_sealed", "typed_at", "is_shared", "home", "contact", "conversation",
    "merged_into", "identity",
}  # fmt: skip


def columns(row: Model) -> dict[str, Any]:
    return {
        field.name: getattr(row, field.attname)
        for field in row._meta.concrete_fields
        if field.name not in BOOKKEEPING
    }


def crm_state() -> list[Any]:
    """Living leads with all that hangs on them, what waits for a lead, and the facts that everything comes from."""
    leads = [
        {
            "lead": columns(contact),
            "identities": _rows(contact.identities.all()),
            "threads": _sorted(_thread(thread) for thread in contact.conversations.all()),
            "messages": _messages(Message.objects.filter(contact=contact)),
        }
        for contact in Contact.objects.living()
    ]
    return [*_sorted(leads), _waiting(), _facts()]


def _waiting() -> dict[str, Any]:
    return {
        "messages without a lead": _messages(Message.objects.filter(contact=None)),
        "messages without a thread": Message.objects.filter(contact__isnull=False, conversation=None).count(),
        "sessions without a thread": _rows(KapsoSession.objects.filter(conversation=None)),
        "identities without a lead": _rows(Identity.objects.filter(contact=None)),
        "messages under merged leads": Message.objects.filter(contact__merged_into__isnull=False).count(),
        "threads of merged leads": Conversation.objects.filter(contact__merged_into__isnull=False).count(),
    }


def _facts() -> dict[str, Any]:
    """`named` links are left out: they lead to messages, and a message may have named somebody else at first."""
    return {
        "links": _sorted(
            IdentityLink.objects.exclude(kind="named").values_list("kind", "a__value", "b__value", "at")
        ),
        "profiles": _sorted(
            {"of": fact.identity.value} | columns(fact)
            for fact in ProfileFact.objects.select_related("identity")
        ),
        "receipts": _rows(MessageReceipt.objects.all()),
        "automation": _rows(AutomationEvent.objects.all()),
        "numbers": _sorted(
            PhoneNumber.objects.values_list("phone_number_id", "connected_at", "disconnected_at")
        ),
    }


def _thread(thread: Conversation) -> dict[str, Any]:
    return {
        "thread": columns(thread),
        "sessions": _rows(KapsoSession.objects.filter(conversation=thread)),
        "wamids": sorted(thread.messages.values_list("kapso_message_id", flat=True)),
    }


def _messages(messages: Any) -> list[dict[str, Any]]:
    return sorted(
        (columns(message) for message in messages), key=lambda m: (m["phone_number"], m["kapso_message_id"])
    )


def _rows(rows: QuerySet[Any]) -> list[dict[str, Any]]:
    return _sorted(columns(row) for row in rows)


def _sorted(rows: Any) -> list[Any]:
    return sorted(rows, key=repr)
