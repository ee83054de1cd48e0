"""Events of the Kapso project: workflows that need people, numbers that come and go (CONTRACT.md 7.6, 7.7)."""

from __future__ import annotations

from typing import Literal

from contacts.events import AutomationTold, NumberTold
from kapso_sync.formats.item import Delivery, Item, Json
from kapso_sync.formats.kapso_v2 import number_of
from kapso_sync.formats.reading import dig, first_moment, identifier, session_id, text

EXECUTION_ID_LENGTH = 128

# docs.kapso.ai, "Project webhooks". Other workflow.execution.* events are no call for a human.
AUTOMATION: dict[str, Literal["handoff", "failed"]] = {
    "workflow.execution.handoff": "handoff",
    "workflow.execution.failed": "failed",
}
CONNECTED = {
    "whatsapp.phone_number.created": True,
    "whatsapp.config.created": True,  # v1
    "whatsapp.phone_number.deleted": False,
}


def workflow_item(body: Json, event: str, delivery: Delivery) -> Item:
    """The body names no number and no person, only the session."""
    session = session_id(body.get("whatsapp_conversation_id"))
    if not session:
        reason = f"{event} without a whatsapp_conversation_id"
        return Item(number="", needs_number=False, ignored=reason, counted=reason)
    reasons = (dig(body, "handoff", "reason"), dig(body, "error", "message"), body.get("error"))
    at = first_moment(delivery.received_at, body.get("occurred_at"))
    told = AutomationTold(
        session_id=session,
        execution_id=identifier(body.get("workflow_execution_id"), EXECUTION_ID_LENGTH) or delivery.source,
        kind=AUTOMATION[event],
        reason=next(filter(None, (text(reason).strip() for reason in reasons)), ""),
        at=at or delivery.received_at,
        source="" if at else delivery.source,
    )
    return Item(number="", needs_number=False, events=(told,))


def number_item(body: Json, event: str, delivery: Delivery) -> Item:
    number = number_of(body)
    if not number:
        reason = f"{event} without a phone_number_id"
        return Item(number="", ignored=reason, counted=reason)
    times = (body.get("occurred_at"), body.get("timestamp"), body.get("created_at"))
    at = first_moment(delivery.received_at, *times)
    told = NumberTold(
        number=number,
        connected=CONNECTED[event],
        at=at or delivery.received_at,
        source="" if at else delivery.source,
    )
    return Item(number=number, events=(told,))
