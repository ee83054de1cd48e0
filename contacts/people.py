"""Who is one person: derived again, from all the evidence, when new evidence says that it may have changed.

DESIGN.md section 6: a phone's holder at a time is the user id of its newest `seen` link up to then, else of the
earliest after; a phone without any is its own holder. `changed` and `manual` links join the holders of their two
sides; a person is a connected group. An `apart` link takes such evidence away where somebody said that the two are
not one. `holders` and `groups` below are that rule, and the SQL functions `contacts_holder` and `contacts_node`
(migrations 0002 and 0004) are its other half: whose a single message is.

This runs under the workspace's people lock, alone, and costs a fixed number of statements.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from django.contrib.auth.models import User

from contacts.facts import as_json
from contacts.remembering import Moved, remember
from contacts.statements import run
from contacts.statements.record_facts import PEOPLE_LOCK
from contacts.statements.regroup_people import (
    DROP_EMPTIED_THREADS,
    LOAD_IDENTITIES,
    LOAD_LINKS,
    MAKE_THREADS,
    MOVE_MESSAGES,
    MOVE_SESSIONS,
    SAVE,
    WRITERS,
)
from contacts.writing import Written

_NEVER = datetime.max.replace(tzinfo=UTC)


class PeopleChanged(Exception):  # noqa: N818 - not an error: the batch has to be applied again, alone
    """The batch changes who is who: apply it again while nobody else writes to its workspaces."""


@dataclass(frozen=True, slots=True)
class Node:
    """An identity as the evidence sees it."""

    id: int
    kind: str
    value: str
    home: int | None
    home_is_by_hand: bool
    first_seen_at: datetime | None
    lead: int | None  # the one that it led to until now

    @property
    def age(self) -> tuple[datetime, str, str]:
        return (self.first_seen_at or _NEVER, self.kind, self.value)


@dataclass(slots=True)
class Evidence:
    """All identities around the new links, and how they are linked."""

    nodes: dict[int, Node]
    tenures: dict[int, list[tuple[datetime, int]]]  # phone -> (from when, user id), in time order
    joins: list[tuple[str, int, int, datetime]]  # changed and manual links
    apart: set[frozenset[int]] = field(default_factory=set)  # who somebody told apart

    def holder(self, identity: int, at: datetime) -> int:
        tenures = self.tenures.get(identity)
        if not tenures:
            return identity
        begun = [user for since, user in tenures if since <= at]
        return begun[-1] if begun else [user for since, user in tenures if since == tenures[0][0]][-1]

    def groups(self) -> list[set[int]]:
        """The persons: connected groups of user ids and of phones that no user id ever held."""
        root = {identity: identity for identity in self.nodes if identity not in self.tenures}

        def find(identity: int) -> int:
            while root[identity] != identity:
                identity = root[identity]
            return identity

        for tie in self.ties():
            root[find(tie.one)] = find(tie.other)
        groups = defaultdict(set)
        for identity in root:
            groups[find(identity)].add(identity)
        return list(groups.values())

    def ties(self) -> Iterator[Tie]:
        """What joins two nodes of `groups`. A person's `manual` link stands, whoever was told apart before."""
        for kind, a, b, at in self.joins:
            one, other = self.holder(a, at), self.holder(b, at)
            if kind == "manual" or not self.apart & {frozenset((a, b)), frozenset((one, other))}:
                yield Tie(at, kind, a, b, one, other)


@dataclass(frozen=True, slots=True, order=True)
class Tie:
    """A link between `a` and `b`, and the two who held them at its time."""

    at: datetime
    kind: str
    a: int
    b: int
    one: int
    other: int


@dataclass(slots=True)
class Writers:
    """Who holds messages that make a person, and in which rows those are (or were, until this batch)."""

    spare_leads: dict[int, int]  # node -> id of a lead to be made if needed
    rows: dict[int, set[int]]  # node -> rows

    def rows_of(self, group: set[int]) -> set[int]:
        return {row for node in group for row in self.rows.get(node, ())}

    def __contains__(self, group: set[int]) -> bool:
        return not self.spare_leads.keys().isdisjoint(group)


