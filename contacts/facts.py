"""Statement 1 of a batch: what its events prove, as facts.

Facts have natural keys and are only inserted, or narrowed to an earliest and a newest time. So they commute, and
writing them takes the locks of the whole batch: first the workspace (shared), then its identities in sorted order,
then its receipts. Whatever another transaction wrote about the same people is visible to every later statement.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection

from contacts.events import (
    Event,
    IdentityChanged,
    MessageTold,
    Person,
    ProfileTold,
    Receipt,
    ReceiptsTold,
    Session,
    SessionTold,
)
from contacts.models import PhoneNumber

# CONTRACT.md 11.1. Words that are not here are recorded without a rank.
STATUS_RANK = {"pending": 0, "accepted": 1, "sent": 2, "failed": 3, "delivered": 4, "read": 5, "played": 6}
TIMED_WORDS = ("accepted", "sent", "failed", "delivered", "read", "played")

# Advisory locks are numbers: this one says "the people of a workspace", the second number says which.
PEOPLE_LOCK = 7_310_001

Key = tuple[int, str, str]  # workspace, kind, value: what identifies an identity


@dataclass(slots=True)
class Facts:
    """The facts of one batch, each once: what PostgreSQL's ON CONFLICT needs."""

    workspaces: set[int] = field(default_factory=set)
    identities: dict[Key, tuple[datetime | None, datetime | None]] = field(default_factory=dict)
    links: set[tuple[str, Key, Key, datetime]] = field(default_factory=set)
    profiles: dict[tuple[Key, str, str, str], tuple[datetime, datetime, bool]] = field(default_factory=dict)
    receipts: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)
    sessions: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, told: Iterable[tuple[PhoneNumber, Event]]) -> Facts:
        facts = cls()
        for number, event in told:
            facts.workspaces.add(number.workspace_id)
            match event:
                case MessageTold():
                    facts._message(number, event)
                case ReceiptsTold():
                    facts._receipts(number, event.wamid, event.receipts)
                case ProfileTold():
                    facts._profile(number, event)
                case IdentityChanged():
                    facts._change(number, event)
                case SessionTold():
                    facts._session(number, event.session, event.person)
        return facts

    def _message(self, number: PhoneNumber, event: MessageTold) -> None:
        # A system line is about the person, it is not the person writing.
        seen = None if event.message_type == "system" else event.at
        keys = self._person(number, event.person, seen)
        if keys:
            self._said(keys[-1], event.person, event.at)
        if event.session:
            self._session(number, event.session, event.person)
        if event.receipts or event.direction == "outbound":
            self._receipts(number, event.wamid, event.receipts)

    def _change(self, number: PhoneNumber, event: IdentityChanged) -> None:
        before = self._person(number, event.before, None)
        after = self._person(number, event.after, event.at)
        self.links |= {("changed", old, new, event.at) for old in before for new in after if old != new}
        if len(after) == 2:
            self.links.add(("seen", after[0], after[1], event.at))
        if event.message:
            self._message(number, event.message)

    def _profile(self, number: PhoneNumber, event: ProfileTold) -> None:
        for key in self._person(number, event.person, None):
            self._said(key, event.person, event.at, event.source, activity=event.counts_as_activity)
            self._say(key, "marketing", event.marketing, event.at, event.source)
            self._say(key, "address_book_name", event.address_book_name, event.at, event.source)

    def _person(self, number: PhoneNumber, person: Person, seen: datetime | None) -> list[Key]:
        """The person's identities, phone first; the business number itself is nobody (EDGE_CASES.md 84)."""
        phone = person.phone if person.phone != number.own_phone else None
        keys: list[Key] = [
            (number.workspace_id, kind, value)
            for kind, value in (("phone", phone), ("user", person.user_id))
            if value
        ]
        for key in keys:
            first, last = self.identities.get(key, (None, None))
            self.identities[key] = (_least(first, seen), _greatest(last, seen))
        return keys

    def _said(
        self, key: Key, person: Person, at: datetime, source: str = "", *, activity: bool = False
    ) -> None:
        self._say(key, "name", person.name or "", at, source, activity=activity)
        self._say(key, "username", person.username or "", at, source)
        self._say(key, "parent", person.parent_user_id or "", at, source)

    def _say(
        self, key: Key, what: str, value: str, at: datetime, source: str, *, activity: bool = False
    ) -> None:
        if not value:
            return
        fact = (key, what, value[:256], source)
        first, last, active = self.profiles.get(fact, (at, at, activity))
        # Without a time of its own a body counts once, at the earliest time it came.
        self.profiles[fact] = (min(first, at), min(last, at) if source else max(last, at), active or activity)

    def _session(self, number: PhoneNumber, session: Session, person: Person) -> None:
        self._person(number, person, None)
        known = self.sessions.setdefault(
            (number.pk, session.kapso_id),
            {"workspace_id": number.workspace_id, "last_at": session.at, "ended_at": None},
        )
        known["last_at"] = max(known["last_at"], session.at)
        if session.status == "ended":
            known["ended_at"] = _least(known["ended_at"], session.at)
        phone = person.phone if person.phone != number.own_phone else None
        for name, value in (("status", session.status[:20]), ("phone", phone), ("user_id", person.user_id)):
            if value and (session.at, value) > (known.get(f"{name}_at", session.at), known.get(name, "")):
                known |= {name: value, f"{name}_at": session.at}

    def _receipts(self, number: PhoneNumber, wamid: str, receipts: Iterable[Receipt]) -> None:
        known = self.receipts.setdefault(
            (number.pk, wamid),
            {"workspace_id": number.workspace_id, "rank": 0, "errors": {}, "other_words": {}},
        )
        for receipt in receipts:
            if receipt.word in TIMED_WORDS:
                at = f"{receipt.word}_at"
                known[at] = _least(known.get(at), receipt.at)
            elif receipt.word not in STATUS_RANK:
                known["other_words"][f"{receipt.word[:64]}|{receipt.at or ''}"] = True
            known["rank"] = max(known["rank"], STATUS_RANK.get(receipt.word, 0))
            if receipt.error_code is not None or receipt.error_message:
                known["errors"] |= _error(receipt)

    def record(self) -> set[int]:
        """Write the facts and take the batch's locks; returns the identities between which there is a new link."""
        with connection.cursor() as cursor:
            cursor.execute(RECORD, [self._as_json()])
            return {identity for row in cursor.fetchall() for identity in row if identity}

    def _as_json(self) -> str:
        def rows(table: dict[tuple[int, str], dict[str, Any]]) -> list[dict[str, Any]]:
            return [{"number_id": number, "key": key} | row for (number, key), row in table.items()]

        return as_json(
            {
                "workspaces": sorted(self.workspaces),
                "identities": [[*key, *seen] for key, seen in self.identities.items()],
                "links": [[kind, *a, *b[1:], at] for kind, a, b, at in self.links],
                "profiles": [[*key, *fact, *times] for (key, *fact), times in self.profiles.items()],
                "receipts": rows(self.receipts),
                "sessions": rows(self.sessions),
            }
        )


