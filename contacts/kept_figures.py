"""What the start page tells of a team's week. Where that is much to count, it is kept for some minutes, and says of when.

It reads each message of the week, and everybody who waits: as long as these are few, at each visit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.core.cache import cache

from contacts.reports import Day, Replies, Report, Waiting

# Of so many messages and waiting leads on it takes longer than the rest of the page.
MUCH = 10_000
SECONDS = 300


@dataclass(frozen=True, slots=True)
class Figures:
    at: datetime
    days: list[Day]
    replies: Replies
    waiting: Waiting

    @property
    def is_much(self) -> bool:
        messages = sum(day.inbound + day.outbound for day in self.days)
        return messages + self.waiting.total > MUCH


def figures_of(report: Report) -> Figures:
    """Those of now, or of a few minutes ago. Another day, or other business hours, are other figures."""
    place = report.workspace
    key = f"figures:{place.pk}:{report.dates[0]}:{report.days}"
    arranged = (place.time_zone, place.business_hours)
    kept = cache.get(key)
    if kept is not None and kept[0] == arranged:
        found: Figures = kept[1]
        return found
    found = Figures(report.now, report.by_day(), report.replies(), report.waiting())
    if found.is_much:
        cache.set(key, (arranged, found), SECONDS)
    return found
