"""What is odd about something that is applied nevertheless: to be counted, never a reason to refuse it.

A note is words of ours and key paths, never a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from contacts.events import Direction
from kapso_sync.formats.content import CONTENT, LABELS
from kapso_sync.formats.item import Delivery, Item, Json
from kapso_sync.formats.person import PARENT, PHONE, USER_ID
from kapso_sync.formats.reading import dig, moment, phone, rows, table, text, user_id, vocabulary
from kapso_sync.formats.receipts import status_word

if TYPE_CHECKING:
    from kapso_sync.formats.message import Telling

# CONTRACT.md 11.1, and what an imported message may say.
STATUSES = {"pending", "accepted", "sent", "failed", "delivered", "read", "played", "error", ""}
FAR_AHEAD = timedelta(days=36500)
# Where user ids stand, each with its path as it is noted.
IDS = {
    direction: tuple((".".join(path), path) for path in (*USER_ID[direction], *PARENT[direction]))
    for direction in USER_ID
}


def on_message(telling: Telling) -> tuple[str, ...]:
    """Of one message object, in any of the formats."""
    message = telling.message
    around = {"message": message, "conversation": telling.conversation, "contact": telling.contact}
    notes = [
        *_on_type(message),
        *_on_time(message.get("timestamp"), telling.received_at),
        *_on_statuses(rows(dig(message, "kapso", "statuses"))),
        *on_ids(_ids(around, telling.direction)),
        *_on_phones(around, telling),
    ]
    return tuple(dict.fromkeys(notes))


def on_conversation(conversation: Json) -> tuple[str, ...]:
    return on_ids(_ids({"conversation": conversation}, "inbound"))


def on_ids(named: Iterable[tuple[str, Any]]) -> tuple[str, ...]:
    """A user id that is none: a sentence, another JSON type (EDGE_CASES.md 65)."""
    odd = (path for path, value in named if value not in (None, "") and user_id(value) is None)
    return tuple(dict.fromkeys(f"{path} is no user ID" for path in odd))


def on_delivery(payload: Json, named_by_body: str, delivery: Delivery) -> tuple[str, ...]:
    """Of the envelope: what the header says otherwise, and what a batch says is missing from it."""
    named_by_header = text(delivery.headers.get("x-webhook-event")).strip()
    notes = list(_on_batch(payload))
    if named_by_body and named_by_header and named_by_body != named_by_header:
        notes.append("the header names another event than the body")
    return tuple(notes)


def directed(item: Item, by_event: Direction | None, direction: Direction) -> Item:
    """The message says itself what it is (EDGE_CASES.md 31)."""
    if not item.events or by_event in (None, direction):
        return item
    return replace(item, notes=(*item.notes, "the event names another direction than the message"))


def _on_type(message: Json) -> Iterator[str]:
    told = text(message.get("type")).strip()
    if not told:
        yield "message.type is missing"
    elif told not in CONTENT and told not in LABELS:
        yield f"unknown message type: {vocabulary(told)}"


def _on_time(value: object, received_at: datetime) -> Iterator[str]:
    if moment(value, received_at) is not None:
        return
    if value in (None, ""):
        yield "message.timestamp is missing"
    elif moment(value, received_at + FAR_AHEAD):
        yield "message.timestamp is more than a day ahead"
    else:
        yield "message.timestamp is no usable time"


def _on_statuses(statuses: list[Any]) -> Iterator[str]:
    for status in statuses:
        told = status_word(table(status).get("status"))
        if told not in STATUSES:
            yield f"unknown status: {vocabulary(told)}"


def _ids(around: Json, direction: Direction) -> Iterator[tuple[str, Any]]:
    for name, path in IDS[direction]:
        yield name, dig(around, *path)


def _on_phones(around: Json, telling: Telling) -> Iterator[str]:
    """The business number is nobody's customer (EDGE_CASES.md 84)."""
    for path in PHONE[telling.direction]:
        value = dig(around, *path)
        if value and telling.own and phone(value) in telling.own:
            yield f"{'.'.join(path)} is the business number itself"


def _on_batch(payload: Json) -> Iterator[str]:
    """Kapso counts a conversation's messages: a hole in the count is a message that is not in it (EDGE_CASES.md 54)."""
    told, items = table(payload.get("batch_info")), payload.get("data")
    if not isinstance(items, list):
        return
    size, first, last = (told.get(key) for key in ("size", "first_sequence", "last_sequence"))
    if isinstance(size, int) and size > len(items):
        yield "a batch holds fewer items than it says"
    if isinstance(first, int) and isinstance(last, int) and last - first + 1 > len(items):
        yield "a batch has a gap in its sequence"
