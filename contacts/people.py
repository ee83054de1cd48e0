"""Who is one person: derived again, from all the evidence, when new evidence says that it may have changed.

DESIGN.md section 6: a phone's holder at a time is the user id of its newest `seen` link up to then, else of the
earliest after; a phone without any is its own holder. `changed` and `manual` links join the holders of their two
sides; a person is a connected group. `holders` and `groups` below are that rule, and the SQL functions
`contacts_holder` and `contacts_node` (migration 0002) are its other half: whose a single message is.

This runs under the workspace's people lock, alone, and costs a fixed number of statements.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from contacts.facts import PEOPLE_LOCK, as_json
from contacts.writing import Written

logger = logging.getLogger(__name__)

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

    @property
    def age(self) -> tuple[datetime, str, str]:
        return (self.first_seen_at or _NEVER, self.kind, self.value)


@dataclass(slots=True)
class Evidence:
    """All identities around the new links, and how they are linked."""

    nodes: dict[int, Node]
    tenures: dict[int, list[tuple[datetime, int]]]  # phone -> (from when, user id), in time order
    joins: list[tuple[int, int, datetime]]  # changed and manual links

    def holder(self, identity: int, at: datetime) -> int:
        tenures = self.tenures.get(identity)
        if not tenures:
            return identity
        begun = [user for since, user in tenures if since <= at]
        return begun[-1] if begun else tenures[0][1]

    def groups(self) -> list[set[int]]:
        """The persons: connected groups of user ids and of phones that no user id ever held."""
        root = {identity: identity for identity in self.nodes if identity not in self.tenures}

        def find(identity: int) -> int:
            while root[identity] != identity:
                identity = root[identity]
            return identity

        for a, b, at in self.joins:
            root[find(self.holder(a, at))] = find(self.holder(b, at))
        groups = defaultdict(set)
        for identity in root:
            groups[find(identity)].add(identity)
        return list(groups.values())


@dataclass(slots=True)
class Assignment:
    """Which lead each person gets: the oldest row that was made for one of their identities.

    A person without messages keeps only a row that somebody made by hand. A row that the sync made for messages
    which turned out to be another person's goes with the messages.
    """

    lead_of: dict[int, int] = field(default_factory=dict)  # node -> lead
    merged: dict[int, int] = field(default_factory=dict)  # row -> the lead it is merged into
    living: set[int] = field(default_factory=set)
    leaderless: list[set[int]] = field(default_factory=list)  # persons with messages, and no row yet

    @classmethod
    def of(cls, evidence: Evidence, writers: set[int]) -> Assignment:
        assignment = cls()
        oldest_first = sorted(evidence.groups(), key=lambda group: min(evidence.nodes[n].age for n in group))
        claimed, stray = _claims(evidence, oldest_first, writers)
        for index, group in enumerate(oldest_first):
            rows = sorted(row for row, claimant in claimed.items() if claimant == index)
            if rows:
                assignment._settle(group, rows)
            elif group & writers:
                if stray:
                    assignment._settle(group, [stray.pop(0)])
                else:
                    assignment.leaderless.append(group)
        if stray and assignment.living:
            assignment.merged |= dict.fromkeys(stray, min(assignment.living))
        return assignment

    def _settle(self, group: set[int], rows: list[int]) -> None:
        self.give(group, rows[0])
        self.merged |= dict.fromkeys(rows[1:], rows[0])

    def give(self, group: set[int], lead: int) -> None:
        self.lead_of |= dict.fromkeys(group, lead)
        self.living.add(lead)


def _claims(
    evidence: Evidence, groups: list[set[int]], writers: set[int]
) -> tuple[dict[int, int], list[int]]:
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
        first_holder = evidence.tenures[node.id][0][1] if node.id in evidence.tenures else node.id
        group = group_of[first_holder]
        if node.home_is_by_hand or groups[group] & writers:
            claimed.setdefault(node.home, group)
    return claimed, sorted(rows - claimed.keys())


def lock_alone(workspaces: Iterable[int]) -> None:
    """Keep every other sync out of these workspaces until the transaction ends. In sorted order: no deadlocks."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s, w) FROM (SELECT unnest(%s::int[]) AS w ORDER BY 1) AS ordered",
            [PEOPLE_LOCK, sorted(workspaces)],
        )


def regroup(seeds: set[int]) -> Written:
    """Derive the persons around these identities, and put everything of theirs where it belongs."""
    evidence = _load(seeds)
    homes = {node.home for node in evidence.nodes.values() if node.home}
    spare_leads = _writers(homes, set(evidence.nodes))
    assignment = Assignment.of(evidence, set(spare_leads))
    rows = assignment.living | set(assignment.merged)
    new = {}
    for group in assignment.leaderless:
        writer = min(group & spare_leads.keys())
        new[spare_leads[writer]] = writer
        assignment.give(group, spare_leads[writer])
    newly_merged = _save(evidence, assignment, new)
    if newly_merged:
        _keep_what_people_typed(newly_merged)
    conversations = _move(rows | set(new), set(evidence.nodes))
    return Written(contacts=rows | set(new), conversations=conversations)