@dataclass(slots=True)
class Assignment:
    """Which lead each person gets: the oldest row that was made for one of their identities.

    A person without messages keeps only a row that somebody made by hand. A row that the sync made for messages
    which turned out to be another person's goes with the messages, and is that person's own from then on.
    """

    lead_of: dict[int, int] = field(default_factory=dict)  # node -> lead
    homes: dict[int, int | None] = field(
        default_factory=dict
    )  # node -> the row that is to be its home, if another
    merged: dict[int, int] = field(default_factory=dict)  # row -> the lead it is merged into
    living: set[int] = field(default_factory=set)
    leaderless: list[set[int]] = field(default_factory=list)  # persons with messages, and no row yet

    @classmethod
    def of(cls, evidence: Evidence, writers: Writers) -> Assignment:
        assignment = cls()
        oldest_first = sorted(evidence.groups(), key=lambda group: min(evidence.nodes[n].age for n in group))
        claimed, stray = _claims(evidence, oldest_first, writers)
        for index, group in enumerate(oldest_first):
            rows = sorted(row for row, claimant in claimed.items() if claimant == index)
            if rows:
                assignment.give(group, rows[0])
                assignment.merged |= dict.fromkeys(rows[1:], rows[0])
            elif group in writers:
                assignment._house(group, sorted(stray & writers.rows_of(group)), evidence)
        assignment._merge_strays(stray - assignment.living, oldest_first, writers)
        return assignment

    def give(self, group: set[int], lead: int) -> None:
        self.lead_of |= dict.fromkeys(group, lead)
        self.living.add(lead)

    def _house(self, group: set[int], strays: list[int], evidence: Evidence) -> None:
        """In the row where their messages are, if it is nobody's any more; else they need a new one."""
        row = next((row for row in strays if row not in self.living), None)
        if row is None:
            self.leaderless.append(group)
            return
        self.give(group, row)
        self.homes |= {node.id: None for node in evidence.nodes.values() if node.home == row}
        self.homes[min(group, key=lambda node: evidence.nodes[node].age)] = row

    def _merge_strays(self, strays: set[int], oldest_first: list[set[int]], writers: Writers) -> None:
        """Rows that nobody needs go where their messages went."""
        for group in reversed(oldest_first):
            lead = self.lead_of.get(next(iter(group)))
            if lead is not None:
                self.merged |= dict.fromkeys(strays & writers.rows_of(group), lead)
        if self.living:
            self.merged |= dict.fromkeys(strays - self.merged.keys(), min(self.living))


def _claims(evidence: Evidence, groups: list[set[int]], writers: Writers) -> tuple[dict[int, int], set[int]]:
    """Which group each row goes with; and the rows that none has a claim to.

    A row goes with the user id that it was made for, else with the phone; the older identity first.
    """
    group_of = {identity: index for index, group in enumerate(groups) for identity in group}
    claimed: dict[int, int] = {}
    rows = set()
    for node in sorted(evidence.nodes.values(), key=lambda node: (node.kind != "user", *node.age)):
        if node.home is None:
            continue
        rows.add(node.home)
        first_holder = evidence.holder(node.id, datetime.min.replace(tzinfo=UTC))
        group = group_of[first_holder]
        if node.home_is_by_hand or groups[group] in writers:
            claimed.setdefault(node.home, group)
    return claimed, rows - claimed.keys()


def lock_alone(workspaces: Iterable[int]) -> None:
    """Keep every other sync out of these workspaces until the transaction ends. In sorted order: no deadlocks."""
    run(
        "SELECT pg_advisory_xact_lock(%s::int, w) FROM (SELECT unnest(%s::int[]) AS w ORDER BY 1) AS ordered",
        [PEOPLE_LOCK, sorted(workspaces)],
    )


