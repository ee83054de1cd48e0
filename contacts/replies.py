"""Where replies go: to the identity that the customer last wrote from, in that very thread."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import OuterRef, Q, Subquery

from contacts.models import Contact, Conversation, Identity, KapsoSession, Message
from contacts.models.message import NOT_A_TURN


@dataclass(frozen=True, slots=True)
class Address:
    """Whom WhatsApp is to deliver to; both parts may be unknown. Where a phone is left out, so is its doubt."""

    phone: str | None
    user_id: str | None


def reply_addresses(threads: Collection[Conversation]) -> dict[int, Address]:
    """Of these threads, by their ids, in four queries however many there are."""
    turns = Message.objects.filter(
        contact=OuterRef("contact"), conversation=OuterRef("pk"), direction=Message.Direction.INBOUND
    ).exclude(Q(message_type__in=NOT_A_TURN) | Q(status=Message.Status.FAILED))
    newest = dict(
        Conversation.objects.filter(pk__in=[thread.pk for thread in threads])
        .annotate(newest=Subquery(turns.order_by("-sent_at", "-id").values("pk")[:1]))
        .values_list("pk", "newest")
    )
    messages = Message.objects.in_bulk([pk for pk in newest.values() if pk])
    leads = Contact.objects.in_bulk({thread.contact_id for thread in threads})
    named = {
        thread.pk: _named(messages.get(newest[thread.pk] or 0), leads[thread.contact_id])
        for thread in threads
    }
    return _without_phones_of_others(threads, named)


def _named(turn: Message | None, lead: Contact) -> Address:
    """What the turn names or, where it names nobody itself, its Kapso session."""
    named: Message | KapsoSession | None = turn
    if turn and not (turn.phone or turn.user_id):
        named = KapsoSession.objects.filter(
            phone_number=turn.phone_number_id, kapso_conversation_id=turn.kapso_conversation_id
        ).first()
    if named and (named.phone or named.user_id):
        return Address(named.phone, named.user_id)
    return Address(lead.phone, lead.business_scoped_user_id)


def _without_phones_of_others(
    threads: Collection[Conversation], named: dict[int, Address]
) -> dict[int, Address]:
    """Numbers get recycled: whoever has it now is not who wrote then."""
    phones = Identity.objects.filter(
        kind=Identity.Kind.PHONE,
        workspace__in={thread.workspace_id for thread in threads},
        value__in={address.phone for address in named.values() if address.phone},
    )
    holders = {
        (workspace, value): lead
        for workspace, value, lead in phones.values_list("workspace", "value", "contact")
    }
    found = {}
    for thread in threads:
        address = named[thread.pk]
        holder = holders.get((thread.workspace_id, address.phone or ""))
        if holder not in (None, thread.contact_id):
            found[thread.pk] = Address(None, address.user_id)
        else:
            found[thread.pk] = address
    return found
