"""What a part gets to work with: the servers, the folder of their data, and how much is to be measured."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.clusters import Cluster
from benchmarks.measuring import Refused, Size
from benchmarks.servers import Server
from benchmarks.subjects import Leadcrm, Limit, Plain
from benchmarks.traffic import Delivery, Rows, Traffic, deliveries


@dataclass
class Bench:
    folder: Path
    size: Size
    seed: int = 0

    def say(self, text: str) -> None:
        sys.stderr.write(f"  {text}\n")
        sys.stderr.flush()

    @cached_property
    def cluster(self) -> Cluster:
        """Of leadcrm; the templates of its data sets are kept here."""
        return Cluster(self.folder / "leadcrm")

    def limit(self) -> Limit:
        return Limit(name="bare limit", cluster=Cluster(self.folder / "limit"))

    def plain(self, *, persistent: bool) -> Plain:
        """Two databases of one PostgreSQL: they take turns."""
        cluster = Cluster(self.folder / "plain")
        if persistent:
            more = {"PERSISTENT": "1"}
            return Plain(name="plain, persistent", cluster=cluster, more=more, database="persistent")
        return Plain(name="plain", cluster=cluster)

    def leadcrm(self, **more: Any) -> Leadcrm:
        return Leadcrm(name="leadcrm", cluster=self.cluster, **more)

    def traffic(self, count: int, **more: Any) -> Traffic:
        """Deliveries that nobody has seen, of just now: whoever they are of comes to the top of the list."""
        self.seed += 1
        return Traffic(seed=self.seed, count=count, at=int(time.time()), **more)


def check_rows(server: Server, *sent: list[Delivery], before: Rows | None = None) -> None:
    """Each delivery, message and person once, or there is nothing to report. `before`: what was there already."""
    expected = Rows.of(*sent, to_known=before is not None)
    found = server.rows() - before if before else server.rows()
    if found != expected:
        raise Refused(f"{server.name} should have {expected} and has {found}")


def sent_of(traffic: Traffic, told: dict[str, Any]) -> list[Delivery]:
    return deliveries(traffic)[: told["sent"]]


def throughput(bench: Bench, server: Server, traffic: Traffic, *, connections: int) -> dict[str, Any]:
    """A stretch of closed-loop load onto what is there already."""
    before = server.rows()
    told = server.take(traffic, connections=connections, seconds=bench.size.seconds)
    check_rows(server, sent_of(traffic, told), before=before)
    return told
