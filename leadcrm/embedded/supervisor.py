"""Starts PostgreSQL, and stops it after the last process that uses it has ended.

Run by `server.py` as `python -m leadcrm.embedded.supervisor <folder> <lock> <pipe>`: it inherits supervisor.lock and
tells the pipe `ready`, or why not. It belongs to no process, has no terminal and needs no settings.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import time
from pathlib import Path
from typing import TextIO

from leadcrm.embedded import locks
from leadcrm.embedded.cluster import Cluster, EmbeddedPostgresError
from leadcrm.embedded.failures import explained
from leadcrm.embedded.postgres import Postgres
from leadcrm.embedded.server import READY

POLL_SECONDS = 0.3


class ToldToStopError(Exception):
    pass


def main(folder: str, lock: str, pipe: str) -> None:
    if os.fork():
        os._exit(0)  # so that the process which spawned us need not wait for us
    os.set_inheritable(int(lock), False)  # PostgreSQL must not keep the lock when we are killed
    os.set_inheritable(int(pipe), False)
    os.umask(0o077)
    for name in _TERMINATIONS:
        signal.signal(name, _stop)
    supervise(Cluster(Path(folder)), int(lock), os.fdopen(int(pipe), "w"))


def supervise(cluster: Cluster, lock: int, starter: TextIO) -> None:
    try:
        with explained(cluster):
            _serve(cluster, starter)
    except EmbeddedPostgresError as error:
        _tell(starter, str(error))
    except ToldToStopError:
        pass
    # This lock before users.lock, which ends with the process: whoever waits for that one must find this one free.
    fcntl.flock(lock, fcntl.LOCK_UN)


def _serve(cluster: Cluster, starter: TextIO) -> None:
    postgres = Postgres(cluster)
    try:
        postgres.start()
        _tell(starter, READY)
        users = locks.open_lock(cluster.users_lock)
        while postgres.is_running() and not locks.try_lock(users, fcntl.LOCK_EX):
            time.sleep(POLL_SECONDS)
    finally:
        for name in _TERMINATIONS:
            signal.signal(name, signal.SIG_IGN)
        postgres.stop()


def _tell(starter: TextIO, text: str) -> None:
    if not starter.closed:
        with contextlib.suppress(OSError):  # it was interrupted and listens no more
            starter.write(text)
            starter.flush()
        with contextlib.suppress(OSError):
            starter.close()


def _stop(*_: object) -> None:
    raise ToldToStopError


_TERMINATIONS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

if __name__ == "__main__":
    main(*sys.argv[1:])
