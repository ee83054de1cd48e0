"""Which databases there are: PostgreSQL by `DATABASE_URL`, or the embedded one; PgBouncer before it, a replica beside it.

docs/scaling.md says when to have which.
"""

from __future__ import annotations

import os
from typing import Any

# A webhook that waits for a lock gives up after 3 seconds, is stored as failed and retried.
# jit: the sync's statements are long and quick, compiling them would take longer than they run.
SESSION = {"lock_timeout": "3s", "jit": "off"}

_URL_PARTS = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
# What web servers go through is what these look at; `serve` hands it on to them.
_THROUGH_PGBOUNCER = ("serve", "check")


def go_past_pgbouncer(command: str) -> None:
    """Commands use the database itself where `WORKER_DATABASE_URL` says how: they listen, lock for long, read by cursors.

    For `manage.py`, before there are settings.
    """
    direct = os.environ.get("WORKER_DATABASE_URL")
    if direct and command not in _THROUGH_PGBOUNCER:
        os.environ.update(DATABASE_URL=direct, PGBOUNCER="off")


def databases(*, url: str, replica_url: str, pgbouncer: bool) -> dict[str, dict[str, Any]]:
    found = {"default": _database(url, pgbouncer=pgbouncer)}
    if url and replica_url:
        found["replica"] = _replica(replica_url)
    return found


def _database(url: str, *, pgbouncer: bool = False) -> dict[str, Any]:
    common = {
        # One connection per turn, kept: connecting costs more than a webhook does.
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,  # a delivery must outlive the error of its own request
    }
    if not url:
        return common | {"ENGINE": "leadcrm.embedded", "NAME": "leadcrm", "OPTIONS": _session()}
    # environs would need a further package to read the URL; psycopg reads it itself.
    from psycopg.conninfo import conninfo_to_dict

    parts = conninfo_to_dict(url)
    told = {name: value for name, value in parts.items() if name not in _URL_PARTS}
    return common | {
        "ENGINE": "django.db.backends.postgresql",
        **{setting: str(parts[name]) for name, setting in _URL_PARTS.items() if name in parts},
        "OPTIONS": told | (_session_of_others() if pgbouncer else _session()),
        # The cursor of a session would be looked for in a session of somebody else.
        "DISABLE_SERVER_SIDE_CURSORS": pgbouncer,
    }


def _session() -> dict[str, Any]:
    settings = {**SESSION, "timezone": "UTC"}
    return {
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        # Allows what asks for it to be prepared, which is the sync's statements (contacts.statements).
        "prepare_threshold": 5,
    }


def _session_of_others() -> dict[str, Any]:
    """PgBouncer refuses `options`: the role has them (leadcrm.checks). What one prepared would be missing in the next."""
    return {"prepare_threshold": None}


def _replica(url: str) -> dict[str, Any]:
    """Nobody waits for one that is away: the primary answers then (leadcrm.replica)."""
    database = _database(url)
    patience = {"connect_timeout": "2", "tcp_user_timeout": "3000"}
    # Tests have one database by both names.
    return database | {"OPTIONS": patience | database["OPTIONS"], "TEST": {"MIRROR": "default"}}
