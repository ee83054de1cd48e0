"""Erasing one person: everything that the CRM knows of them, for good.

What stays are tombstones, by which later events about them are known and left out (contacts.tombstones). Stored
deliveries are kapso_sync's: its `erasing` clears those too, and calls this.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import ngettext

from contacts import people
from contacts.facts import as_json
from contacts.models import (
    Contact,
    Conversation,
    Identity,
    ImportRow,
    KapsoSession,
    Message,
    Workspace,
)
from contacts.phone_forms import forms
from contacts.refresh import refresh
from contacts.statements import erase_person as sql
from contacts.statements import run
from contacts.tombstones import Mark, Span, Tombstones, message_key

Named = tuple[str, str]  # kind and value of an identity


@dataclass(frozen=True, slots=True)
class Held:
    """An identity of the person: theirs alone, or a phone that was somebody else's at another time."""

    id: int
    kind: str
    value: str
    is_shared: bool
    is_current: bool
    since: datetime | None
    until: datetime | None

    @property
    def is_theirs_alone(self) -> bool:
        return self.is_current and not self.is_shared


@dataclass(slots=True)
class Person:
    """Everything by which one person of a workspace is known, as long as they are."""

    workspace_id: int
    lead_id: int | None
    named: Sequence[Named] = ()  # what the erasure was asked for by, where there is no lead (any more)
    rows: list[int] = field(default_factory=list)
    identities: list[Held] = field(default_factory=list)
    sessions: dict[int, str] = field(default_factory=dict)
    messages: set[int] = field(default_factory=set)
    told_of: set[tuple[str, str]] = field(
        default_factory=set
    )  # messages by Meta's id of the number, and WAMID

    @classmethod
    def of(cls, workspace_id: int, lead_id: int | None, named: Sequence[Named] = ()) -> Person:
        person = cls(workspace_id, lead_id, named)
        person._load()
        return person

    def _load(self) -> None:
        if self.lead_id:
            self.rows = [row[0] for row in run(sql.LOAD_ROWS, {"lead": self.lead_id})]
        identities = Identity.objects.filter(workspace=self.workspace_id, contact=None)
        named = [i.pk for kind, value in self.named for i in identities.filter(kind=kind, value=value)]
        at = {"workspace": self.workspace_id, "rows": self.rows}
        self.identities = [Held(*row) for row in run(sql.LOAD_IDENTITIES, at | {"named": named})]
        at |= {"phones": self._values("phone"), "users": self._values("user")}
        self.sessions = dict(run(sql.LOAD_SESSIONS, at))
        wamids = [f"wamid.____{hidden}%" for hidden in self.hidden_in_wamids]
        at |= {"sessions": sorted(self.sessions.values()), "wamids": wamids}
        found = run(sql.LOAD_MESSAGES, at)
        self.messages = {pk for pk, *_ in found if pk}
        self.told_of = {(number, wamid) for _, number, wamid in found}

    def _values(self, kind: str) -> list[str]:
        known = {held.value for held in self.identities if held.kind == kind and held.is_theirs_alone}
        return sorted(known | {value for named, value in self.named if named == kind})

    @property
    def automation(self) -> list[int]:
        """What workflows said of their sessions, by the rows' ids."""
        at = {"workspace": self.workspace_id, "sessions": sorted(self.sessions.values())}
        return [row[0] for row in run(sql.LOAD_AUTOMATION, at)]

    @property
    def phones(self) -> list[str]:
        """Those that were nobody else's."""
        return self._values("phone")

    @property
    def users(self) -> list[str]:
        return self._values("user")

    @property
    def marks(self) -> set[Mark]:
        """What an event that names any of it is about them for, whenever it was."""
        told = [
            *(("phone", phone) for phone in self.phones),
            *(("user", user) for user in self.users),
            *(("session", session) for session in self.sessions.values()),
            *(("message", message_key(number, wamid)) for number, wamid in self.told_of),
        ]
        return {(self.workspace_id, kind, value) for kind, value in told}

    @property
    def hidden_in_wamids(self) -> set[str]:
        """What stands in the WAMIDs of their messages after the first ten characters: the phone, in base64.

        The last character also holds bits of what follows the phone, so there are several.
        """
        return {
            base64.b64encode(phone.encode() + bytes([following])).decode()[: -(-len(phone) * 4 // 3)]
            for phone in self.phones
            for following in range(256)
        }

    @property
    def shared_phones(self) -> list[Held]:
        return [held for held in self.identities if not held.is_theirs_alone]

    @property
    def is_known(self) -> bool:
        return bool(self.rows or self.identities or self.sessions or self.told_of)

    @property
    def counts(self) -> list[tuple[int, str]]:
        """What would go, how many of each; without what there is none of."""
        ids = sum(held.is_theirs_alone for held in self.identities if held.kind in ("phone", "user"))
        threads = Conversation.objects.filter(contact__in=self.rows).count()
        found = [
            (len(self.rows[:1]), ngettext("lead", "leads", len(self.rows[:1]))),
            (
                len(self.rows[1:]),
                ngettext(
                    "lead that was merged into it", "leads that were merged into it", len(self.rows[1:])
                ),
            ),
            (ids, ngettext("phone or user ID", "phones and user IDs", ids)),
            (threads, ngettext("conversation", "conversations", threads)),
            (len(self.sessions), ngettext("Kapso session", "Kapso sessions", len(self.sessions))),
            (len(self.messages), ngettext("message", "messages", len(self.messages))),
        ]
        return [(count, what) for count, what in found if count]


def erase(workspace_id: int, lead_id: int | None, named: Sequence[Named] = ()) -> Person:
    """Erase the person from the CRM and leave tombstones, in one transaction; returns what they were known by.

    Keeps every sync out of the workspace meanwhile: a webhook about them comes before, and is erased, or after, and is
    left out.
    """
    with transaction.atomic():
        people.lock_alone([workspace_id])
        person = Person.of(workspace_id, lead_id, named)
        _write_tombstones(person)
        _delete_what_was_said(person)
        _delete_the_person(person)
        shared = {held.id for held in person.shared_phones}
        if shared:  # whoever else held it
            refresh(people.regroup(shared, set()), set())
    return person


def tombstones_of(marks: set[Mark]) -> Tombstones:
    """Those of these marks that belong to people who were erased."""
    asked = sorted(marks)
    found = run("SELECT * FROM contacts_tombstones(%(marks)s::jsonb, 0)", {"marks": json.dumps(asked)})
    return {asked[nth - 1]: Span(since, until) for nth, since, until in found}


def _write_tombstones(person: Person) -> None:
    Workspace.objects.filter(pk=person.workspace_id, tombstone_salt="").update(
        tombstone_salt=secrets.token_hex(32)
    )
    marks: list[tuple[str, str, datetime | None, datetime | None]] = [
        (kind, value, None, None) for _, kind, value in person.marks
    ]
    # A phone that somebody else has now is the erased person's only up to then.
    marks += [
        (held.kind, held.value, held.since, held.until)
        for held in person.shared_phones
        if held.is_current or held.until
    ]
    run(
        sql.WRITE_TOMBSTONES,
        {"workspace": person.workspace_id, "marks": as_json(marks), "at": timezone.now()},
    )


def _delete_what_was_said(person: Person) -> None:
    shared = [held.id for held in person.shared_phones]
    theirs = [held.id for held in person.identities if held.is_theirs_alone]
    run(sql.DROP_FACTS_OF_SHARED_PHONES, {"shared": shared, "identities": theirs})
    at = {"workspace": person.workspace_id, "sessions": sorted(person.sessions.values())}
    run(sql.DROP_AUTOMATION, at)
    run(sql.DROP_RECEIPTS, at | {"messages": as_json(sorted(person.told_of))})
    Message.objects.filter(pk__in=person.messages).delete()
    KapsoSession.objects.filter(pk__in=person.sessions).delete()
    run(
        sql.FORGET_IN_SESSIONS,
        {"workspace": person.workspace_id, "phones": person.phones, "users": person.users},
    )
    Conversation.objects.filter(contact__in=person.rows).delete()


def _delete_the_person(person: Person) -> None:
    """Also what hangs on their rows by a foreign key that cascades: status changes, merges, dismissals."""
    theirs = [held.id for held in person.identities if held.is_theirs_alone]
    Identity.objects.filter(pk__in=theirs).delete()
    _forget_in_files(person)
    left = Identity.objects.filter(workspace=person.workspace_id)
    left.filter(contact__in=person.rows).update(contact=None)
    left.filter(home__in=person.rows).update(home=F("contact"))
    LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Contact), object_id__in=map(str, person.rows)
    ).delete()
    rows = Contact.objects.filter(pk__in=person.rows)
    rows.update(merged_into=None)
    rows.delete()


def _forget_in_files(person: Person) -> None:
    """Rows of files that people import, and what they were checked for; what was imported goes with the lead."""
    phones = {form for phone in person.phones for form in forms(phone)}
    named = Q(phone__in=phones) | Q(user_id__in=person.users)
    ImportRow.objects.filter(named, of__workspace=person.workspace_id).delete()
