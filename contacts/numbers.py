"""What Kapso says of our numbers: connected, or removed."""

from __future__ import annotations

from collections.abc import Sequence

from contacts.events import NumberTold
from contacts.facts import as_json
from contacts.models import PhoneNumber
from contacts.statements import run


def apply_numbers(told: Sequence[tuple[PhoneNumber, NumberTold]]) -> None:
    """Remember the newest times at which each number was said to be there, or gone: so that order does not matter.

    What was said without a time counts at the earliest time that its body came, so it is kept apart.
    """
    rows = [
        {
            "id": number.pk,
            "what": _what(event),
            "source": event.source,
            "at": event.at.isoformat(timespec="microseconds"),
        }
        for number, event in told
    ]
    if rows:
        run(RECORD_NUMBERS, [as_json(rows)])


def _what(event: NumberTold) -> str:
    return "connected_at" if event.connected else "disconnected_at"


# Times in UTC and of one length compare as text.
RECORD_NUMBERS = """
WITH told AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%s::jsonb) AS row (id bigint, what text, source text, at text)
)
UPDATE contacts_phonenumber n SET
    connected_at = GREATEST(n.connected_at, newest.connected_at),
    disconnected_at = GREATEST(n.disconnected_at, newest.disconnected_at),
    told_untimed = (
        SELECT COALESCE(jsonb_object_agg(key, at), '{}') FROM (
            SELECT key, min(at COLLATE "C") AS at FROM (
                SELECT key, value AS at FROM jsonb_each_text(n.told_untimed)
                UNION ALL SELECT told.what || ' ' || told.source, told.at FROM told
                WHERE told.id = n.id AND told.source <> ''
            ) AS every GROUP BY key
        ) AS earliest
    )
FROM (
    SELECT id,
           max(at) FILTER (WHERE source = '' AND what = 'connected_at')::timestamptz AS connected_at,
           max(at) FILTER (WHERE source = '' AND what = 'disconnected_at')::timestamptz AS disconnected_at
    FROM told GROUP BY id
) AS newest
WHERE n.id = newest.id
"""
