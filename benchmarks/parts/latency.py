"""How long a lead takes to be readable while people work: 200 webhooks a second, two admin pages a second beside them.

Open loop: the time of a webhook counts from when it was due until it is answered, which is after its commit.
"""

from __future__ import annotations

import itertools

from benchmarks.bench import Bench, check_rows, sent_of
from benchmarks.dataset import holding
from benchmarks.load import QUANTILES
from benchmarks.measuring import Findings
from benchmarks.parts.lists import LIST
from benchmarks.servers import answered
from benchmarks.visiting import visited

RATE, PAGES_A_SECOND = 200, 2
PAGES = {
    "list": LIST,
    "list, awaiting": f"{LIST}?view=awaiting",
    "lead": f"{LIST}9/change/",
    "first page": "/admin/",
}


def measure(bench: Bench) -> Findings:
    findings = Findings()
    contacts, seconds = bench.size.contacts[-1], bench.size.open_seconds
    quantiles: list[list[float]] = []
    pages: list[float] = []
    with holding(bench, contacts) as server:
        headers = visited(server, PAGES, 1)["headers"]
        server.take(bench.traffic(500, people=contacts), connections=8, seconds=seconds)
        for _ in range(bench.size.rounds):
            before = server.rows()
            count = max(1, int(PAGES_A_SECOND * seconds))
            asked = list(itertools.islice(itertools.cycle(PAGES.values()), count))
            beside = server.start_load(
                addresses=asked, headers=headers, connections=4, seconds=seconds * 2, rate=PAGES_A_SECOND
            )
            traffic = bench.traffic(int(RATE * seconds), people=contacts)
            told = server.take(traffic, connections=64, seconds=seconds * 2, rate=RATE)
            pages.append(answered(server.name, beside)["ms"][QUANTILES.index(0.5)])
            check_rows(server, sent_of(traffic, told), before=before)
            quantiles.append(told["ms"])
            bench.say(f"{RATE}/s: p99 {told['p99']:.1f} ms")
    goals = {0.99: {"must": 50.0, "aim": 20.0, "less_is_better": True}}
    for quantile in (0.5, 0.95, 0.99, 1.0):
        values = [run[QUANTILES.index(quantile)] for run in quantiles]
        what = "longest" if quantile == 1 else f"p{quantile * 100:.0f}"
        findings.add(f"{RATE}/s over {contacts:,} leads, {what}", values, "ms", **goals.get(quantile, {}))
    findings.add("admin pages meanwhile, p50", pages, "ms")
    middle = sorted(quantiles, key=lambda run: run[QUANTILES.index(0.99)])[len(quantiles) // 2]
    findings.curves[f"{RATE}/s, {PAGES_A_SECOND} pages a second beside"] = {"leadcrm": middle}
    return findings
