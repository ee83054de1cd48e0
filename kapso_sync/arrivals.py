"""Webhooks that come while others are being stored go together: one batch, one commit, each with its own answer.

Whoever comes alone goes at once; whoever comes meanwhile is taken along by the next, who is one of them. So the more
come at once, the less each of them costs: the statements of a batch are as many for one as for a hundred
(kapso_sync.sync), and so is its commit. Where many came just now the next one waits for as many, at most for as long as
that batch took: those who have their answer send the next webhook a moment after the one who had to wait.

All of a process's webhooks meet here, so one that keeps its batch waiting (somebody else has a lock) must not keep the
others: after a moment the next batch goes beside it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Condition, Lock

from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connection

from contacts.encryption import decrypted
from contacts.models import PhoneNumber
from contacts.statements import run
from kapso_sync import sync
from kapso_sync.models import WebhookDelivery
from kapso_sync.signature import BadSignature, SecretUnreadable, served_numbers

logger = logging.getLogger(__name__)

# Batches at a time in one process, and for how long the next one waits for the one before it.
MOST_BATCHES = 3
PATIENCE = 0.05  # seconds
# The most that goes together: beyond that a batch costs more by its size than it saves.
MOST_TOGETHER, MOST_BYTES = 64, 1_000_000

# A body that names more numbers than anybody has is not asked about: only a project-wide secret can have signed it.
MOST_NUMBERS = 1000

# What a webhook is verified and routed by; whatever else of a number is asked for is read then.
_FIELDS = ("id", "workspace_id", "phone_number_id", "display_phone_number", "webhook_secret", "is_active")
_COLUMNS = ", ".join(f"n.{field}" for field in _FIELDS)
_NUMBERS = "FROM contacts_phonenumber n JOIN contacts_workspace w ON w.id = n.workspace_id"

GO, DONE = "go", "done"


@dataclass(slots=True, eq=False)
class Arrival:
    """A webhook that has come: its delivery, who is said to have signed it, and, in the end, what came of it."""

    delivery: WebhookDelivery
    signature: str
    # The numbers whose secrets may have signed it; None until they were asked for.
    numbers: list[PhoneNumber] | None = None
    # Their workspaces, as far as these give out new leads in turn.
    in_turn: set[int] = field(default_factory=set)
    # Why it was not stored: `BadSignature`, `SecretUnreadable`, or whatever went wrong.
    error: BaseException | None = None
    words: SimpleQueue[str] = field(default_factory=SimpleQueue)

    @property
    def named(self) -> tuple[str, ...]:
        return self.delivery.numbers_named[:MOST_NUMBERS]


class Entrance:
    """Where the webhooks of a process meet. `work` is given those that go together, and raises nothing of its own."""

    def __init__(self, work: Callable[[Sequence[Arrival]], None]) -> None:
        self._work = work
        self._lock = Lock()
        self._is_full = Condition(self._lock)
        self._waiting: list[Arrival] = []
        self._batches = 0
        # Of the batch before: how many came around it, and how long it took.
        self._crowd, self._took = 0, 0.0

    def receive(self, arrival: Arrival, aside: Callable[[], AbstractContextManager[object]]) -> None:
        """Returns when the delivery is committed, or has an `error`. Who waits for others steps `aside` meanwhile."""
        with self._lock:
            self._waiting.append(arrival)
            if len(self._waiting) == self._crowd:
                self._is_full.notify()
            goes = not self._batches
            self._batches += goes
        while True:
            if goes:
                self._go()
            if not arrival.words.empty():
                word = arrival.words.get()
            else:
                with aside():
                    word = self._word_for(arrival)
            if word == DONE:
                return
            goes = True

    def _word_for(self, arrival: Arrival) -> str:
        """Waits until there is one; after a while without any it may go beside those who are under way."""
        while True:
            with suppress(Empty):
                return arrival.words.get(timeout=PATIENCE)
            with self._lock:
                if arrival in self._waiting and self._batches < MOST_BATCHES:
                    self._batches += 1
                    return GO

    def _go(self) -> None:
        with self._lock:
            self._is_full.wait_for(lambda: len(self._waiting) >= self._crowd, self._took)
            together, self._waiting = _together(self._waiting)
        begun = time.monotonic()
        try:
            if together:
                self._work(together)
        except BaseException as error:
            for arrival in together:
                arrival.error = error
            raise
        finally:
            with self._lock:
                self._crowd = min(len(together) + len(self._waiting), MOST_TOGETHER)
                self._took = min(time.monotonic() - begun, PATIENCE)
                if self._waiting:
                    self._waiting[0].words.put(GO)
                else:
                    self._batches -= 1
            for arrival in together:
                arrival.words.put(DONE)


def _together(waiting: list[Arrival]) -> tuple[list[Arrival], list[Arrival]]:
    """Who goes now, and who waits on: too many, too large, or a copy of one that goes."""
    goes: dict[tuple[str, str], Arrival] = {}
    left, size = [], 0
    for arrival in waiting:
        delivery = arrival.delivery
        body = (delivery.phone_number_id, delivery.body_sha256)
        size += len(delivery.body)
        if body in goes or len(goes) >= MOST_TOGETHER or (goes and size > MOST_BYTES):
            left.append(arrival)
        else:
            goes[body] = arrival
    return list(goes.values()), left


def store(arrivals: Sequence[Arrival]) -> None:
    """Verify each by itself, and bring those that are signed into the CRM together."""
    try:
        _ask_on_a_living_connection(arrivals)
        signed = [arrival for arrival in arrivals if _is_signed(arrival)]
        if signed:
            _receive(signed)
    except Exception as error:  # noqa: BLE001 - each is answered for itself
        for arrival in arrivals:
            arrival.error = arrival.error or error
    if any(arrival.error for arrival in arrivals):
        connection.close_at = 0  # with this request: it may lead to a server that has become read-only


def _ask_on_a_living_connection(arrivals: Sequence[Arrival]) -> None:
    """To ask for the numbers says as well as a question of its own whether the connection still leads anywhere."""
    connection.health_check_done = True  # type: ignore[attr-defined]  # Django's own
    try:
        _ask_for_numbers(arrivals)
    except (DatabaseError, InterfaceError):
        if connection.connection is None or not connection.connection.closed:
            raise
        connection.close()
        _ask_for_numbers(arrivals)


def _ask_for_numbers(arrivals: Sequence[Arrival]) -> None:
    """The bodies are read for nothing else before they are trusted."""
    named = sorted({number for arrival in arrivals for number in arrival.named})
    asked = list(_numbers("n.phone_number_id = ANY(%s)", named)) if named else []
    known = {number.phone_number_id: number for number, _ in asked}
    if not all(arrival.named for arrival in arrivals):
        with_secrets = list(_numbers("n.webhook_secret <> ALL(%s)", [""]))
        asked += with_secrets
    in_turn = {number.workspace_id for number, assigns_in_turn in asked if assigns_in_turn}
    for arrival in arrivals:
        mine = (known[number] for number in dict.fromkeys(arrival.named) if number in known)
        arrival.numbers = list(mine) if arrival.named else [number for number, _ in with_secrets]
        arrival.in_turn = {number.workspace_id for number in arrival.numbers} & in_turn


def _numbers(condition: str, values: list[str]) -> Iterator[tuple[PhoneNumber, bool]]:
    """With whether their workspace gives out new leads in turn. (For each webhook: the ORM plans it anew each time.)"""
    statement = f"SELECT {_COLUMNS}, w.assigns_in_turn {_NUMBERS} WHERE {condition}"
    for *row, assigns_in_turn in run(statement, [values]):
        told = dict(zip(_FIELDS, row, strict=True))
        told["webhook_secret"] = decrypted(told["webhook_secret"])
        yield PhoneNumber.from_db(DEFAULT_DB_ALIAS, _FIELDS, list(told.values())), assigns_in_turn


def _is_signed(arrival: Arrival) -> bool:
    delivery = arrival.delivery
    try:
        delivery.served_numbers = served_numbers(delivery.raw_body, arrival.signature, arrival.numbers or ())
    except (BadSignature, SecretUnreadable) as error:
        arrival.error = error
    return arrival.error is None


def _receive(arrivals: Sequence[Arrival]) -> None:
    """Where they cannot be stored together, each by itself, so that none pays for another."""
    try:
        sync.receive([arrival.delivery for arrival in arrivals], _numbers_of(arrivals))
    except Exception as error:
        if len(arrivals) == 1 or connection.connection is None:
            raise
        logger.warning("%s webhooks could not be stored together: %s", len(arrivals), type(error).__name__)
        for arrival in arrivals:
            _receive_alone(arrival)


def _receive_alone(arrival: Arrival) -> None:
    try:
        sync.receive([arrival.delivery], arrival.numbers or ())
    except Exception as error:  # noqa: BLE001 - it is answered for itself
        arrival.error = error


def _numbers_of(arrivals: Iterable[Arrival]) -> list[PhoneNumber]:
    return list({n.pk: n for arrival in arrivals for n in arrival.numbers or ()}.values())


entrance = Entrance(store)
