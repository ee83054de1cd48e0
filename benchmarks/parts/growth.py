"""Throughput as the tables grow: the same traffic onto the smallest and the largest set of leads."""

from __future__ import annotations

import contextlib

from benchmarks.bench import Bench, throughput
from benchmarks.dataset import holding
from benchmarks.measuring import Findings, rounds

CONNECTIONS = 8


def measure(bench: Bench) -> Findings:
    findings = Findings()
    least, most = bench.size.contacts[0], bench.size.contacts[-1]
    rates: dict[int, list[float]] = {least: [], most: []}
    with contextlib.ExitStack() as stack:
        servers = {size: stack.enter_context(holding(bench, size)) for size in rates}
        for size, server in servers.items():
            throughput(bench, server, bench.traffic(500, people=size), connections=CONNECTIONS)
        for size in rounds(bench.size.rounds, list(rates)):
            traffic = bench.traffic(int(3000 * bench.size.seconds), people=size)
            told = throughput(bench, servers[size], traffic, connections=CONNECTIONS)
            rates[size].append(told["rps"])
            bench.say(f"{size:,} leads: {told['rps']:.0f}/s")
    for size, values in rates.items():
        findings.add(f"{size:,} leads, {CONNECTIONS} connections", values, "/s")
    goals = {"must": 0.8, "aim": 0.95} if (least, most) == (10_000, 1_000_000) else {}
    findings.add_ratio(f"{most:,} / {least:,} leads", rates[most], rates[least], **goals)
    return findings
