"""What Kapso says of our numbers: connected, or removed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from contacts.events import NumberTold
from contacts.facts import as_json
from contacts.models import PhoneNumber
from contacts.statements import run


def apply_numbers(told: Sequence[tuple[PhoneNumber, NumberTold]]) -> None:
    """Remember the newest times at which each number was said to be there, or gone: so that order does not matter."""
    newest: dict[tuple[int, str], datetime] = {}
    for number, event in told:
        key = (number.pk, "connected_at" if event.connected else "disconnected_at")
        newest[key] = max(event.at, newest.get(key, event.at))
    if newest:
        run(RECORD_NUMBERS, [as_json([{"id": pk, column: at} for (pk, column), at in newest.items()])])


RECORD_NUMBERS = """
UPDATE contacts_phonenumber n SET
    connected_at = GREATEST(n.connected_at, told.connected_at),
    disconnected_at = GREATEST(n.disconnected_at, told.disconnected_at)
FROM (
    SELECT id, max(connected_at) AS connected_at, max(disconnected_at) AS disconnected_at
    FROM jsonb_to_recordset(%s::jsonb) AS row (id bigint, connected_at timestamptz, disconnected_at timestamptz)
    GROUP BY id
) AS told
WHERE n.id = told.id
"""
