"""What may break around leadcrm, broken for real: nothing is acknowledged that is not kept, and it recovers by itself.

The server is the one of production, its PostgreSQL is its own (tests.chaos.site). `make chaos` does the same at random
and for minutes.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.builders import RECEIVED, message
from tests.chaos.site import CHECKOUT, FAST, IMMEDIATE, ROLE, Site, wait_until
from tests.kapso import Answer, Kapso, sign
from tests.test_strain import history

EACH_THREAD = 12  # posts, so that each of the server's eight threads has had one


@pytest.fixture(scope="module")
def one_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")) as site:
        site.start_server()
        yield site


@pytest.fixture
def site(one_site: Site) -> Site:
    """As after `make serve`: it answers, and nothing has come in yet."""
    if one_site.server is None:
        one_site.start_server()
    one_site.wait_until_it_answers()
    with one_site.as_superuser() as connection:
        connection.execute(
            "TRUNCATE kapso_sync_webhookdelivery, contacts_contact, contacts_identity, contacts_message CASCADE"
        )
    return one_site


@pytest.fixture
def kapso(site: Site) -> Kapso:
    return Kapso(site.url)


@pytest.fixture
def owner(site: Site) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the administrator's."""
    with site.as_superuser() as connection:
        yield connection


def posted(kapso: Kapso, wamid: str = "a", **changes: Any) -> Answer:
    return kapso.post(message(wamid, **changes), event=RECEIVED, key=f"key-{wamid}")


def all_at_once(kapso: Kapso, prefix: str, count: int = EACH_THREAD) -> list[int]:
    with ThreadPoolExecutor(count) as pool:
        return [a.status for a in pool.map(lambda index: posted(kapso, f"{prefix}{index}"), range(count))]


def rows(site: Site) -> tuple[list[str], list[str]]:
    """The statuses of the deliveries, and the messages."""
    with site.as_superuser() as connection:
        statuses = connection.execute("SELECT status FROM kapso_sync_webhookdelivery ORDER BY id")
        wamids = connection.execute("SELECT kapso_message_id FROM contacts_message ORDER BY 1")
        return [row[0] for row in statuses], [row[0] for row in wamids]


def end_sessions(connection: psycopg.Connection[Any]) -> None:
    """Of the server; it has to connect anew."""
    connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", [ROLE]
    )


# PostgreSQL away, full, closed


@pytest.mark.parametrize("how", [FAST, IMMEDIATE], ids=["in order", "at once"])
def test_while_postgresql_is_down_nothing_is_acknowledged(
    site: Site, kapso: Kapso, how: signal.Signals
) -> None:
    assert all_at_once(kapso, "before") == [200] * EACH_THREAD
    site.stop_database(how)
    try:
        assert all_at_once(kapso, "late") == [503] * EACH_THREAD
    finally:
        site.start_database()
    # At the first try, without a restart of the server and without an error to get rid of an old connection.
    assert all_at_once(kapso, "late") == [200] * EACH_THREAD
    statuses, wamids = rows(site)
    assert (set(statuses), len(statuses), len(wamids)) == ({"processed"}, 2 * EACH_THREAD, 2 * EACH_THREAD)


def test_without_a_free_connection_nothing_is_acknowledged(
    site: Site, kapso: Kapso, owner: psycopg.Connection[Any]
) -> None:
    owner.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT 0").format(sql.Identifier(ROLE)))
    try:
        end_sessions(owner)
        assert posted(kapso).status == 503
    finally:
        owner.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT -1").format(sql.Identifier(ROLE)))
    assert rows(site) == ([], [])
    assert posted(kapso).json["status"] == "processed"


READ_ONLY = {
    "the server": ("ALTER SYSTEM SET default_transaction_read_only = on", "ALTER SYSTEM RESET ALL"),
    # What a connection to a former primary is: it stays read-only for as long as it is kept.
    "the session": (
        f"ALTER ROLE {ROLE} SET default_transaction_read_only = on",
        f"ALTER ROLE {ROLE} RESET default_transaction_read_only",
    ),
}


@pytest.mark.parametrize("what", READ_ONLY)
def test_while_the_database_is_read_only_nothing_is_acknowledged(
    site: Site, kapso: Kapso, owner: psycopg.Connection[Any], what: str
) -> None:
    close, reopen = READ_ONLY[what]
    owner.execute(close)
    try:
        owner.execute("SELECT pg_reload_conf()")
        end_sessions(owner)
        assert all_at_once(kapso, "m") == [503] * EACH_THREAD
    finally:
        owner.execute(reopen)
        owner.execute("SELECT pg_reload_conf()")
    wait_until(lambda: posted(kapso, "first").status == 200, "it stays read-only", 5)
    assert all_at_once(kapso, "m") == [200] * EACH_THREAD
    assert len(rows(site)[1]) == EACH_THREAD + 1


