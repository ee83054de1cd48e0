"""Deliveries of which is known what must come: made up from a seed, the same each time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

from tests.builders import (
    LIMA,
    RECEIVED,
    SAOPAULO,
    SENT,
    Json,
    batch,
    contact_updated,
    error,
    message,
    meta_status,
    moment,
    reaction,
    sent,
    session_event,
    status,
    system_line,
    user_id_update,
)

PEOPLE = 400
CHANGING = 10  # of so many people one gets another user id, and one another phone
MOST_SHIFTED = 300  # a delivery overtakes or falls behind by no more places than this

MOST_AT_ONCE = 3  # deliveries about one answer

MessageKey = tuple[str, str]  # phone_number_id, WAMID
Told = tuple[Any, ...]  # body, event, and the messages that it tells of


@dataclass(slots=True)
class Person:
    index: int
    number: str
    phone: str
    user_id: str
    becomes: str = ""  # "phone" or "user_id", once, while the traffic goes on


@dataclass(slots=True)
class Expected:
    """What the row of a message must hold in the end."""

    person: int
    direction: str
    status: str
    sent_at: datetime
    delivered_at: datetime | None = None
    read_at: datetime | None = None
    failed_at: datetime | None = None
    error_code: int | None = None


@dataclass(slots=True, frozen=True)
class Delivery:
    key: str
    event: str
    body: bytes
    tells: tuple[MessageKey, ...]  # the messages that exist because of it, or have a status by it
    may_be_ignored: bool = False  # as long as its person has not written


@dataclass(slots=True)
class Traffic:
    random: Random
    people: list[Person] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    messages: dict[MessageKey, Expected] = field(default_factory=dict)
    second: int = 0

    @classmethod
    def of(cls, count: int, seed: int) -> Traffic:
        """`count` unique deliveries, in an order that is not that of their times."""
        traffic = cls(Random(seed))  # noqa: S311 - a story, not a secret
        traffic.people = [_person(index) for index in range(min(PEOPLE, max(10, count // 10)))]
        for person in traffic.people:
            traffic._deliver(*traffic._inbound(person, complete=True))
        while (room := count - len(traffic.deliveries)) > 0:
            traffic._something(room)
        places = {
            each.key: place + traffic.random.randrange(MOST_SHIFTED)
            for place, each in enumerate(traffic.deliveries)
        }
        traffic.deliveries.sort(key=lambda delivery: places[delivery.key])
        return traffic

    def _deliver(self, body: Json, event: str, *tells: MessageKey, may_be_ignored: bool = False) -> None:
        key = f"chaos-{len(self.deliveries)}"
        self.deliveries.append(Delivery(key, event, json.dumps(body).encode(), tells, may_be_ignored))

    def _something(self, room: int) -> None:
        self.second += self.random.randrange(1, 60)
        person = self.random.choice(self.people)
        (kind,) = self.random.choices(
            ["inbound", "outbound", "batch", "reaction", "about", "change"], [50, 24, 8, 3, 4, 3]
        )
        if kind == "outbound" and room >= MOST_AT_ONCE:
            self._outbound(person)
        elif kind == "batch":
            self._deliver(*self._batch(person))
        elif kind == "reaction":
            self._deliver(*self._reaction(person))
        elif kind == "about":
            self._about(person)
        elif kind == "change" and person.becomes:
            self._change(person)
        else:
            self._deliver(*self._inbound(person))

    def _row(self, person: Person, direction: str, status: str) -> tuple[str, Expected]:
        """A new WAMID, and what its row must hold."""
        wamid = f"wamid.chaos.{len(self.messages)}"
        expected = Expected(person.index, direction, status, moment(self.second))
        self.messages[person.number, wamid] = expected
        return wamid, expected

    def _text(self, person: Person, *, complete: bool = False) -> Json:
        """An inbound message; now and then it lacks one of its sender's two ids."""
        wamid, _ = self._row(person, "inbound", "received")
        lacks = "" if complete else self.random.choices(["", "phone", "user_id"], [8, 1, 1])[0]
        return message(
            wamid,
            self.second,
            phone=None if lacks == "phone" else person.phone,
            user_id=None if lacks == "user_id" else person.user_id,
            name=f"Person {person.index}",
            number=person.number,
            text=f"Hola {self.second} \U0001f44b",
        )

    def _inbound(self, person: Person, *, complete: bool = False) -> Told:
        body = self._text(person, complete=complete)
        return body, RECEIVED, (person.number, body["message"]["id"])

    def _batch(self, person: Person) -> Told:
        neighbours = [other for other in self.people if other.number == person.number]
        bodies = [self._text(self.random.choice(neighbours)) for _ in range(self.random.randrange(2, 12))]
        return batch(*bodies), RECEIVED, *((person.number, body["message"]["id"]) for body in bodies)

    def _reaction(self, person: Person) -> Told:
        wamid, _ = self._row(person, "inbound", "received")
        target = f"wamid.chaos.{self.random.randrange(len(self.messages))}"
        emoji = self.random.choice(["\U0001f44d", "❤️", "", None])
        body = reaction(wamid, self.second, target, emoji, **_who(person))
        return body, RECEIVED, (person.number, wamid)

    def _outbound(self, person: Person) -> None:
        """An answer and its receipts, each a delivery of its own."""
        wamid, expected = self._row(person, "outbound", "sent")
        key, who, at = (person.number, wamid), _who(person), self.second
        self._deliver(sent(wamid, at, **who), SENT, key)
        if self.random.random() < 0.1:
            expected.status, expected.failed_at, expected.error_code = "failed", moment(at + 3), 131026
            failure = status("failed", at + 3, error(131026))
            self._deliver(sent(wamid, at + 3, statuses=[failure], **who), "whatsapp.message.failed", key)
            return
        for word, when in [("delivered", at + 4), ("read", at + 9)][: self.random.randrange(3)]:
            expected.status = word
            setattr(expected, f"{word}_at", moment(when))
            if person.number == LIMA and self.random.random() < 0.4:
                self._deliver(meta_status(wamid, word, when), "", key)
            else:
                self._deliver(sent(wamid, when, **who), f"whatsapp.message.{word}", key)

    def _about(self, person: Person) -> None:
        """What is no message: a name, the end of a session."""
        if person.number != LIMA or self.random.random() < 0.5:
            body = contact_updated(person.phone, f"Name {self.second}", person.number)
            self._deliver(body, "contact.updated", may_be_ignored=True)
        else:
            session = f"session-{person.phone}-{LIMA}"
            body = session_event(session, self.second, phone=person.phone, status="ended")
            self._deliver(body, "whatsapp.conversation.ended")

    def _change(self, person: Person) -> None:
        """They get a new user id or a new phone, and stay the same lead."""
        becomes, person.becomes = person.becomes, ""
        if becomes == "user_id":
            old, person.user_id = person.user_id, f"PE.9{person.index:012}"
            self._deliver(user_id_update(self.second, old, person.user_id, person.phone), "")
            return
        old, person.phone = person.phone, f"519333{person.index:05}"
        wamid, _ = self._row(person, "inbound", "received")
        change = {"type": "user_changed_number", "wa_id": person.phone}
        self._deliver(system_line(wamid, self.second, old, **change), "", (LIMA, wamid))


def _who(person: Person) -> dict[str, str]:
    return {"phone": person.phone, "user_id": person.user_id, "number": person.number}


def _person(index: int) -> Person:
    number = (LIMA, SAOPAULO)[index % 2]
    # Meta's shape of these changes is made for the first number alone.
    becomes = {0: "user_id", 2: "phone"}.get(index % CHANGING, "")
    return Person(index, number, f"519111{index:05}", f"PE.1{index:012}", becomes)
