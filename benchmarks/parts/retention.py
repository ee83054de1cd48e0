"""What the bodies of deliveries cost when they are stored and cleared: in their row, and in partitions of their own.

The partitions are a prototype. All of it is SQL alone, on a copy of the product's tables and by its statements: what
sealing, parsing and the rest of a webhook take is the same in both.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from benchmarks.bench import Bench, check_rows, sent_of
from benchmarks.measuring import Findings, Refused, rounds
from benchmarks.subjects import Leadcrm
from benchmarks.traffic import NUMBERS, Delivery, deliveries
from kapso_sync.outcomes import CLEAR, STORE

IN_ROW, APART = "bodies in their rows", "bodies in partitions"
TABLE = "kapso_sync_webhookdelivery"
CLEARED_AT_ONCE = 200  # as kapso_sync.retention
BATCHES = (1, 16, 64)
SEEDED_AT_ONCE = 1_000
PEOPLE = 500  # each writes several times
MONTH = ("2026-06-01", "2026-07-01")
AT = "2026-06-10T12:00:00Z"

PARTITIONS = f"""
CREATE TABLE body (delivery_id bigint NOT NULL, received_at timestamptz NOT NULL, body bytea NOT NULL)
    PARTITION BY RANGE (received_at);
CREATE INDEX ON body (delivery_id);
CREATE TABLE body_of_june PARTITION OF body FOR VALUES FROM ('{MONTH[0]}') TO ('{MONTH[1]}');
CREATE TABLE body_of_others PARTITION OF body DEFAULT;
"""
SIZE = f"""
SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE oid = '{TABLE}'::regclass
OR relkind = 'r' AND relname LIKE 'body\\_of\\_%'
"""
HOT = """
SELECT relname, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables
WHERE n_tup_upd > 0 AND relname ~ '^(contacts|kapso_sync)_' ORDER BY n_tup_upd DESC, relname
"""

UNUSED = """
SELECT indexrelname FROM pg_stat_user_indexes
WHERE idx_scan = 0 AND pg_relation_size(indexrelid) > 16384 AND relname ~ '^(contacts|kapso_sync)_' ORDER BY 1
"""


def measure(bench: Bench) -> Findings:
    findings = Findings()
    _clearing(bench, findings)
    _storing(bench, findings)
    _webhooks(bench, findings)
    return findings


def _store_apart() -> str:
    """The same statement, but that the body goes to its partition, in one round trip."""
    into, _, source = STORE.partition("FROM ROWS FROM (")
    source, _, conflict = source.partition("ON CONFLICT")
    return f"""