def regroup(
    seeds: set[int],
    leads: set[int],
    *,
    went: Mapping[int, set[int]] = MappingProxyType({}),
    by: User | None = None,
) -> Written:
    """Derive the persons around these identities and leads, and put everything of theirs where it belongs.

    `went` says of identities which leads messages of theirs came from in this batch. `by` is whose decision it is,
    where it is somebody's.
    """
    evidence = load(seeds, leads)
    homes = {node.home for node in evidence.nodes.values() if node.home}
    writers = _writers(homes, set(evidence.nodes), went)
    assignment = Assignment.of(evidence, writers)
    rows = assignment.living | set(assignment.merged)
    new = {}
    for group in assignment.leaderless:
        writer = min(group & writers.spare_leads.keys())
        new[writers.spare_leads[writer]] = writer
        assignment.give(group, writers.spare_leads[writer])
    moved = _save(evidence, assignment, new)
    if moved:
        identities = [(node.lead, node.kind, node.value) for node in evidence.nodes.values()]
        remember(moved, identities, by=by)
    conversations = _move(rows | set(new), set(evidence.nodes))
    return Written(contacts=rows | set(new), conversations=conversations)


def load(seeds: set[int], leads: set[int]) -> Evidence:
    """All that is known of who is who around these identities and leads."""
    nodes = {row[0]: Node(*row) for row in run(LOAD_IDENTITIES, [sorted(seeds), sorted(leads)])}
    links = run(LOAD_LINKS, {"identities": sorted(nodes)})
    tenures: dict[int, list[tuple[datetime, int]]] = defaultdict(list)
    joins = []
    apart = set()
    for kind, a, b, at, _ in links:
        if kind == "seen":
            tenures[a].append((at, b))
        elif kind == "apart":
            apart.add(frozenset((a, b)))
        else:
            joins.append((kind, a, b, at))
    return Evidence(nodes, dict(tenures), joins, apart)


def _writers(rows: set[int], identities: set[int], went: Mapping[int, set[int]]) -> Writers:
    found = run(WRITERS, {"rows": sorted(rows), "identities": sorted(identities)})
    return Writers(
        spare_leads={node: spare for node, spare, _ in found},
        rows={node: {*(held or ()), *went.get(node, ())} for node, _, held in found},
    )


def _save(evidence: Evidence, assignment: Assignment, new: dict[int, int]) -> list[Moved]:
    """Write the assignment; returns the rows that are merged into another lead than before, or into none."""
    current = {phone: assignment.lead_of.get(tenures[-1][1]) for phone, tenures in evidence.tenures.items()}
    holders = {phone: {user for _, user in tenures} for phone, tenures in evidence.tenures.items()}
    shared = {identity for phone, users in holders.items() if len(users) > 1 for identity in (phone, *users)}
    batch: dict[str, Any] = {
        "new": [[lead, identity] for lead, identity in new.items()],
        "identities": [
            [node, current.get(node) if node in current else assignment.lead_of.get(node), node in shared]
            for node in evidence.nodes
        ],
        "homes": [[node, home] for node, home in assignment.homes.items()],
        "rows": [[row, assignment.merged.get(row)] for row in assignment.living | set(assignment.merged)],
    }
    return [Moved(*row) for row in run(SAVE, [as_json(batch)])]


def _move(rows: set[int], identities: set[int]) -> set[int]:
    """Put messages and sessions under the lead that they belong to; returns the threads to refresh."""
    parameters = {"rows": sorted(rows), "identities": sorted(identities)}
    threads = {row[0] for row in run(MAKE_THREADS, parameters)}
    run(MOVE_MESSAGES, parameters)
    run(MOVE_SESSIONS, {"identities": sorted(identities), "threads": sorted(threads)})
    return threads - drop_if_emptied(threads)


def drop_if_emptied(threads: set[int]) -> set[int]:
    """Drop those of these threads that all messages went away from; returns them."""
    return {row[0] for row in run(DROP_EMPTIED_THREADS, [sorted(threads)])}
