"""The least work that loads stored deliveries in bulk: read, parse, COPY, and one INSERT a table, 10,000 at a time.

Run as `python -m benchmarks.copying` with DATABASE_URL: from the table `stored` into the tables of benchmarks.limit.
"""

from __future__ import annotations

import os
from typing import Any

import psycopg

from benchmarks.limit import values_of

BATCH = 10_000
COLUMNS = (
    "key",
    "event",
    "body",
    "number",
    "phone",
    "name",
    "conversation",
    "state",
    "wamid",
    "direction",
    "type",
)
TOLD = """
CREATE TEMP TABLE told (
    key text, event text, body bytea, number text, phone text, name text, conversation text, state text, wamid text,
    direction text, type text, status text, content text, at float8)
"""
STORE = """
WITH d AS (
    INSERT INTO delivery (idempotency_key, event, body) SELECT key, event, body FROM told
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING idempotency_key
), new AS (
    SELECT told.*, to_timestamp(at) AS moment FROM told JOIN d ON d.idempotency_key = told.key
), c AS (
    INSERT INTO contact AS old (phone_number_id, phone, name, last_activity_at)
    SELECT DISTINCT ON (number, phone) number, phone, name, moment FROM new ORDER BY number, phone, moment DESC
    ON CONFLICT (phone_number_id, phone) DO UPDATE SET
        name = EXCLUDED.name,
        last_activity_at = GREATEST(old.last_activity_at, EXCLUDED.last_activity_at)
    RETURNING id, phone_number_id, phone
), v AS (
    INSERT INTO conversation AS old (external_id, contact_id, status, last_activity_at)
    SELECT DISTINCT ON (new.conversation) new.conversation, c.id, new.state, new.moment
    FROM new JOIN c ON (c.phone_number_id, c.phone) = (new.number, new.phone)
    ORDER BY new.conversation, new.moment DESC
    ON CONFLICT (external_id) DO UPDATE SET
        status = EXCLUDED.status,
        last_activity_at = GREATEST(old.last_activity_at, EXCLUDED.last_activity_at)
    RETURNING id, external_id
)
INSERT INTO message (external_id, conversation_id, direction, type, status, content, sent_at)
SELECT DISTINCT ON (new.wamid) new.wamid, v.id, new.direction, new.type, new.status, new.content, new.moment
FROM new JOIN v ON v.external_id = new.conversation ORDER BY new.wamid, new.moment DESC
ON CONFLICT (external_id) DO UPDATE SET status = EXCLUDED.status
"""


def copy_all(url: str) -> None:
    with (
        psycopg.connect(url) as reader,
        psycopg.connect(url) as writer,
        reader.cursor(name="stored") as cursor,
    ):
        cursor.itersize = BATCH
        cursor.execute("SELECT key, event, body FROM stored ORDER BY id")
        writer.execute(TOLD)
        while rows := cursor.fetchmany(BATCH):
            _copy(writer, [{"key": key, "event": event} | values_of(body) for key, event, body in rows])


def _copy(connection: psycopg.Connection[Any], told: list[dict[str, Any]]) -> None:
    names = (*COLUMNS, "status", "content", "at")
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY told ({', '.join(names)}) FROM STDIN".encode()) as copy,
    ):
        for values in told:
            copy.write_row([values[name] for name in names])
    connection.execute(STORE)
    connection.execute("TRUNCATE told")
    connection.commit()


if __name__ == "__main__":
    copy_all(os.environ["DATABASE_URL"])
