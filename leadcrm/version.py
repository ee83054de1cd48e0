"""Which code this process runs: a version alone does not tell a worker that was not restarted after an update."""

from __future__ import annotations

import hashlib
from pathlib import Path

PACKAGES = ("contacts", "kapso_sync", "leadcrm")


def code_version(version: str, base: Path) -> str:
    """The version and the start of a hash of all Python sources, as 0.1.0+3fa9c2d1.

    Called once when a process starts, a few milliseconds: later the files may be those of the next version. A hash
    rather than a commit: it works without git, and sees what somebody changed by hand.
    """
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((base / package).rglob("*.py")):
            digest.update(f"{path.relative_to(base)}\0".encode() + path.read_bytes() + b"\0")
    return f"{version}+{digest.hexdigest()[:8]}"
