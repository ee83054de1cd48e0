"""Pages of a running leadcrm: what PostgreSQL had to do for them, and how long the whole request took over HTTP."""

from __future__ import annotations

import contextlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.bench import Bench
from benchmarks.dataset import holding
from benchmarks.measuring import Findings, Refused, rounds
from benchmarks.subjects import Leadcrm

ENOUGH = 10_000  # leads with which no page may be empty


@dataclass(slots=True)
class Times:
    """Of one page, in milliseconds: a value per round."""

    sql: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    queries: int = 0


def visited(
    server: Leadcrm, pages: Mapping[str, str], repeats: int, *, uses_api: bool = False
) -> dict[str, Any]:
    asked = {"pages": pages, "repeats": repeats, "uses_api": uses_api}
    told: dict[str, Any] = json.loads(server.run("-m", "benchmarks.visitor", given=json.dumps(asked)))
    for name, page in told["pages"].items():
        if page["status"] != 200:
            raise Refused(f"{server.name} answered {page['status']} to {name}: {pages[name]}")
    return told


def by_size(
    bench: Bench, pages: Mapping[str, str], *, uses_api: bool = False, may_be_empty: str = ""
) -> dict[int, dict[str, Times]]:
    """Each page with each number of leads; all servers are up at once and take turns."""
    told: dict[int, dict[str, Times]] = {size: defaultdict(Times) for size in bench.size.contacts}
    with contextlib.ExitStack() as stack:
        servers = {size: stack.enter_context(holding(bench, size)) for size in bench.size.contacts}
        for size in rounds(bench.size.rounds, list(servers)):
            server = servers[size]
            found = visited(server, pages, bench.size.repeats, uses_api=uses_api)
            for name, page in found["pages"].items():
                if not page["leads"] and size >= ENOUGH and not re.search(may_be_empty, name):
                    raise Refused(f"{server.name} shows nobody on {name}: {pages[name]}")
                times = told[size][name]
                times.sql.append(page["sql"])
                times.whole.append(page["whole"])
                times.queries = page["queries"]
            bench.say(f"{server.name}: {len(pages)} pages")
    return told


def report(
    findings: Findings, told: dict[int, dict[str, Times]], goals: Mapping[str, tuple[float, float]]
) -> None:
    """Both times of each page and size, and how SQL time grows from the smallest to the largest."""
    least, most = min(told), max(told)
    is_large = (least, most) == (10_000, 1_000_000)
    growth = {"must": 3.0, "aim": 1.5} if is_large else {}
    for name in told[least]:
        for size, pages in told.items():
            wanted = goals.get(name) if size == 1_000_000 else None
            goal = {"must": wanted[0], "aim": wanted[1], "less_is_better": True} if wanted else {}
            findings.add(f"{name}, {size:,}: SQL", pages[name].sql, "ms", is_detail=True)
            findings.add(
                f"{name}, {size:,}: whole request", pages[name].whole, "ms", is_detail=size != most, **goal
            )
        findings.add_ratio(
            f"{name}: SQL, {most:,} / {least:,}",
            told[most][name].sql,
            told[least][name].sql,
            less_is_better=True,
            remark=_in_short([pages[name] for _, pages in sorted(told.items())]),
            **growth,
        )


def _in_short(by_size: Sequence[Times]) -> str:
    """SQL time of each number of leads."""
    return f"{' → '.join(f'{median(times.sql):.1f}' for times in by_size)} ms, {by_size[-1].queries} queries"
