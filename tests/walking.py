"""Paging through the contacts by the API, while others change them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

from django.db import connections
from django.db.models import F
from django.db.models.functions import Now

from contacts.models import Contact, Workspace
from tests.api import Program

BEGAN = datetime(2026, 6, 1, tzinfo=UTC)


def many_contacts(workspace: Workspace, count: int) -> list[int]:
    """Each active a second later than the one before."""
    made = (
        Contact(workspace=workspace, name=f"{number}", last_activity_at=BEGAN + timedelta(seconds=number))
        for number in range(count)
    )
    return [contact.pk for contact in Contact.objects.bulk_create(made, batch_size=10_000)]


def walk(program: Program, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
    """All rows of all pages."""
    answer = program.get(path, **parameters)
    while True:
        assert answer.status_code == 200, answer.content
        page = answer.json()
        yield from page["results"]
        if page["next"] is None:
            return
        answer = program.get(page["next"])


@contextmanager
def stirred(contacts: Sequence[int], *, writers: int, pause: float) -> Iterator[None]:
    """Meanwhile so many change one after the other: most become active and go to the front, some go back."""
    may_end, has_begun = Event(), Event()

    def stir(seed: int) -> int:
        chance, changes = random.Random(seed), 0  # noqa: S311
        try:
            while not may_end.is_set():
                contact = Contact.objects.filter(pk=chance.choice(contacts))
                match chance.randrange(5):
                    case 0:
                        contact.update(lead_score=F("lead_score") + 1)
                    case 1:
                        contact.update(last_activity_at=F("last_activity_at") - timedelta(seconds=50))
                    case _:
                        contact.update(last_activity_at=Now())
                changes += 1
                has_begun.set()
                may_end.wait(pause)
        finally:
            connections.close_all()
        return changes

    with ThreadPoolExecutor(writers) as pool:
        stirring = [pool.submit(stir, seed) for seed in range(writers)]
        try:
            assert has_begun.wait(60)
            yield
        finally:
            may_end.set()
        assert all(each.result() for each in stirring)
