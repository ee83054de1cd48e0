"""Paging through contacts while others change them: none is missed, and by id none comes twice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import chain
from random import Random

import pytest
from django.db import connections

from contacts.models import ChangesKept, Contact, Membership, Role, Workspace
from tests.api import Api, somebody

AT = datetime(2026, 6, 9, 10, tzinfo=UTC)


def fill(workspace: Workspace, count: int, *, every: int = 7) -> None:
    """Some were never active, some at the same moment as another."""
    Contact.objects.bulk_create(
        Contact(
            workspace=workspace,
            name=f"{workspace.slug} {n}",
            last_activity_at=None if n % every == 0 else AT + timedelta(minutes=n // 2),
        )
        for n in range(count)
    )


# Transactions of whatever else runs in the same PostgreSQL hold the log of changes back, and with it the second lap.
pytestmark = pytest.mark.alone


@pytest.fixture
def lima(db: None) -> Workspace:
    return Workspace.objects.create(name="Lima", slug="lima")


@pytest.fixture
def api(lima: Workspace) -> Api:
    return Api(somebody("agent", lima))


def walk(api: Api, between: Callable[[], None] = lambda: None, **parameters: object) -> list[int]:
    seen = []
    for page in api.pages("contacts/", **parameters):
        seen += page.ids
        between()
    return seen


@pytest.mark.parametrize("limit", [1, 3, 10, 200])
@pytest.mark.parametrize("ordering", ["id", "-last_activity_at"])
def test_pages_follow_each_other_without_a_gap(api: Api, lima: Workspace, ordering: str, limit: int) -> None:
    fill(lima, 30)
    assert walk(api, ordering=ordering, limit=limit) == in_order(ordering)


def in_order(ordering: str = "-last_activity_at", **leads: object) -> list[int]:
    found = Contact.objects.filter(**leads).order_by("pk")
    if ordering == "id":
        return [lead.pk for lead in found]
    never = AT - timedelta(days=1)
    by_time = sorted(found, key=lambda lead: (lead.last_activity_at or never, lead.pk), reverse=True)
    return [lead.pk for lead in by_time]


def test_several_workspaces_are_one_list(api: Api, lima: Workspace) -> None:
    rio, foreign = (Workspace.objects.create(name=name, slug=name) for name in ("rio", "foreign"))
    Membership.objects.create(workspace=rio, user=api.user)
    for workspace in (lima, rio, foreign):
        fill(workspace, 20)
    assert walk(api, limit=7) == in_order(workspace__in=[lima, rio])


def test_who_is_in_no_workspace_pages_through_nothing(db: None) -> None:
    assert walk(Api(somebody("stranger"))) == walk(Api(somebody("other")), ordering="id") == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", range(3))
def test_who_pages_by_activity_misses_nobody_who_jumps_ahead(api: Api, lima: Workspace, seed: int) -> None:
    fill(lima, 60)
    every = set(Contact.objects.values_list("pk", flat=True))
    random = Random(seed)  # noqa: S311 - no secret

    def jump() -> None:
        for pk in random.sample(sorted(every), 5):
            at = AT + timedelta(days=1, seconds=random.randrange(1000))
            Contact.objects.filter(pk=pk).update(last_activity_at=at)

    assert set(walk(api, jump, limit=6)) == every


@pytest.mark.django_db(transaction=True)
def test_the_second_lap_is_over_those_alone_that_changed(api: Api, lima: Workspace) -> None:
    fill(lima, 10)
    oldest = Contact.objects.order_by("last_activity_at").first()
    assert oldest
    pages = api.pages("contacts/", limit=4)
    seen = next(pages).ids
    Contact.objects.filter(pk=oldest.pk).update(last_activity_at=AT + timedelta(days=1))
    rest = [page.ids for page in pages]
    assert oldest.pk not in seen
    assert rest[-1] == [oldest.pk]
    assert Counter(chain(seen, *rest)).most_common(1)[0][1] == 1


@pytest.mark.django_db(transaction=True)
def test_a_second_lap_ends_while_everything_goes_on_changing(api: Api, lima: Workspace) -> None:
    fill(lima, 20)
    pages = 0

    def stir() -> None:
        nonlocal pages
        pages += 1
        assert pages < 60
        Contact.objects.update(lead_score=pages)

    assert set(walk(api, stir, limit=5)) == set(Contact.objects.values_list("pk", flat=True))


@pytest.mark.django_db(transaction=True)
def test_while_others_write_by_id_each_comes_exactly_once(api: Api, lima: Workspace) -> None:
    fill(lima, 120)
    every = list(Contact.objects.order_by("pk").values_list("pk", flat=True))
    stop = threading.Event()

    def write(seed: int) -> None:
        random = Random(seed)  # noqa: S311 - no secret
        while not stop.is_set():
            at = AT + timedelta(days=random.randrange(9))
            Contact.objects.filter(pk=random.choice(every)).update(last_activity_at=at)
        connections.close_all()

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for writer in writers:
        writer.start()
    try:
        assert walk(api, ordering="id", limit=10) == every
        assert set(walk(api, limit=10)) == set(every)
    finally:
        stop.set()
        for writer in writers:
            writer.join()


@pytest.mark.django_db(transaction=True)
def test_a_walk_that_the_log_no_longer_covers_begins_anew(api: Api, lima: Workspace) -> None:
    fill(lima, 5)
    first = api.get("contacts/", limit=4)
    second = api.get(first.body["next"])
    ChangesKept.objects.all().delete()
    ChangesKept.objects.create(pk=1)  # from now on
    answer = api.get(second.body["next"])
    assert (answer.status, answer.problem) == (410, "cursor-too-old")
    assert "Begin without a cursor" in answer.body["detail"]


def test_a_cursor_is_of_its_own_list(api: Api, lima: Workspace) -> None:
    fill(lima, 5)
    cursor = api.get("contacts/", limit=2).body["next"].rpartition("cursor=")[2]
    for path, parameters in (("contacts/", {"ordering": "id"}), ("messages/", {}), ("deliveries/", {})):
        answer = Api(somebody(f"of {path}{parameters}", lima, Role.MANAGER)).get(
            path, cursor=cursor, **parameters
        )
        assert (answer.status, list(answer.fields)) == (400, ["cursor"])
