"""One line that says what to do, for what can go wrong with a database of one's own."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from leadcrm.embedded.cluster import Cluster, EmbeddedPostgresError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def explained(cluster: Cluster) -> Iterator[None]:
    """Turns what the file system says into a line that says what to do."""
    try:
        yield
    except OSError as error:
        raise EmbeddedPostgresError(_advice(error, cluster)) from error


def _advice(error: OSError, cluster: Cluster) -> str:
    if error.errno in _FULL:
        return full_disk(cluster.local)
    if error.errno in _CLOSED:
        return (
            f"The embedded PostgreSQL may not use {error.filename or cluster.local} ({error.strerror}): run as the "
            "user whom it belongs to, give it to you with chown, or set LOCAL_DIR or DATABASE_URL."
        )
    return f"The embedded PostgreSQL cannot use {cluster.local}: {error}. Set LOCAL_DIR to another folder."


def full_disk(folder: Path) -> str:
    return f"The disk is full: make room where {folder} is and try again; nothing was lost."


def said(summary: str, output: str, cluster: Cluster) -> EmbeddedPostgresError:
    """What PostgreSQL itself said last, below a line of ours."""
    if "No space left on device" in output:
        summary = full_disk(cluster.local)
    tail = "\n".join(f"  {line}" for line in output.strip().splitlines()[-8:])
    return EmbeddedPostgresError(f"{summary}\n{tail}" if tail else summary)
