"""The parts of a benchmark, by name, in the order of `make bench`."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.measuring import Findings
from benchmarks.parts import (
    api,
    batch,
    growth,
    latency,
    lists,
    memory,
    rebuild,
    replay,
    retention,
    webhooks,
    writing,
)

PARTS: dict[str, Callable[[Bench], Findings]] = {
    "webhooks": webhooks.measure,
    "batch": batch.measure,
    "latency": latency.measure,
    "growth": growth.measure,
    "writing": writing.measure,
    "lists": lists.measure,
    "api": api.measure,
    "replay": replay.measure,
    "rebuild": rebuild.measure,
    "retention": retention.measure,
    "memory": memory.measure,
}