WITH given AS MATERIALIZED (SELECT row.* FROM ROWS FROM ({source}),
stored (number, digest, key, id, is_new, status, attempts, received_at, served, earliest, due) AS (
    {into.replace("row.body,", "''::bytea,")} FROM given AS row ON CONFLICT{conflict}
), bodies AS (
    INSERT INTO body SELECT stored.id, stored.received_at, given.body FROM stored JOIN given
    ON (given.phone_number_id, given.body_sha256, given.idempotency_key) = (stored.number, stored.digest, stored.key)
    WHERE stored.is_new)
SELECT * FROM stored
"""


STATEMENTS = {IN_ROW: STORE, APART: _store_apart()}


@dataclass(slots=True)
class Cost:
    """Of one stretch of SQL."""

    seconds: float = 0.0
    wal: float = 0.0  # bytes


@dataclass
class Store:
    """A database of ours in which deliveries are stored one way or the other."""

    server: Leadcrm
    how: str
    connection: psycopg.Connection[Any] = field(init=False)

    def __enter__(self) -> Store:
        self.server.create_database()
        self.connection = self.server.connect()
        if self.how == APART:
            self.connection.execute(PARTITIONS.encode())
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        self.server.cluster.drop(self.server.database)

    def add(self, sent: Sequence[Delivery], batch: int) -> None:
        for start in range(0, len(sent), batch):
            some = sent[start : start + batch]
            rows = json.dumps([_row(delivery) for delivery in some])
            told = self.connection.execute(
                STATEMENTS[self.how].encode(), [rows, [each.body for each in some]]
            )
            if told.rowcount != len(some):
                raise Refused(f"{self.how}: {told.rowcount} of {len(some)} were stored")

    def clear(self) -> None:
        """Whatever there is, as retention does; the partition goes at the end."""
        found = self.connection.execute(f"SELECT id FROM {TABLE} ORDER BY received_at, id".encode())
        keys = [key for (key,) in found]
        for start in range(0, len(keys), CLEARED_AT_ONCE):
            some = keys[start : start + CLEARED_AT_ONCE]
            told = {"keys": some, "at": AT, "unfinished": "late", "reason": None}
            self.connection.execute(CLEAR.encode(), told)
        if self.how == APART:
            self.connection.execute("DROP TABLE body_of_june")

    @contextmanager
    def costing(self) -> Iterator[Cost]:
        cost = Cost()
        before, started = _wal(self.connection), time.monotonic()
        yield cost
        cost.seconds, cost.wal = time.monotonic() - started, _wal(self.connection) - before

    def size(self) -> float:
        (size,) = self.connection.execute(SIZE.encode()).fetchone() or (0,)
        return float(size) / 2**20


def _row(delivery: Delivery) -> dict[str, Any]:
    number = next((one for one in NUMBERS if one.encode() in delivery.body), "")
    return {
        "received_at": AT,
        "idempotency_key": delivery.key,
        "event": delivery.event,
        "phone_number_id": number,
        "headers": {"content-type": "application/json", "x-webhook-event": delivery.event, "x-idempotency-key": delivery.key,
            "x-webhook-signature": hashlib.sha256(delivery.body).hexdigest(), "x-webhook-payload-version": "v2"},
        "body_sha256": hashlib.sha256(delivery.body).hexdigest(),
        "status": "processed",
        "error": "",
        "processed_at": AT,
        "code_version": "1",
    }  # fmt: skip


def _clearing(bench: Bench, findings: Findings) -> None:
    """A month of bodies cleared, and as many stored again: into the room that they left?"""
    count = bench.size.contacts[-1] // 10
    spent: dict[str, list[Cost]] = {IN_ROW: [], APART: []}
    sizes: dict[str, list[float]] = {}
    for how in rounds(min(3, bench.size.rounds), list(spent)):
        with Store(bench.leadcrm(database="bodies"), how) as store:
            store.add(deliveries(bench.traffic(count)), SEEDED_AT_ONCE)
            store.connection.execute(f"VACUUM ANALYZE {TABLE}".encode())
            sizes[how] = [store.size()]
            # Whole pages are written to the WAL after one: in both, as it would be at night.
            store.connection.execute("CHECKPOINT")
            with store.costing() as cost:
                store.clear()
            spent[how].append(cost)
            sizes[how].append(store.size())
            store.connection.execute(f"VACUUM {TABLE}".encode())
            sizes[how].append(store.size())
            if how == APART:
                store.connection.execute(
                    f"CREATE TABLE body_of_june PARTITION OF body FOR VALUES FROM ('{MONTH[0]}') TO ('{MONTH[1]}')".encode()
                )
            store.add(deliveries(bench.traffic(count)), SEEDED_AT_ONCE)
            sizes[how].append(store.size())
        bench.say(
            f"{how}: {count:,} cleared in {cost.seconds:.1f} s, {cost.wal / count:.0f} bytes of WAL each"
        )
    for how, costs in spent.items():
        findings.add(f"clearing {count:,}, {how}", [1e6 * each.seconds / count for each in costs], "µs each")
        findings.add(f"WAL of clearing, {how}", [each.wal / count for each in costs], "bytes each")
        before, cleared, vacuumed, again = sizes[how]
        findings.notes.append(
            f"{how.capitalize()}: {before:.0f} MB; cleared {cleared:.0f}; vacuumed {vacuumed:.0f}; as many stored again {again:.0f}."
        )
    seconds = {how: [each.seconds for each in costs] for how, costs in spent.items()}
    findings.add_ratio("clearing, partitions / rows", seconds[APART], seconds[IN_ROW])


def _storing(bench: Bench, findings: Findings) -> None:
    """The INSERT of a batch, each design in turn."""
    count = min(1_000, bench.size.contacts[0])
    with (
        Store(bench.leadcrm(database="in_rows"), IN_ROW) as rows,
        Store(bench.leadcrm(database="apart"), APART) as apart,
    ):
        for store in (rows, apart):
            store.add(deliveries(bench.traffic(count)), 16)
        for batch in BATCHES:
            spent: dict[str, list[Cost]] = {IN_ROW: [], APART: []}
            for store in rounds(2 * bench.size.rounds - 1, [rows, apart]):
                sent = deliveries(bench.traffic(count))
                # One commit: waiting for the disk is the same in both, and would hide what differs.
                with store.costing() as cost, store.connection.transaction():
                    store.add(sent, batch)
                spent[store.how].append(cost)
            for how, costs in spent.items():
                name = f"batch of {batch}, {how}"
                findings.add(f"{name}", [1e6 * each.seconds / count for each in costs], "µs each")
                findings.add(f"WAL, {name}", [each.wal / count for each in costs], "bytes each")
            seconds = {how: [each.seconds for each in costs] for how, costs in spent.items()}
            findings.add_ratio(
                f"storing, batch of {batch}, partitions / rows", seconds[APART], seconds[IN_ROW]
            )


def _webhooks(bench: Bench, findings: Findings) -> None:
    """What whole webhooks write, and how many of their updates need no index entry."""
    first, then = bench.traffic(300, people=PEOPLE), bench.traffic(3_000, people=PEOPLE)
    with bench.leadcrm() as server, server.connect() as connection:
        sent = sent_of(first, server.take(first, connections=8, seconds=60.0))
        connection.execute("SELECT pg_stat_reset()")
        before = _wal(connection)
        more = sent_of(then, server.take(then, connections=8, seconds=60.0))
        after = _wal(connection)
        check_rows(server, sent, more)
        time.sleep(1.5)  # until every connection has told its counts
        hot = connection.execute(HOT.encode()).fetchall()
        unused = [name for (name,) in connection.execute(UNUSED.encode())]
    findings.add("WAL of a webhook", [(after - before) / len(more)], "bytes")
    for table, updated, without in hot:
        findings.add(f"HOT updates of {table}", [100 * without / updated], "%", remark=f"{updated:,}")
    findings.notes.append(f"No webhook reads by: {', '.join(unused)}.")


def _wal(connection: psycopg.Connection[Any]) -> float:
    (written,) = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone() or (0,)
    return float(written)