def _load(seeds: set[int]) -> Evidence:
    with connection.cursor() as cursor:
        cursor.execute(LOAD_IDENTITIES, [sorted(seeds)])
        nodes = {row[0]: Node(*row) for row in cursor.fetchall()}
        cursor.execute(LOAD_LINKS, {"identities": sorted(nodes)})
        tenures: dict[int, list[tuple[datetime, int]]] = defaultdict(list)
        joins = []
        for kind, a, b, at, _ in cursor.fetchall():
            if kind == "seen":
                tenures[a].append((at, b))
            else:
                joins.append((a, b, at))
    return Evidence(nodes, dict(tenures), joins)


def _writers(rows: set[int], identities: set[int]) -> dict[int, int]:
    """The identities that hold messages which make a person, each with the id of a lead to be made if needed."""
    with connection.cursor() as cursor:
        cursor.execute(WRITERS, [sorted(rows), sorted(identities)])
        return dict(cursor.fetchall())


def _save(evidence: Evidence, assignment: Assignment, new: dict[int, int]) -> list[tuple[int, int]]:
    """Write the assignment; returns the rows that were living leads until now, with their survivors."""
    current = {
        phone: assignment.lead_of.get(tenures[-1][1]) for phone, tenures in evidence.tenures.items()
    }
    holders = {phone: {user for _, user in tenures} for phone, tenures in evidence.tenures.items()}
    shared = {identity for phone, users in holders.items() if len(users) > 1 for identity in (phone, *users)}
    batch: dict[str, Any] = {
        "new": [[lead, identity] for lead, identity in new.items()],
        "identities": [
            [node, current.get(node) if node in current else assignment.lead_of.get(node), node in shared]
            for node in evidence.nodes
        ],
        "rows": [[row, assignment.merged.get(row)] for row in assignment.living | set(assignment.merged)],
    }
    with connection.cursor() as cursor:
        cursor.execute(SAVE, [as_json(batch)])
        return cursor.fetchall()


def _keep_what_people_typed(merged: list[tuple[int, int]]) -> None:
    """The survivor takes what it lacks from the rows merged into it, and what it was before is kept for an undo."""
    with connection.cursor() as cursor:
        cursor.execute(KEEP_TYPED, [[row for row, _ in merged]])
    for row, survivor in merged:
        logger.info("lead %s is the same person as lead %s: merged into it", row, survivor)


def _move(rows: set[int], identities: set[int]) -> set[int]:
    """Put messages and sessions under the lead that they belong to; returns the threads to refresh."""
    parameters = {"rows": sorted(rows), "identities": sorted(identities)}
    with connection.cursor() as cursor:
        cursor.execute(MAKE_THREADS, parameters)
        threads = {row[0] for row in cursor.fetchall()}
        cursor.execute(MOVE_MESSAGES, parameters)
        cursor.execute(MOVE_SESSIONS, parameters | {"threads": sorted(threads)})
    return threads - drop_if_emptied(threads)


def drop_if_emptied(threads: set[int]) -> set[int]:
    """Drop those of these threads that all messages went away from; returns them."""
    with connection.cursor() as cursor:
        cursor.execute(DROP_EMPTIED_THREADS, [sorted(threads)])
        return {row[0] for row in cursor.fetchall()}


# Over-approximates: every identity that any link reaches, and whoever shares a lead with one. The rule is applied
# to these in Python.
LOAD_IDENTITIES = """
WITH RECURSIVE around (id) AS (
    SELECT unnest(%s::bigint[])
    UNION
    SELECT next.id FROM around CROSS JOIN LATERAL (
        SELECT b_id AS id FROM contacts_identitylink WHERE a_id = around.id
        UNION SELECT a_id FROM contacts_identitylink WHERE b_id = around.id
        UNION SELECT mate.id FROM contacts_identity me JOIN contacts_identity mate ON mate.contact_id = me.contact_id
              WHERE me.id = around.id
    ) AS next
)
SELECT i.id, i.kind, i.value, i.home_id, NOT COALESCE(home.made_by_sync, true), i.first_seen_at
FROM around JOIN contacts_identity i USING (id) LEFT JOIN contacts_contact home ON home.id = i.home_id
"""

