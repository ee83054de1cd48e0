"""More than one machine, all of them here: web servers with folders of their own, PgBouncer, a streaming replica."""

from __future__ import annotations

import contextlib
import http.cookiejar
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode

import psycopg

from leadcrm.databases import SESSION
from leadcrm.embedded.cluster import SUPERUSER
from tests.chaos.site import FAST, ROLE, SECRET, Site, wait_until

PASSWORD = "a-password-for-tests"
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")

MAKE_USER = f"""
import django; django.setup()
from django.contrib.auth.models import User
from api import tokens
print(tokens.issue(User.objects.create_superuser("ana", password="{PASSWORD}"), "program", scope="write")[1])
"""


class Machine(Site):
    """A web server on a site's database, with nothing else in common with others: folder and port are its own."""

    def __init__(self, folder: Path, site: Site, **environment: str) -> None:
        super().__init__(folder)
        self.site, self.more = site, environment

    def __enter__(self) -> Machine:
        self.start_server()
        self.wait_until_it_answers()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_server()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.cluster.folder.resolve())  # made on the way, never used

    @property
    def environment(self) -> dict[str, str]:
        own = {"LOCAL_DIR": str(self.folder), "PORT": str(self.port)}
        return self.site.environment | own | self.more


class Visitor:
    """Somebody's browser, which takes its cookies to whichever machine the proxy sends it to; or a program."""

    def __init__(self, token: str = "") -> None:
        self._cookies = http.cookiejar.CookieJar()
        self._open = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies)).open
        self._token = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, machine: Site, path: str, **headers: str) -> str:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        request = _request(machine, path, headers=self._token | told)
        with self._open(request, timeout=60) as response:
            return str(response.read().decode())

    def post(self, machine: Site, path: str, form: dict[str, str], page: str) -> str:
        """`page`: where the form is."""
        (secret,) = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[:1]
        body = urlencode(form | {"csrfmiddlewaretoken": secret}).encode()
        with self._open(_request(machine, path, data=body), timeout=60) as response:
            return str(response.read().decode())

    def log_in(self, machine: Site, password: str = PASSWORD) -> str:
        page = self.get(machine, "/admin/login/")
        return self.post(machine, "/admin/login/", {"username": "ana", "password": password}, page)

    def ask(self, machine: Site, path: str, **headers: str) -> Any:
        return json.loads(self.get(machine, path, **headers))

    def status_of(self, machine: Site, path: str) -> int:
        try:
            self.get(machine, path)
        except HTTPError as error:
            return error.code
        return 200


def _request(machine: Site, path: str, **told: Any) -> urllib.request.Request:
    return urllib.request.Request(machine.url + path, **told)  # noqa: S310 - it is ours, on loopback


class PgBouncer:
    """The real one, in transaction mode, in front of a site's database. It has fewer connections than clients."""

    CONNECTIONS = 5

    def __init__(self, site: Site) -> None:
        assert PGBOUNCER
        self.site = site
        self._folder = site.postgres.sockets
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PgBouncer:
        settings = {
            "listen_port": "6432",
            "unix_socket_dir": self._folder,
            "auth_type": "scram-sha-256",
            "auth_file": self._folder / "users.txt",
            "pool_mode": "transaction",
            "max_client_conn": "500",
            "default_pool_size": self.CONNECTIONS,
            "logfile": self._folder / "pgbouncer.log",
        }
        lines = ["[databases]", f"leadcrm = host={self._folder} dbname=leadcrm", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in settings.items()]
        self._write("pgbouncer.ini", "\n".join(lines))
        self._write("users.txt", f'"{ROLE}" "{SECRET}"')
        command = [str(PGBOUNCER), "-q", str(self._folder / "pgbouncer.ini")]
        account = self.site.postgres.account.popen
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd="/", **account)
        wait_until(lambda: (self._folder / ".s.PGSQL.6432").exists(), "PgBouncer does not start")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(20)
        for name in ("pgbouncer.ini", "users.txt", "pgbouncer.log"):
            (self._folder / name).unlink(missing_ok=True)

    def _write(self, name: str, text: str) -> None:
        path = self._folder / name
        path.write_text(text + "\n")
        account = self.site.postgres.account
        os.chown(path, account.uid, account.gid)

    @property
    def environment(self) -> dict[str, str]:
        where = urlencode({"host": str(self._folder), "port": "6432"})
        url = f"postgresql://{ROLE}:{quote(SECRET)}@/leadcrm?{where}"
        return {"DATABASE_URL": url, "PGBOUNCER": "on"}


def give_the_role_its_settings(site: Site) -> None:
    with site.as_superuser() as connection:
        for name, value in SESSION.items():
            connection.execute(f"ALTER ROLE {ROLE} IN DATABASE leadcrm SET {name} = '{value}'")


class Replica:
    """A second PostgreSQL that streams from a site's: `pg_basebackup`, as everybody does it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        postgres = site.postgres
        self._data = postgres.home / "replica"
        self._sockets = postgres.account.private_folder(
            Path(tempfile.gettempdir(), f"leadcrm-r-{site.cluster.digest[:8]}")
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Replica:
        postgres = self.site.postgres
        password = self.site.cluster.password_file.read_text()
        primary = f"host='{postgres.sockets}' user={SUPERUSER} password='{password}'"
        command: list[str | Path] = [
            postgres.bin / "pg_basebackup",
            "-d",
            primary,
            "-D",
            self._data,
            "-R",
            "-X",
            "stream",
        ]
        subprocess.run(
            [*command, "-c", "fast"], check=True, cwd=postgres.home, timeout=120, **postgres.account.popen
        )
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._data, ignore_errors=True)
        shutil.rmtree(self._sockets, ignore_errors=True)

    def start(self) -> None:
        postgres = self.site.postgres
        settings = {"listen_addresses": "", "unix_socket_directories": self._sockets}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.site.folder / "replica.log").open("ab") as log:
            self._process = subprocess.Popen(
                [postgres.bin / "postgres", "-D", self._data, *options],
                cwd=postgres.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **postgres.account.popen,
            )  # fmt: skip
        wait_until(self._answers, f"the replica does not start: see {self.site.folder / 'replica.log'}")

    def stop(self) -> None:
        if self._process:
            self._process.send_signal(FAST)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(20)
            self._process = None

    @contextlib.contextmanager
    def as_superuser(self) -> Iterator[psycopg.Connection[Any]]:
        password = self.site.cluster.password_file.read_text()
        with psycopg.connect(
            host=str(self._sockets), user=SUPERUSER, password=password, dbname="leadcrm", autocommit=True
        ) as connection:
            yield connection

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), self.as_superuser():
            return True
        return False

    def falls_behind(self) -> None:
        """It receives on, and applies nothing until it is told to."""
        with self.as_superuser() as connection:
            connection.execute("SELECT pg_wal_replay_pause()")

    def goes_on(self) -> None:
        with self.as_superuser() as connection:
            connection.execute("SELECT pg_wal_replay_resume()")

    def scans(self, table: str = "contacts_contact") -> int:
        """How often somebody has read this table here."""
        statement = "SELECT seq_scan + idx_scan FROM pg_stat_user_tables WHERE relname = %s"
        with self.as_superuser() as connection:
            row = connection.execute(statement, [table]).fetchone()
        return int(row[0] or 0) if row else 0

    @property
    def url(self) -> str:
        return f"postgresql://{ROLE}:{quote(SECRET)}@/leadcrm?{urlencode({'host': str(self._sockets)})}"
