"""The CRM built again from all its deliveries, beside the live one, compared with it and found to be the same."""

from __future__ import annotations

from benchmarks.bench import Bench, check_rows
from benchmarks.measuring import Findings
from benchmarks.parts.replay import PEOPLE, with_deliveries
from benchmarks.traffic import Traffic, deliveries


def measure(bench: Bench) -> Findings:
    findings = Findings()
    traffic = Traffic(seed=900, count=bench.size.deliveries[0], people=PEOPLE)
    server = with_deliveries(bench, traffic)
    server.create_database()
    replayed = server.timed("manage.py", "replay_webhooks", "--all")
    rebuilt = [server.timed("manage.py", "rebuild_crm", "--restart") for _ in range(bench.size.rounds)]
    check_rows(server, deliveries(traffic))
    server.cluster.drop(server.database)
    findings.add(
        f"rebuild of {traffic.count:,} deliveries", [traffic.count / each.seconds for each in rebuilt], "/s"
    )
    findings.add("as often as a replay", [replayed.seconds / each.seconds for each in rebuilt], "x")
    findings.add("most memory", [each.megabytes for each in rebuilt], "MB")
    return findings
