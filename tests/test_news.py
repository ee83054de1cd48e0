"""Reading the log of changes: in the order of transactions, without gaps, however long one of them takes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Event

import pytest
from django.db import connections, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from contacts import news, old_news
from contacts.models import Change, ChangesKept, Contact, Workspace
from contacts.news import Changed, Kind, News, Position, TooOld

# Transactions of whatever else runs in the same PostgreSQL hold the log back, as they should.
pytestmark = pytest.mark.alone


@pytest.fixture
def workspace(transactional_db: None) -> Workspace:
    return Workspace.objects.create(name="Lima", slug="lima")


@pytest.fixture
def leads(workspace: Workspace) -> list[Contact]:
    made = [Contact(workspace=workspace, name=f"{n}") for n in range(10)]
    return Contact.objects.bulk_create(made)


def touch(*leads: Contact) -> None:
    for lead in leads:
        Contact.objects.filter(pk=lead.pk).update(lead_score=lead.lead_score + 1)
        lead.lead_score += 1


def read(after: Position, limit: int = 100) -> News:
    return news.read(after, workspaces=Workspace.objects.values_list("pk", flat=True), limit=limit)


def ids(found: News) -> list[int]:
    return [changed.row_id for changed in found.changed]


@contextmanager
def meanwhile(lead: Contact) -> Iterator[None]:
    """Another transaction has changed the lead, and ends only after the block."""
    has_written, may_end = Event(), Event()

    def change() -> None:
        try:
            with transaction.atomic():
                touch(lead)
                has_written.set()
                may_end.wait(30)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(change)
        try:
            assert has_written.wait(30)
            yield
        finally:
            may_end.set()
            done.result()


def test_nothing_happened_and_then_something(leads: list[Contact]) -> None:
    start = news.position()
    assert read(start) == News([], start, is_all=True)
    touch(leads[3])
    found = read(start)
    assert found.changed == [Changed(Kind.CONTACT, leads[3].pk)]
    assert read(found.position).changed == []


def test_a_row_comes_once_where_it_changed_last(leads: list[Contact]) -> None:
    start = news.position()
    touch(leads[1], leads[2], leads[1], leads[3])
    assert ids(read(start)) == [leads[2].pk, leads[1].pk, leads[3].pk]


def test_pages_leave_nothing_out(leads: list[Contact]) -> None:
    start = news.position()
    touch(*leads, *leads, *reversed(leads))
    for limit in (1, 2, 3, 7, 10):
        pages, after, is_all = [], start, False
        while not is_all:
            page = read(after, limit)
            assert len(page.changed) <= limit
            assert page.changed or page.is_all
            pages += ids(page)
            after, is_all = page.position, page.is_all
        last = list(dict.fromkeys(reversed(pages)))
        assert last == [lead.pk for lead in leads]


def test_one_statement_whatever_there_is(
    leads: list[Contact], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    start = news.position()
    touch(*leads)
    workspaces = [lead.workspace_id for lead in leads]
    for limit in (1, 100):
        with django_assert_num_queries(1):
            news.read(start, workspaces=workspaces, limit=limit)


def test_other_workspaces_are_not_told_of(leads: list[Contact]) -> None:
    start = news.position()
    other = Workspace.objects.create(name="Other", slug="other")
    touch(leads[0])
    assert news.read(start, workspaces=[other.pk], limit=9).changed == []
    assert news.read(start, workspaces=[], limit=9).changed == []


def test_who_commits_later_is_read_later_though_it_wrote_before(leads: list[Contact]) -> None:
    start = news.position()
    with meanwhile(leads[0]):
        touch(leads[1])
        held_back = read(start)
        assert held_back.changed == []
        taken_meanwhile = news.position()
    found = read(held_back.position)
    assert ids(found) == [leads[0].pk, leads[1].pk]
    assert leads[0].pk in ids(read(taken_meanwhile))


def test_a_walk_that_ends_sees_also_what_waits_for_another_transaction(leads: list[Contact]) -> None:
    start = news.position()
    with meanwhile(leads[0]):
        touch(leads[1], leads[2])
        end = news.horizon()
        workspaces = [leads[0].workspace_id]
        first = news.read_until(end, start, kind=Kind.CONTACT, workspaces=workspaces, limit=1)
        rest = news.read_until(end, first.position, kind=Kind.CONTACT, workspaces=workspaces, limit=9)
        none = news.read_until(end, start, kind=Kind.MESSAGE, workspaces=workspaces, limit=9)
    assert (ids(first), first.is_all) == ([leads[1].pk], False)
    assert (ids(rest), rest.is_all) == ([leads[2].pk], True)
    assert none.changed == []
    assert rest.position == none.position == end


def test_a_database_put_back_to_an_earlier_state_is_noticed(leads: list[Contact]) -> None:
    ahead = Position(news.horizon().xid + 10**6, 0)
    with pytest.raises(TooOld):
        read(ahead)


def age(*leads: Contact, days: float) -> None:
    Change.objects.filter(row_id__in=[lead.pk for lead in leads]).update(
        at=timezone.now() - timedelta(days=days)
    )


def test_what_is_older_than_promised_goes_and_who_still_needs_it_is_told(
    leads: list[Contact], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_news, "BATCH_SIZE", 3)
    start = news.position()
    touch(*leads[:5])
    middle = news.position()
    touch(*leads[5:])
    Change.objects.update(at=timezone.now() - timedelta(days=9))
    Change.objects.filter(xid__gte=middle.xid).update(at=timezone.now() - timedelta(days=7, hours=5))
    assert old_news.forget(timezone.now()) == 10 + 5
    assert {lead.pk for lead in leads[5:]} == set(Change.objects.values_list("row_id", flat=True))
    with pytest.raises(TooOld):
        read(start)
    assert ids(read(middle)) == [lead.pk for lead in leads[5:]]
    assert old_news.forget(timezone.now()) == 0


def test_a_position_grows_not_old_because_nothing_happens(leads: list[Contact]) -> None:
    start = read(news.position()).position
    Change.objects.update(at=timezone.now() - timedelta(days=30))
    assert old_news.forget(timezone.now()) == len(leads)
    assert read(start).changed == []


def test_entries_from_before_a_restore_go_as_well(leads: list[Contact]) -> None:
    ahead = news.horizon().xid + 10**6
    old = Change.objects.order_by("id")[:4].values("id")
    Change.objects.filter(id__in=old).update(xid=ahead, at=timezone.now() - timedelta(days=30))
    start = news.position()
    assert old_news.forget(timezone.now()) == 4
    assert read(start).changed == []
    assert Change.objects.count() == 6


def test_what_was_said_to_be_kept_before_a_restore_says_nothing(leads: list[Contact]) -> None:
    ahead = news.horizon().xid + 10**6
    ChangesKept.objects.create(pk=1, xid=ahead, since=timezone.now() - timedelta(days=20))
    start = news.position()
    touch(leads[0])
    assert ids(read(start)) == [leads[0].pk]
    Change.objects.filter(xid__lt=start.xid).update(at=timezone.now() - timedelta(days=9))
    assert old_news.forget(timezone.now()) == len(leads)
    assert ids(read(start)) == [leads[0].pk]
    assert ChangesKept.objects.get().xid <= start.xid


def test_what_changed_since_a_time(leads: list[Contact]) -> None:
    now = timezone.now()
    Change.objects.update(at=now - timedelta(hours=3))
    touch(leads[2])
    workspaces = [leads[0].workspace_id]

    def since(hours: float, kind: Kind = Kind.CONTACT) -> set[int]:
        moment = now - timedelta(hours=hours)
        return set(news.changed_since(moment, kind=kind, workspaces=workspaces))

    assert since(1) == {leads[2].pk}
    assert since(4) == {lead.pk for lead in leads}
    assert since(4, Kind.MESSAGE) == set()
    assert since(-1) == set()
    assert set(
        Contact.objects.filter(pk__in=news.changed_since(now, kind=Kind.CONTACT, workspaces=workspaces))
    ) == {leads[2]}


def test_a_transaction_that_took_long_changed_all_at_its_end(leads: list[Contact]) -> None:
    now = timezone.now()
    Change.objects.update(at=now - timedelta(hours=3))
    with transaction.atomic():
        touch(leads[0])
        age(leads[0], days=0.1)
        touch(leads[1])
    found = news.changed_since(now, kind=Kind.CONTACT, workspaces=[leads[0].workspace_id])
    assert set(found) == {leads[0].pk, leads[1].pk}


def test_how_far_back_the_log_knows_is_said(leads: list[Contact]) -> None:
    ChangesKept.objects.create(pk=1, since=timezone.now() - timedelta(days=2))
    workspaces = [leads[0].workspace_id]
    news.position_at(timezone.now() - timedelta(days=1), workspaces=workspaces)
    with pytest.raises(TooOld):
        news.position_at(timezone.now() - timedelta(days=3), workspaces=workspaces)
