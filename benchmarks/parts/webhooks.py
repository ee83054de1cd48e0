"""Throughput: how many webhooks a second, with 1, 8 and 32 connections that each wait for their answer."""

from __future__ import annotations

import contextlib
from typing import Any

from benchmarks.bench import Bench, check_rows, sent_of
from benchmarks.measuring import Findings, rounds
from benchmarks.servers import Server
from benchmarks.traffic import Delivery

CONNECTIONS = (1, 8, 32)
GOALS_OF_LIMIT = {"must": 0.30, "aim": 0.45}
GOALS_OF_PLAIN: dict[str, dict[str, float]] = {
    "plain": {"must": 8, "aim": 14},
    "plain, persistent": {"must": 4, "aim": 7},
}
# Soon all are known, so that what is measured is mostly of known people; and no two requests that are under way at a time
# are of one person (see traffic.LAG).
PEOPLE = 120
FASTEST = 6000  # a second: more than any of them takes


def measure(bench: Bench) -> Findings:
    findings = Findings()
    with contextlib.ExitStack() as stack:
        subjects = [
            bench.limit(),
            bench.plain(persistent=False),
            bench.plain(persistent=True),
            bench.leadcrm(),
        ]
        servers = {subject.name: stack.enter_context(subject) for subject in subjects}
        for connections in CONNECTIONS:
            told: dict[str, list[dict[str, Any]]] = {name: [] for name in servers}
            for name in rounds(bench.size.rounds, list(servers)):
                told[name].append(_run(bench, servers[name], connections))
                bench.say(f"{connections} connections, {name}: {told[name][-1]['rps']:.0f}/s")
            _report(findings, connections, told)
    return findings


def _run(bench: Bench, server: Server, connections: int) -> dict[str, Any]:
    """From empty tables. First a little traffic, until tables have statistics and statements are planned by them."""
    server.empty()
    sent: list[list[Delivery]] = []
    for _ in range(2):
        first = bench.traffic(int(FASTEST * bench.size.seconds / 3), people=PEOPLE)
        told = server.take(first, connections=max(connections, 8), seconds=bench.size.seconds / 3)
        sent.append(sent_of(first, told))
        if len(sent) == 1:
            server.analyze()
    traffic = bench.traffic(int(FASTEST * bench.size.seconds), people=PEOPLE)
    told = server.take(traffic, connections=connections, seconds=bench.size.seconds)
    check_rows(server, *sent, sent_of(traffic, told))
    return told


def _report(findings: Findings, connections: int, told: dict[str, list[dict[str, Any]]]) -> None:
    where = f"{connections} connection{'s' if connections > 1 else ''}"
    rates = {name: [run["rps"] for run in runs] for name, runs in told.items()}
    for name, runs in told.items():
        findings.add(f"{name}, {where}", rates[name], "/s")
        findings.add(f"{name}, {where}, p99", [run["p99"] for run in runs], "ms")
        middle = sorted(runs, key=lambda run: run["rps"])[len(runs) // 2]
        findings.curves.setdefault(where, {})[name] = middle["ms"]
    goals = GOALS_OF_LIMIT if connections > 1 else {}
    findings.add_ratio(f"leadcrm / bare limit, {where}", rates["leadcrm"], rates["bare limit"], **goals)
    for name, goals in GOALS_OF_PLAIN.items():
        goals = goals if connections > 1 else {}
        findings.add_ratio(f"leadcrm / {name}, {where}", rates["leadcrm"], rates[name], **goals)
    busiest = max(run["cpu_share"] for runs in told.values() for run in runs)
    findings.notes.append(f"{where}: the load generator used at most {busiest:.2f} of a core.")
