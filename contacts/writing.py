"""Statements 2 and 3 of a batch: whose messages these are, then the messages themselves.

`Placement` asks PostgreSQL whose each touched message is, in a statement of its own: only a new snapshot sees what
the transactions before us, which `Facts.record` may have waited for, have written. `write` then makes the missing
leads and threads and brings the message rows up to date.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection

from contacts.facts import as_json

MessageKey = tuple[int, str]  # business number, WAMID: what identifies a message


@dataclass(slots=True, kw_only=True)
class Ask:
    """A question of whose something is: a message (`wamid`), or what an event without one is about."""

    workspace_id: int
    number_id: int
    wamid: str = ""
    phone: str | None = None
    user_id: str | None = None
    session: str = ""
    at: datetime | None = None
    ranks: dict[str, str] = field(default_factory=dict)
    is_told: bool = False
    makes_person: bool = False


@dataclass(slots=True)
class Place:
    """The answer: the identity that holds it (None: nobody yet), its lead and its thread."""

    workspace_id: int
    number_id: int
    message_id: int | None
    is_message: bool
    makes_person: bool
    node: int | None
    contact_id: int | None
    conversation_id: int | None
    former_conversation_id: int | None
    phone_identity: int | None
    user_identity: int | None
    is_news: bool  # it is evidence that may change who held its phone
    is_unheld: bool  # nobody is known to have held its phone until now
    is_entangled: bool  # the node has no lead, but is linked to other identities
    spare_contact_id: int | None
    spare_conversation_id: int | None


@dataclass(slots=True)
class Placement:
    """Where everything that a batch touches belongs, and what has to be made for it."""

    asked: list[Place] = field(default_factory=list)  # in the order of the questions
    waiting: list[Place] = field(default_factory=list)  # earlier messages that may now find their lead
    seeds: set[int] = field(default_factory=set)  # identities whose people have to be derived again
    contacts: dict[int, int] = field(default_factory=dict)  # new lead -> workspace
    homes: dict[int, int] = field(default_factory=dict)  # identity -> lead it now leads to
    conversations: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, asks: list[Ask], newly_linked: set[int]) -> Placement:
        placement = cls(seeds=set(newly_linked))
        with connection.cursor() as cursor:
            cursor.execute(PLACE, [as_json(_asks_as_rows(asks))])
            rows = cursor.fetchall()
        for what, _, *columns in sorted(rows, key=lambda row: row[:2]):
            (placement.asked if what == "ask" else placement.waiting).append(Place(*columns))
        placement._find_who_is_entangled()
        placement._make_what_is_missing()
        return placement

    def _find_who_is_entangled(self) -> None:
        """The identities whose people cannot be told from this batch alone."""
        users_of: dict[int, set[int]] = defaultdict(set)
        for place in self.places:
            if place.is_news:
                self.seeds |= {place.phone_identity or 0, place.user_identity or 0}
            if place.is_unheld and place.phone_identity and place.user_identity:
                users_of[place.phone_identity].add(place.user_identity)
            if place.is_entangled and place.node:
                self.seeds.add(place.node)
        alone = {place.node for place in self.places}
        for phone, users in users_of.items():
            if len(users) > 1 or phone in alone:
                self.seeds |= {phone, *users}

    @property
    def places(self) -> list[Place]:
        return self.asked + self.waiting

    def _make_what_is_missing(self) -> None:
        """Leads for persons who appear with these messages, threads for leads who had none with that number.

        Whoever is entangled gets theirs from `contacts.people`, which looks at all the evidence.
        """
        for place in self.places:
            if place.makes_person and place.node and not place.contact_id and place.node not in self.seeds:
                if place.node not in self.homes:
                    assert place.spare_contact_id  # noqa: S101 - PLACE draws one for every node without a lead
                    self.homes[place.node] = place.spare_contact_id
                    self.contacts[place.spare_contact_id] = place.workspace_id
        for place in self.places:
            if not place.contact_id and place.node:
                place.contact_id = self.homes.get(place.node)
            self._place_in_thread(place)
        for place in self.places:
            self._follow(place)

    def _place_in_thread(self, place: Place) -> None:
        if place.conversation_id or not place.contact_id or not place.is_message:
            return
        made = (place.spare_conversation_id or 0, place.workspace_id)
        place.conversation_id = self.conversations.setdefault((place.contact_id, place.number_id), made)[0]

    def _follow(self, place: Place) -> None:
        """Phone and user id of one event lead to the same lead, unless the evidence has to be weighed."""
        named = {place.phone_identity, place.user_identity} - {None}
        if place.contact_id and place.node and place.makes_person and not self.seeds & named:
            for identity in named:
                self.homes.setdefault(identity or 0, place.contact_id)

    @property
    def pairs(self) -> set[tuple[int, int]]:
        """Phones and user ids that one message names."""
        return {
            (place.phone_identity, place.user_identity)
            for place in self.places
            if place.is_message and place.phone_identity and place.user_identity
        }


def _asks_as_rows(asks: list[Ask]) -> list[dict[str, Any]]:
    return [
        {
            "idx": index,
            "workspace_id": ask.workspace_id,
            "number_id": ask.number_id,
            "wamid": ask.wamid,
            "phone": ask.phone,
            "user_id": ask.user_id,
            "session": ask.session,
            "at": ask.at,
            "phone_rank": ask.ranks.get("phone", ""),
            "user_rank": ask.ranks.get("user_id", ""),
            "session_rank": ask.ranks.get("session", ""),
            "is_told": ask.is_told,
            "makes_person": ask.makes_person,
        }
        for index, ask in enumerate(asks)
    ]


# A message is looked at with all that was ever told of it: an earlier event may have named its user id.
PLACE = """
WITH ask AS MATERIALIZED (
    SELECT row.* FROM jsonb_to_recordset(%s::jsonb) AS row (
        idx int, workspace_id bigint, number_id bigint, wamid text, phone text, user_id text, session text,
        at timestamptz, phone_rank text, user_rank text, session_rank text, is_told boolean, makes_person boolean)
), merged AS (
    SELECT 'ask' AS what, ask.idx, COALESCE(m.workspace_id, ask.workspace_id) AS workspace_id, ask.number_id,
           m.id AS message_id,
           ask.is_told OR m.id IS NOT NULL AS is_message,
           ask.makes_person OR COALESCE(m.message_type <> 'system', false) AS makes_person,
           CASE WHEN ask.phone_rank > COALESCE(m.told->>'phone', '') COLLATE "C" THEN ask.phone
                ELSE COALESCE(m.phone, CASE WHEN m.id IS NULL THEN ask.phone END) END AS phone,
           CASE WHEN ask.user_rank > COALESCE(m.told->>'user_id', '') COLLATE "C" THEN ask.user_id
                ELSE COALESCE(m.user_id, CASE WHEN m.id IS NULL THEN ask.user_id END) END AS user_id,
           CASE WHEN ask.session_rank > COALESCE(m.told->>'session', '') COLLATE "C" THEN ask.session
                ELSE COALESCE(m.kapso_conversation_id, ask.session) END AS session,
           COALESCE(CASE WHEN m.direction = 'inbound' THEN LEAST(m.sent_at, ask.at) ELSE r.sent_at END,
                    LEAST(m.earliest_at, ask.at, r.accepted_at, r.failed_at, r.delivered_at, r.read_at, r.played_at)
           ) AS at,
           m.contact_id, m.conversation_id, m.phone AS old_phone, m.user_id AS old_user, m.sent_at AS old_at
    FROM ask
    LEFT JOIN contacts_message m
        ON ask.wamid <> '' AND m.phone_number_id = ask.number_id AND m.kapso_message_id = ask.wamid
    LEFT JOIN contacts_messagereceipt r
        ON ask.wamid <> '' AND r.phone_number_id = ask.number_id AND r.kapso_message_id = ask.wamid
    UNION ALL
    SELECT 'waiting', row_number() OVER (ORDER BY m.id)::int, m.workspace_id, m.phone_number_id, m.id,
           true, m.message_type <> 'system', m.phone, m.user_id, m.kapso_conversation_id, m.sent_at, NULL, NULL,
           m.phone, m.user_id, m.sent_at
    FROM contacts_message m
    WHERE m.contact_id IS NULL
      AND m.phone_number_id IN (SELECT number_id FROM ask)
      AND (m.phone IN (SELECT phone FROM ask) OR m.user_id IN (SELECT user_id FROM ask)
           OR m.kapso_conversation_id IN (SELECT session FROM ask WHERE session <> ''))
      AND NOT EXISTS (SELECT FROM ask WHERE ask.number_id = m.phone_number_id AND ask.wamid = m.kapso_message_id)
), placed AS (
    SELECT merged.*, node.id AS node, p.id AS phone_identity, u.id AS user_identity,
           CASE WHEN node.id IS NOT NULL THEN node.contact_id
                ELSE COALESCE(merged.contact_id, thread.contact_id) END AS lead,
           p.contact_id IS NOT NULL OR EXISTS (
               SELECT FROM contacts_identitylink l WHERE l.kind IN ('changed', 'manual') AND p.id IN (l.a_id, l.b_id)
           ) AS phone_is_known,
           p.is_shared,
           CASE WHEN p.id IS NOT NULL AND u.id IS NOT NULL AND merged.makes_person
                THEN contacts_holder(p.id, merged.at) END AS holder
    FROM merged
    LEFT JOIN contacts_identity p
        ON p.workspace_id = merged.workspace_id AND p.kind = 'phone' AND p.value = merged.phone
    LEFT JOIN contacts_identity u
        ON u.workspace_id = merged.workspace_id AND u.kind = 'user' AND u.value = merged.user_id
    LEFT JOIN contacts_identity node ON node.id = contacts_node(
        merged.workspace_id, merged.number_id, merged.phone, merged.user_id, merged.session, merged.at)
    LEFT JOIN contacts_kapsosession s
        ON node.id IS NULL AND s.phone_number_id = merged.number_id AND s.kapso_conversation_id = merged.session
    LEFT JOIN contacts_conversation thread ON thread.id = s.conversation_id
)
SELECT what, idx, workspace_id, number_id, message_id, is_message, makes_person, node, lead,
       COALESCE((SELECT id FROM contacts_conversation c WHERE c.contact_id = lead AND c.phone_number_id = number_id),
                CASE WHEN lead = contact_id THEN conversation_id END),
       conversation_id, phone_identity, user_identity,
       -- News: a phone seen with a user id who did not hold it at that time, or shared evidence that moved.
       CASE WHEN holder IS NULL THEN false
            WHEN (old_phone, old_user) = (phone, user_id) THEN is_shared AND old_at <> at
            WHEN old_phone IS NOT NULL AND old_user IS NOT NULL THEN true
            WHEN holder = phone_identity THEN phone_is_known
            ELSE holder <> user_identity END,
       holder IS NOT NULL AND holder = phone_identity,
       node IS NOT NULL AND lead IS NULL AND EXISTS (
           SELECT FROM contacts_identitylink l
           WHERE l.kind IN ('changed', 'manual') AND node IN (l.a_id, l.b_id)),
       CASE WHEN node IS NOT NULL AND lead IS NULL THEN nextval('contacts_contact_id_seq') END,
       CASE WHEN NOT EXISTS (
           SELECT FROM contacts_conversation c WHERE c.contact_id = lead AND c.phone_number_id = number_id
       ) THEN nextval('contacts_conversation_id_seq') END
