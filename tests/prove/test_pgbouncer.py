"""All of leadcrm through the real PgBouncer in transaction mode, with fewer connections to PostgreSQL than to itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.builders import RECEIVED, message
from tests.chaos.site import CHECKOUT, Site, wait_until
from tests.kapso import Kapso
from tests.machines import (
    MAKE_USER,
    PGBOUNCER,
    Machine,
    PgBouncer,
    Visitor,
    give_the_role_its_settings,
)

pytestmark = [
    pytest.mark.prove,
    pytest.mark.skipif(PGBOUNCER is None, reason="needs PgBouncer (Debian: apt install pgbouncer)"),
]

WEBHOOKS = 400


@pytest.fixture(scope="module")
def site(tmp_path_factory: Any) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")) as started:
        yield started


@pytest.fixture(scope="module")
def pgbouncer(site: Site) -> Iterator[PgBouncer]:
    with PgBouncer(site) as started:
        yield started


@pytest.fixture(scope="module")
def machines(site: Site, pgbouncer: PgBouncer, tmp_path_factory: Any) -> Iterator[list[Machine]]:
    """Two, with 16 connections to PgBouncer between them."""
    give_the_role_its_settings(site)
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    with (
        Machine(folders[0], site, **pgbouncer.environment) as one,
        Machine(folders[1], site, **pgbouncer.environment) as two,
    ):
        yield [one, two]


@pytest.fixture
def past(site: Site, pgbouncer: PgBouncer, tmp_path: Path) -> Machine:
    """As the others, and told the way to the database itself."""
    return Machine(tmp_path, site, **pgbouncer.environment, WORKER_DATABASE_URL=site.database_url)


_numbers = count()


def post(machines: list[Machine], webhooks: int) -> None:
    """From eight senders at once, some twice, to all machines in turn."""
    random = Random(1)  # noqa: S311 - the same each time

    def send(index: int) -> None:
        body = message(f"wamid.{index}", index, phone=f"5199{index % 50:07d}", text=f"Hola {index}")
        for _ in range(random.choice((1, 1, 2))):
            answer = Kapso(machines[next(_numbers) % len(machines)].url).post(
                body, event=RECEIVED, key=f"k{index}"
            )
            assert answer.status == 200, answer.text
            assert answer.json["status"] == "processed", answer.text

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(webhooks)))


def command(machine: Machine, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *words], env=machine.environment, capture_output=True, text=True, check=False, timeout=300,
        cwd=CHECKOUT,
    )  # fmt: skip


def rows(site: Site) -> list[int]:
    with site.as_superuser() as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM kapso_sync_webhookdelivery), (SELECT count(*) FROM contacts_message),"
            " (SELECT count(*) FROM contacts_contact)"
        ).fetchone()
    return list(row or ())


def test_it_does_not_start_where_the_role_lacks_its_settings(
    site: Site, pgbouncer: PgBouncer, tmp_path: Path
) -> None:
    """The first of these tests: later ones give them."""
    machine = Machine(tmp_path, site, **pgbouncer.environment)
    said = command(machine, "check", "--database", "default")
    assert said.returncode == 1
    assert """ALTER ROLE "app" IN DATABASE "leadcrm" SET lock_timeout = '3s'""" in said.stderr


def test_webhooks_of_many_at_once_are_all_there(site: Site, machines: list[Machine]) -> None:
    post(machines, WEBHOOKS)
    assert rows(site) == [WEBHOOKS, WEBHOOKS, 50]
    with site.as_superuser() as connection:
        found = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'").fetchone()
    assert found
    assert 1 <= found[0] <= PgBouncer.CONNECTIONS


def test_pages_and_programs_are_answered(site: Site, machines: list[Machine]) -> None:
    one, two = machines
    token = site.run("-c", MAKE_USER).strip()
    post(machines, 20)
    browser = Visitor()
    browser.log_in(one)
    for machine in machines * 3:
        assert "51990000001" in browser.get(machine, "/admin/contacts/contact/").replace(" ", "")
        assert browser.status_of(machine, "/admin/reports/") == 200
    found = Visitor(token).ask(two, "/api/v1/contacts/?limit=5")["results"]
    assert "Hola" in browser.get(one, f"/admin/contacts/contact/{found[0]['id']}/change/")


def test_commands_do_their_work(site: Site, machines: list[Machine], past: Machine) -> None:
    """Past PgBouncer, while webhooks arrive through it."""
    post(machines, 100)
    before = rows(site)
    with ThreadPoolExecutor(1) as pool:
        meanwhile = pool.submit(post, machines, 100)
        for words in (["replay_webhooks", "--all"], ["rebuild_crm"], ["verify_crm"]):
            said = command(past, *words)
            assert said.returncode == 0, said.stdout + said.stderr
        meanwhile.result()
    assert rows(site) == before


def test_a_replay_goes_through_it_as_well(site: Site, machines: list[Machine]) -> None:
    before = rows(site)
    said = command(machines[0], "replay_webhooks", "--all")
    assert said.returncode == 0, said.stdout + said.stderr
    assert rows(site) == before


@pytest.mark.parametrize("name", ["work", "rebuild_crm", "verify_crm"])
def test_what_takes_a_session_wants_the_database_itself(machines: list[Machine], name: str) -> None:
    said = command(machines[0], name)
    assert said.returncode == 1
    assert "WORKER_DATABASE_URL" in said.stderr


def test_a_worker_that_is_given_it_listens(site: Site, past: Machine) -> None:
    worker = subprocess.Popen(
        [sys.executable, "manage.py", "work"],
        env=past.environment,
        cwd=CHECKOUT,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: listens(site), "nobody listens for jobs")
    finally:
        worker.terminate()
        worker.wait(30)


def listens(site: Site) -> bool:
    statement = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND query LIKE 'LISTEN %'"
    with site.as_superuser() as connection:
        row = connection.execute(statement).fetchone()
    return bool(row and row[0])
