"""The large data sets: made once by set-based SQL (dataset.sql), kept as template databases, and copied for each use."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.bench import Bench
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
    "kapso_sync_webhookdelivery",
)


def holding(bench: Bench, contacts: int, *, name: str = "", **more: Any) -> Leadcrm:
    """leadcrm with so many leads, five messages each. A copy: whatever is done to it, the next one is as new."""
    server = bench.leadcrm(database=f"set_{contacts}{name}", **more)
    server.name = f"leadcrm, {contacts:,} leads"
    template = f"template_{contacts}_{_version(server)}"
    if not server.cluster.has(template):
        bench.say(f"making {contacts:,} leads, once ...")
        draft = bench.leadcrm(database="being_made")
        draft.create_database()
        with draft.connect() as connection:
            _fill(connection, contacts)
        server.cluster.rename("being_made", template)
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
        connection.execute(
            sql.SQL("SELECT setval(pg_get_serial_sequence({}, 'id'), (SELECT max(id) FROM {}))").format(
                sql.Literal(table), sql.Identifier(table)
            )
        )
    connection.execute("VACUUM ANALYZE")


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
