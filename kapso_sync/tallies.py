"""Counting that costs a webhook nothing: in memory, and written now and then after an answer was sent.

What is counted stands under (source, reason): words of ours and key paths, never a value. Counting takes no statement
inside the webhook's transaction and no row that another webhook waits for. If the database is away, the counts wait
for it; a process that is killed takes those of its last seconds with it.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from multiprocessing.util import Finalize

from django.db import connection
from django.utils import timezone

from contacts.facts import as_json
from kapso_sync.models import AnswerCount

logger = logging.getLogger(__name__)

FLUSH_EVERY = 5.0  # seconds
# Of different reasons of one source on a day, in one process: what is more is counted under OTHER.
MOST_REASONS = 100
OTHER = "other"
SOURCE_LENGTH, REASON_LENGTH = 40, 200
# Kapso judges by 15 minutes (CONTRACT.md 3.6).
ANSWERS_KEPT = timedelta(days=2)
MOST_ANSWERS = 20_000
# Of what is older only the sum is kept, as of one day: a counter of Prometheus never falls.
TALLIES_KEPT = timedelta(days=400)
BEFORE = date(1970, 1, 1)
PRUNE_EVERY = 3600.0  # seconds

# No reason holds such a number; if one ever does, the number is not kept.
NUMBER = re.compile(r"\d{5,}")

Key = tuple[date, str, str]  # day (UTC), source, reason
Answer = tuple[str, datetime, int]  # phone_number_id, minute, HTTP status


class Tallies:
    """The counts of this process that are not written yet. Its methods may be called from any thread."""

    def __init__(self, *, every: float = FLUSH_EVERY, now: Callable[[], datetime] = timezone.now) -> None:
        self.every = every
        self.now = now
        self._lock = threading.Lock()  # around the counts; held for moments, never while writing
        self._writing = threading.Lock()
        self._counts: Counter[Key] = Counter()
        self._answers: Counter[Answer] = Counter()
        self._reasons: set[Key] = set()
        self._reasons_of_source: Counter[tuple[date, str]] = Counter()
        self._flushed_at = self._pruned_at = float("-inf")
        self._timer: threading.Timer | None = None
        self._at_exit: Finalize | None = None

    def add(self, source: str, reason: str, count: int = 1) -> None:
        day = self.now().date()
        key = (day, source[:SOURCE_LENGTH], NUMBER.sub("#", reason)[:REASON_LENGTH])
        with self._lock:
            self._counts[self._bounded(key)] += count

    def answered(self, numbers: Iterable[str], status: int) -> None:
        """For registered numbers only: strangers must not make this table grow."""
        minute = self.now().replace(second=0, microsecond=0)
        with self._lock:
            for number in numbers:
                self._answers[number, minute, status] += 1
            if len(self._answers) > MOST_ANSWERS:
                newest = sorted(self._answers, key=lambda answer: answer[1])[MOST_ANSWERS // 2 :]
                self._answers = Counter({answer: self._answers[answer] for answer in newest})

    def flush_soon(self) -> None:
        """To be called after an answer was sent: writes now if the last time is a while ago, else a little later."""
        with self._lock:
            if self._at_exit is None:
                self._at_exit = Finalize(None, self._flush_apart, exitpriority=10)
            wait = self._flushed_at + self.every - time.monotonic()
            if wait > 0 and self._timer is None:
                self._timer = threading.Timer(wait, self._flush_apart)
                self._timer.daemon = True
                self._timer.start()
        if wait <= 0:
            self.flush()

    def flush(self) -> bool:
        """Write what was counted, in one statement; False if it is kept for the next time.

        Never waits for another thread that is writing: where the database hangs, one thread is enough.
        """
        if not self._writing.acquire(blocking=False):
            return False
        counts, answers = self._take()
        try:
            if counts or answers:
                _write(counts, answers)
            self._prune()
        except Exception:  # noqa: BLE001 - the database is away; nobody waits for this, and it is tried again
            logger.warning("What was counted could not be written; it is kept and tried again.")
            self._give_back(counts, answers)
            return False
        finally:
            self._writing.release()
        return True

    def _flush_apart(self) -> None:
        """In a thread of its own or at the end of the process: with a connection of its own, which is closed again."""
        try:
            self.flush()
        finally:
            connection.close()

    def _bounded(self, key: Key) -> Key:
        if key in self._reasons:
            return key
        day, source, _ = key
        if self._reasons_of_source[day, source] >= MOST_REASONS:
            return day, source, OTHER
        if not any(known[0] == day for known in self._reasons_of_source):
            self._reasons.clear()
            self._reasons_of_source.clear()
        self._reasons.add(key)
        self._reasons_of_source[day, source] += 1
        return key

    def _take(self) -> tuple[Counter[Key], Counter[Answer]]:
        with self._lock:
            taken = self._counts, self._answers
            self._counts, self._answers = Counter(), Counter()
            self._flushed_at = time.monotonic()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        return taken

    def _give_back(self, counts: Counter[Key], answers: Counter[Answer]) -> None:
        with self._lock:
            self._counts.update(counts)
            self._answers.update(answers)

    def _prune(self) -> None:
        if time.monotonic() < self._pruned_at + PRUNE_EVERY:
            return
        AnswerCount.objects.filter(minute__lt=self.now() - ANSWERS_KEPT).delete()
        with connection.cursor() as cursor:
            cursor.execute(FOLD, [(self.now() - TALLIES_KEPT).date()])
        self._pruned_at = time.monotonic()


def _write(counts: Counter[Key], answers: Counter[Answer]) -> None:
    told = {
        "counts": [[day.isoformat(), *key, count] for (day, *key), count in counts.items()],
        "answers": [[*key, count] for key, count in answers.items()],
    }
    with connection.cursor() as cursor:
        cursor.execute(WRITE, [as_json(told)])


# Rows in one order, so that two processes never wait for each other.
WRITE = """
WITH told AS (SELECT %s::jsonb AS it), tally AS (
    INSERT INTO kapso_sync_tally AS known (day, source, reason, count)
    SELECT (row->>0)::date, row->>1, row->>2, (row->>3)::bigint
    FROM told, jsonb_array_elements(it->'counts') AS row
    ORDER BY (row->>0)::date, (row->>1) COLLATE "C", (row->>2) COLLATE "C"
    ON CONFLICT (day, source, reason) DO UPDATE SET count = known.count + EXCLUDED.count
)
INSERT INTO kapso_sync_answercount AS known (phone_number_id, minute, http_status, count)
SELECT row->>0, (row->>1)::timestamptz, (row->>2)::smallint, (row->>3)::int
FROM told, jsonb_array_elements(it->'answers') AS row
ORDER BY (row->>0) COLLATE "C", (row->>1)::timestamptz, (row->>2)::smallint
ON CONFLICT (phone_number_id, minute, http_status) DO UPDATE SET count = known.count + EXCLUDED.count
"""

# Who finds them gone already, another process was faster, and adds nothing.
FOLD = f"""
WITH old AS (
    DELETE FROM kapso_sync_tally WHERE day > '{BEFORE}' AND day < %s RETURNING source, reason, count
)
INSERT INTO kapso_sync_tally AS known (day, source, reason, count)
SELECT '{BEFORE}', source, reason, sum(count) FROM old GROUP BY source, reason
ORDER BY source COLLATE "C", reason COLLATE "C"
ON CONFLICT (day, source, reason) DO UPDATE SET count = known.count + EXCLUDED.count
"""  # noqa: S608 - a constant of this file

tallies = Tallies()
