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
CREATE SCHEMA {shadow};
CREATE FUNCTION {shadow}.pg_advisory_xact_lock(integer, integer) RETURNS void LANGUAGE sql AS 'SELECT';
CREATE FUNCTION {shadow}.pg_advisory_xact_lock_shared(integer, integer) RETURNS void LANGUAGE sql AS 'SELECT';
"""


class Shadow:
    """The shadow in this schema. Everything but `exists` belongs into a transaction of the caller."""

    def __init__(self, schema: str) -> None:
        if not re.fullmatch("[a-z0-9_]+", schema):
            raise ValueError(schema)
        self.schema = schema

    def run(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Execute a statement that calls the schema `{shadow}`, and return its rows."""
        with connection.cursor() as cursor:
            cursor.execute(self._named(statement), parameters)
            return list(cursor.fetchall()) if cursor.description else []

    def count(self, statement: str) -> int:
        """As `run`; returns how many rows it wrote."""
        with connection.cursor() as cursor:
            cursor.execute(self._named(statement))
            return int(cursor.rowcount)

    @contextmanager
    def stream(self, statement: str, parameters: Any = None) -> Iterator[Iterator[tuple[Any, ...]]]:
        """The rows one by one, from a server-side cursor."""
        with connection.chunked_cursor() as cursor:
            cursor.execute(self._named(statement), parameters)
            yield iter(cursor)

    def _named(self, statement: str) -> str:
        return statement.replace("{shadow}", self.schema)

    @property
    def exists(self) -> bool:
        return bool(self.run("SELECT to_regnamespace('{shadow}') IS NOT NULL")[0][0])

    def create(self) -> None:
        """Make the empty tables, with all that the sync relies on: keys, indexes, defaults, sequences."""
        self.run(UNLOCKED)
        for model in seed_shadow.shadowed():
            table = model._meta.db_table  # noqa: SLF001
            self.run(f"CREATE TABLE {{shadow}}.{table} (LIKE public.{table} INCLUDING ALL)")
            self.run(f"ALTER TABLE {{shadow}}.{table} ALTER id RESTART WITH {FIRST_ID}")

    def drop(self) -> None:
        self.run("DROP SCHEMA IF EXISTS {shadow} CASCADE")

    def enter(self) -> None:
        """Until the transaction (or savepoint) ends, bare names are the shadow's."""
        self.run("SET LOCAL search_path = {shadow}, pg_catalog, public")

    def leave(self) -> None:
        self.run("SET LOCAL search_path TO DEFAULT")
        plan_for_large_sets()

    @contextmanager
    def stage(self) -> Iterator[None]:
        with transaction.atomic():
            self.enter()
            plan_for_large_sets()
            yield
            self.leave()

    def seed_sealed(self, workspace: int) -> None:
        """Bring in what no stored delivery tells of this workspace."""
        self._seed(workspace, seed_shadow.SEALED)
        self._derive_leads()

    def seed_typed(self, workspace: int) -> None:
        """Bring in the leads and merges that people have made since."""
        self._seed(workspace, seed_shadow.TYPED)

    def _seed(self, workspace: int, statements: Iterable[str]) -> None:
        with self.stage():
            for statement in statements:
                self.run(statement, {"workspace": workspace})
            links = self.run(seed_shadow.LINKS, {"workspace": workspace})
            if links:
                refresh(people.regroup({identity for link in links for identity in link}, set()), set())

    def _derive_leads(self, size: int = 500) -> None:
        """The leads that rest on sealed rows, as these alone would have them."""
        living = "SELECT id FROM {shadow}.contacts_contact WHERE made_by_sync AND merged_into_id IS NULL AND id < %s"
        leads = sorted(row[0] for row in self.run(living, [FIRST_ID]))
        for start in range(0, len(leads), size):
            with self.stage():
                refresh(Written(contacts=set(leads[start : start + size])), set())

    def prepare_copies(self) -> None:
        """Before the first `seed_around`."""
        with self.stage():
            self.run(copy_around.TABLES)

    def seed_around(self, names: Names) -> None:
        """Copy what the sync would look at for these names."""
        with self.stage():
            for workspace in names.workspaces:
                self.run(seed_shadow.NUMBERS, {"workspace": workspace})
            for statement in copy_around.AROUND:
                self.run(statement, names.as_parameters())

    def analyze(self) -> None:
        """Tell the planner how large the tables are by now."""
        for model in seed_shadow.shadowed():
            self.run(f"ANALYZE {{shadow}}.{model._meta.db_table}")  # noqa: SLF001


def plan_for_large_sets() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "; ".join(f"SET LOCAL enable_{name} TO DEFAULT" for name in PLANNING)
            + "; SET LOCAL plan_cache_mode TO DEFAULT"
        )


def plan_for_few_rows() -> None:
    """As the sync's first statement does: what follows looks up a few rows in large tables."""
    with connection.cursor() as cursor:
        cursor.execute(
            "; ".join(f"SET LOCAL enable_{name} TO off" for name in PLANNING)
            + "; SET LOCAL plan_cache_mode TO force_generic_plan"
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
