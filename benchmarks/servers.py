"""A server that is measured, as it would be run: its process, its database, its rows, and load on it. All on loopback."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import psycopg
from psycopg import sql

from benchmarks.clusters import Cluster
from benchmarks.measuring import Refused
from benchmarks.traffic import PATH, SECRET, Rows, Traffic

CHECKOUT = Path(__file__).resolve().parent.parent
START_SECONDS = 120
LONGEST = 1800.0  # seconds that any command may take


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """On a command: its time, and the most memory that it had."""

    seconds: float
    megabytes: float


@dataclass(kw_only=True)
class Server(ABC):
    """One subject. `with server:` makes its tables in a fresh database and serves until the block ends."""

    tables: ClassVar[Mapping[str, str]]  # how they are called, by what they hold
    kept: ClassVar[Sequence[str]] = ()  # tables that are not emptied between runs

    name: str
    cluster: Cluster
    more: dict[str, str] = field(default_factory=dict)  # further environment
    database: str = "bench"
    template: str = ""  # that it is a copy of
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """What serves it."""

    @abstractmethod
    def make_tables(self) -> None:
        """In its fresh database."""

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        url = self.cluster.url(self.database)
        return (
            inherited
            | {"DATABASE_URL": url, "WEBHOOK_SECRET": SECRET, "PORT": str(self.port or 1)}
            | self.more
        )

    @property
    def log(self) -> Path:
        return self.cluster.folder / f"{self.name.replace(' ', '-')}.log"

    def connect(self) -> psycopg.Connection[Any]:
        return self.cluster.connect(self.database)

    def __enter__(self) -> Self:
        self.log.unlink(missing_ok=True)
        self.create_database()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.cluster.drop(self.database)

    def create_database(self) -> None:
        self.cluster.create(self.database, template=self.template or "template0")
        self.make_tables()

    def start(self) -> None:
        self.port = _free_port()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=CHECKOUT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )
        self._wait_until_it_answers()

    def stop(self) -> None:
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def run(self, *arguments: str, given: str = "") -> str:
        """Run Python as this server would be, to its end; returns what it prints."""
        with self.log.open("ab") as log:
            done = subprocess.run(
                [sys.executable, *arguments],
                cwd=CHECKOUT,
                env=self.environment,
                input=given,
                stdout=subprocess.PIPE,
                stderr=log,
                check=False,
                text=True,
                timeout=LONGEST,
            )
        if done.returncode:
            raise Refused(f"{' '.join(arguments)} of {self.name} failed: see {self.log}")
        return done.stdout

    def timed(self, *arguments: str) -> Spent:
        """As `run`, for what it costs."""
        return Spent(**json.loads(self.run("-m", "benchmarks.spending", *arguments)))

    # What is in its tables

    def empty(self) -> None:
        """As on the first day, but for what was set up."""
        with self.connect() as connection:
            found = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall()
            names = [sql.Identifier(name) for (name,) in found if name not in self.kept]
            connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(sql.SQL(", ").join(names)))

    def analyze(self) -> None:
        with self.connect() as connection:
            connection.execute("ANALYZE")

    def rows(self) -> Rows:
        counts = ", ".join(f"(SELECT count(*) FROM {table}) AS {what}" for what, table in self.tables.items())
        with self.connect() as connection:
            values = connection.execute(f"SELECT {counts}").fetchone()
        return Rows(**dict(zip(self.tables, values or (), strict=True)))

    # What is done to it

    def take(
        self, traffic: Traffic, *, connections: int, seconds: float, rate: float = 0.0
    ) -> dict[str, Any]:
        """Deliveries over HTTP, from a process of their own. Refuses unless each was answered 200."""
        return self.load(traffic=asdict(traffic), connections=connections, seconds=seconds, rate=rate)

    def load(self, **asked: Any) -> dict[str, Any]:
        return answered(self.name, self.start_load(**asked))

    def start_load(self, **asked: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load"],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin
        process.stdin.write(json.dumps({"port": self.port} | asked))
        process.stdin.close()
        process.stdin = None
        return process

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline or (self.process and self.process.poll() is not None):
                self.stop()
                raise Refused(f"{self.name} does not start: see {self.log}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        """An unsigned webhook is refused by every one of them, and leaves no row."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(client), contextlib.suppress(OSError, http.client.HTTPException):
            client.request("POST", PATH, b"{}", {"Content-Type": "application/json"})
            return client.getresponse().status == 401
        return False


def answered(name: str, load: subprocess.Popen[str]) -> dict[str, Any]:
    """What came of a load; refuses if it broke off, or if anything was answered with another status than 200."""
    out, err = load.communicate()
    if load.returncode:
        raise Refused(f"the load on {name} broke off: {err.strip().splitlines()[-1:]}")
    told: dict[str, Any] = json.loads(out)
    if set(told["statuses"]) != {"200"} or told["statuses"]["200"] != told["sent"]:
        raise Refused(f"{name} answered {told['statuses']} to {told['sent']} requests")
    return told


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
