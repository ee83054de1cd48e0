"""Statements 2 and 3 of a batch: whose messages these are, then the messages themselves.

`Placement` asks PostgreSQL whose each touched message is, in a statement of its own: only a new snapshot sees what
the transactions before us, which `Facts.record` may have waited for, have written. `write` then makes the missing
leads and threads and brings the message rows up to date.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import itemgetter
from typing import Any

from contacts.facts import as_json
from contacts.statements import run, run_named
from contacts.statements.place_messages import PLACE_MESSAGES
from contacts.statements.write_messages import WRITE_MESSAGES

MessageKey = tuple[int, str]  # business number, WAMID: what identifies a message


@dataclass(slots=True, kw_only=True)
class Ask:
    """A question of whose something is: a message (`wamid`), or what an event without one is about."""

    workspace_id: int
    number_id: int
    wamid: str = ""
    direction: str = ""
    phone: str | None = None
    user_id: str | None = None
    session: str = ""
    at: datetime | None = None
    ranks: dict[str, str] = field(default_factory=dict)
    is_told: bool = False
    makes_person: bool = False

    @property
    def people(self) -> list[Ask]:
        """Whom it names, as questions without the message: phone and user id may be two leads."""
        plain = replace(self, wamid="", session="", is_told=False, makes_person=False, ranks={})
        both = [replace(plain, user_id=None)] if self.phone else []
        return [*both, replace(plain, phone=None)] if self.user_id else both


@dataclass(slots=True, kw_only=True)
class Place:
    """The answer: the identity that holds it (None: nobody yet), its lead and its thread."""

    workspace_id: int
    number_id: int
    message_id: int | None
    is_message: bool
    makes_person: bool
    phone: str | None
    user_id: str | None
    at: datetime | None
    node: int | None
    contact_id: int | None
    conversation_id: int | None
    former_contact_id: int | None
    former_conversation_id: int | None
    phone_identity: int | None
    user_identity: int | None
    is_news: bool  # it is evidence that may change who held its phone
    is_unheld: bool  # nobody is known to have held its phone until now
    is_entangled: bool  # the node has no lead, but is linked to other identities
    spare_contact_id: int | None
    spare_conversation_id: int | None

    @property
    def named(self) -> tuple[str | None, str | None, datetime | None]:
        """What its lead was told by."""
        return (self.phone, self.user_id, self.at)

    @property
    def pointers(self) -> tuple[int | None, int | None]:
        return (self.contact_id, self.conversation_id)


@dataclass(slots=True)
class Placement:
    """Where everything that a batch touches belongs, and what has to be made for it."""

    asked: list[Place] = field(default_factory=list)  # in the order of the questions
    waiting: list[Place] = field(default_factory=list)  # earlier messages that may now find their lead
    seeds: set[int] = field(default_factory=set)  # identities whose people have to be derived again
    # Identity -> leads from which a message goes away to it.
    went: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    contacts: dict[int, int] = field(default_factory=dict)  # new lead -> workspace
    homes: dict[int, int] = field(default_factory=dict)  # identity -> lead it now leads to
    disputed: set[int] = field(
        default_factory=set
    )  # leads that a telling named, though the message is another's
    conversations: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, asks: list[Ask], newly_linked: set[int], named: Sequence[Ask] = ()) -> Placement:
        """`named` asks for the people whom tellings name beside the one that each message is taken to be of."""
        placement = cls(seeds=set(newly_linked))
        placement.asked, placement.waiting = _placed(asks)
        lost = [
            person
            for ask, place in zip(asks, placement.asked, strict=True)
            if ask.is_told and ((ask.phone or place.phone), (ask.user_id or place.user_id)) != place.named[:2]
            for person in ask.people
        ]
        if named or lost:
            # Seldom: facts were told of them all the same, so their leads have to be brought up to date, too.
            placement.disputed = {
                place.contact_id for place in _placed([*named, *lost])[0] if place.contact_id
            }
        placement._find_who_is_entangled()
        placement._make_what_is_missing()
        return placement

    def _find_who_is_entangled(self) -> None:
        """The identities whose people cannot be told from this batch alone."""
        users_of: dict[int, set[int]] = defaultdict(set)
        for place in self.places:
            if place.is_news:
                self.seeds |= {place.phone_identity or 0, place.user_identity or 0}
            if place.former_contact_id and place.node:
                self.seeds.add(place.node)
                self.went[place.node].add(place.former_contact_id)
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

    @property
    def leads(self) -> set[int]:
        return {place.contact_id for place in self.places if place.contact_id} | self.disputed

    @property
    def threads_left(self) -> set[int]:
        """Threads that a message goes away from."""
        return {
            place.former_conversation_id
            for place in self.places
            if place.former_conversation_id and place.former_conversation_id != place.conversation_id
        }

    def _make_what_is_missing(self) -> None:
        """Leads for persons who appear with these messages, threads for leads who had none with that number.

        Whoever is entangled gets theirs from `contacts.people`, which looks at all the evidence.
        """
        for place in self.places:
            is_new = place.makes_person and not place.contact_id and place.node not in self.seeds
            if is_new and place.node and place.spare_contact_id and place.node not in self.homes:
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


def _placed(asks: Sequence[Ask]) -> tuple[list[Place], list[Place]]:
    """The answers, in the order of the questions; and the earlier messages that may now find their lead."""
    asked: list[Place] = []
    waiting: list[Place] = []
    for row in sorted(
        run_named(PLACE_MESSAGES, [as_json(_asks_as_rows(asks))]), key=itemgetter("what", "idx")
    ):
        what, _ = row.pop("what"), row.pop("idx")
        (asked if what == "ask" else waiting).append(Place(**row))
    return asked, waiting


def _asks_as_rows(asks: Sequence[Ask]) -> list[dict[str, Any]]:
    return [
        {
            "idx": index,
            "workspace_id": ask.workspace_id,
            "number_id": ask.number_id,
            "wamid": ask.wamid,
            "direction": ask.direction,
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


@dataclass(slots=True, kw_only=True)
class Written:
    """The leads, threads and messages whose derived values have to be refreshed."""

    contacts: set[int] = field(default_factory=set)
    conversations: set[int] = field(default_factory=set)
    left: set[int] = field(default_factory=set)  # threads that a message went away from
    is_misplaced: bool = False  # somebody else told of one of the messages meanwhile: ask again whose it is


def write(
    messages: dict[MessageKey, dict[str, Any]], receipted: set[MessageKey], placement: Placement
) -> Written:
    """Make the leads and threads that are missing, and bring the messages up to date.

    `messages` are merged tellings (contacts.telling) by key, `receipted` the keys of messages that were only heard
    of. Both are in the order in which the placement was asked: messages first.
    """
    places = dict(zip([*messages, *sorted(receipted)], placement.asked, strict=False))
    batch = {
        "contacts": list(placement.contacts.items()),
        "identities": [[*home, home[1] in placement.contacts] for home in sorted(placement.homes.items())],
        "conversations": [[*made, *key] for key, made in placement.conversations.items()],
        "pairs": sorted(placement.pairs),
        "messages": [_message_row(key, columns, places[key]) for key, columns in messages.items()],
        "receipted": [[*key, *places[key].pointers] for key in sorted(receipted)],
        "waiting": [[place.message_id, *place.pointers] for place in placement.waiting if place.contact_id],
        "leads": sorted(placement.leads),
    }
    told_meanwhile = [
        wamid
        for _, number, wamid, *named in run(WRITE_MESSAGES, [as_json(batch)])
        if wamid and tuple(named) != places[number, wamid].named
    ]
    return Written(
        contacts=placement.leads,
        conversations={place.conversation_id for place in placement.places if place.conversation_id},
        left=placement.threads_left,
        is_misplaced=bool(told_meanwhile),
    )


def _message_row(key: MessageKey, columns: dict[str, Any], place: Place) -> dict[str, Any]:
    number, wamid = key
    contact, conversation = place.pointers
    return columns | {
        "workspace_id": place.workspace_id,
        "number_id": number,
        "wamid": wamid,
        "contact_id": contact,
        "conversation_id": conversation,
    }
