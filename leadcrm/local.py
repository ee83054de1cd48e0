"""What a checkout keeps for itself under `.local/`, for whoever tries leadcrm out.

Free of Django: the supervisor of the embedded database uses it too.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def kept_secret(path: Path, *, length: int = 24) -> str:
    """The generated secret in this file, made when first needed and readable by its owner alone."""
    try:
        return path.read_text()
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Several processes may get here at once: the first to link its file wins, and all read that one.
    draft = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        draft.touch(mode=0o600, exist_ok=False)
        draft.write_text(secrets.token_urlsafe(length))
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
    return path.read_text()


def local_secret_key(folder: Path) -> str:
    return kept_secret(folder / "secret-key", length=50)


def local_webhook_secret(folder: Path) -> str:
    return kept_secret(folder / "webhook-secret")
