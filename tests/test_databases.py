"""What the environment says of databases, as Django gets it."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command

from leadcrm.checks import check_settings_of_sessions
from leadcrm.databases import SESSION, Pooling, databases

URL = "postgresql://leadcrm:s%40fe@db.example.com:5433/crm?sslmode=require"


def options(pooling: Pooling, replica_url: str = "") -> dict[str, dict[str, Any]]:
    found = databases(url=URL, replica_url=replica_url, pooling=pooling)
    return {alias: database["OPTIONS"] for alias, database in found.items()}


def test_a_url_is_taken_apart() -> None:
    (database,) = databases(url=URL, replica_url="", pooling=Pooling.OFF).values()
    parts = {name: database[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}
    assert list(parts.values()) == ["crm", "leadcrm", "s@fe", "db.example.com", "5433"]
    assert database["OPTIONS"]["sslmode"] == "require"
    assert "lock_timeout=3s" in database["OPTIONS"]["options"]
    assert database["DISABLE_SERVER_SIDE_CURSORS"] is False


@pytest.mark.parametrize(("pooling", "threshold"), [(Pooling.ON, None), (Pooling.PREPARED, 5)])
def test_pgbouncer_gets_nothing_of_a_session(pooling: Pooling, threshold: int | None) -> None:
    (database,) = databases(url=URL, replica_url="", pooling=pooling).values()
    assert "options" not in database["OPTIONS"]
    assert database["OPTIONS"]["prepare_threshold"] == threshold
    assert database["DISABLE_SERVER_SIDE_CURSORS"] is True


def test_a_replica_is_not_waited_for() -> None:
    replica = options(Pooling.OFF, "postgresql://leadcrm@replica.example.com/crm?connect_timeout=1")[
        "replica"
    ]
    assert (replica["connect_timeout"], replica["tcp_user_timeout"]) == ("1", "3000")


def test_what_is_tried_out_has_no_replica() -> None:
    assert list(databases(url="", replica_url=URL, pooling=Pooling.OFF)) == ["default"]


@pytest.mark.django_db
def test_the_check_looks_at_the_session_behind_pgbouncer(settings: Any) -> None:
    assert check_settings_of_sessions(databases=["default"]) == []
    settings.PGBOUNCER = Pooling.ON
    assert check_settings_of_sessions(databases=["default"]) == []  # this session has them
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = 0")
        try:
            (error,) = check_settings_of_sessions(databases=["default"])
        finally:
            cursor.execute(f"SET lock_timeout = '{SESSION['lock_timeout']}'")
    assert "ALTER ROLE" in error.msg
    assert check_settings_of_sessions() == []  # `check` without a database asks none


def test_a_worker_does_not_start_behind_pgbouncer(settings: Any) -> None:
    settings.PGBOUNCER = Pooling.ON
    with pytest.raises(CommandError, match="WORKER_DATABASE_URL"):
        call_command("work")