# Of the thousands of messages that name a busy phone only those matter at which it changes hands.
LOAD_LINKS = """
WITH phone AS (
    SELECT id, workspace_id, value FROM contacts_identity WHERE id = ANY(%(identities)s) AND kind = 'phone'
), seen AS (
    SELECT phone.id AS a_id, u.id AS b_id, m.sent_at AS at, m.user_id AS value
    FROM phone
    JOIN contacts_message m ON m.workspace_id = phone.workspace_id AND m.phone = phone.value
        AND m.user_id IS NOT NULL AND m.message_type <> 'system'
    JOIN contacts_identity u ON u.workspace_id = phone.workspace_id AND u.kind = 'user' AND u.value = m.user_id
    UNION ALL
    SELECT l.a_id, l.b_id, l.at, u.value FROM contacts_identitylink l JOIN contacts_identity u ON u.id = l.b_id
    WHERE l.kind = 'seen' AND l.a_id = ANY(%(identities)s)
), handed_over AS (
    SELECT *, lag(b_id) OVER (PARTITION BY a_id ORDER BY at, value COLLATE "C") AS previous FROM seen
)
SELECT 'seen', a_id, b_id, at, value FROM handed_over WHERE previous IS DISTINCT FROM b_id
UNION ALL
SELECT kind, a_id, b_id, at, '' FROM contacts_identitylink
WHERE kind IN ('changed', 'manual') AND a_id = ANY(%(identities)s)
ORDER BY 4, 5
"""

# The messages around: those of the leads involved, and those that wait and name one of the identities.
_AROUND = """
    SELECT m.id, m.contact_id, m.conversation_id, m.phone_number_id, m.workspace_id, m.message_type,
           contacts_node(m.workspace_id, m.phone_number_id, m.phone, m.user_id, m.kapso_conversation_id, m.sent_at) AS node
    FROM contacts_message m
    WHERE m.contact_id = ANY({rows})
    UNION ALL
    SELECT m.id, m.contact_id, m.conversation_id, m.phone_number_id, m.workspace_id, m.message_type, node
    FROM contacts_message m, LATERAL contacts_node(
        m.workspace_id, m.phone_number_id, m.phone, m.user_id, m.kapso_conversation_id, m.sent_at) AS node
    WHERE m.contact_id IS NULL AND node = ANY({identities})
"""

WRITERS = f"""
WITH around AS ({_AROUND.format(rows="%s", identities="%s")})
SELECT node, nextval('contacts_contact_id_seq')
FROM (SELECT DISTINCT node FROM around WHERE node IS NOT NULL AND message_type <> 'system') AS writer
"""

SAVE = """
WITH batch AS MATERIALIZED (
    SELECT %s::jsonb AS j
), new_lead AS (
    INSERT INTO contacts_contact (id, workspace_id, made_by_sync)
    SELECT (row->>0)::bigint, i.workspace_id, true
    FROM batch, jsonb_array_elements(j->'new') AS row JOIN contacts_identity i ON i.id = (row->>1)::bigint
), identity AS (
    UPDATE contacts_identity i
    SET contact_id = (row->>1)::bigint, is_shared = (row->>2)::boolean,
        home_id = COALESCE(i.home_id, (SELECT (n->>0)::bigint FROM batch, jsonb_array_elements(j->'new') AS n
                                       WHERE n->>1 = row->>0))
    FROM batch, jsonb_array_elements(j->'identities') AS row
    WHERE i.id = (row->>0)::bigint
), row AS (
    SELECT (row->>0)::bigint AS id, (row->>1)::bigint AS survivor FROM batch, jsonb_array_elements(j->'rows') AS row
), already AS (
    SELECT row.id FROM row JOIN contacts_contact c USING (id) WHERE c.merged_into_id IS NOT NULL
), saved AS (
    UPDATE contacts_contact c SET merged_into_id = row.survivor,
        -- Only the living lead is found by its phone; what a merged one knew stays in its identities.
        phone = CASE WHEN row.survivor IS NULL THEN c.phone END,
        business_scoped_user_id = CASE WHEN row.survivor IS NULL THEN c.business_scoped_user_id END
    FROM row WHERE c.id = row.id AND c.merged_into_id IS DISTINCT FROM row.survivor
    RETURNING c.id, c.merged_into_id
)
SELECT id, merged_into_id FROM saved
WHERE merged_into_id IS NOT NULL AND id NOT IN (SELECT id FROM already)
"""

