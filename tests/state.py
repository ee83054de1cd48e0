"""The CRM's state as plain data, so that two ways of getting there can be compared: ids and bookkeeping aside."""

from __future__ import annotations

from typing import Any

from django.db.models import Model

from contacts.models import Contact, Conversation, KapsoSession, Message

BOOKKEEPING = {
    "id", "created_at", "made_by_sync", "contact", "conversation", "merged_into", "owner", "is_sealed",
}  # fmt: skip


def columns(row: Model) -> dict[str, Any]:
    return {
        field.name: getattr(row, field.attname)
        for field in row._meta.concrete_fields
        if field.name not in BOOKKEEPING
    }


def crm_state() -> list[Any]:
    """Living leads with their threads, sessions and messages, and the messages that nobody is known for."""
    leads = [
        {
            "lead": columns(contact),
            "identities": sorted(
                contact.identities.values_list("kind", "value", "first_seen_at", "last_seen_at"), key=repr
            ),
            "threads": sorted((_thread(thread) for thread in contact.conversations.all()), key=repr),
            "messages": _messages(Message.objects.filter(contact=contact)),
        }
        for contact in Contact.objects.living()
    ]
    waiting = _messages(Message.objects.filter(contact=None))
    lost = Message.objects.filter(contact__merged_into__isnull=False).count()
    return [*sorted(leads, key=repr), waiting, f"{lost} messages under merged leads"]


def _thread(thread: Conversation) -> dict[str, Any]:
    sessions = KapsoSession.objects.filter(conversation=thread)
    return {
        "thread": columns(thread),
        "sessions": sorted((columns(session) for session in sessions), key=repr),
        "wamids": sorted(thread.messages.values_list("kapso_message_id", flat=True)),
    }


def _messages(messages: Any) -> list[dict[str, Any]]:
    return sorted(
        (columns(message) for message in messages), key=lambda m: (m["phone_number"], m["kapso_message_id"])
    )
