"""The large data sets: made once by set-based SQL (dataset.sql), kept as template databases, and copied for each use."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.bench import Bench
from benchmarks.clusters import Cluster
from benchmarks.subjects import Leadcrm

SCRIPT = Path(__file__).with_name("dataset.sql")
TABLES = (
    "contacts_contact",
    "contacts_identity",
    "contacts_profilefact",
    "contacts_conversation",
    "contacts_kapsosession",
    "contacts_message",
    "contacts_messagereceipt",
    "contacts_searchedlead",
    "contacts_searchedmessage",
    "kapso_sync_webhookdelivery",
)

FRESH = timedelta(hours=3)
MADE_AT = """
SELECT coalesce(shobj_description(oid, 'pg_database')::timestamptz, now()) FROM pg_database WHERE datname = current_database()
"""
MOVE = """
UPDATE contacts_contact SET last_activity_at = last_activity_at + lag, last_inbound_at = last_inbound_at + lag,
    last_contact_at = last_contact_at + lag, unanswered_since = unanswered_since + lag, read_at = read_at + lag
FROM (SELECT now() - %(made_at)s AS lag) AS since WHERE last_activity_at > %(made_at)s - interval '2 days'
"""


def holding(bench: Bench, contacts: int, *, name: str = "", **more: Any) -> Leadcrm:
    """leadcrm with so many leads, five messages each. A copy: whatever is done to it, the next one is as new."""
    server = bench.leadcrm(database=f"set_{contacts}{name}", **more)
    server.name = f"leadcrm, {contacts:,} leads"
    template = f"template_{contacts}_{_version(server)}"
    if not server.cluster.has(template):
        bench.say(f"making {contacts:,} leads, once ...")
        server.cluster.drop_all(f"template_{contacts}_")
        draft = bench.leadcrm(database="being_made")
        draft.create_database()
        with draft.connect() as connection:
            _fill(connection, contacts)
        _note_time(server.cluster, "being_made")
        server.cluster.rename("being_made", template)
    _bring_up_to_date(server.cluster, template)
    server.template = template
    return server


def _version(server: Leadcrm) -> str:
    return hashlib.sha256(SCRIPT.read_bytes() + server.migrated.encode()).hexdigest()[:8]


def _fill(connection: psycopg.Connection[Any], contacts: int) -> None:
    """Without triggers and foreign keys, which would do row by row what the script does itself; indexes afterwards."""
    connection.execute("SET session_replication_role = replica")
    connection.execute("SET maintenance_work_mem = '512MB'")
    connection.execute("SET synchronous_commit = off")
    connection.execute("SELECT set_config('bench.contacts', %s, false)", [str(contacts)])
    connection.execute("SELECT set_config('bench.now', now()::text, false)")
    indexes = _drop_indexes(connection)
    connection.execute(SCRIPT.read_bytes())
    for index in indexes:
        connection.execute(index.encode())
    for table in TABLES:
        if table.startswith("contacts_searched"):
            continue  # their keys are those of others
        connection.execute(
            sql.SQL("SELECT setval(pg_get_serial_sequence({}, 'id'), (SELECT max(id) FROM {}))").format(
                sql.Literal(table), sql.Identifier(table)
            )
        )
    connection.execute("VACUUM ANALYZE")


def _bring_up_to_date(cluster: Cluster, template: str) -> None:
    """A set that lies about for a day has nobody whose 24-hour window is open: move its last two days up to now."""
    with cluster.connect(template) as connection:
        (made_at,) = connection.execute(MADE_AT).fetchone() or (datetime.now(UTC),)
        if datetime.now(UTC) - made_at < FRESH:
            return
        connection.execute("SET session_replication_role = replica")
        connection.execute(MOVE, {"made_at": made_at})
        connection.execute("VACUUM ANALYZE contacts_contact")
    _note_time(cluster, template)


def _note_time(cluster: Cluster, template: str) -> None:
    with cluster.connect() as connection:
        note = sql.SQL("COMMENT ON DATABASE {} IS {}")
        connection.execute(note.format(sql.Identifier(template), sql.Literal(datetime.now(UTC).isoformat())))


def _drop_indexes(connection: psycopg.Connection[Any]) -> Sequence[str]:
    """All but those of constraints; returns how to make them again."""
    found = connection.execute(
        "SELECT c.relname, pg_get_indexdef(c.oid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE i.indrelid = ANY(%s::regclass[])"
        " AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = c.oid)",
        [list(TABLES)],
    ).fetchall()
    for name, _ in found:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    return [definition for _, definition in found]