FROM placed
"""


@dataclass(slots=True, kw_only=True)
class Written:
    """The leads, threads and messages whose derived values have to be refreshed."""

    contacts: set[int] = field(default_factory=set)
    conversations: set[int] = field(default_factory=set)
    left: set[int] = field(default_factory=set)  # threads that a message went away from


def write(messages: dict[MessageKey, dict[str, Any]], receipted: set[MessageKey], placement: Placement) -> Written:
    """Make the leads and threads that are missing, and bring the messages up to date.

    `messages` are merged tellings (contacts.telling) by key, `receipted` the keys of messages that were only heard
    of. Both are in the order in which the placement was asked: messages first.
    """
    keys = [*messages, *sorted(receipted)]
    places = dict(zip(keys, placement.asked, strict=False))
    rows = [
        columns
        | {"workspace_id": place.workspace_id, "number_id": number, "wamid": wamid}
        | {"contact_id": place.contact_id, "conversation_id": place.conversation_id}
        for ((number, wamid), columns) in messages.items()
        for place in (places[number, wamid],)
    ]
    heard = [[*key, places[key].contact_id, places[key].conversation_id] for key in sorted(receipted)]
    waiting = [[place.message_id, place.contact_id, place.conversation_id] for place in placement.waiting]
    batch = {
        "contacts": list(placement.contacts.items()),
        "identities": sorted(placement.homes.items()),
        "conversations": [[made[0], made[1], *key] for key, made in placement.conversations.items()],
        "pairs": sorted(placement.pairs),
        "messages": rows,
        "receipted": heard,
        "waiting": [row for row in waiting if row[1]],
    }
    with connection.cursor() as cursor:
        cursor.execute(WRITE, [as_json(batch)])
    return Written(
        contacts={place.contact_id for place in placement.places if place.contact_id},
        conversations={place.conversation_id for place in placement.places if place.conversation_id},
        left={
            place.former_conversation_id
            for place in placement.places
            if place.former_conversation_id and place.former_conversation_id != place.conversation_id
        },
    )


def _best(field: str, column: str) -> str:
    """The row's value or the telling's, whichever comes from the better telling (contacts.telling)."""
    return (
        f"{column} = CASE WHEN COALESCE(EXCLUDED.told->>'{field}', '') > COALESCE(known.told->>'{field}', '') "
        f'COLLATE "C" THEN EXCLUDED.{column} ELSE known.{column} END'
    )


_BODY_IS_BETTER = """COALESCE(EXCLUDED.told->>'body', '') > COALESCE(known.told->>'body', '') COLLATE "C" """
_MERGED = ",\n        ".join(
    _best(*pair)
    for pair in (
        ("body", "direction"),
        ("body", "message_type"),
        ("body", "payload"),
        ("media_url", "media_url"),
        ("transcript", "transcript"),
        ("reply_to", "reply_to_kapso_id"),
        ("target", "target_kapso_id"),
        ("referral", "referral"),
        ("phone", "phone"),
        ("user_id", "user_id"),
        ("session", "kapso_conversation_id"),
    )
)
_TOLD = ", ".join(
    f"'{name}', GREATEST((known.told->>'{name}') COLLATE \"C\", (EXCLUDED.told->>'{name}') COLLATE \"C\")"
    for name in (
        "body", "media_url", "transcript", "reply_to", "target", "referral", "phone", "user_id", "session",
    )
)  # fmt: skip

# The statuses of a message of ours, lowest first: a status only ever moves to the right (CONTRACT.md 11.1).
_STATUSES = "ARRAY['pending', 'sent', 'failed', 'delivered', 'read']"
_STATUS_OF_RANK = "(ARRAY['pending', 'pending', 'sent', 'failed', 'delivered', 'read', 'read'])[1 + COALESCE(r.rank, 0)]"


def _furthest(one: str, other: str) -> str:
    return (
        f"COALESCE(({_STATUSES})[GREATEST(array_position({_STATUSES}, {one}::text), "
        f"array_position({_STATUSES}, {other}::text))], 'received')"
    )


_RECEIPT_TIMES = "r.accepted_at, r.failed_at, r.delivered_at, r.read_at, r.played_at"
_FIRST_ERROR = """
    LEFT JOIN LATERAL (
        SELECT (e.value->>'code')::integer AS code, e.value->>'message' AS message
        FROM jsonb_each({receipt}.errors) e
        WHERE {direction} = 'outbound' OR e.value->>'word' = 'error'
        ORDER BY e.key COLLATE "C" LIMIT 1
    ) error ON true
