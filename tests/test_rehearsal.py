"""A dry run says what a replay would change, and writes nothing: every row of every table is the same afterwards."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from contacts.models import Contact, Message
from tests.builders import Desk, message, moment, sent


def hashes() -> dict[str, Any]:
    """A hash over all rows of each table there is, in whatever schema, and the sequences' names."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
        )
        found = {}
        for (table,) in cursor.fetchall():
            cursor.execute(
                f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t"  # noqa: S608
            )
            found[table] = cursor.fetchone()[0]
    return found


def dry_run(*arguments: str) -> str:
    before = hashes()
    out = io.StringIO()
    call_command("replay_webhooks", "--dry-run", *arguments, stdout=out, stderr=io.StringIO())
    assert hashes() == before
    return out.getvalue()


@pytest.fixture
def desk(transactional_db: None) -> Desk:
    return Desk.open()


def test_it_says_what_would_change_and_the_replay_does_it(desk: Desk) -> None:
    desk.told(message("wamid.1", 0, name="Ana"), message("wamid.2", 60), sent("wamid.3", 90))
    Message.objects.filter(kapso_message_id="wamid.2").delete()
    Contact.objects.update(last_activity_at=moment(0), username="someone")

    said = dry_run("--all")
    assert "Ana +51 911 110 001" in said
    assert 'inbound "Hola" of 2026-06-09 10:14:20 UTC' in said
    assert "last activity 2026-06-09 10:13:20 UTC becomes 2026-06-09 10:14:50 UTC" in said
    assert said.endswith("Would replay 3 deliveries: 3 processed. Nothing was written.\n")

    call_command("replay_webhooks", "--all", stdout=io.StringIO())
    assert Message.objects.count() == 3
    assert dry_run("--all").startswith("Nothing would change.\n")
