"""The parts of a benchmark, by name, in the order of `make bench`."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.measuring import Findings
from benchmarks.parts import api, lists, webhooks

PARTS: dict[str, Callable[[Bench], Findings]] = {
    "webhooks": webhooks.measure,
    "lists": lists.measure,
    "api": api.measure,
}