"""

WRITE = f"""
WITH batch AS MATERIALIZED (
    SELECT %s::jsonb AS j
), new_contact AS (
    INSERT INTO contacts_contact (id, workspace_id, made_by_sync)
    SELECT (row->>0)::bigint, (row->>1)::bigint, true FROM batch, jsonb_array_elements(j->'contacts') AS row
), identity AS (
    UPDATE contacts_identity i
    SET contact_id = (row->>1)::bigint,
        home_id = COALESCE(home_id, (SELECT (c->>0)::bigint FROM batch, jsonb_array_elements(j->'contacts') AS c
                                     WHERE c->>0 = row->>1))
    FROM batch, jsonb_array_elements(j->'identities') AS row
    WHERE i.id = (row->>0)::bigint AND i.contact_id IS NULL AND NOT i.is_shared
), named AS (
    INSERT INTO contacts_identitylink (workspace_id, kind, a_id, b_id, at)
    SELECT p.workspace_id, 'named', p.id, (row->>1)::bigint, 'epoch'
    FROM batch, jsonb_array_elements(j->'pairs') AS row JOIN contacts_identity p ON p.id = (row->>0)::bigint
    ON CONFLICT (a_id, kind, at, b_id) DO NOTHING
), new_conversation AS (
    INSERT INTO contacts_conversation (id, workspace_id, contact_id, phone_number_id)
    SELECT (row->>0)::bigint, (row->>1)::bigint, (row->>2)::bigint, (row->>3)::bigint
    FROM batch, jsonb_array_elements(j->'conversations') AS row
), told AS (
    INSERT INTO contacts_message AS known (
        workspace_id, phone_number_id, contact_id, conversation_id, kapso_message_id, direction, message_type,
        content, payload, media_url, transcript, origin, status, sent_at, earliest_at, delivered_at, read_at,
        failed_at, error_code, error_message, reply_to_kapso_id, target_kapso_id, referral, phone, user_id,
        kapso_conversation_id, told)
    SELECT row.workspace_id, row.number_id, row.contact_id, row.conversation_id, row.wamid, row.direction,
           row.message_type, row.content, row.payload, row.media_url, row.transcript, row.origin,
           CASE WHEN row.direction = 'inbound' THEN 'received' ELSE {_STATUS_OF_RANK} END,
           COALESCE(r.sent_at, LEAST(row.earliest_at, {_RECEIPT_TIMES})),
           LEAST(row.earliest_at, {_RECEIPT_TIMES}), r.delivered_at,
           LEAST(r.read_at, r.played_at), r.failed_at, error.code, COALESCE(error.message, ''),
           row.reply_to, row.target, row.referral, row.phone, row.user_id, row.session, row.told
    FROM batch, jsonb_to_recordset(j->'messages') AS row (
        workspace_id bigint, number_id bigint, wamid text, contact_id bigint, conversation_id bigint,
        direction text, message_type text, content text, payload jsonb, media_url text, transcript text,
        origin text, earliest_at timestamptz, reply_to text, target text, referral jsonb, phone text,
        user_id text, session text, told jsonb)
    LEFT JOIN contacts_messagereceipt known
        ON known.phone_number_id = row.number_id AND known.kapso_message_id = row.wamid
    LEFT JOIN contacts_messagereceipt r ON r.id = known.id AND row.direction = 'outbound'
    {_FIRST_ERROR.format(receipt="known", direction="row.direction")}
    ORDER BY row.number_id, row.wamid COLLATE "C"
    ON CONFLICT (phone_number_id, kapso_message_id) DO UPDATE SET
        contact_id = COALESCE(EXCLUDED.contact_id, known.contact_id),
        conversation_id = COALESCE(EXCLUDED.conversation_id, known.conversation_id),
        content = CASE WHEN {_BODY_IS_BETTER} AND known.content_before_edit IS NULL
                       THEN EXCLUDED.content ELSE known.content END,
        content_before_edit = CASE WHEN {_BODY_IS_BETTER} AND known.content_before_edit IS NOT NULL
                                   THEN EXCLUDED.content ELSE known.content_before_edit END,
        {_MERGED},
        origin = CASE WHEN array_position(ARRAY['history_sync', 'cloud_api', 'business_app'], EXCLUDED.origin::text)
                         > COALESCE(array_position(ARRAY['history_sync', 'cloud_api', 'business_app'], known.origin::text), 0)
                      THEN EXCLUDED.origin ELSE known.origin END,
        status = {_furthest("known.status", "EXCLUDED.status")},
        earliest_at = LEAST(known.earliest_at, EXCLUDED.earliest_at),
        sent_at = COALESCE(
            (SELECT r.sent_at FROM contacts_messagereceipt r
             WHERE r.phone_number_id = EXCLUDED.phone_number_id AND r.kapso_message_id = EXCLUDED.kapso_message_id
               AND EXCLUDED.direction = 'outbound'),
            LEAST(known.earliest_at, EXCLUDED.earliest_at)),
        delivered_at = LEAST(known.delivered_at, EXCLUDED.delivered_at),
        read_at = LEAST(known.read_at, EXCLUDED.read_at),
        failed_at = LEAST(known.failed_at, EXCLUDED.failed_at),
        error_code = COALESCE(EXCLUDED.error_code, known.error_code),
        error_message = COALESCE(NULLIF(EXCLUDED.error_message, ''), known.error_message),
        told = jsonb_strip_nulls(jsonb_build_object({_TOLD}))
), receipted AS (
    UPDATE contacts_message known SET
        contact_id = COALESCE(row.contact_id, known.contact_id),
        conversation_id = COALESCE(row.conversation_id, known.conversation_id),
        status = CASE WHEN row.direction = 'inbound' THEN known.status
                      ELSE {_furthest("known.status", _STATUS_OF_RANK)} END,
        earliest_at = LEAST(known.earliest_at, {_RECEIPT_TIMES}),
        sent_at = COALESCE(r.sent_at, LEAST(known.earliest_at, {_RECEIPT_TIMES})),
        delivered_at = LEAST(known.delivered_at, r.delivered_at),
        read_at = LEAST(known.read_at, r.read_at, r.played_at),
        failed_at = LEAST(known.failed_at, r.failed_at),
        error_code = COALESCE(error.code, known.error_code),
        error_message = COALESCE(NULLIF(error.message, ''), known.error_message)
    FROM (
        SELECT m.id, m.direction, m.phone_number_id, m.kapso_message_id,
               (heard->>2)::bigint AS contact_id, (heard->>3)::bigint AS conversation_id
        FROM batch, jsonb_array_elements(j->'receipted') AS heard
        JOIN contacts_message m ON m.phone_number_id = (heard->>0)::bigint AND m.kapso_message_id = heard->>1
    ) AS row
    LEFT JOIN contacts_messagereceipt r
        ON r.phone_number_id = row.phone_number_id AND r.kapso_message_id = row.kapso_message_id
        AND row.direction = 'outbound'
    {_FIRST_ERROR.format(receipt="r", direction="'outbound'")}
    WHERE known.id = row.id
), waiting AS (
    UPDATE contacts_message m SET contact_id = (row->>1)::bigint, conversation_id = (row->>2)::bigint
    FROM batch, jsonb_array_elements(j->'waiting') AS row
    WHERE m.id = (row->>0)::bigint
)
SELECT 1
"""