def _error(receipt: Receipt) -> dict[str, Any]:
    """The error under a key that sorts by time, then by code: the first key is the first error."""
    millis = int(receipt.at.timestamp() * 1000) if receipt.at else 0
    code = receipt.error_code if receipt.error_code is not None else ""
    key = f"{millis:014d}|{code}|{receipt.error_message[:200]}"
    return {
        key: {
            "code": receipt.error_code,
            "message": receipt.error_message,
            "word": receipt.word,
            "error": dict(receipt.error or {}),
        }
    }


def as_json(value: Any) -> str:
    return json.dumps(value, default=datetime.isoformat, ensure_ascii=False)


def _least(a: datetime | None, b: datetime | None) -> datetime | None:
    return min(a, b) if a and b else a or b


def _greatest(a: datetime | None, b: datetime | None) -> datetime | None:
    return max(a, b) if a and b else a or b


RECORD = f"""
WITH told AS MATERIALIZED (
    SELECT %s::jsonb AS facts
), locked AS MATERIALIZED (
    -- Merging people takes this lock alone (contacts.people); everything else shares it.
    SELECT pg_advisory_xact_lock_shared({PEOPLE_LOCK}, workspace::int)
    FROM (SELECT workspace FROM told, jsonb_array_elements_text(facts->'workspaces') AS workspace
          ORDER BY workspace::int) AS ordered
), identity AS (
    -- The row lock on a person, in one global order, so that two deliveries never wait for each other.
    INSERT INTO contacts_identity AS known (workspace_id, kind, value, first_seen_at, last_seen_at)
    SELECT (row->>0)::bigint, row->>1, row->>2, (row->>3)::timestamptz, (row->>4)::timestamptz
    FROM told, jsonb_array_elements(facts->'identities') AS row
    WHERE (SELECT count(*) FROM locked) > 0
    ORDER BY (row->>0)::bigint, row->>1, (row->>2) COLLATE "C"
    ON CONFLICT (workspace_id, kind, value) DO UPDATE SET
        first_seen_at = LEAST(known.first_seen_at, EXCLUDED.first_seen_at),
        last_seen_at = GREATEST(known.last_seen_at, EXCLUDED.last_seen_at)
    RETURNING id, workspace_id, kind, value
), link AS (
    INSERT INTO contacts_identitylink (workspace_id, kind, a_id, b_id, at)
    SELECT a.workspace_id, row->>0, a.id, b.id, (row->>6)::timestamptz
    FROM told, jsonb_array_elements(facts->'links') AS row
    JOIN identity a ON a.workspace_id = (row->>1)::bigint AND a.kind = row->>2 AND a.value = row->>3
    JOIN identity b ON b.workspace_id = a.workspace_id AND b.kind = row->>4 AND b.value = row->>5
    ON CONFLICT (a_id, kind, at, b_id) DO NOTHING
    RETURNING a_id, b_id
), fact AS (
    INSERT INTO contacts_profilefact AS known
        (workspace_id, identity_id, field, value, source, first_at, last_at, counts_as_activity)
    SELECT i.workspace_id, i.id, row->>3, row->>4, row->>5,
           (row->>6)::timestamptz, (row->>7)::timestamptz, (row->>8)::boolean
    FROM told, jsonb_array_elements(facts->'profiles') AS row
    JOIN identity i ON i.workspace_id = (row->>0)::bigint AND i.kind = row->>1 AND i.value = row->>2
    ON CONFLICT (identity_id, field, value, source) DO UPDATE SET
        first_at = LEAST(known.first_at, EXCLUDED.first_at),
        -- Without a time of its own a body counts once, at the earliest time it came.
        last_at = CASE WHEN known.source = '' THEN GREATEST(known.last_at, EXCLUDED.last_at)
                       ELSE LEAST(known.last_at, EXCLUDED.last_at) END,
        counts_as_activity = known.counts_as_activity OR EXCLUDED.counts_as_activity
), receipt AS (
    -- Also the row lock on an outbound WAMID: a message and its early receipt cannot miss each other.
    INSERT INTO contacts_messagereceipt AS known
        (workspace_id, phone_number_id, kapso_message_id, rank, accepted_at, sent_at, failed_at,
         delivered_at, read_at, played_at, errors, other_words)
    SELECT workspace_id, number_id, key, rank, accepted_at, sent_at, failed_at,
           delivered_at, read_at, played_at, errors, other_words
    FROM told, jsonb_to_recordset(facts->'receipts') AS row (
        workspace_id bigint, number_id bigint, key text, rank smallint, accepted_at timestamptz,
        sent_at timestamptz, failed_at timestamptz, delivered_at timestamptz, read_at timestamptz,
        played_at timestamptz, errors jsonb, other_words jsonb)
    WHERE (SELECT count(*) FROM identity) >= 0  -- identities are locked before receipts
    ORDER BY number_id, key COLLATE "C"
    ON CONFLICT (phone_number_id, kapso_message_id) DO UPDATE SET
        rank = GREATEST(known.rank, EXCLUDED.rank),
        accepted_at = LEAST(known.accepted_at, EXCLUDED.accepted_at),
        sent_at = LEAST(known.sent_at, EXCLUDED.sent_at),
        failed_at = LEAST(known.failed_at, EXCLUDED.failed_at),
        delivered_at = LEAST(known.delivered_at, EXCLUDED.delivered_at),
        read_at = LEAST(known.read_at, EXCLUDED.read_at),
        played_at = LEAST(known.played_at, EXCLUDED.played_at),
        errors = known.errors || EXCLUDED.errors,
        other_words = known.other_words || EXCLUDED.other_words
), session AS (
    INSERT INTO contacts_kapsosession AS known
        (workspace_id, phone_number_id, kapso_conversation_id, phone, phone_at, user_id, user_id_at,
         status, status_at, last_at, ended_at)
    SELECT workspace_id, number_id, key, phone, phone_at, user_id, user_id_at,
           COALESCE(status, ''), status_at, last_at, ended_at
    FROM told, jsonb_to_recordset(facts->'sessions') AS row (
        workspace_id bigint, number_id bigint, key text, phone text, phone_at timestamptz, user_id text,
        user_id_at timestamptz, status text, status_at timestamptz, last_at timestamptz, ended_at timestamptz)
    WHERE (SELECT count(*) FROM identity) >= 0
    ORDER BY number_id, key COLLATE "C"
    ON CONFLICT (phone_number_id, kapso_conversation_id) DO UPDATE SET
        (phone, phone_at) = (
            SELECT v, t FROM (VALUES (known.phone, known.phone_at), (EXCLUDED.phone, EXCLUDED.phone_at)) x (v, t)
            ORDER BY t DESC NULLS LAST, v COLLATE "C" DESC NULLS LAST LIMIT 1),
        (user_id, user_id_at) = (
            SELECT v, t FROM (VALUES (known.user_id, known.user_id_at), (EXCLUDED.user_id, EXCLUDED.user_id_at)) x (v, t)
            ORDER BY t DESC NULLS LAST, v COLLATE "C" DESC NULLS LAST LIMIT 1),
        -- Of two statuses at the same time "ended" wins: it sorts after "active".
        (status, status_at) = (
            SELECT v, t FROM (VALUES (known.status, known.status_at), (EXCLUDED.status, EXCLUDED.status_at)) x (v, t)
            ORDER BY t DESC NULLS LAST, v COLLATE "C" DESC LIMIT 1),
        last_at = GREATEST(known.last_at, EXCLUDED.last_at),
        ended_at = LEAST(known.ended_at, EXCLUDED.ended_at)
)
SELECT a_id, b_id FROM link
UNION ALL SELECT NULL, NULL FROM locked WHERE (SELECT count(*) FROM identity) < 0  -- locks even if nobody is named
"""
