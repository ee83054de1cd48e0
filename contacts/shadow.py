"""A shadow of the CRM: its tables once more, beside the live ones, for the sync to fill.

It is a PostgreSQL schema with tables like those of the CRM. The sync's statements name tables without a schema, so
with the shadow first in the search path the very same code fills it: a rebuild and a dry run cannot differ from live
traffic. The search path is set inside each transaction and ends with it; a new connection never has it. Workspaces and
tombstones are read from the live tables, whatever the sync writes exists in the shadow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction

from contacts import people
from contacts.events import (
    AutomationTold,
    Event,
    IdentityChanged,
    MessageTold,
    Person,
    ProfileTold,
    ReceiptsTold,
    SessionTold,
)
from contacts.facts import as_json
from contacts.models import PhoneNumber
from contacts.refresh import refresh
from contacts.statements import copy_around, seed_shadow
from contacts.writing import Written

# A shadow draws ids from here on, so that it can keep the ids of live rows and meets none that is made meanwhile.
FIRST_ID = 10**15

# The sync's first statement sets these for its transaction; what compares whole tables needs them back.
PLANNING = ("seqscan", "bitmapscan", "hashjoin", "mergejoin", "material")

# A shadow has one writer, and must not keep live traffic waiting: on its stage the sync's locks lock nothing.
UNLOCKED = """
CREATE FUNCTION {schema}.pg_advisory_xact_lock(integer, integer) RETURNS void LANGUAGE sql AS 'SELECT';
CREATE FUNCTION {schema}.pg_advisory_xact_lock_shared(integer, integer) RETURNS void LANGUAGE sql AS 'SELECT';
"""


class Shadow:
    """The shadow in this schema. Everything but `exists` belongs into a transaction of the caller."""

    def __init__(self, schema: str) -> None:
        if not re.fullmatch("[a-z0-9_]+", schema):
            raise ValueError(schema)
        self.schema = schema

    @property
    def exists(self) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regnamespace(%s) IS NOT NULL", [self.schema])
            return bool(cursor.fetchone()[0])

    def create(self) -> None:
        """Make the empty tables, with all that the sync relies on: keys, indexes, defaults, sequences."""
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE SCHEMA {self.schema}" + ";" + UNLOCKED.format(schema=self.schema))
            for model in seed_shadow.shadowed():
                table = model._meta.db_table  # noqa: SLF001
                cursor.execute(f"CREATE TABLE {self.schema}.{table} (LIKE public.{table} INCLUDING ALL)")
                cursor.execute(f"ALTER TABLE {self.schema}.{table} ALTER id RESTART WITH {FIRST_ID}")

    def drop(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA IF EXISTS {self.schema} CASCADE")

    def enter(self) -> None:
        """Until the transaction (or savepoint) ends, bare names are the shadow's."""
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL search_path = {self.schema}, pg_catalog, public")

    def leave(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL search_path TO DEFAULT")
        plan_for_large_sets()

    @contextmanager
    def stage(self) -> Iterator[None]:
        with transaction.atomic():
            self.enter()
            plan_for_large_sets()
            yield
            self.leave()

    def seed_sealed(self, workspace: int) -> None:
        """Bring in what no stored delivery tells of this workspace. Again, later: what has come to that since."""
        with self.stage(), connection.cursor() as cursor:
            for statement in seed_shadow.SEALED:
                cursor.execute(statement, {"workspace": workspace})
            cursor.execute(seed_shadow.LINKS, {"workspace": workspace})
            linked = {identity for row in cursor.fetchall() for identity in row}
            if linked:
                regrouped = people.regroup(linked, set())
                refresh(regrouped, set())
        self._derive_leads()

    def _derive_leads(self, size: int = 500) -> None:
        """The leads that rest on sealed rows, as these alone would have them."""
        with self.stage(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM contacts_contact WHERE made_by_sync AND merged_into_id IS NULL ORDER BY id"
            )
            leads = [row[0] for row in cursor.fetchall()]
        for start in range(0, len(leads), size):
            with self.stage():
                refresh(Written(contacts=set(leads[start : start + size])), set())

    def prepare_copies(self) -> None:
        """Before the first `seed_around`."""
        with self.stage(), connection.cursor() as cursor:
            cursor.execute(copy_around.TABLES)

    def seed_around(self, names: Names) -> None:
        """Copy what the sync would look at for these names."""
        with self.stage(), connection.cursor() as cursor:
            for workspace in names.workspaces:
                cursor.execute(seed_shadow.NUMBERS, {"workspace": workspace})
            for statement in copy_around.AROUND:
                cursor.execute(statement, names.as_parameters())

    def analyze(self) -> None:
        """Tell the planner how large the tables are by now."""
        with connection.cursor() as cursor:
            for model in seed_shadow.shadowed():
                cursor.execute(f"ANALYZE {self.schema}.{model._meta.db_table}")  # noqa: SLF001


def plan_for_large_sets() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "; ".join(f"SET LOCAL enable_{name} TO DEFAULT" for name in PLANNING)
            + "; SET LOCAL plan_cache_mode TO DEFAULT"
        )


@dataclass(slots=True)
class Names:
    """What some events name: people, messages, sessions."""

    workspaces: set[int] = field(default_factory=set)
    identities: set[tuple[int, str, str]] = field(default_factory=set)
    messages: set[tuple[int, str]] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, told: Iterable[tuple[PhoneNumber | None, Event]]) -> Names:
        names = cls()
        for number, event in told:
            if isinstance(event, AutomationTold):
                names.sessions.add(event.session_id)
            elif number:
                names.workspaces.add(number.workspace_id)
                names._add(number, event)
        return names

    def _add(self, number: PhoneNumber, event: Event) -> None:
        match event:
            case MessageTold():
                self.messages |= {(number.pk, wamid) for wamid in (event.wamid, event.target) if wamid}
                self._person(number, event.person)
                if event.session:
                    self.sessions.add(event.session.kapso_id)
            case ReceiptsTold():
                self.messages.add((number.pk, event.wamid))
            case ProfileTold():
                self._person(number, event.person)
            case IdentityChanged():
                self._person(number, event.before)
                self._person(number, event.after)
                if event.message:
                    self._add(number, event.message)
            case SessionTold():
                self.sessions.add(event.session.kapso_id)
                self._person(number, event.person)

    def _person(self, number: PhoneNumber, person: Person) -> None:
        named = (("phone", person.phone), ("user", person.user_id))
        self.identities |= {(number.workspace_id, kind, value) for kind, value in named if value}

    def as_parameters(self) -> dict[str, Any]:
        return {
            "identities": as_json(sorted(self.identities)),
            "messages": as_json(sorted(self.messages)),
            "sessions": as_json(sorted(self.sessions)),
        }
