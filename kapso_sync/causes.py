"""Which stored deliveries made a message, or a lead's clock, what it is.

Rows do not name their deliveries: many tell of one message, and a replay counts like the first telling. So they are
looked for around the times at which they must have come, by the WAMID in their bodies, and then read as the sync reads
them. Bounded: a page must come to an end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from contacts.events import IdentityChanged, MessageTold, ProfileTold, ReceiptsTold
from contacts.models import Contact, Message, ProfileFact
from contacts.models.message import NOT_A_TURN
from kapso_sync.models import WebhookDelivery
from kapso_sync.parts import Part, told_by

# Of those that came after each of the times.
MOST_SEARCHED = 1000
MOST_FOUND = 20
MOST_PROFILES = 200
# Clocks of servers differ, and what retries brought came later: what counts is where the search begins.
BEFORE = timedelta(minutes=5)
AROUND = timedelta(days=1)


@dataclass(slots=True)
class Cause:
    """A delivery, and in its own words what it told: "received", "delivered", "contact.updated"."""

    delivery: WebhookDelivery
    words: list[str] = field(default_factory=list)


def causes_of_message(message: Message) -> list[Cause]:
    """The deliveries that told of it, in the order in which they came."""
    told = {message.created_at, message.sent_at, message.delivered_at, message.read_at, message.failed_at}
    told |= {message.edited_at, message.revoked_at}
    moments = sorted({at - BEFORE for at in told if at})
    found = _naming(message, moments)
    return [cause for cause in map(_Reader(message).cause, found) if cause.words]


def message_behind(lead: Contact, clock: str) -> Message | None:
    """The message whose time the clock shows (DESIGN.md section 3, Activity)."""
    messages = Message.objects.filter(contact=lead, sent_at=getattr(lead, clock)).order_by("-id")
    if clock == "last_activity_at":
        return messages.exclude(message_type="system").first()
    turns = messages.exclude(message_type__in=NOT_A_TURN)
    if clock == "last_inbound_at":
        return turns.filter(direction=Message.Direction.INBOUND).first()
    return turns.filter(direction=Message.Direction.OUTBOUND).exclude(status=Message.Status.FAILED).first()


def causes_of_profile(lead: Contact) -> list[Cause]:
    """The `contact.updated` that moved the lead's activity, if it was one."""
    at = lead.last_activity_at
    if at is None or not _is_told_at(lead, at):
        return []
    near = _of_workspace(lead.workspace_id).filter(
        event="contact.updated", received_at__gte=at - AROUND, body_cleared_at=None
    )
    found = list(near.order_by("received_at", "id")[:MOST_PROFILES])
    known = set(lead.identities.values_list("kind", "value"))
    return [
        Cause(delivery, ["contact.updated"])
        for delivery in found
        if any(_is_profile_of(known, part) for part in told_by([delivery]))
    ][:MOST_FOUND]


def _is_told_at(lead: Contact, at: datetime) -> bool:
    facts = ProfileFact.objects.filter(identity__contact=lead, counts_as_activity=True)
    return facts.filter(last_at=at).exists()


def cleared_around(workspace_id: int, at: datetime) -> WebhookDelivery | None:
    """One of that time whose body is gone: if nothing is found, it may have been there."""
    gone = _of_workspace(workspace_id).filter(body_cleared_at__isnull=False)
    return (
        gone.filter(received_at__gte=at - BEFORE, received_at__lte=at + AROUND)
        .order_by("received_at")
        .first()
    )


def _of_workspace(workspace_id: int) -> QuerySet[WebhookDelivery]:
    return WebhookDelivery.objects.filter(workspace=workspace_id)


def _naming(message: Message, moments: Sequence[datetime]) -> list[WebhookDelivery]:
    """Some JSON writers put a backslash before each slash of a WAMID."""
    wamid = message.kapso_message_id
    words = sorted({wamid, wamid.replace("/", "\\/")})
    at: list[Any] = [
        message.workspace_id,
        list(moments),
        MOST_SEARCHED,
        [word.encode() for word in words],
        MOST_FOUND,
    ]
    with connection.cursor() as cursor:
        cursor.execute(NAMING, at)
        keys = [pk for pk, _ in cursor.fetchall()]
    return list(WebhookDelivery.objects.filter(pk__in=keys).order_by("received_at", "id"))


class _Reader:
    """Reads in deliveries what they say of one message."""

    def __init__(self, message: Message) -> None:
        self.wamid = message.kapso_message_id
        self.number = message.phone_number_id

    def cause(self, delivery: WebhookDelivery) -> Cause:
        words = [word for part in told_by([delivery]) if self._is_ours(part) for word in self._words(part)]
        return Cause(delivery, list(dict.fromkeys(words)))

    def _is_ours(self, part: Part) -> bool:
        return part.number is not None and part.number.pk == self.number

    def _words(self, part: Part) -> Iterator[str]:
        for event in part.events:
            told = event.message if isinstance(event, IdentityChanged) else event
            if isinstance(told, MessageTold) and told.wamid == self.wamid:
                yield "received" if told.direction == "inbound" else "message"
                yield from (receipt.word for receipt in told.receipts)
            elif isinstance(told, MessageTold) and told.target == self.wamid:
                yield told.message_type
            elif isinstance(told, ReceiptsTold) and told.wamid == self.wamid:
                yield from (receipt.word for receipt in told.receipts)


def _is_profile_of(known: Collection[tuple[str, str]], part: Part) -> bool:
    return any(
        isinstance(event, ProfileTold)
        and (("phone", event.person.phone) in known or ("user", event.person.user_id) in known)
        for event in part.events
    )


# By the index on the workspace's newest, read backwards from each moment.
NAMING = """
WITH asked AS (SELECT %s::bigint AS workspace_id, %s::timestamptz[] AS moments, %s::int AS searched, %s::bytea[] AS words)
SELECT DISTINCT near.id, near.received_at
FROM asked CROSS JOIN unnest(asked.moments) AS moment (at)
CROSS JOIN LATERAL (
    SELECT d.id, d.received_at, d.body FROM kapso_sync_webhookdelivery d
    WHERE d.workspace_id = asked.workspace_id AND d.received_at >= moment.at
    ORDER BY d.received_at, d.id LIMIT asked.searched) near
WHERE EXISTS (SELECT FROM unnest(asked.words) AS word (bytes) WHERE position(word.bytes IN near.body) > 0)
ORDER BY near.received_at, near.id LIMIT %s
"""