@contextlib.contextmanager
def full_disk(connection: psycopg.Connection[Any], table: str) -> Iterator[None]:
    """Rows of this table find no room: what PostgreSQL then says, said by a trigger."""
    connection.execute(
        """
        CREATE OR REPLACE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$
        """
    )
    name = sql.Identifier(table)
    connection.execute(
        sql.SQL("CREATE TRIGGER no_room BEFORE INSERT ON {} EXECUTE FUNCTION no_room()").format(name)
    )
    try:
        yield
    finally:
        connection.execute(sql.SQL("DROP TRIGGER no_room ON {}").format(name))


def test_what_finds_no_room_on_the_disk_is_not_acknowledged(
    site: Site, kapso: Kapso, owner: psycopg.Connection[Any]
) -> None:
    with full_disk(owner, "kapso_sync_webhookdelivery"):
        assert posted(kapso).status == 503
        assert rows(site) == ([], [])
    assert posted(kapso).json["status"] == "processed"
    assert rows(site) == (["processed"], ["a"])


def test_where_only_the_delivery_finds_room_it_is_kept_as_failed(
    site: Site, kapso: Kapso, owner: psycopg.Connection[Any]
) -> None:
    with full_disk(owner, "contacts_message"):
        answer = posted(kapso)
        assert (answer.status, answer.json["status"]) == (200, "failed")
        assert rows(site) == (["failed"], [])
        assert owner.execute("SELECT count(*) FROM contacts_identity").fetchone() == (0,), "half of it"
    assert posted(kapso).json["status"] == "processed", "a copy is its next try"
    assert rows(site) == (["processed"], ["a"])


def test_a_process_older_than_its_tables_keeps_what_it_cannot_apply(
    site: Site, kapso: Kapso, owner: psycopg.Connection[Any]
) -> None:
    """A deploy has changed a table under a server that still runs: failed, never processed without effect."""
    assert posted(kapso, "before").json["status"] == "processed"
    owner.execute("ALTER TABLE contacts_message RENAME COLUMN content TO content_of_tomorrow")
    try:
        answer = posted(kapso)
        assert (answer.status, answer.json["status"]) == (200, "failed")
    finally:
        owner.execute("ALTER TABLE contacts_message RENAME COLUMN content_of_tomorrow TO content")
    assert rows(site) == (["processed", "failed"], ["before"])
    assert posted(kapso).json["status"] == "processed"
    assert rows(site) == (["processed", "processed"], ["a", "before"])


# In the middle of the work


@contextlib.contextmanager
def person_locked(site: Site, kapso: Kapso) -> Iterator[psycopg.Connection[Any]]:
    """Whatever tells of the person, who is known already, stops in the middle of its transaction."""
    assert posted(kapso, "before").status == 200
    with site.as_superuser() as other, site.as_superuser() as watch, other.transaction():
        other.execute("SELECT 1 FROM contacts_identity FOR UPDATE")
        yield watch


@contextlib.contextmanager
def held_up(site: Site, kapso: Kapso) -> Iterator[tuple[Future[Answer], psycopg.Connection[Any]]]:
    """A webhook in the middle of its transaction."""
    with ThreadPoolExecutor(1) as pool:
        with person_locked(site, kapso) as watch:
            answer = pool.submit(posted, kapso, "a")
            wait_until(lambda: waiting(watch), "nobody waits for the lock")
            yield answer, watch
        with contextlib.suppress(OSError):
            answer.result(30)


def waiting(connection: psycopg.Connection[Any]) -> int | None:
    row = connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE usename = %s AND wait_event_type = 'Lock'", [ROLE]
    ).fetchone()
    return row[0] if row else None


def test_a_server_killed_midway_leaves_nothing_and_the_retry_works(site: Site, kapso: Kapso) -> None:
    with held_up(site, kapso) as (answer, _):
        site.kill_server()
        with pytest.raises(OSError):  # noqa: PT011 - whichever it is: no answer
            answer.result(30)
    assert rows(site) == (["processed"], ["before"])
    site.start_server()
    site.wait_until_it_answers()
    assert posted(kapso).json["status"] == "processed"
    assert rows(site) == (["processed", "processed"], ["a", "before"])


