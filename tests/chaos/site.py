"""leadcrm as in production: its real web server over HTTP, on a PostgreSQL of its own that can be stopped and started."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from django.test import override_settings

from leadcrm import webserver
from leadcrm.embedded.cluster import SUPERUSER, Cluster
from leadcrm.embedded.postgres import Postgres

CHECKOUT = Path(__file__).resolve().parents[2]
SECRET = "project-secret"
ROLE = "app"  # no superuser, as in production: those are above limits of connections
WAIT_SECONDS = 60

FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT


class Site:
    """One installation in one folder. `with Site(folder) as site:` starts it; nothing of it is left afterwards."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.resolve()
        self.cluster = Cluster(self.folder)
        self.cluster.control.mkdir(mode=0o700, exist_ok=True)
        self.postgres = Postgres(self.cluster)
        self.port = _free_port()
        self.server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Site:
        self._remove_what_a_killed_one_left()
        try:
            self.start_database()
            with self.as_superuser("postgres") as connection:
                connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{SECRET}'")
                connection.execute(f"CREATE DATABASE leadcrm OWNER {ROLE}")
            self.run("-m", "tests.chaos.furnish")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_server()
        self.postgres.stop()
        home = self.cluster.folder.resolve()
        shutil.rmtree(home, ignore_errors=True)  # as root it may be elsewhere
        with contextlib.suppress(FileNotFoundError):
            self.cluster.folder.unlink()

    def _remove_what_a_killed_one_left(self) -> None:
        self.log.unlink(missing_ok=True)
        if self.cluster.postmaster():
            self.stop_database(IMMEDIATE)
        shutil.rmtree(self.postgres.data, ignore_errors=True)

    # The database

    def start_database(self) -> None:
        self.postgres.start()

    def stop_database(self, how: signal.Signals = FAST) -> None:
        """Fast ends what runs and shuts down in order; immediate is a crash to recover from."""
        postmaster = self.cluster.postmaster()
        assert postmaster, "PostgreSQL does not run"
        os.kill(postmaster.pid, how)
        wait_until(lambda: not self.postgres.is_running(), "PostgreSQL does not stop")

    @property
    def database_url(self) -> str:
        where = urlencode({"host": str(self.postgres.sockets)})
        return f"postgresql://{ROLE}:{quote(SECRET)}@/leadcrm?{where}"

    @contextlib.contextmanager
    def as_superuser(self, database: str = "leadcrm") -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(
            host=str(self.postgres.sockets),
            user=SUPERUSER,
            password=self.cluster.password_file.read_text(),
            dbname=database,
            autocommit=True,
        ) as connection:
            yield connection

    # The server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TZ") if name in os.environ}
        return kept | {
            "DATABASE_URL": self.database_url,
            "SECRET_KEY": "only-for-tests-and-long-enough-to-be-taken-for-a-real-one-0123456789",
            "KAPSO_WEBHOOK_SECRET": SECRET,
            "LOCAL_DIR": str(self.folder),
            "HTTPS": "off",
            "PORT": str(self.port),
            "DJANGO_SETTINGS_MODULE": "leadcrm.settings",
            # A static folder is nothing that a webhook needs.
            "PYTHONWARNINGS": "ignore:No directory at",
        }

    def run(self, *arguments: str) -> str:
        """Run Python in this installation's environment; returns what it prints."""
        with self.log.open("ab") as log:
            return subprocess.run(
                [sys.executable, *arguments],
                cwd=CHECKOUT,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
                check=True,
                text=True,
                timeout=300,
            ).stdout

    def start_server(self) -> None:
        assert self.server is None
        with override_settings(PORT=self.port):
            command = webserver.command("--log-level", "warning")
        with self.log.open("ab") as log:
            self.server = subprocess.Popen(
                command,
                cwd=CHECKOUT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a process group of its own: all of it can be killed at once
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )

    def kill_server(self) -> None:
        """`kill -9` of the server and its workers, whatever they are doing."""
        if self.server:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.server.pid, signal.SIGKILL)
            self.server.wait()
            self.server = None

    def tend(self) -> bool:
        """What a process manager does (README, systemd): a server that has ended by itself is started again.

        It ends when its workers die in quick succession; whether that was the case.
        """
        if self.server is None or self.server.poll() is None:
            return False
        self.kill_server()
        self.start_server()
        return True

    def kill_worker(self, index: int) -> bool:
        """`kill -9` of one worker; the server is to start another by itself."""
        if not (workers := self.workers):
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(workers[index % len(workers)], signal.SIGKILL)
        return True

    @property
    def workers(self) -> list[int]:
        assert self.server
        return _workers_of(self.server.pid)

    def most_memory(self) -> int:
        """In megabytes: the most that one of the workers has had."""
        told = [Path(f"/proc/{worker}/status").read_text() for worker in self.workers]
        return max(int(text.partition("VmHWM:")[2].split()[0]) for text in told) // 1024

    def wait_until_it_answers(self) -> None:
        wait_until(self._answers, f"the web server does not start: see {self.log}")

    def _answers(self) -> bool:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(client), contextlib.suppress(OSError, http.client.HTTPException):
            client.request("GET", "/webhooks/kapso/")
            return client.getresponse().status == 405
        return False


def _end_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def wait_until(condition: Any, otherwise: str, seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(otherwise)
        time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _workers_of(pid: int) -> list[int]:
    """The children that serve: Python's multiprocessing has others."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return sorted(found)
