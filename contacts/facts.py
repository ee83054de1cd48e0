"""Statement 1 of a batch: what its events prove, as facts.

Facts have natural keys and are only inserted, or narrowed to an earliest and a newest time. So they commute, and
writing them takes the locks of the whole batch: first the workspace (shared), then its identities in sorted order,
then its receipts. Whatever another transaction wrote about the same people is visible to every later statement.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import product
from typing import Any

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
from contacts.session_facts import SessionFacts
from contacts.statements import run
from contacts.statements.record_facts import RECORD_FACTS
from contacts.tombstones import Mark, Span, marks

# CONTRACT.md 11.1. Words that are not here are recorded without a rank.
STATUS_RANK = {"pending": 0, "accepted": 1, "sent": 2, "failed": 3, "delivered": 4, "read": 5, "played": 6}
TIMED_WORDS = ("accepted", "sent", "failed", "delivered", "read", "played")

# The value of a fact that says that an identity was seen, and nothing else.
WITHOUT_A_TIME = "without a time"

Key = tuple[int, str, str]  # workspace, kind, value: what identifies an identity


@dataclass(slots=True)
class Facts:
    """The facts of one batch, each once: what PostgreSQL's ON CONFLICT needs."""

    workspaces: set[int] = field(default_factory=set)
    identities: dict[Key, tuple[datetime | None, datetime | None]] = field(default_factory=dict)
    links: set[tuple[str, Key, Key, datetime]] = field(default_factory=set)
    untimed_links: dict[tuple[str, Key, Key, str], datetime] = field(default_factory=dict)
    profiles: dict[tuple[Key, str, str, str], tuple[datetime, datetime, bool]] = field(default_factory=dict)
    receipts: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)
    sessions: dict[tuple[int, str], SessionFacts] = field(default_factory=dict)
    marks: set[Mark] = field(default_factory=set)
    # Of those marks, once recorded: what belongs to people who were erased.
    tombstones: dict[Mark, Span] = field(default_factory=dict)

    @classmethod
    def of(cls, told: Iterable[tuple[PhoneNumber, Event]]) -> Facts:
        facts = cls()
        for number, event in told:
            facts.workspaces.add(number.workspace_id)
            facts.marks.update(marks(number, event))
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
        keys = self._person(number, event.person, seen, event.source)
        if keys:
            self._said(keys[-1], event.person, event.at, event.source)
        if event.session:
            self._session(number, event.session, event.person)
        if event.receipts or event.direction == "outbound":
            self._receipts(number, event.wamid, event.receipts)

    def _change(self, number: PhoneNumber, event: IdentityChanged) -> None:
        before = self._person(number, event.before, None)
        after = self._person(number, event.after, event.at, event.source)
        for old, new in product(before, after):
            if old != new:
                self._link("changed", old, new, event)
        if len(after) == 2:
            self._link("seen", after[0], after[1], event)
        if event.message:
            self._message(number, event.message)

    def _link(self, kind: str, a: Key, b: Key, event: IdentityChanged) -> None:
        if event.source:
            link = (kind, a, b, event.source)
            self.untimed_links[link] = min(self.untimed_links.get(link, event.at), event.at)
        else:
            self.links.add((kind, a, b, event.at))

    def _profile(self, number: PhoneNumber, event: ProfileTold) -> None:
        for key in self._person(number, event.person, None):
            self._said(key, event.person, event.at, event.source, activity=event.counts_as_activity)
            self._say(key, "marketing", event.marketing, event.at, event.source)
            self._say(key, "address_book_name", event.address_book_name, event.at, event.source)

    def _person(
        self, number: PhoneNumber, person: Person, seen: datetime | None, source: str = ""
    ) -> list[Key]:
        """The person's identities, phone first; the business number itself is nobody (EDGE_CASES.md 84)."""
        phone = person.phone if person.phone != number.own_phone else None
        keys: list[Key] = [
            (number.workspace_id, kind, value)
            for kind, value in (("phone", phone), ("user", person.user_id))
            if value
        ]
        for key in keys:
            first, last = self.identities.get(key, (None, None))
            if seen and source:
                self.identities[key] = (_least(first, seen), last)
                self._say(key, "seen", WITHOUT_A_TIME, seen, source)
            else:
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
        told = self.sessions.setdefault((number.pk, session.kapso_id), SessionFacts(number.workspace_id))
        told.add(session, person.user_id, person.phone if person.phone != number.own_phone else None)

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
        rows = run(RECORD_FACTS, [self.as_json()])
        asked = sorted(self.marks)
        self.tombstones = {asked[nth - 1]: Span(since, until) for _, _, nth, since, until in rows if nth}
        return {identity for row in rows for identity in row[:2] if identity}

    def as_json(self) -> str:
        def rows(table: Mapping[tuple[int, str], dict[str, Any]]) -> list[dict[str, Any]]:
            return [{"number_id": number, "key": key} | row for (number, key), row in table.items()]

        return as_json(
            {
                "workspaces": sorted(self.workspaces),
                "identities": [[*key, *seen] for key, seen in self.identities.items()],
                "links": [[kind, *a, *b[1:], at] for kind, a, b, at in self.links],
                "untimed_links": [
                    [kind, *a, *b[1:], at, source] for (kind, a, b, source), at in self.untimed_links.items()
                ],
                "profiles": [[*key, *fact, *times] for (key, *fact), times in self.profiles.items()],
                "receipts": rows(self.receipts),
                "sessions": rows({key: told.as_row() for key, told in self.sessions.items()}),
                "marks": sorted(self.marks),
            }
        )


def _error(receipt: Receipt) -> dict[str, Any]:
    """The error under a key that sorts by time, then by code: the first key is the first error.

    The digest makes two tellings of one error that differ in anything two facts, so neither replaces the other.
    """
    millis = int(receipt.at.timestamp() * 1000) if receipt.at else 0
    code = receipt.error_code if receipt.error_code is not None else ""
    value = {
        "code": receipt.error_code,
        "message": receipt.error_message,
        "word": receipt.word,
        "error": dict(receipt.error or {}),
    }
    digest = sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]
    return {f"{millis:014d}|{code}|{receipt.error_message[:200]}|{digest}": value}


def as_json(value: Any) -> str:
    return json.dumps(value, default=datetime.isoformat, ensure_ascii=False)


def _least(a: datetime | None, b: datetime | None) -> datetime | None:
    return min(a, b) if a and b else a or b


def _greatest(a: datetime | None, b: datetime | None) -> datetime | None:
    return max(a, b) if a and b else a or b
