"""What a checkout keeps for itself under `.local/`, for whoever tries leadcrm out."""

from __future__ import annotations

import os
from pathlib import Path

from django.core.management.utils import get_random_secret_key


def local_secret_key(folder: Path) -> str:
    """The generated key of this checkout, made when first needed and readable by its owner alone."""
    path = folder / "secret-key"
    try:
        return path.read_text()
    except FileNotFoundError:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Several processes may get here at once: the first to link its file wins, and all read that one.
    draft = folder / f".secret-key-{os.getpid()}"
    draft.touch(mode=0o600)
    draft.write_text(get_random_secret_key())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text()