def test_a_killed_worker_is_replaced(site: Site, kapso: Kapso) -> None:
    for worker in range(2):
        assert site.kill_worker(worker)
        wait_until(lambda: len(site.workers) == 2, "no new worker")
    site.wait_until_it_answers()
    assert all_at_once(kapso, "m") == [200] * EACH_THREAD


def test_a_session_that_is_cut_midway_is_made_up_for_at_once(site: Site, kapso: Kapso) -> None:
    """A restart of PostgreSQL that is over in no time must not cost a webhook anything."""
    with held_up(site, kapso) as (answer, watch):
        watch.execute("SELECT pg_terminate_backend(%s, 5000)", [waiting(watch)])
    assert answer.result().json["status"] == "processed"
    assert rows(site) == (["processed", "processed"], ["a", "before"])


def test_after_three_seconds_a_webhook_gives_up_on_a_lock_and_is_kept(site: Site, kapso: Kapso) -> None:
    with held_up(site, kapso) as (answer, _):
        told = answer.result(30)
        assert (told.status, told.json["status"]) == (200, "failed")
    assert rows(site) == (["processed", "failed"], ["before"])
    assert posted(kapso).json["status"] == "processed"


def test_sessions_that_were_ended_meanwhile_cost_no_error(
    site: Site, kapso: Kapso, owner: psycopg.Connection[Any]
) -> None:
    assert all_at_once(kapso, "before") == [200] * EACH_THREAD
    end_sessions(owner)
    assert all_at_once(kapso, "after") == [200] * EACH_THREAD


# Clients that go away


def request(site: Site, body: bytes, key: str = "key-a") -> bytes:
    head = f"""POST /webhooks/kapso/ HTTP/1.1
Host: 127.0.0.1:{site.port}
Content-Length: {len(body)}
Content-Type: application/json
X-Webhook-Event: {RECEIVED}
X-Idempotency-Key: {key}
X-Webhook-Signature: {sign(body, "project-secret")}

"""
    return head.replace("\n", "\r\n").encode() + body


def test_a_client_that_goes_away_before_the_answer_changes_nothing(site: Site, kapso: Kapso) -> None:
    body = kapso_body()
    with person_locked(site, kapso) as watch, socket.create_connection(("127.0.0.1", site.port)) as client:
        client.sendall(request(site, body))
        # Whoever is gone before the server takes the request up has not delivered it, and tries again.
        wait_until(lambda: waiting(watch), "nobody waits for the lock")
        client.close()
    all_of_it = (["processed", "processed"], ["a", "before"])
    wait_until(lambda: rows(site) == all_of_it, "it was not processed")
    assert kapso.post(body, event=RECEIVED, key="key-a").json["status"] == "processed"
    assert rows(site) == all_of_it, "the retry is a copy"


@pytest.mark.parametrize("part", [0.1, 0.99])
def test_a_client_that_goes_away_within_its_body_leaves_nothing(
    site: Site, kapso: Kapso, part: float
) -> None:
    whole = request(site, kapso_body())
    with socket.create_connection(("127.0.0.1", site.port)) as client:
        client.sendall(whole[: int(len(whole) * part)])
    assert all_at_once(kapso, "m") == [200] * EACH_THREAD
    assert "a" not in rows(site)[1]


def test_a_chunk_of_five_megabytes_takes_no_more_memory_than_it_may(site: Site, kapso: Kapso) -> None:
    assert all_at_once(kapso, "before") == [200] * EACH_THREAD
    before = site.most_memory()
    body = json.dumps(history(100, 50)).encode()
    assert 4_500_000 < len(body) < 8_000_000
    assert kapso.post(body).json["status"] == "processed"
    assert site.most_memory() - before < 200, "megabytes"
    assert len(rows(site)[1]) == EACH_THREAD + 5000


# All of a small ordeal


@pytest.mark.prove
def test_a_small_ordeal_loses_nothing(tmp_path: Path) -> None:
    """`make chaos`, as it is but for its size."""
    options = {
        "deliveries": 150,
        "kills": 2,
        "worker-kills": 1,
        "restarts": 2,
        "minutes": 5,
        "folder": tmp_path / "site",
    }
    told = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    ordeal = subprocess.run(
        [sys.executable, "-m", "tests.chaos", *told],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ordeal.returncode == 0, ordeal.stdout + ordeal.stderr
    assert re.search(r"^  lost +0$", ordeal.stdout, re.MULTILINE)
    assert re.search(r"^  answers: 200 +150$", ordeal.stdout, re.MULTILINE)


def kapso_body() -> bytes:
    return json.dumps(message("a")).encode()
