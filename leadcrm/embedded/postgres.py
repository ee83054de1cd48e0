"""Creates, starts and stops PostgreSQL in a cluster's folder. Only the supervisor does any of it."""

from __future__ import annotations

import contextlib
import locale
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from leadcrm.embedded.account import Account, home_of, runnable
from leadcrm.embedded.cluster import SUPERUSER, Cluster, EmbeddedPostgresError
from leadcrm.embedded.failures import said
from leadcrm.embedded.server import START_SECONDS, pginstall
from leadcrm.local import kept_secret

# The smallest limit of the systems that we know for the path of a socket: 103 bytes and a NUL (macOS).
_SOCKET_BYTES = 103
# What PostgreSQL refuses to start for while the last children of a killed one are still ending.
_STILL_ENDING = "is still in use"


class Postgres:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.home, self.account = home_of(cluster)
        self.bin = runnable(pginstall(), self.home, self.account) / "bin"
        self.sockets = _socket_folder(cluster, self.home, self.account)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.home / "data"

    def start(self) -> None:
        """Running and ready when this returns. A running one, left by a supervisor that was killed, is adopted."""
        self._put_aside_if_locked_out()
        if not self.data.exists():
            self._create()
        self._check_version()
        deadline = time.monotonic() + START_SECONDS
        if self.cluster.postmaster() is None:
            self._spawn()
        while not ((postmaster := self.cluster.postmaster()) and postmaster.is_ready):
            if time.monotonic() > deadline:
                raise said("The embedded PostgreSQL did not get ready in time.", self._logged(), self.cluster)
            if not self.is_running():
                self._spawn_again_or_fail()
            time.sleep(0.02)

    def is_running(self) -> bool:
        if self.process:
            return self.process.poll() is None
        return self.cluster.postmaster() is not None

    def stop(self) -> None:
        """Fast, which keeps everything that was committed; harder if that does not help."""
        for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if postmaster := self.cluster.postmaster():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(postmaster.pid, how)
            if _within(20, lambda: not self.is_running()):
                break
        if self.sockets.parent != self.home:
            with contextlib.suppress(OSError):
                self.sockets.rmdir()

    def _put_aside_if_locked_out(self) -> None:
        # As root the data may survive `rm -rf .local`, but not the password to them. They are never deleted.
        if self.data.exists() and not self.cluster.password_file.exists():
            self.data.rename(self.home / f"data-without-password-{time.time_ns()}")

    def _create(self) -> None:
        draft = self.home / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        with self._readable_password() as password_file:
            created = self._run(
                "initdb",
                f"--pgdata={draft}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # The same order and case rules on every system. Messages stay English: we read some of them.
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                f"--locale={_system_locale()}",
                "--lc-messages=C",
            )
        if created.returncode != 0:
            shutil.rmtree(draft, ignore_errors=True)
            summary = f"The embedded PostgreSQL could not create its data folder in {self.home}."
            raise said(summary, created.stdout + created.stderr, self.cluster)
        # Only a complete cluster gets the name that counts.
        draft.rename(self.data)

    @contextlib.contextmanager
    def _readable_password(self) -> Iterator[Path]:
        """The password in a file that PostgreSQL's account can read, for as long as it has to."""
        path = self.home / "password.new"
        path.unlink(missing_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            os.fchown(fd, self.account.uid, self.account.gid)
            os.write(fd, kept_secret(self.cluster.password_file).encode())
            yield path
        finally:
            os.close(fd)
            path.unlink(missing_ok=True)

    def _check_version(self) -> None:
        # It says: postgres (PostgreSQL) 18.1
        ours = self._run("postgres", "--version").stdout.split()[-1].split(".")[0]
        theirs = (self.data / "PG_VERSION").read_text().strip()
        if ours != theirs:
            raise EmbeddedPostgresError(
                f"{self.data} was made by PostgreSQL {theirs}, and this checkout has PostgreSQL {ours}: go back to the "
                f"version of leadcrm that made it and dump it, or move the folder away to begin anew."
            )

    def _spawn(self) -> None:
        self._disown_number()
        if self.cluster.log.exists():
            self.cluster.log.rename(self.cluster.log.with_suffix(".log.old"))
        options = {
            "listen_addresses": "",
            "unix_socket_directories": _as_list_item(self.sockets),
            "unix_socket_permissions": "0700",
            "log_timezone": "UTC",
        }
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with self.cluster.log.open("w") as log:
            self.process = subprocess.Popen(  # noqa: S603
                [self.bin / "postgres", "-D", self.data, *settings],
                cwd=self.home,
                env=_ENVIRONMENT,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self.account.popen,
            )

    def _spawn_again_or_fail(self) -> None:
        if _STILL_ENDING not in self._logged():
            raise said("The embedded PostgreSQL did not start.", self._logged(), self.cluster)
        time.sleep(0.2)
        self._spawn()

    def _disown_number(self) -> None:
        """Keep PostgreSQL from mistaking a stranger for itself.

        After a reboot, or in a copied folder, the number in its files may belong to another process of the same
        user, and PostgreSQL would refuse to start. It takes its parent's number for a stale one: that is us. The rest
        of the file is what it recognises children of a killed one by.
        """
        for leftover in self.sockets.glob(".s.PGSQL.*"):
            leftover.unlink()
        if self.cluster.recorded_pid() is None:
            return
        fd = os.open(self.data / "postmaster.pid", os.O_RDWR | os.O_NOFOLLOW)
        with os.fdopen(fd, "r+") as file:
            _, *rest = file.read().split("\n")
            file.seek(0)
            file.truncate()
            file.write("\n".join([str(os.getpid()), *rest]))

    def _logged(self) -> str:
        return self.cluster.log.read_text(errors="replace") if self.cluster.log.exists() else ""

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603
            [self.bin / program, *arguments],
            check=False,
            cwd=self.home,
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            **self.account.popen,
        )


# None of our secrets, and none of the caller's PGDATA, PGOPTIONS and the like.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}


def _socket_folder(cluster: Cluster, home: Path, account: Account) -> Path:
    # Inside the cluster's folder if its path is short enough, else in one of our own among the temporary ones.
    temporary = [Path(base) / f"leadcrm-{cluster.digest}" for base in (tempfile.gettempdir(), "/tmp")]  # noqa: S108
    for folder in (home / "run", *temporary):
        if _is_connectable(folder) and account.may('cd "$1"', folder.parent):
            return account.private_folder(folder)
    raise EmbeddedPostgresError(
        "The path of the temporary folder is too long for a socket: set TMPDIR to a shorter."
    )


def _is_connectable(folder: Path) -> bool:
    # libpq takes a comma for the end of a host's name.
    return len(os.fsencode(folder / ".s.PGSQL.5432")) <= _SOCKET_BYTES and "," not in str(folder)


def _as_list_item(path: Path) -> str:
    return '"' + str(path).replace('"', '""') + '"'


def _system_locale() -> str:
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return "C"
    return "C.UTF-8"


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return met
