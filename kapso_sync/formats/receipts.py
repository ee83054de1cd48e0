"""Delivery statuses and errors of one message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from contacts.events import Receipt
from kapso_sync.formats.item import Json
from kapso_sync.formats.reading import clean, dig, moment, rows, table, text, word

UNEXPLAINED = "Delivery failed"
LARGEST_CODE = 2**31
WORD_LENGTH = 32


def receipts_of(
    message: Json, *, own_word: str, own_at: datetime | None, received_at: datetime
) -> tuple[Receipt, ...]:
    """Kapso's raw history of an outbound message, and the event's own word where the history lacks it."""
    statuses = rows(dig(message, "kapso", "statuses"))
    told = [receipt for status in statuses for receipt in receipts_in(table(status), received_at)]
    if own_word and own_word not in {receipt.word for receipt in told}:
        told.append(Receipt(word=own_word, at=own_at))
    return explained(told, rows(message.get("errors")))


def receipts_in(status: Json, received_at: datetime) -> list[Receipt]:
    """One status object: a receipt, or one for each of its errors."""
    found = status_word(status.get("status"))
    if not found:
        return []
    receipt = Receipt(word=found, at=moment(status.get("timestamp"), received_at))
    return [_with_error(receipt, error) for error in rows(status.get("errors"))] or [receipt]


def explained(receipts: Sequence[Receipt], errors: Sequence[object] = ()) -> tuple[Receipt, ...]:
    """Kapso puts errors into any status entry, Meta at times beside the message: a failure shows one in any case."""
    if any(receipt.error_message for receipt in receipts):
        return tuple(receipts)
    told: list[Receipt] = []
    for receipt in receipts:
        if receipt.word != "failed":
            told.append(receipt)
        elif errors:
            told.extend(_with_error(receipt, error) for error in errors)
        else:
            told.append(replace(receipt, error_message=UNEXPLAINED))
    return tuple(told)


def errors_of(message: Json, at: datetime | None) -> tuple[Receipt, ...]:
    """What Meta could not hand over of an inbound message, as code 131051."""
    return tuple(_with_error(Receipt(word="error", at=at), error) for error in rows(message.get("errors")))


def status_word(value: object) -> str:
    return word(value, WORD_LENGTH).lower()


def _with_error(receipt: Receipt, error: object) -> Receipt:
    code = error_code(dig(error, "code"))
    details = (error, dig(error, "error_data", "details"), dig(error, "message"), dig(error, "title"))
    message = next(filter(str.strip, map(text, details)), str(code) if code is not None else UNEXPLAINED)
    data = clean(error) if isinstance(error, dict) else None
    return replace(receipt, error_code=code, error_message=message, error=data)


def error_code(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= LARGEST_CODE:
        return None
    return value
