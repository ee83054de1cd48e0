"""What a worker of the web server needs: when it starts, after many webhooks, and after many pages."""

from __future__ import annotations

from pathlib import Path

from benchmarks.bench import Bench, throughput
from benchmarks.dataset import holding
from benchmarks.measuring import Findings
from benchmarks.parts.latency import PAGES
from benchmarks.subjects import Leadcrm
from benchmarks.visiting import visited


def measure(bench: Bench) -> Findings:
    findings = Findings()
    people = bench.size.contacts[:2][-1]
    with holding(bench, people) as server:
        findings.add("a worker, started", [_most_memory(server)], "MB")
        for _ in range(bench.size.rounds):
            throughput(
                bench, server, bench.traffic(int(3000 * bench.size.seconds), people=people), connections=8
            )
        findings.add("after webhooks", [_most_memory(server)], "MB")
        headers = visited(server, PAGES, 1)["headers"]
        addresses = [*PAGES.values()] * 5 * bench.size.rounds
        server.load(addresses=addresses, headers=headers, connections=4, seconds=60.0)
        findings.add(f"and {len(addresses)} pages", [_most_memory(server)], "MB")
    return findings


def _most_memory(server: Leadcrm) -> float:
    """The most that any of its processes has had so far."""
    assert server.process
    pid = server.process.pid
    family = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    told = [Path(f"/proc/{member}/status").read_text() for member in family]
    return max(int(text.partition("VmHWM:")[2].split()[0]) for text in told) / 1024
