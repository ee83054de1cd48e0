"""Which databases there are: PostgreSQL by `DATABASE_URL`, or the embedded one; PgBouncer before it, a replica beside it.

docs/scaling.md says when to have which.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

# A webhook that waits for a lock gives up after 3 seconds, is stored as failed and retried.
# jit: the sync's statements are long and quick, compiling them would take longer than they run.
SESSION = {"lock_timeout": "3s", "jit": "off"}

_URL_PARTS = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}


class Pooling(StrEnum):
    """Whether a PgBouncer in transaction mode stands in front, and whether it keeps prepared statements apart (1.21)."""

    OFF = "off"
    ON = "on"
    PREPARED = "prepared"


def databases(*, url: str, replica_url: str, pooling: Pooling) -> dict[str, dict[str, Any]]:
    found = {"default": _database(url, pooling)}
    if url and replica_url:
        found["replica"] = _replica(replica_url, pooling)
    return found


def _database(url: str, pooling: Pooling) -> dict[str, Any]:
    common = {
        # One connection per turn, kept: connecting costs more than a webhook does.
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,  # a delivery must outlive the error of its own request
    }
    if not url:
        return common | {
            "ENGINE": "leadcrm.embedded",
            "NAME": "leadcrm",
            "OPTIONS": _session(Pooling.OFF),
        }
    # environs would need a further package to read the URL; psycopg reads it itself.
    from psycopg.conninfo import conninfo_to_dict

    parts = conninfo_to_dict(url)
    told = {name: value for name, value in parts.items() if name not in _URL_PARTS}
    return common | {
        "ENGINE": "django.db.backends.postgresql",
        **{setting: str(parts[name]) for name, setting in _URL_PARTS.items() if name in parts},
        "OPTIONS": told | _session(pooling),
        # The cursor of a session would be looked for in a session of somebody else.
        "DISABLE_SERVER_SIDE_CURSORS": pooling != Pooling.OFF,
    }


def _session(pooling: Pooling) -> dict[str, Any]:
    # Allows what asks for it to be prepared, which is the sync's statements (contacts.statements); None allows nothing.
    prepared: dict[str, Any] = {"prepare_threshold": None if pooling == Pooling.ON else 5}
    if pooling != Pooling.OFF:
        return prepared  # PgBouncer refuses `options`: the role has them (leadcrm.checks)
    settings = {**SESSION, "timezone": "UTC"}
    return prepared | {"options": " ".join(f"-c {name}={value}" for name, value in settings.items())}


def _replica(url: str, pooling: Pooling) -> dict[str, Any]:
    """Nobody waits for one that is away: the primary answers then (leadcrm.replica)."""
    database = _database(url, pooling)
    patience = {"connect_timeout": "2", "tcp_user_timeout": "3000"}
    # Tests have one database by both names.
    return database | {"OPTIONS": patience | database["OPTIONS"], "TEST": {"MIRROR": "default"}}
