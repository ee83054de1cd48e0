"""What the database knows of the deliveries of some numbers: one bounded statement per question, for all of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

# Kapso's own rule (CONTRACT.md 3.6).
WINDOW = timedelta(minutes=15)

WEEKS = 4  # how far back the norm looks
WEEK = timedelta(days=7)
# Of a week's deliveries no more is counted: whether it were a hundred or a thousand, silence would be as telling.
MOST_PER_WEEK = 1000
# A number that is too young for a norm is measured by the longest pause between as many of its deliveries.
MOST_PAUSES = 500

SUMMED_UP_WITHIN = timedelta(days=3)
# What Kapso summed up a moment ago may still be on its way (CONTRACT.md 3.4, 3.7).
GRACE = timedelta(minutes=10)
MOST_SESSIONS = 200  # of a number, the newest
LONGEST_SESSION = 1000  # messages; a longer one is not counted through


@dataclass(frozen=True, slots=True)
class Gap:
    """A session of which Kapso told more than there is. `here` is None where not even its thread is known."""

    contact_id: int | None
    told: int | None
    here: int | None


def first_and_last(numbers: Sequence[str]) -> dict[str, tuple[datetime, datetime]]:
    """When the first and the newest delivery of each number came; numbers without any are left out."""
    rows = _rows(FIRST_AND_LAST, [list(numbers)])
    return {number: (first, last) for number, first, last in rows}


def outcomes_since(numbers: Sequence[str], since: datetime) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for number, status, count in _rows(OUTCOMES, [list(numbers), since]):
        found[number][status] = count
    return found


def answers_since(numbers: Sequence[str], since: datetime) -> dict[str, Counter[int]]:
    """How often we answered with which HTTP status."""
    found: dict[str, Counter[int]] = defaultdict(Counter)
    for number, status, count in _rows(ANSWERS, [list(numbers), since]):
        found[number][status] = count
    return found


def same_hours_before(silent: Mapping[str, tuple[datetime, timedelta]]) -> dict[str, list[int]]:
    """How many deliveries came in the same stretch of the week in each of the last weeks, newest first.

    `silent` has the begin of a stretch and its length, of a week at most.
    """
    begins = [begin for begin, _ in silent.values()]
    lengths = [min(length, WEEK) for _, length in silent.values()]
    found: dict[str, list[int]] = defaultdict(list)
    for number, count in _rows(SAME_HOURS, [list(silent), begins, lengths, WEEKS, MOST_PER_WEEK]):
        found[number].append(count)
    return found


def longest_pauses(numbers: Sequence[str]) -> dict[str, timedelta]:
    return dict(_rows(LONGEST_PAUSES, [list(numbers), MOST_PAUSES]))


def gaps(number_keys: Sequence[int], now: datetime) -> dict[int, list[Gap]]:
    """Sessions of which Kapso's newest summary counts more messages than are here, or names one that is not."""
    found: dict[int, list[Gap]] = defaultdict(list)
    since, until = now - SUMMED_UP_WITHIN, now - GRACE
    for number, *gap in _rows(GAPS, [list(number_keys), since, until, MOST_SESSIONS, LONGEST_SESSION]):
        found[number].append(Gap(*gap))
    return found


def _rows(statement: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    if not parameters[0]:
        return []
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


FIRST_AND_LAST = """
SELECT number.id, first.received_at, last.received_at
FROM unnest(%s::text[]) AS number (id)
CROSS JOIN LATERAL (SELECT received_at FROM kapso_sync_webhookdelivery
    WHERE phone_number_id = number.id ORDER BY received_at LIMIT 1) AS first
CROSS JOIN LATERAL (SELECT received_at FROM kapso_sync_webhookdelivery
    WHERE phone_number_id = number.id ORDER BY received_at DESC LIMIT 1) AS last
"""

OUTCOMES = """
SELECT phone_number_id, status, count(*) FROM kapso_sync_webhookdelivery
WHERE phone_number_id = ANY(%s::text[]) AND received_at >= %s
GROUP BY 1, 2
"""

ANSWERS = """
SELECT phone_number_id, http_status, sum(count)::int FROM kapso_sync_answercount
WHERE phone_number_id = ANY(%s::text[]) AND minute > %s
GROUP BY 1, 2
"""

# The stretch of the silence, moved back by whole weeks: the same hours of the week.
SAME_HOURS = """
SELECT number.id, (SELECT count(*) FROM (
    SELECT FROM kapso_sync_webhookdelivery
    WHERE phone_number_id = number.id
        AND received_at > number.begin - week * interval '7 days'
        AND received_at <= number.begin - week * interval '7 days' + number.length
    LIMIT most) AS delivery)
FROM unnest(%s::text[], %s::timestamptz[], %s::interval[]) AS number (id, begin, length),
    generate_series(1, %s) AS week, (SELECT %s::int AS most) AS bound
ORDER BY number.id, week
"""

LONGEST_PAUSES = """
SELECT number.id, max(pause.length)
FROM unnest(%s::text[]) AS number (id)
CROSS JOIN LATERAL (SELECT received_at - lag(received_at) OVER (ORDER BY received_at) AS length
    FROM (SELECT received_at FROM kapso_sync_webhookdelivery WHERE phone_number_id = number.id
        ORDER BY received_at DESC LIMIT %s) AS newest) AS pause
WHERE pause.length IS NOT NULL
GROUP BY number.id
"""

# A message of the thread without a session of its own may belong to this one: Meta's format names none.
GAPS = """
SELECT session.phone_number_id, thread.contact_id, session.told_messages, held.count
FROM unnest(%s::bigint[]) AS number (id)
CROSS JOIN (SELECT %s::timestamptz AS since, %s::timestamptz AS until, %s::int AS sessions, %s::int AS longest) AS bound
CROSS JOIN LATERAL (SELECT * FROM contacts_kapsosession s
    WHERE s.phone_number_id = number.id AND s.told_at > bound.since AND s.told_at < bound.until
    ORDER BY s.told_at DESC LIMIT bound.sessions) AS session
LEFT JOIN contacts_conversation thread ON thread.id = session.conversation_id
LEFT JOIN LATERAL (SELECT count(*)::int AS count FROM (
    SELECT conversation_id, kapso_conversation_id FROM contacts_message m
    WHERE m.contact_id = thread.contact_id ORDER BY m.sent_at DESC
    LIMIT bound.longest + LEAST(session.told_messages, bound.longest)) AS newest
    WHERE newest.conversation_id = thread.id
        AND newest.kapso_conversation_id IN ('', session.kapso_conversation_id)) AS held ON thread.id IS NOT NULL
WHERE (session.told_messages <= bound.longest AND session.told_messages > held.count)
    OR (session.told_last_wamid <> '' AND NOT EXISTS (SELECT FROM contacts_message m
        WHERE m.phone_number_id = session.phone_number_id AND m.kapso_message_id = session.told_last_wamid))
ORDER BY session.told_at DESC
"""
