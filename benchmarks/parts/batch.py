"""A webhook that carries a hundred messages: as many statements as one that carries one, and how much faster."""

from __future__ import annotations

import contextlib
import re
import time
from typing import Any

from benchmarks.bench import Bench, throughput
from benchmarks.dataset import holding
from benchmarks.load import Connection
from benchmarks.measuring import Findings, Refused
from benchmarks.subjects import Leadcrm
from benchmarks.traffic import Traffic, deliveries

BATCH = 100
STATEMENT = re.compile(r"LOG:  (?:statement|execute [^:]*): ")


def measure(bench: Bench) -> Findings:
    findings = Findings()
    people = bench.size.contacts[0]
    with holding(bench, people) as server:
        single: list[float] = []
        many: list[float] = []
        throughput(bench, server, bench.traffic(500, people=people), connections=8)
        for _ in range(bench.size.rounds):
            one_by_one = bench.traffic(int(3000 * bench.size.seconds), people=people)
            single.append(throughput(bench, server, one_by_one, connections=1)["rps"])
            batches = bench.traffic(int(100 * bench.size.seconds), people=people, batch=BATCH)
            many.append(BATCH * throughput(bench, server, batches, connections=1)["rps"])
        findings.add("messages one by one, 1 connection", single, "/s")
        findings.add(f"messages by the {BATCH}, 1 connection", many, "/s")
        findings.add_ratio(f"by the {BATCH} / one by one", many, single)
    counts = [
        _statements(bench, bench.traffic(3 * bench.size.repeats, people=people, batch=batch))
        for batch in (1, BATCH)
    ]
    goals: dict[str, Any] = {"must": 8.0, "aim": 4.0, "less_is_better": True}
    findings.add("statements of a webhook with one message", counts[0], **goals)
    findings.add(f"statements of a webhook with {BATCH}", counts[1], **goals)
    findings.add_ratio("statements, many / one", counts[1], counts[0], must=1.0, aim=1.0, less_is_better=True)
    return findings


def _statements(bench: Bench, traffic: Traffic) -> list[float]:
    """As PostgreSQL logs them, transactions included. The first find connections to be opened and do not count."""
    server = holding(bench, traffic.people, name="_logged")
    server.create_database()
    with server.connect() as connection:
        connection.execute(f"ALTER DATABASE {server.database} SET log_statement = 'all'".encode())
    server.start()
    try:
        return _count(server, traffic)
    finally:
        server.__exit__()


def _count(server: Leadcrm, traffic: Traffic) -> list[float]:
    counts: list[float] = []
    with contextlib.closing(Connection(server.port)) as connection:
        for delivery in deliveries(traffic):
            size = server.cluster.log.stat().st_size
            if (status := connection.ask(delivery.request())) != 200:
                raise Refused(f"{server.name} answered {status}")
            time.sleep(0.05)  # what is done after the answer is not the webhook's, but is logged here, too
            with server.cluster.log.open(errors="replace") as log:
                log.seek(size)
                counts.append(float(len(STATEMENT.findall(log.read()))))
    return counts[len(counts) // 2 :]
