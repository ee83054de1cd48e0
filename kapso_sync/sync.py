"""The joint: deliveries in, CRM and outcomes out. Live webhooks, replay, retries and imports all meet in `Batch`.

Take what the deliveries tell (kapso_sync.parts), apply all of it at once (contacts.sync), and commit that together with what came of each delivery.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

from django.conf import settings
from django.db import IntegrityError, OperationalError, connection, transaction
from django.utils import timezone

import contacts.sync
from contacts import people
from contacts.automation import apply_automation
from contacts.events import AutomationTold, Event, IdentityChanged, MessageTold, NumberTold
from contacts.models import PhoneNumber
from contacts.numbers import apply_numbers
from contacts.people import PeopleChanged
from contacts.tombstones import ERASED, NOBODY, ErasedPeople, Tombstones
from kapso_sync import clearing, counting
from kapso_sync.models import WebhookDelivery
from kapso_sync.parts import Part, numbers_named_by, parts_of
from kapso_sync.patience import TRY_AGAIN, met_others, patiently, sqlstate, timed_out, was_cut_off

logger = logging.getLogger(__name__)

Status = WebhookDelivery.Status

# Of several outcomes in one body the first of these is the delivery's.
PRECEDENCE = (Status.FAILED, Status.UNROUTABLE, Status.PROCESSED, Status.IGNORED)

ATTEMPTS = 5


def receive(deliveries: Sequence[WebhookDelivery], numbers: Iterable[PhoneNumber]) -> None:
    """Store deliveries and bring what they tell into the CRM; all of it becomes visible together.

    No two of them have the same `key`. A copy of one that is here already changes nothing, unless that one failed:
    then this is its next try. Raises only when they could not even be stored, and then none of them is.
    """
    Batch(deliveries, numbers, is_new=True).process()


def replay(deliveries: Sequence[WebhookDelivery]) -> list[WebhookDelivery]:
    """Bring stored deliveries into the CRM (again), in one transaction; saves what came of each.

    Returns those that it replayed: not those whose bodies were cleared since they were loaded. These keep their
    outcome, and their instances become what the rows are. Raises `TooBusy` where somebody keeps the rows themselves.
    """
    batch = Batch(deliveries, numbers_named_by(deliveries).values(), is_new=False)
    patiently(batch.process)
    return list(batch.deliveries)


class Stage(Protocol):
    """Where a batch is applied instead of the live tables, and where it notes that it was (kapso_sync.rehearsing)."""

    def enter(self, told: Sequence[tuple[PhoneNumber | None, Event]]) -> None:
        """Called in every transaction before it writes these, so that none ever meets the live tables by mistake."""

    def note(self, deliveries: Sequence[WebhookDelivery]) -> None:
        """Called at its end."""


def rehearse(deliveries: Sequence[WebhookDelivery], numbers: Iterable[PhoneNumber], stage: Stage) -> None:
    """Apply stored deliveries on a stage. What came of each is told by the instances and saved nowhere."""
    Batch(deliveries, numbers, is_new=False, stage=stage).process()


class Batch:
    """Some deliveries, the numbers that they name, and what came of each part."""

    def __init__(
        self,
        deliveries: Sequence[WebhookDelivery],
        numbers: Iterable[PhoneNumber],
        *,
        is_new: bool,
        stage: Stage | None = None,
    ) -> None:
        self.stage = stage
        self.all = deliveries
        self.deliveries = deliveries  # those of which something is to be applied
        if stage:
            for delivery in deliveries:
                delivery.note_applied(delivery.status, delivery.waits_for)
        self.numbers = {number.phone_number_id: number for number in numbers}
        self.is_new = is_new
        self.parts: list[Part] = []
        self.erased = NOBODY  # whom it tells of that was erased, as far as is known by now

    def process(self) -> None:
        """Apply all or, where something is wrong with a part, all the others; commit outcomes with the effects."""
        try:
            self._commit()
        except Exception as error:
            if connection.connection is None or (self.is_new and self.all[0].pk is None):
                raise  # no database, or not even stored: nothing that a further try would change in time
            self._commit_what_works(error)
        self._log()
        if self.is_new:
            mine = _by_delivery(self.parts)
            for delivery in self.all:
                counting.arrived(delivery, mine[id(delivery)])

    def _commit(self) -> None:
        alone = False
        attempts = ATTEMPTS
        while True:
            try:
                with transaction.atomic():
                    if self._begin():
                        if self.erased:
                            self._lock_alone()
                        _apply(self.parts, alone=alone, erased=self.erased)
                        self._save()
            except PeopleChanged:
                alone = True
            except ErasedPeople as found:
                # Sealing wants the workspaces alone: two that share one by then would wait for each other.
                alone = True
                self.erased = {**self.erased, **found.tombstones}
            except (OperationalError, IntegrityError) as error:
                attempts -= 1
                if not attempts or not self._may_try_again(error):
                    raise
            else:
                return

    def _may_try_again(self, error: Exception) -> bool:
        # If it was committed after all, the next try of a new one finds that.
        return sqlstate(error) in TRY_AGAIN or (self.is_new and was_cut_off(error))

    def _commit_what_works(self, error: Exception) -> None:
        if timed_out(error) and len(groups := self._by_workspace()) > 1:
            self._process_apart(groups)  # only one of them need wait for whoever keeps that lock
            return
        logger.error("A delivery cannot be applied: %s. It is kept as failed.", type(error).__name__)
        try:
            with transaction.atomic():
                if self._begin():
                    if not timed_out(error):
                        # All at once and in order: half by half, two such batches could wait for each other.
                        self._lock_alone()
                    self._apply_by_halves(self._applicable, error)
                    self._save()
        except Exception as again:  # noqa: BLE001 - see process
            self._give_up(again)

    def _give_up(self, error: Exception) -> None:
        """Not even halves could be committed: each delivery for itself, so that none pays for another.

        Unless that is for a lock that somebody keeps: each would wait for it, and all are tried again soon anyway.
        """
        if len(self.all) > 1 and not timed_out(error):
            self._process_apart([[delivery] for delivery in self.all])
            return
        with transaction.atomic():
            if self._begin():
                for part in self._applicable:
                    part.failed(error, met_others=met_others(error))
                self._save()

    def _by_workspace(self) -> list[list[WebhookDelivery]]:
        mine = _by_delivery(self.parts)
        groups: dict[frozenset[int], list[WebhookDelivery]] = {}
        for delivery in self.all:
            around = frozenset(part.number.workspace_id for part in mine[id(delivery)] if part.number)
            groups.setdefault(around, []).append(delivery)
        return list(groups.values())

    def _process_apart(self, groups: Iterable[list[WebhookDelivery]]) -> None:
        each = [Batch(group, self.numbers.values(), is_new=self.is_new, stage=self.stage) for group in groups]
        for batch in each:
            batch.process()
        self.deliveries = [one for batch in each for one in batch.deliveries]
        self.all, self.parts = [], []  # they have told of theirs

    def _lock_alone(self) -> None:
        """Every workspace that applying, or sealing what the bodies tell, may want alone; at once and in order."""
        people.lock_alone({part.number.workspace_id for part in self.parts if part.number and part.events})

    @property
    def _applicable(self) -> list[Part]:
        return [part for part in self.parts if part.is_to_apply]

    def _apply_by_halves(self, parts: list[Part], error: Exception) -> None:
        """Find what cannot be applied, in log2 of the number of parts; `error` is what they met together."""
        if len(parts) == 1 or timed_out(error):
            for part in parts:
                part.failed(error, met_others=met_others(error))
            return
        for half in (parts[: len(parts) // 2], parts[len(parts) // 2 :]):
            routed = [(part.status, part.reason) for part in half]
            try:
                self._apply_half(half)
            except Exception as again:  # noqa: BLE001 - see process
                for part, (status, reason) in zip(half, routed, strict=True):
                    part.status, part.reason = status, reason  # what it found out was rolled back
                self._apply_by_halves(half, again)

    def _apply_half(self, half: list[Part]) -> None:
        while True:
            try:
                with transaction.atomic():
                    _apply(half, alone=True, erased=self.erased)
                    connection.check_constraints()  # the deferred ones, which this savepoint would not meet
            except ErasedPeople as found:
                self.erased = {**self.erased, **found.tombstones}
            else:
                return

    def _begin(self) -> bool:
        """Normalise and, if new, store; False if there is nothing left to do."""
        if self.is_new:
            self.deliveries = self.all
        elif not self.stage:
            self.deliveries = WebhookDelivery.objects.lock_to_replay(self.deliveries)
        self.parts = self._normalise()
        for delivery in self.deliveries:
            delivery.is_just_stored = False
        if self.stage:
            self.stage.enter([(part.number, event) for part in self._applicable for event in part.events])
        return not self.is_new or self._store()

    def _store(self) -> bool:
        """False where all of them were here already, and none is to be tried again."""
        came = [(d.received_at, d.served_numbers) for d in self.all]
        mine = _by_delivery(self.parts)
        for delivery in self.all:
            delivery.pk = None
            _conclude(delivery, mine[id(delivery)])
        WebhookDelivery.store(self.all)
        self.deliveries = [delivery for delivery in self.all if delivery.is_to_apply]
        known = [(d.earliest_received_at, d.served_numbers) for d in self.all]
        if len(self.deliveries) < len(self.all) or came != known:
            self.parts = self._normalise()
        return bool(self.deliveries)

    def _normalise(self) -> list[Part]:
        return parts_of(self.deliveries, self.numbers)

    def _save(self) -> None:
        """Save the outcomes; of a delivery that was just stored only if it came out differently than foreseen."""
        changed = []
        mine = _by_delivery(self.parts)
        for delivery in self.deliveries:
            foreseen = (delivery.status, delivery.error)
            _conclude(delivery, mine[id(delivery)])
            if not (delivery.is_just_stored and (delivery.status, delivery.error) == foreseen):
                changed.append(delivery)
        if self.stage:
            self.stage.note(self.deliveries)
            return
        if changed:
            WebhookDelivery.objects.save_outcomes(changed)
        clearing.forget_the_erased(self.deliveries, self.parts)

    def _log(self) -> None:
        """One line for each message: never its text, a name or a phone."""
        for part in [] if self.stage else self.parts:
            if part.status != Status.PROCESSED:
                continue
            for event in part.events:
                message = event.message if isinstance(event, IdentityChanged) else event
                if isinstance(message, MessageTold):
                    logger.info(
                        "synced %s message kapso_id=%s delivery=%s",
                        message.direction,
                        message.wamid,
                        part.delivery.pk,
                    )


def _by_delivery(parts: Iterable[Part]) -> dict[int, list[Part]]:
    """By the instance: as long as it is not stored, a delivery has no id of its own."""
    mine: dict[int, list[Part]] = defaultdict(list)
    for part in parts:
        mine[id(part.delivery)].append(part)
    return mine


def _conclude(delivery: WebhookDelivery, parts: list[Part]) -> None:
    """What its parts come to, as the outcome of the delivery."""
    delivery.status = min((part.status for part in parts), key=PRECEDENCE.index, default=Status.IGNORED)
    reasons = dict.fromkeys(part.reason for part in parts if part.reason)
    delivery.error = "\n".join(reasons) or ("" if parts else "There is nothing in it.")
    workspaces = {part.number.workspace_id for part in parts if part.number}
    # A body that speaks of several workspaces is shown to none of them.
    delivery.workspace_id = workspaces.pop() if len(workspaces) == 1 else None
    delivery.processed_at = timezone.now()
    delivery.code_version = settings.CODE_VERSION
    delivery.waits_for = sorted({part.waits_for for part in parts} - {""}) or None
    failed = [part for part in parts if part.status == Status.FAILED]
    delivery.met_others = all(part.met_others for part in failed)


def _apply(parts: list[Part], *, alone: bool, erased: Tombstones) -> None:
    told = [
        (part, part.number, event)
        for part in parts
        if part.is_to_apply and part.number
        for event in part.events
        if not isinstance(event, NumberTold | AutomationTold)
    ]
    reasons = contacts.sync.apply([(number, event) for _, number, event in told], alone=alone, erased=erased)
    for index, reason in reasons.items():
        told[index][0].is_erased |= reason == ERASED
    unused = Counter(id(told[index][0]) for index in reasons)
    for index, reason in reasons.items():
        part = told[index][0]
        if unused[id(part)] == len(part.events) and (part.is_erased or len(part.events) == 1):
            part.status, part.reason, part.counted = Status.IGNORED, reason, reason
    _apply_apart(parts)


def _apply_apart(parts: list[Part]) -> None:
    """The rare events that are about a number or an automation rather than about a person."""
    told = [(part, event) for part in parts if part.is_to_apply for event in part.events]
    apply_numbers(
        [(part.number, event) for part, event in told if isinstance(event, NumberTold) and part.number]
    )
    automation = [(part, event) for part, event in told if isinstance(event, AutomationTold)]
    reasons = apply_automation([(event, part.delivery.served_numbers) for part, event in automation])
    for index, reason in reasons.items():
        part = automation[index][0]
        part.status, part.reason, part.is_erased = Status.IGNORED, reason, reason == ERASED
        part.counted = ERASED if part.is_erased else "the conversation is not known yet"
