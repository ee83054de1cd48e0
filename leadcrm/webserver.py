"""How the web server is started, for trying out as for production."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from django.conf import settings

WORKERS = 2
AT_WORK = 4  # requests at a time per worker, each with a database connection (leadcrm.turns)
# Per worker, made as they are needed: for requests at work, for those who wait for news (api.waiting.MOST_WAITING),
# and for as many again who wait for their turn.
THREADS = 64


class WithoutAdviceOnThreads(logging.Filter):
    """The server advises against so many: it cannot know that few of them are ever at work."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "Python threads" not in record.getMessage()


def command(*more: str) -> list[str]:
    """On loopback alone: what comes from outside comes through a proxy that speaks TLS."""
    return [
        *(sys.executable, "-m", "granian", "--interface", "wsgi"),
        *("--host", "127.0.0.1", "--port", str(settings.PORT)),
        *("--workers", str(WORKERS), "--blocking-threads", str(THREADS)),
        # Longer than any webhook takes, shorter than a process manager waits before it kills.
        *("--workers-kill-timeout", "10", "--respawn-failed-workers", "--no-ws", "--no-access-log"),
        *("--log-config", str(Path(__file__).with_name("server_log.json"))),
        *more,
        "leadcrm.wsgi:application",
    ]
