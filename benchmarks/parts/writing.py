"""What the indexes of lists and searches cost each webhook: the same traffic with them and without."""

from __future__ import annotations

import contextlib

from psycopg import sql

from benchmarks.bench import Bench, throughput
from benchmarks.dataset import holding
from benchmarks.measuring import Findings, rounds
from benchmarks.servers import Server

CONNECTIONS = 8
# Those that a lead's own table declares by name, and every index of words or trigrams. None of them keeps a rule.
LIST_AND_SEARCH = """
SELECT i.indexrelid::regclass::text FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam
WHERE i.indrelid::regclass::text LIKE 'contacts\\_%' AND NOT i.indisunique
AND (am.amname IN ('gin', 'gist') OR (i.indrelid = 'contacts_contact'::regclass AND c.relname LIKE 'contact\\_%'))
"""


def measure(bench: Bench) -> Findings:
    findings = Findings()
    people = bench.size.contacts[:2][-1]
    rates: dict[str, list[float]] = {"with": [], "without": []}
    with contextlib.ExitStack() as stack:
        servers: dict[str, Server] = {}
        for how in rates:
            servers[how] = stack.enter_context(holding(bench, people, name=f"_{how}"))
        dropped = _drop_indexes(servers["without"])
        for server in servers.values():
            throughput(bench, server, bench.traffic(500, people=people), connections=CONNECTIONS)
        for how in rounds(bench.size.rounds, list(rates)):
            traffic = bench.traffic(int(3000 * bench.size.seconds), people=people)
            rates[how].append(throughput(bench, servers[how], traffic, connections=CONNECTIONS)["rps"])
            bench.say(f"{how}: {rates[how][-1]:.0f}/s")
    for how, values in rates.items():
        findings.add(f"{how} indexes of lists and searches, {people:,} leads", values, "/s")
    findings.add_ratio("with / without", rates["with"], rates["without"], must=0.7, aim=0.9)
    findings.notes.append(f"Without: {', '.join(dropped)}.")
    return findings


def _drop_indexes(server: Server) -> list[str]:
    with server.connect() as connection:
        names = [name for (name,) in connection.execute(LIST_AND_SEARCH.encode())]
        for name in names:
            connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    return names
