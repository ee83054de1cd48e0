"""Where a checkout's PostgreSQL keeps its things, and whether it runs."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

SUPERUSER = "leadcrm"


class EmbeddedPostgresError(Exception):
    """Why there is no PostgreSQL: a line that says what to do, and perhaps what PostgreSQL said."""


class NotInstalledError(EmbeddedPostgresError):
    pass


@dataclass(frozen=True)
class Postmaster:
    pid: int
    socket_folder: str
    is_ready: bool


@dataclass(frozen=True)
class Cluster:
    """`.local/postgres` belongs to whom PostgreSQL runs as, `.local/postgres-control` to us: as root these differ."""

    local: Path

    @property
    def folder(self) -> Path:
        return self.local / "postgres"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def control(self) -> Path:
        return self.local / "postgres-control"

    @property
    def password_file(self) -> Path:
        return self.control / "password"

    @property
    def log(self) -> Path:
        return self.control / "postgresql.log"

    @property
    def users_lock(self) -> Path:
        """Held shared by every process that uses the database, from its first connection to its end."""
        return self.control / "users.lock"

    @property
    def start_lock(self) -> Path:
        """Held by the process that sees to a start."""
        return self.control / "start.lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the supervisor, from before it is spawned until PostgreSQL has stopped."""
        return self.control / "supervisor.lock"

    @property
    def digest(self) -> str:
        return hashlib.sha256(str(self.local.resolve()).encode()).hexdigest()[:16]

    def postmaster(self) -> Postmaster | None:
        """The PostgreSQL that runs in our data folder; never another process that has come by its number."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            pid, socket_folder, status = int(lines[0]), lines[4], lines[7]
        except (FileNotFoundError, NotADirectoryError, IndexError, ValueError):
            return self._unready_postmaster()
        if not self._runs_here(pid):
            return None
        return Postmaster(pid, socket_folder, is_ready=status.strip() == "ready")

    def _unready_postmaster(self) -> Postmaster | None:
        # PostgreSQL adds to the file line by line while it starts: at first it may hold the number alone.
        pid = self.recorded_pid()
        return Postmaster(pid, "", is_ready=False) if pid and self._runs_here(pid) else None

    def recorded_pid(self) -> int | None:
        try:
            return abs(int((self.data / "postmaster.pid").read_text().split("\n")[0]))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None

    def _runs_here(self, pid: int) -> bool:
        # A zombie has no command line, and a number that was given out again has somebody else's.
        return str(self.data.resolve()).encode() in _arguments(pid)


def _arguments(pid: int) -> list[bytes] | bytes:
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            return []
    ps = ["/bin/ps", "-ww", "-o", "args=", "-p", str(pid)]
    return subprocess.run(ps, capture_output=True, check=False).stdout  # noqa: S603
