"""Lists and reports from a real streaming replica: when it answers, when it must not, and who reads what."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from tests.builders import RECEIVED, message
from tests.chaos.site import Site, wait_until
from tests.kapso import Kapso
from tests.machines import MAKE_USER, Machine, Replica, Visitor

pytestmark = pytest.mark.prove

LEADS = "/admin/contacts/contact/"
STALE = {"Cache_Control": "max-stale"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: Any) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")) as started:
        yield started


@pytest.fixture(scope="module")
def program(site: Site) -> Visitor:
    return Visitor(site.run("-c", MAKE_USER).strip())


@pytest.fixture(scope="module")
def replica(site: Site, program: Visitor) -> Iterator[Replica]:
    with Replica(site) as started:
        yield started


@pytest.fixture(scope="module")
def machine(site: Site, replica: Replica, tmp_path_factory: Any) -> Iterator[Machine]:
    with Machine(tmp_path_factory.mktemp("one"), site, REPLICA_URL=replica.url) as started:
        yield started


@pytest.fixture
def browser(machine: Machine) -> Visitor:
    """Who has logged in some time ago: to log in writes."""
    visitor = Visitor()
    visitor.log_in(machine)
    visitor.forget("just_wrote")
    return visitor


_numbers = count()


def somebody_writes(machine: Machine) -> str:
    index = next(_numbers)
    body = message(f"wamid.{index}", index, phone=f"5198{index:07d}", text=f"Text no. {index}.")
    assert Kapso(machine.url).post(body, event=RECEIVED).json["status"] == "processed"
    return f"Text no. {index}."


def is_asked(replica: Replica, ask: Any) -> bool:
    """Whether leads are read there. PostgreSQL counts what a session read when it is idle for a moment."""
    before = replica.scans()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        ask()
        time.sleep(0.2)
        if replica.scans() > before:
            return True
    return False


def is_left_alone(replica: Replica, ask: Any) -> bool:
    time.sleep(2)
    before = replica.scans()
    for _ in range(5):
        ask()
    time.sleep(2)
    return replica.scans() == before


def test_lists_reports_and_who_allows_it_are_answered_there(
    machine: Machine, replica: Replica, browser: Visitor, program: Visitor
) -> None:
    text = somebody_writes(machine)
    wait_until(lambda: text in browser.get(machine, LEADS), "the list does not show it")
    assert is_asked(replica, lambda: browser.get(machine, LEADS))
    assert is_asked(replica, lambda: program.ask(machine, "/api/v1/contacts/", **STALE))


def test_programs_that_do_not_allow_it_and_the_feed_are_not(
    machine: Machine, replica: Replica, program: Visitor
) -> None:
    def ask() -> None:
        program.ask(machine, "/api/v1/contacts/")
        program.ask(machine, "/api/v1/changes/", **STALE)

    assert is_left_alone(replica, ask)


def test_who_has_just_written_reads_it(machine: Machine, replica: Replica) -> None:
    visitor = Visitor()
    visitor.log_in(machine)
    replica.falls_behind()
    try:
        text = somebody_writes(machine)
        assert text in visitor.get(machine, LEADS)
    finally:
        replica.goes_on()


def test_a_list_is_never_further_behind_than_said(
    machine: Machine, replica: Replica, browser: Visitor, program: Visitor
) -> None:
    """A replica that receives and does not apply: nothing else tells of it."""
    replica.falls_behind()
    try:
        text = somebody_writes(machine)
        time.sleep(4)
        assert text in browser.get(machine, LEADS)
        assert text in str(program.ask(machine, "/api/v1/messages/?limit=200", **STALE))
        assert is_left_alone(replica, lambda: browser.get(machine, LEADS))
    finally:
        replica.goes_on()
    assert is_asked(replica, lambda: browser.get(machine, LEADS))


def test_an_open_list_hears_of_what_the_replica_did_not_have_yet(
    machine: Machine, replica: Replica, browser: Visitor
) -> None:
    assert is_asked(replica, lambda: browser.get(machine, LEADS))
    replica.falls_behind()
    try:
        text = somebody_writes(machine)
        page = browser.get(machine, LEADS)
        seen = page.partition('data-cursor="')[2].partition('"')[0]
        if text not in page:
            assert text in browser.get(machine, LEADS + "live/", X_Seen=seen)
    finally:
        replica.goes_on()


def test_without_the_replica_everything_goes_on(
    machine: Machine, replica: Replica, browser: Visitor, program: Visitor
) -> None:
    assert is_asked(replica, lambda: browser.get(machine, LEADS))
    replica.stop()
    try:
        for _ in range(5):
            text = somebody_writes(machine)
            browser.get(machine, "/admin/reports/")
            assert program.ask(machine, "/api/v1/contacts/", **STALE)["results"]
        time.sleep(4)
        assert text in browser.get(machine, LEADS)
    finally:
        replica.start()
    assert is_asked(replica, lambda: browser.get(machine, LEADS))
