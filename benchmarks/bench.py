"""What a part gets to work with: the servers, the folder of their data, and how much is to be measured."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.measuring import Refused, Size
from benchmarks.servers import Cluster, Leadcrm, Plain, Server
from benchmarks.traffic import Delivery, Rows, Traffic, deliveries

KEPT_BY_LEADCRM = (
    "django_migrations",
    "django_content_type",
    "auth_user",
    "auth_permission",
    "contacts_workspace",
    "contacts_phonenumber",
    "contacts_membership",
)


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

    def limit(self) -> Server:
        tables = {"deliveries": "delivery", "messages": "message", "contacts": "contact"}
        return Server(name="bare limit", cluster=Cluster(self.folder / "limit"), tables=tables)

    def plain(self, *, persistent: bool) -> Plain:
        tables = {what: f"plain_{table}" for what, table in _TABLES.items()}
        kept = ("django_migrations", "django_content_type", "auth_permission")
        cluster = Cluster(self.folder / "plain")
        if persistent:
            more = {"PERSISTENT": "1"}
            return Plain(
                name="plain, persistent",
                cluster=cluster,
                tables=tables,
                kept=kept,
                more=more,
                database="persistent",
            )
        return Plain(name="plain", cluster=cluster, tables=tables, kept=kept)

    def leadcrm(self, **more: Any) -> Leadcrm:
        tables = {
            "deliveries": "(SELECT FROM kapso_sync_webhookdelivery WHERE status = 'processed') AS processed",
            "messages": "contacts_message",
            "contacts": "contacts_contact",
        }
        return Leadcrm(name="leadcrm", cluster=self.cluster, tables=tables, kept=KEPT_BY_LEADCRM, **more)

    def traffic(self, count: int, **more: Any) -> Traffic:
        """Deliveries that nobody has seen."""
        self.seed += 1
        return Traffic(seed=self.seed, count=count, **more)


_TABLES = {"deliveries": "webhookdelivery", "messages": "message", "contacts": "contact"}


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
