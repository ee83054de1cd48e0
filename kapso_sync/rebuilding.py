"""The CRM of a workspace, built anew from the stored deliveries beside the live one; compared with it, or swapped in.

The shadow (contacts.shadow) is filled batch by batch, each in a transaction of its own that also notes which deliveries
were applied: what was interrupted goes on where it was. It starts from what no stored delivery tells: sealed facts,
leads and merges made by hand. Live traffic goes on meanwhile; what it brings is caught up with in the transaction that
compares or swaps, so both see exactly what the live tables are made of.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from django.conf import settings
from django.db import ProgrammingError, connection, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Exists, Max, OuterRef, Q

from contacts import people
from contacts.difference import LeadDifference, collect_differences, read_differences
from contacts.events import Event
from contacts.models import Message, PhoneNumber, Tombstone, Workspace
from contacts.shadow import Shadow
from contacts.statements.seed_shadow import COUNT_SEALED
from contacts.swapping import Swapped, swap
from kapso_sync import sync
from kapso_sync.models import DeliveryAttempt, WebhookDelivery, WebhookDeliveryQuerySet
from kapso_sync.patience import patiently
from kapso_sync.reading_ahead import read_ahead
from kapso_sync.replaying import BATCH_SIZE, Growth, first_keys

Status = WebhookDelivery.Status
OnBatch = Callable[[int], None]

# Of the deliveries that fail, no more are named.
MOST_NAMED = 5

# "Somebody rebuilds this workspace", as an advisory lock of the session: it goes with the connection.
REBUILD_LOCK = 7_310_003

WAS_APPLIED = Exists(DeliveryAttempt.objects.filter(delivery=OuterRef("pk"), status=Status.PROCESSED))

# What the schema of a workspace's shadow is called, but for the workspace's id.
SHADOW = "leadcrm_shadow_"

TABLES = """
CREATE TABLE {shadow}.state (fingerprint text, emptied bigint, begun_at timestamptz DEFAULT now());
CREATE TABLE {shadow}.applied (delivery_id bigint PRIMARY KEY);
CREATE TABLE {shadow}.failed (delivery_id bigint PRIMARY KEY, error text);
"""


class Busy(Exception):  # noqa: N818 - said to people, not raised by a fault
    """Somebody else rebuilds or verifies this workspace just now."""


class Outdated(Exception):  # noqa: N818 - see Busy
    """What the shadow was built on has changed: code, numbers, erased people, emptied bodies, imported messages."""


class Incomplete(Exception):  # noqa: N818 - see Busy
    """Deliveries that the live CRM rests on cannot be applied now: without them, their facts would look untold."""


@dataclass(slots=True)
class Rebuild:
    """One workspace's shadow, and how far it has come."""

    workspace: Workspace
    outcomes: Counter[str] = field(default_factory=Counter)  # of the deliveries applied by this run
    inactive: frozenset[str] = frozenset()  # the numbers of the workspace that are set inactive
    has_begun: bool = False

    @property
    def shadow(self) -> Shadow:
        return Shadow(f"{SHADOW}{self.workspace.pk}")

    # The stage of kapso_sync.sync.rehearse.

    def enter(self, told: Sequence[tuple[PhoneNumber | None, Event]]) -> None:
        """Fails where the shadow is gone: without it bare names would be the live tables'. Until the end it stays."""
        del told  # everything is here
        self.shadow.run("SELECT FROM {shadow}.state")
        self.shadow.enter()

    def note(self, deliveries: Sequence[WebhookDelivery]) -> None:
        """What still waits for a number is looked at again, it may be applied live meanwhile; what failed, by the next run."""
        self.shadow.leave()
        failed = [delivery for delivery in deliveries if delivery.status == Status.FAILED]
        applied = [
            delivery.pk
            for delivery in deliveries
            if delivery.status != Status.FAILED and not self.inactive & set(delivery.waits_for or ())
        ]
        statement = "INSERT INTO {shadow}.applied SELECT unnest(%s::bigint[]) ON CONFLICT DO NOTHING"
        self.shadow.run(statement, [applied])
        statement = "INSERT INTO {shadow}.failed SELECT unnest(%s::bigint[]), unnest(%s::text[]) ON CONFLICT DO NOTHING"
        self.shadow.run(statement, [[delivery.pk for delivery in failed], [_kind(one) for one in failed]])

    # What there is to apply.

    @property
    def deliveries(self) -> WebhookDeliveryQuerySet:
        """Those that may tell something of this workspace.

        One of which nothing was ever applied, since its number is inactive, changed nothing. One that was applied
        before it was ignored did: its facts are live, and are told again, rather one too many than one too few.
        """
        numbers = PhoneNumber.objects.filter(workspace=self.workspace).values_list(
            "phone_number_id", flat=True
        )
        named = Q(phone_number_id__in=list(numbers)) | Q(workspace=self.workspace) | Q(workspace=None)
        waits = Q(status=Status.IGNORED, waits_for__isnull=False)
        return WebhookDelivery.objects.filter(named).exclude(waits & ~Q(WAS_APPLIED))

    @property
    def waiting(self) -> WebhookDeliveryQuerySet:
        """Not tried yet. Looked up one by one: a delivery may be committed after one with a higher id."""
        not_applied = self._noted(self.deliveries.filter(body_cleared_at=None), "NOT EXISTS", "applied")
        return self._noted(not_applied, "NOT EXISTS", "failed")

    def _noted(self, deliveries: WebhookDeliveryQuerySet, exists: str, table: str) -> WebhookDeliveryQuerySet:
        noted = f"SELECT FROM {self.shadow.schema}.{table} WHERE delivery_id = kapso_sync_webhookdelivery.id"
        found: Any = deliveries.extra(where=[f"{exists} ({noted})"])  # noqa: S610 - all of it is ours
        return cast("WebhookDeliveryQuerySet", found)

    def begin(self, *, restart: bool = False) -> str:
        """Make the shadow, or find the one that an earlier run left; says in words which."""
        with self._there():
            return self._begin(restart=restart)

    def _begin(self, *, restart: bool) -> str:
        found = self.shadow.exists and not restart
        is_lost = self.has_begun and not self.shadow.exists
        self.has_begun = True
        if found and self._state() == self._now():
            self.shadow.run("TRUNCATE {shadow}.failed")  # they are tried again
            return f"Going on with what was begun: {self._applied()} deliveries are done."
        with transaction.atomic():
            self.shadow.drop()
            self.shadow.create()
            self.shadow.run(TABLES)
            self.shadow.run("INSERT INTO {shadow}.state VALUES (%s, %s)", self._now())
            self.shadow.seed_sealed(self.workspace.pk)
        if is_lost:
            return "What was begun is gone, as it is when somebody is erased: beginning anew."
        return "What was begun is out of date: beginning anew." if found else ""

    @contextmanager
    def _there(self) -> Iterator[None]:
        """Whoever erases a person drops the shadow, which holds them too: raises `Outdated` then."""
        try:
            yield
        except ProgrammingError as error:
            if self.shadow.exists:
                raise
            raise Outdated from error

    def count_waiting(self) -> int:
        with self._there():
            return self.waiting.count()

    def build(self, on_batch: OnBatch = lambda _: None, size: int = BATCH_SIZE) -> None:
        """Apply what waits, in the order of arrival, a batch a transaction."""
        with self._there():
            self._build(on_batch, size)

    def _build(self, on_batch: OnBatch = lambda _: None, size: int = BATCH_SIZE) -> None:
        growth = Growth(size)
        for batch in read_ahead(self._batches(size)):
            self._apply(batch)
            on_batch(len(batch))
            if growth.has_doubled(batch):
                self.shadow.analyze()

    def _batches(self, size: int) -> Iterator[list[WebhookDelivery]]:
        after = 0
        while keys := first_keys(self.waiting.filter(pk__gt=after).order_by("pk"), size):
            after = keys[-1]
            yield list(WebhookDelivery.objects.filter(pk__in=keys).replayable())

    def _apply(self, batch: list[WebhookDelivery]) -> None:
        numbers = list(PhoneNumber.objects.filter(workspace=self.workspace))
        self.inactive = frozenset(number.phone_number_id for number in numbers if not number.is_active)
        together = defaultdict(list)
        for delivery in batch:
            together[self._waits_for(delivery)].append(delivery)
        for waits_for, some in together.items():
            for number in numbers:
                number.is_active = number.phone_number_id not in waits_for
            sync.rehearse(some, numbers, self)
        self.outcomes.update(delivery.status for delivery in batch)

    def _waits_for(self, delivery: WebhookDelivery) -> frozenset[str]:
        """The inactive numbers of which it was not applied. Of one that is inactive only since, it was."""
        if delivery.status == Status.RECEIVED:
            return self.inactive
        if delivery.status == Status.IGNORED:
            return frozenset()  # it was applied once: see `deliveries`
        return self.inactive & set(delivery.waits_for or ())

    def _catch_up(self) -> None:
        """In the transaction that compares or swaps: whatever came or was made by hand until now."""
        if self._state() != self._now():
            raise Outdated
        self.shadow.seed_typed(self.workspace.pk)
        self._build()
        self._refuse_if_incomplete()

    def _refuse_if_incomplete(self) -> None:
        """One that failed live too told nothing: it is none of the reasons why the two could differ."""
        was_applied = Q(status__in=[Status.PROCESSED, Status.IGNORED, Status.UNROUTABLE]) | Q(WAS_APPLIED)
        failing = self._noted(self.deliveries.filter(was_applied), "EXISTS", "failed").order_by("pk")
        keys = list(failing.values_list("pk", flat=True)[:MOST_NAMED])
        if not keys:
            return
        count = failing.count()
        kinds = dict(self.shadow.run("SELECT * FROM {shadow}.failed WHERE delivery_id = ANY(%s)", [keys]))
        named = ", ".join(f"{key} ({kinds[key]})" for key in keys)
        raise Incomplete(
            f"{count} deliver{'y fails' if count == 1 else 'ies fail'} now that did not before: {named}"
            f"{f' and {count - len(keys)} more' if count > len(keys) else ''}. Nothing was changed. Mend what they "
            "met (the code, a full disk), then start this again: it goes on where it was."
        )

    # What comes of it.

    @contextmanager
    def compared(self) -> Iterator[Iterator[LeadDifference]]:
        """The differences between live and rebuilt, as of one moment; read them within the block."""
        with self._there(), transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            self._catch_up()
            collect_differences(self.shadow, [self.workspace.pk], copied=False)
            yield read_differences(self.shadow)

    def count_differing(self) -> int:
        """How many rows `compared` found to differ: webhooks wait while they are written."""
        with self._there():
            return int(self.shadow.run("SELECT count(*) FROM {shadow}.difference")[0][0])

    def swap(self) -> tuple[Swapped, float]:
        """Write the differences that `compared` found; returns what was done, and for how many seconds webhooks waited."""

        def write() -> tuple[Swapped, float]:
            with self._there(), transaction.atomic():
                people.lock_alone([self.workspace.pk])
                started = time.monotonic()
                self._catch_up()
                swapped = swap(self.shadow, self.workspace.pk)
            return swapped, time.monotonic() - started

        return patiently(write)

    def drop(self) -> None:
        with transaction.atomic():
            self.shadow.drop()

    def emptied(self) -> int:
        """Deliveries whose bodies are gone: what they told is sealed, and was not built anew."""
        return self.deliveries.exclude(body_cleared_at=None).count()

    def sealed(self) -> list[str]:
        """How many rows of each kind no stored delivery tells, in words."""
        counts = self.shadow.run(COUNT_SEALED, {"workspace": self.workspace.pk})
        return [f"{count} {one if count == 1 else many}" for one, many, count in counts if count]

    def _applied(self) -> int:
        return int(self.shadow.run("SELECT count(*) FROM {shadow}.applied")[0][0])

    def _state(self) -> tuple[str, int]:
        fingerprint, emptied = self.shadow.run("SELECT fingerprint, emptied FROM {shadow}.state")[0]
        return fingerprint, emptied

    def _now(self) -> tuple[str, int]:
        return self._fingerprint(), self._emptied_before_applied()

    def _fingerprint(self) -> str:
        migrations = MigrationRecorder.Migration.objects.filter(app__in=["contacts", "kapso_sync"])
        numbers = PhoneNumber.objects.filter(workspace=self.workspace).order_by("pk")
        known = [
            settings.CODE_VERSION,
            sorted(migrations.values_list("app", "name")),
            list(numbers.values_list("pk", "phone_number_id", "display_phone_number", "is_active")),
            Message.objects.filter(workspace=self.workspace, is_sealed=True).count(),
            Tombstone.objects.filter(workspace=self.workspace).aggregate(Max("pk"), Max("erased_at")),
        ]
        return hashlib.sha256(repr(known).encode()).hexdigest()

    def _emptied_before_applied(self) -> int:
        """More of these than at the beginning: their facts were sealed too late for the shadow to start from."""
        return self._noted(self.deliveries.without_bodies(), "NOT EXISTS", "applied").count()


def _kind(delivery: WebhookDelivery) -> str:
    """Of the error that a delivery met the kind, without the values that it may quote."""
    return delivery.error.strip().rpartition("\n")[2].partition(":")[0][:80]


@contextmanager
def rebuilding(workspace: Workspace) -> Iterator[Rebuild]:
    """A rebuild that nobody else works on meanwhile; raises `Busy` where somebody does."""
    with alone_with(workspace.pk):
        yield Rebuild(workspace)


@contextmanager
def alone_with(workspace_id: int) -> Iterator[None]:
    """With its shadow, until the block ends. Raises `Busy` where somebody else is.

    Never through PgBouncer, which would give the lock's session to others (kapso_sync.management.building).
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [REBUILD_LOCK, workspace_id])
        if not cursor.fetchone()[0]:
            raise Busy
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [REBUILD_LOCK, workspace_id])


def is_let_alone(workspace_id: int) -> bool:
    """Whether nobody rebuilds it; then nobody will until the transaction ends. Also through PgBouncer."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [REBUILD_LOCK, workspace_id])
        return bool(cursor.fetchone()[0])
