"""What the environment says of databases, as Django gets it."""

from __future__ import annotations

import os
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from contacts.models import Workspace
from leadcrm.checks import check_settings_of_sessions
from leadcrm.databases import SESSION, databases, go_past_pgbouncer

URL = "postgresql://leadcrm:s%40fe@db.example.com:5433/crm?sslmode=require"


def test_a_url_is_taken_apart() -> None:
    (database,) = databases(url=URL, replica_url="", pgbouncer=False).values()
    parts = {name: database[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}
    assert list(parts.values()) == ["crm", "leadcrm", "s@fe", "db.example.com", "5433"]
    assert database["OPTIONS"]["sslmode"] == "require"
    assert "lock_timeout=3s" in database["OPTIONS"]["options"]
    assert database["DISABLE_SERVER_SIDE_CURSORS"] is False


def test_pgbouncer_gets_nothing_of_a_session() -> None:
    (database,) = databases(url=URL, replica_url="", pgbouncer=True).values()
    assert "options" not in database["OPTIONS"]
    assert database["OPTIONS"]["prepare_threshold"] is None
    assert database["DISABLE_SERVER_SIDE_CURSORS"] is True


def test_a_replica_is_not_waited_for_and_has_sessions_of_its_own() -> None:
    address = "postgresql://leadcrm@replica.example.com/crm?connect_timeout=1"
    replica = databases(url=URL, replica_url=address, pgbouncer=True)["replica"]
    assert replica["OPTIONS"]["connect_timeout"] == "1"
    assert replica["OPTIONS"]["tcp_user_timeout"] == "3000"
    assert "lock_timeout=3s" in replica["OPTIONS"]["options"]
    assert replica["DISABLE_SERVER_SIDE_CURSORS"] is False


def test_what_is_tried_out_has_no_replica() -> None:
    assert list(databases(url="", replica_url=URL, pgbouncer=False)) == ["default"]


@pytest.mark.django_db
def test_the_check_looks_at_the_session_behind_pgbouncer(settings: Any) -> None:
    assert check_settings_of_sessions(databases=["default"]) == []
    settings.PGBOUNCER = True
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


@pytest.mark.django_db
@pytest.mark.parametrize("command", ["work", "rebuild_crm", "verify_crm"])
def test_what_takes_a_session_refuses_to_go_through_pgbouncer(settings: Any, command: str) -> None:
    Workspace.objects.create(name="A shop", slug="shop")
    settings.PGBOUNCER = True
    with pytest.raises(CommandError, match="WORKER_DATABASE_URL"):
        call_command(command)


@pytest.mark.parametrize(
    ("command", "goes_past"),
    [("rebuild_crm", True), ("work", True), ("migrate", True), ("serve", False), ("check", False)],
)
def test_commands_go_past_pgbouncer_where_told_how(
    monkeypatch: pytest.MonkeyPatch, command: str, goes_past: bool
) -> None:
    told = {"DATABASE_URL": "pgbouncer", "PGBOUNCER": "on", "WORKER_DATABASE_URL": "itself"}
    monkeypatch.setattr(os, "environ", told.copy())
    go_past_pgbouncer(command)
    assert os.environ == (told | {"DATABASE_URL": "itself", "PGBOUNCER": "off"} if goes_past else told)


def test_where_nothing_is_told_commands_take_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"DATABASE_URL": "itself"})
    go_past_pgbouncer("rebuild_crm")
    assert os.environ == {"DATABASE_URL": "itself"}