KEEP_TYPED = """
WITH merged AS (
    SELECT * FROM contacts_contact WHERE id = ANY(%s)
), kept AS (
    INSERT INTO contacts_contactmerge (workspace_id, survivor_id, merged_id, survivor_before)
    SELECT s.workspace_id, s.id, merged.id, jsonb_build_object(
        'name', s.name, 'email', s.email, 'owner', s.owner_id, 'lead_status', s.lead_status,
        'lead_score', s.lead_score, 'tags', s.tags, 'metadata', s.metadata)
    FROM merged JOIN contacts_contact s ON s.id = merged.merged_into_id
), typed AS (
    SELECT merged_into_id AS survivor,
           (array_agg(name ORDER BY id) FILTER (WHERE name <> chosen_name AND name <> ''))[1] AS name,
           (array_agg(email ORDER BY id) FILTER (WHERE email <> ''))[1] AS email,
           (array_agg(owner_id ORDER BY id) FILTER (WHERE owner_id IS NOT NULL))[1] AS owner_id,
           (array_agg(lead_status ORDER BY id) FILTER (WHERE lead_status <> 'new'))[1] AS lead_status,
           max(lead_score) AS lead_score
    FROM merged GROUP BY merged_into_id
)
UPDATE contacts_contact s SET
    name = CASE WHEN s.name IN ('', s.chosen_name) THEN COALESCE(typed.name, s.name) ELSE s.name END,
    email = COALESCE(NULLIF(s.email, ''), typed.email, ''),
    owner_id = COALESCE(s.owner_id, typed.owner_id),
    lead_status = CASE WHEN s.lead_status = 'new' THEN COALESCE(typed.lead_status, 'new') ELSE s.lead_status END,
    lead_score = GREATEST(s.lead_score, typed.lead_score),
    tags = (SELECT COALESCE(array_agg(DISTINCT tag ORDER BY tag), '{}') FROM (
                SELECT unnest(s.tags) AS tag
                UNION SELECT unnest(m.tags) FROM merged m WHERE m.merged_into_id = s.id) AS every),
    metadata = COALESCE((SELECT jsonb_object_agg(pair.key, pair.value) FROM merged m, jsonb_each(m.metadata) pair
                         WHERE m.merged_into_id = s.id), '{}') || s.metadata
FROM typed WHERE s.id = typed.survivor
"""

_PLACED = f"""
    SELECT around.id, around.phone_number_id, around.workspace_id, around.conversation_id,
           CASE WHEN node.id IS NOT NULL THEN node.contact_id
                ELSE COALESCE(had.merged_into_id, had.id) END AS lead
    FROM ({_AROUND.format(rows="%(rows)s", identities="%(identities)s")}) AS around
    LEFT JOIN contacts_identity node ON node.id = around.node
    LEFT JOIN contacts_contact had ON had.id = around.contact_id
"""

MAKE_THREADS = f"""
WITH placed AS ({_PLACED}), made AS (
    INSERT INTO contacts_conversation (workspace_id, contact_id, phone_number_id)
    SELECT DISTINCT workspace_id, lead, phone_number_id FROM placed WHERE lead IS NOT NULL
    ON CONFLICT (contact_id, phone_number_id) DO NOTHING
    RETURNING id
)
SELECT id FROM made
UNION SELECT conversation_id FROM placed WHERE conversation_id IS NOT NULL
UNION SELECT c.id FROM placed JOIN contacts_conversation c ON c.contact_id = lead AND c.phone_number_id = placed.phone_number_id
"""

MOVE_MESSAGES = f"""
UPDATE contacts_message m SET contact_id = placed.lead, conversation_id = thread.id
FROM ({_PLACED}) AS placed
LEFT JOIN contacts_conversation thread
    ON thread.contact_id = placed.lead AND thread.phone_number_id = placed.phone_number_id
WHERE m.id = placed.id
  AND (m.contact_id IS DISTINCT FROM placed.lead OR m.conversation_id IS DISTINCT FROM thread.id)
"""

MOVE_SESSIONS = """
WITH placed AS (
    SELECT s.id, thread.id AS thread_id
    FROM contacts_kapsosession s
    CROSS JOIN LATERAL contacts_node(
        s.workspace_id, s.phone_number_id, s.phone, s.user_id, s.kapso_conversation_id, s.last_at) AS node
    JOIN contacts_identity i ON i.id = node
    LEFT JOIN contacts_conversation thread
        ON thread.contact_id = i.contact_id AND thread.phone_number_id = s.phone_number_id
    WHERE s.conversation_id = ANY(%(threads)s)
       OR (s.conversation_id IS NULL AND node = ANY(%(identities)s))
)
UPDATE contacts_kapsosession s SET conversation_id = placed.thread_id
FROM placed WHERE s.id = placed.id AND s.conversation_id IS DISTINCT FROM placed.thread_id
"""

# As if they had never been: in another order of the same events they would not have been made.
DROP_EMPTIED_THREADS = """
WITH emptied AS (
    SELECT c.id FROM contacts_conversation c
    WHERE c.id = ANY(%s) AND NOT EXISTS (SELECT FROM contacts_message m WHERE m.conversation_id = c.id AND m.contact_id = c.contact_id)
), freed AS (
    UPDATE contacts_kapsosession SET conversation_id = NULL WHERE conversation_id IN (SELECT id FROM emptied)
)
DELETE FROM contacts_conversation WHERE id IN (SELECT id FROM emptied) RETURNING id
"""
