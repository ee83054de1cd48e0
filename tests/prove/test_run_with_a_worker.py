"""`make run` brings a worker of background jobs along, and leaves nothing running."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_embedded import CHECKOUT, comes_true, environment, local

__all__ = ["local"]  # the fixture: a folder that nobody uses any more when the test has ended


def children(pid: int) -> dict[int, str]:
    """Process ids and command lines of those that it started."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == pid:
                found[int(folder.name)] = (folder / "cmdline").read_bytes().decode().replace("\0", " ")
    return found


@pytest.mark.prove
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
def test_run_starts_a_worker_and_stops_it(local: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    run = subprocess.Popen(
        [sys.executable, "manage.py", "run"],
        cwd=CHECKOUT,
        env=environment(local, PORT=port),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert run.stdout
        assert comes_true(lambda: "leadcrm is running" in str(run.stdout and run.stdout.readline()), 120)
        started = children(run.pid)
        assert sum("procrastinate worker" in command for command in started.values()) == 1
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)
        assert comes_true(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGTERM)
        run.communicate(timeout=60)
