"""Where replies go: to the identity that the customer last wrote from, in that very thread."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_

from django.db.models import OuterRef, Q, Subquery, prefetch_related_objects

from contacts.models import Conversation, Identity, KapsoSession, Message
from contacts.models.message import NOT_A_TURN


@dataclass(frozen=True, slots=True)
class Address:
    """Whom WhatsApp is to deliver to; both parts may be unknown. Where a phone is left out, so is its doubt."""

    phone: str | None
    user_id: str | None


def reply_addresses(threads: Collection[Conversation]) -> dict[int, Address]:
    """Of these threads, by their ids, in four queries at most, however many there are."""
    prefetch_related_objects(list(threads), "contact")
    turns = _newest_turns(threads)
    sessions = _sessions(turn for turn in turns.values() if not (turn.phone or turn.user_id))
    named = {}
    for thread in threads:
        turn, lead = turns.get(thread.pk), thread.contact
        said: Message | KapsoSession | None = turn
        if turn and not (turn.phone or turn.user_id):
            said = sessions.get((turn.phone_number_id, turn.kapso_conversation_id))
        who = (said.phone, said.user_id) if said else (None, None)
        named[thread.pk] = Address(*who) if any(who) else Address(lead.phone, lead.business_scoped_user_id)
    return _without_phones_of_others(threads, named)


def _newest_turns(threads: Collection[Conversation]) -> dict[int | None, Message]:
    """What the customer said last in each thread."""
    turns = Message.objects.filter(
        contact=OuterRef("contact"), conversation=OuterRef("pk"), direction=Message.Direction.INBOUND
    ).exclude(Q(message_type__in=NOT_A_TURN) | Q(status=Message.Status.FAILED))
    newest = Conversation.objects.filter(pk__in=[thread.pk for thread in threads]).annotate(
        newest=Subquery(turns.order_by("-sent_at", "-id").values("pk")[:1])
    )
    found = Message.objects.filter(pk__in=newest.values("newest"))
    return {turn.conversation_id: turn for turn in found}


def _sessions(turns: Iterable[Message]) -> dict[tuple[int, str], KapsoSession]:
    """Where a turn names nobody itself, its Kapso session does."""
    named = [Q(phone_number=t.phone_number_id, kapso_conversation_id=t.kapso_conversation_id) for t in turns]
    if not named:
        return {}
    found = KapsoSession.objects.filter(reduce(or_, named))
    return {(session.phone_number_id, session.kapso_conversation_id): session for session in found}


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
