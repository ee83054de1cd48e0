"""From the bytes of a webhook to typed events: pure functions, no Django, no network, no clock.

Every JSON key of Kapso and Meta is known in this package and nowhere else. Whatever the wire format, equal facts come
out as equal events (`contacts.events`), and every text that comes out can be stored and encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from kapso_sync.formats import contact_updated, kapso_v1, kapso_v2, meta, noting, project_events
from kapso_sync.formats.item import Delivery, Item, Json
from kapso_sync.formats.reading import Unparseable, dig, parse, table, vocabulary, word

__all__ = ["UNREADABLE", "Item", "Unparseable", "event_name", "normalise", "numbers_named", "parse"]

EVENT_LENGTH = 100
# How `ignored` starts where our own code failed on an item: a fault to look into, not a decision.
UNREADABLE = "could not be read: "

CONTACT_UPDATED = "contact.updated"


def numbers_named(payload: object) -> tuple[str, ...]:
    """Every business phone_number_id that the payload names, in order: whose secrets may have signed it."""
    body = table(payload)
    data = body.get("data")
    found = [*kapso_v2.numbers_in(body)]
    for part in data if isinstance(data, list) else [data]:
        found += kapso_v2.numbers_in(part)
    return tuple(dict.fromkeys(filter(None, found + meta.numbers_in(body))))


def event_name(payload: object, headers: Mapping[str, str]) -> str:
    """What the delivery is called: by its header, else by its body, else by its shape; "" if nothing tells."""
    body = table(payload)
    named = word(headers.get("x-webhook-event"), EVENT_LENGTH) or _named_by(body)
    if named:
        return named
    if _is_meta(body):
        return ("meta." + "+".join(meta.fields_of(body)))[:EVENT_LENGTH].rstrip(".")
    return _inferred(_unwrapped(body))


def normalise(
    payload: object,
    *,
    headers: Mapping[str, str],
    received_at: datetime,
    digest: str,
    own_phones: Mapping[str, str],
) -> list[Item]:
    """The payload as items that are applied, or ignored, one by one. Never raises, never returns an empty list."""
    delivery = Delivery(
        headers=headers, received_at=received_at.astimezone(UTC), source=digest, own_phones=own_phones
    )
    if not isinstance(payload, dict):
        return [Item(number="", ignored="not a JSON object")]
    if not payload:
        return [Item(number="", ignored="an empty object")]
    items = _meta_items(payload, delivery) if _is_meta(payload) else _kapso_items(payload, delivery)
    return _noted(list(items) or [Item(number="", ignored="holds no items")], payload, delivery)


def _noted(items: list[Item], payload: Json, delivery: Delivery) -> list[Item]:
    """What is odd about the delivery as a whole stands at its first item."""
    notes = noting.on_delivery(payload, _named_by(payload), delivery)
    return [replace(items[0], notes=(*items[0].notes, *notes)), *items[1:]] if notes else items


def _is_meta(body: Json) -> bool:
    return "object" in body or isinstance(body.get("entry"), list)


def _meta_items(payload: Json, delivery: Delivery) -> Iterator[Item]:
    for index, (handler, part, change) in enumerate(meta.parts(payload, delivery)):
        yield _guarded(change.number, handler, part, change, index)


def _kapso_items(payload: Json, delivery: Delivery) -> Iterator[Item]:
    """A batch, or one payload; the flag and the header of a batch say no more than its list does."""
    data, event = payload.get("data"), _event(payload, delivery)
    if event == CONTACT_UPDATED or "message" in payload or isinstance(data, dict):
        bodies = [payload if event == CONTACT_UPDATED else _unwrapped(payload)]
    elif isinstance(data, list):
        bodies = [
            {"phone_number_id": payload.get("phone_number_id")} | _unwrapped(table(item)) for item in data
        ]
    else:
        bodies = [] if payload.get("batch") is True else [payload]
    for index, body in enumerate(bodies):
        yield _guarded(kapso_v2.number_of(body), _item, body, event, delivery.of_item(index))


def _event(payload: Json, delivery: Delivery) -> str:
    """The signed body wins where it is known to carry a name (CONTRACT.md section 4); else the header."""
    in_body, in_header = _named_by(payload), word(delivery.headers.get("x-webhook-event"), EVENT_LENGTH)
    if (
        in_body == CONTACT_UPDATED
        or in_body in project_events.AUTOMATION
        or isinstance(payload.get("data"), list)
    ):
        return in_body or in_header
    return in_header or in_body


def _named_by(body: Json) -> str:
    names = (word(body.get(key), EVENT_LENGTH) for key in ("type", "event", "event_type"))
    return next(filter(None, names), "")


def _unwrapped(body: Json) -> Json:
    """Some senders put the whole payload into `data`, beside `event`."""
    data = table(body.get("data"))
    return body | data if "message" in data or "conversation" in data else body


def _item(body: Json, event: str, delivery: Delivery) -> Item:
    version = delivery.headers.get("x-webhook-payload-version", "")
    if kapso_v1.is_v1(body, version):
        body = kapso_v1.as_v2(body, delivery.received_at)
    if event:
        handler = HANDLERS.get(event, _unknown_event)
    elif "message" in body:
        handler = kapso_v2.message_item
    else:
        handler = kapso_v2.conversation_item if "conversation" in body else _unknown_event
    return handler(body, event, delivery)


def _unknown_event(body: Json, event: str, _: Delivery) -> Item:
    reason = f"event {event} is not used" if event else "names no event, holds no message and no conversation"
    of_workflow = event.startswith("workflow.")
    counted = f"unused event: {vocabulary(event)}" if event else reason
    return Item(
        number=kapso_v2.number_of(body), ignored=reason, needs_number=not of_workflow, counted=counted
    )


def _inferred(body: Json) -> str:
    if "message" not in body:
        return "whatsapp.conversation" if "conversation" in body else ""
    message = table(body["message"])
    if (dig(message, "kapso", "direction") or message.get("direction")) != "outbound":
        return "whatsapp.message.received"
    event = f"whatsapp.message.{word(dig(message, 'kapso', 'status') or message.get('status'), EVENT_LENGTH)}"
    return event if event in kapso_v2.STATUS_OF_MESSAGE else "whatsapp.message.sent"


def _guarded(number: str, read: Callable[..., Item], *arguments: object) -> Item:
    """One item that our code cannot read must not take the others with it."""
    try:
        return read(*arguments)
    except Exception as error:  # noqa: BLE001 - the name of the error is shown, the body is kept
        reason = f"{UNREADABLE}{type(error).__name__}"
        return Item(number=number, ignored=reason, counted=reason)


# docs.kapso.ai, "Webhook events"; contact.updated (CONTRACT.md 7.5) is in no list of Kapso's.
HANDLERS: dict[str, Callable[[Json, str, Delivery], Item]] = {
    "whatsapp.message.received": kapso_v2.message_item,
    "whatsapp.message.sent": kapso_v2.message_item,
    "whatsapp.message.delivered": kapso_v2.message_item,
    "whatsapp.message.read": kapso_v2.message_item,
    "whatsapp.message.failed": kapso_v2.message_item,
    "whatsapp.conversation.created": kapso_v2.conversation_item,
    "whatsapp.conversation.ended": kapso_v2.conversation_item,
    "whatsapp.conversation.inactive": kapso_v2.conversation_item,
    "whatsapp.phone_number.created": project_events.number_item,
    "whatsapp.phone_number.deleted": project_events.number_item,
    "whatsapp.config.created": project_events.number_item,
    "workflow.execution.handoff": project_events.workflow_item,
    "workflow.execution.failed": project_events.workflow_item,
    "contact.marketing_preference_changed": contact_updated.marketing_item,
    "contact.updated": contact_updated.contact_item,
}
