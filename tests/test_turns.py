"""So many requests are at work at a time, each with a database connection; who waits for something steps aside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from django.db import connection, connections

from leadcrm.turns import ASIDE, Turns

Application = Callable[[dict[str, Any]], Iterable[bytes]]


@pytest.fixture(autouse=True)
def connections_of_the_turns(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Are closed after the test, in which nobody else has them any more."""
    made: list[Any] = []
    create = connections.create_connection

    def kept(alias: str) -> Any:
        made.append(create(alias))
        return made[-1]

    monkeypatch.setattr(connections, "create_connection", kept)
    yield
    for each in made:
        each.close()


def turns(application: Application, at_once: int = 1) -> Turns:
    return Turns(lambda environ, _: application(environ), at_once)


def answer(served: Turns) -> bytes:
    """As a server does, in a thread of its own."""

    def serve() -> bytes:
        parts: Any = served({}, lambda *_: lambda _: None)
        said = b"".join(parts)
        parts.close()
        return said

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(serve).result(30)


def backend(_: Any = None) -> list[bytes]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return [str(cursor.fetchone()[0]).encode()]


def test_the_connection_is_kept_for_the_next_whatever_its_thread() -> None:
    served = turns(backend)
    assert len({answer(served) for _ in range(3)}) == 1


def test_one_is_at_work_until_its_answer_is_sent() -> None:
    served = turns(backend)
    with ThreadPoolExecutor(1) as thread, ThreadPoolExecutor(1) as pool:
        parts: Any = thread.submit(served, {}, lambda *_: lambda _: None).result(30)
        other = pool.submit(answer, served)
        assert not other.done()
        sent = b"".join(parts)
        assert not other.done()
        thread.submit(parts.close).result(30)
        assert other.result(30) == sent


def test_who_steps_aside_lets_others_through_and_goes_on_after() -> None:
    is_aside, may_go_on = Event(), Event()

    def application(environ: dict[str, Any]) -> Iterable[bytes]:
        if not is_aside.is_set():
            with environ[ASIDE]():
                is_aside.set()
                assert may_go_on.wait(30)
        return backend()

    served = turns(application)
    with ThreadPoolExecutor(1) as pool:
        aside = pool.submit(answer, served)
        assert is_aside.wait(30)
        others = {answer(served) for _ in range(3)}
        assert not aside.done()
        may_go_on.set()
        assert {aside.result(30)} == others


def test_a_turn_ends_with_an_error_and_when_the_server_lets_go_of_the_answer() -> None:
    def fails(_: Any) -> Iterable[bytes]:
        raise KeyError

    def cannot_be_closed(_: Any) -> Iterable[bytes]:
        class Parts(list[bytes]):
            def close(self) -> None:
                raise LookupError

        return Parts()

    applications: list[Application] = [fails, cannot_be_closed, backend, backend]
    served = turns(lambda environ: applications.pop(0)(environ))
    with pytest.raises(KeyError):
        answer(served)
    with pytest.raises(LookupError):
        answer(served)
    with ThreadPoolExecutor(1) as pool:  # whoever asked has gone: never read, never closed
        pool.submit(lambda: bool(served({}, lambda *_: lambda _: None))).result(30)
    assert answer(served)


STOPPED = """
import os, signal, sys, time
from threading import Event
from leadcrm.stopping import when_told_to_stop
signal.signal(signal.SIGTERM, lambda *_: None)
signal.signal(signal.SIGUSR1, lambda *_: None)
heard = Event()
when_told_to_stop(heard.set)
print("ready", flush=True)
os.kill(os.getpid(), signal.SIGUSR1)
while not heard.wait(0.1):
    pass
print("stopped", flush=True)
"""


def test_a_process_hears_that_it_is_told_to_stop() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=30)[0] == "stopped\n"
    finally:
        process.kill()
        process.wait(10)
