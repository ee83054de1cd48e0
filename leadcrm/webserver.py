"""How the web server is started, for trying out as for production."""

from __future__ import annotations

import sys

from django.conf import settings

WORKERS = 2
THREADS = 4  # per worker, each with a database connection of its own


def command(*more: str) -> list[str]:
    """On loopback alone: what comes from outside comes through a proxy that speaks TLS."""
    return [
        *(sys.executable, "-m", "granian", "--interface", "wsgi"),
        *("--host", "127.0.0.1", "--port", str(settings.PORT)),
        *("--workers", str(WORKERS), "--blocking-threads", str(THREADS)),
        # Longer than any webhook takes, shorter than a process manager waits before it kills.
        *("--workers-kill-timeout", "10", "--respawn-failed-workers", "--no-ws", "--no-access-log"),
        *more,
        "leadcrm.wsgi:application",
    ]
