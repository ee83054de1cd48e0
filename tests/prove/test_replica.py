"""Lists and reports from a real streaming replica: when it answers, when it must not, and who reads what."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event
from typing import Any

import pytest

from tests.builders import RECEIVED, message
from tests.chaos.site import Site
from tests.kapso import Kapso
from tests.machines import MAKE_USER, Machine, Replica, Visitor

pytestmark = pytest.mark.prove

LEADS = "/admin/contacts/contact/"
CONTACTS = "/api/v1/contacts/"
REPORTS = "/admin/reports/"
# A session of PostgreSQL adds what it has read to the statistics once it has been idle for so long, or earlier.
UNTIL_COUNTED = 11


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
    visitor = Visitor()
    visitor.log_in(machine)
    return visitor


_numbers = count()


def somebody_writes(machine: Machine) -> str:
    index = next(_numbers)
    body = message(f"wamid.{index}", index, phone=f"5198{index:07d}", text=f"Text no. {index}.")
    assert Kapso(machine.url).post(body, event=RECEIVED).json["status"] == "processed"
    return f"Text no. {index}."


def phone_of(text: str) -> str:
    return f"5198{int(text.strip('.').rpartition(' ')[2]):07d}"


def is_asked(replica: Replica, ask: Any, table: str = "contacts_contact") -> bool:
    """Whether rows are read there."""
    before = replica.scans(table)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        ask()
        time.sleep(0.2)
        if replica.scans(table) > before:
            return True
    return False


def is_left_alone(replica: Replica, ask: Any) -> bool:
    time.sleep(UNTIL_COUNTED)
    before = replica.scans()
    for _ in range(5):
        ask()
    time.sleep(UNTIL_COUNTED)
    return replica.scans() == before


def test_lists_reports_exports_and_programs_are_answered_there(
    machine: Machine, replica: Replica, browser: Visitor, program: Visitor
) -> None:
    somebody_writes(machine)
    assert is_asked(replica, lambda: browser.get(machine, LEADS))
    assert is_asked(replica, lambda: browser.get(machine, LEADS + "export/csv/"))
    assert is_asked(replica, lambda: program.ask(machine, CONTACTS))
    assert is_asked(replica, lambda: browser.get(machine, REPORTS), "contacts_message")


def test_the_primary_is_spared(
    machine: Machine, site: Site, replica: Replica, browser: Visitor, program: Visitor
) -> None:
    """Nothing of a list is left to it, nor of a report: no count, no statement of our own."""

    def read() -> None:
        for path in (LEADS, LEADS + "?q=5198", LEADS + "export/csv/", REPORTS, REPORTS + "behind/?of=new"):
            browser.status_of(machine, path)
        program.ask(machine, CONTACTS)

    for _ in range(3):  # a replica that was late is none of this test's business
        time.sleep(UNTIL_COUNTED)
        before = scans_of_primary(site)
        read()
        time.sleep(UNTIL_COUNTED)
        if scans_of_primary(site) == before:
            return
    pytest.fail("the primary reads leads or messages for what the replica should answer")


def scans_of_primary(site: Site) -> int:
    statement = (
        "SELECT sum(seq_scan + idx_scan) FROM pg_stat_user_tables"
        " WHERE relname IN ('contacts_contact', 'contacts_message', 'contacts_conversation')"
    )
    with site.as_superuser() as connection:
        row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0


def test_the_start_a_lead_and_the_feed_are_not(
    machine: Machine, replica: Replica, browser: Visitor, program: Visitor
) -> None:
    lead = program.ask(machine, CONTACTS)["results"][0]["id"]

    def ask() -> None:
        browser.get(machine, "/admin/")
        browser.get(machine, f"{LEADS}{lead}/change/")
        program.ask(machine, "/api/v1/changes/")

    assert is_left_alone(replica, ask)


def test_whatever_was_written_is_shown_though_more_comes_all_the_time(
    machine: Machine, replica: Replica, browser: Visitor, program: Visitor
) -> None:
    """Four write on and on, so the replica is never quite there when it is asked; and yet it answers."""
    done = Event()

    def write_on() -> None:
        while not done.is_set():
            somebody_writes(machine)

    def look() -> None:
        text = somebody_writes(machine)
        assert text in browser.get(machine, LEADS)
        (lead,) = program.ask(machine, f"{CONTACTS}?search={phone_of(text)}")["results"]
        (talk,) = program.ask(machine, f"/api/v1/messages/?contact={lead['id']}")["results"]
        assert talk["content"] == text

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write_on) for _ in range(4)]
        try:
            before = replica.scans()
            for _ in range(40):
                look()
            time.sleep(UNTIL_COUNTED)
            assert replica.scans() > before
        finally:
            done.set()
        for writer in writers:
            writer.result()


def test_a_walk_through_all_leads_misses_none(machine: Machine, replica: Replica, program: Visitor) -> None:
    """By activity, where leads change places meanwhile; from the replica."""

    def walk() -> None:
        first = {phone_of(somebody_writes(machine)) for _ in range(12)}
        found, address = set(), f"{CONTACTS}?limit=50"
        while address:
            page = program.ask(machine, address)
            found |= {lead["phone"] for lead in page["results"]}
            address = (page["next"] or "").removeprefix(machine.url)
            somebody_writes(machine)
        assert first <= found

    assert is_asked(replica, walk)


def test_where_the_replica_lacks_something_the_primary_answers(
    machine: Machine, replica: Replica, browser: Visitor, program: Visitor
) -> None:
    """A replica that receives and does not apply: nothing else tells of it."""
    replica.falls_behind()
    try:
        text = somebody_writes(machine)
        assert text in browser.get(machine, LEADS)
        assert program.ask(machine, f"{CONTACTS}?search={phone_of(text)}")["results"]
        time.sleep(4)
        assert text in browser.get(machine, LEADS)
        assert is_left_alone(replica, lambda: browser.get(machine, LEADS) + browser.get(machine, REPORTS))
    finally:
        replica.goes_on()
    assert is_asked(replica, lambda: browser.get(machine, LEADS))


def test_reports_may_lack_the_last_seconds(machine: Machine, replica: Replica, browser: Visitor) -> None:
    def look() -> None:
        somebody_writes(machine)
        replica.falls_behind()
        try:
            somebody_writes(machine)
            browser.get(machine, REPORTS)
        finally:
            replica.goes_on()

    assert is_asked(replica, look, "contacts_message")


def test_an_open_list_hears_of_what_the_replica_did_not_have_yet(
    machine: Machine, replica: Replica, browser: Visitor
) -> None:
    """The list is the replica's, and so is what it says was newest; the primary is asked for news."""
    assert is_asked(replica, lambda: browser.get(machine, LEADS))
    page = browser.get(machine, LEADS)
    seen = page.partition('data-cursor="')[2].partition('"')[0]
    assert browser.get(machine, LEADS + "live/", X_Seen=seen) == ""
    replica.falls_behind()
    try:
        text = somebody_writes(machine)
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
            assert text in browser.get(machine, LEADS)
            browser.get(machine, REPORTS)
            assert program.ask(machine, CONTACTS)["results"]
    finally:
        replica.start()
    assert is_asked(replica, lambda: browser.get(machine, LEADS))
