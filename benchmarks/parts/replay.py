"""Stored deliveries brought into an empty CRM by `replay_webhooks`, beside the least work that loads them by COPY."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from benchmarks.bench import Bench, check_rows
from benchmarks.measuring import Findings, rounds
from benchmarks.servers import Server, Spent
from benchmarks.subjects import Leadcrm
from benchmarks.traffic import Delivery, Traffic, deliveries, signature

PEOPLE = 20_000
STORED = "CREATE TABLE stored (id bigint GENERATED ALWAYS AS IDENTITY, key text, event text, body bytea)"
INTO_STORED = "COPY stored (key, event, body) FROM STDIN"
INTO_LEADCRM = """
COPY kapso_sync_webhookdelivery
    (received_at, idempotency_key, event, phone_number_id, headers, body, body_sha256, status) FROM STDIN
"""


def measure(bench: Bench) -> Findings:
    """Ratios from the smaller number in turns; the larger once, unless there is time: memory is told by the two."""
    findings = Findings()
    few, many = bench.size.deliveries
    told = {
        count: _in_turns(bench, count, turns)
        for count, turns in ((few, bench.size.rounds), (many, bench.size.long_rounds))
    }
    for count, spent in told.items():
        goals = {"must": 0.3, "aim": 0.5} if count == 200_000 else {}
        rates = {name: [count / each.seconds for each in some] for name, some in spent.items()}
        for name, values in rates.items():
            findings.add(f"{name}, {count:,} deliveries", values, "/s")
        findings.add_ratio(f"replay / COPY, {count:,}", rates["replay"], rates["COPY"], **goals)
    growth = max(each.megabytes for each in told[many]["replay"]) - max(
        each.megabytes for each in told[few]["replay"]
    )
    findings.add(f"memory, {many:,} beside {few:,}", [growth], "MB", must=20.0, aim=5.0, less_is_better=True)
    return findings


def _in_turns(bench: Bench, count: int, turns: int) -> dict[str, list[Spent]]:
    traffic = Traffic(seed=900, count=count, people=PEOPLE)
    spent: dict[str, list[Spent]] = {"replay": [], "COPY": []}
    ours, bare = with_deliveries(bench, traffic), _bare(bench, traffic)
    for name in rounds(turns, list(spent)):
        server = ours if name == "replay" else bare
        server.create_database()
        how = ("manage.py", "replay_webhooks", "--all") if name == "replay" else ("-m", "benchmarks.copying")
        spent[name].append(server.timed(*how))
        check_rows(server, deliveries(traffic))
        bench.say(f"{name}, {count:,}: {spent[name][-1].seconds:.1f} s, {spent[name][-1].megabytes:.0f} MB")
        server.cluster.drop(server.database)
    return spent


def with_deliveries(bench: Bench, traffic: Traffic) -> Leadcrm:
    """leadcrm as if these had come while nobody could apply them."""
    server = bench.leadcrm()
    template = f"stored_{traffic.count}_{hashlib.sha256(server.migrated.encode()).hexdigest()[:8]}"
    if not server.cluster.has(template):
        server.cluster.drop_all(f"stored_{traffic.count}_")
        draft = bench.leadcrm(database="being_stored")
        draft.create_database()
        with draft.connect() as connection:
            _copy(connection, INTO_LEADCRM, map(_as_leadcrm_has_it, deliveries(traffic)))
            connection.execute("VACUUM ANALYZE")
        server.cluster.rename("being_stored", template)
    server.template = template
    return server


def _as_leadcrm_has_it(delivery: Delivery) -> tuple[Any, ...]:
    headers = {
        "content-type": "application/json",
        "x-webhook-event": delivery.event,
        "x-idempotency-key": delivery.key,
        "x-webhook-signature": signature(delivery.body),
        "x-webhook-payload-version": "v2",
    }
    number = delivery.body.rpartition(b'"phone_number_id":"')[2].partition(b'"')[0].decode()
    digest = hashlib.sha256(delivery.body).hexdigest()
    told = Jsonb(headers)
    return (
        "2026-06-10T12:00:00Z",
        delivery.key,
        delivery.event,
        number,
        told,
        delivery.body,
        digest,
        "received",
    )


def _bare(bench: Bench, traffic: Traffic) -> Server:
    server = bench.limit()
    template = f"stored_{traffic.count}"
    server.cluster.create(template)
    with server.cluster.connect(template) as connection:
        connection.execute(STORED)
        _copy(connection, INTO_STORED, ((each.key, each.event, each.body) for each in deliveries(traffic)))
    with server.cluster.connect(template) as connection:
        connection.execute("VACUUM ANALYZE")
    server.template = template
    return server


def _copy(connection: psycopg.Connection[Any], statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        for row in rows:
            copy.write_row(row)
