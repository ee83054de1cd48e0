"""The way into the CRM: events in, leads, threads and messages brought up to date.

One event or ten thousand take the same four statements: facts (contacts.facts), whose they are and the messages
(contacts.writing), derived values (contacts.refresh). Only where messages were edited or revoked there is one more, and
when the evidence of who is who has changed, contacts.people adds a fixed number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from contacts import people
from contacts.events import (
    Event,
    IdentityChanged,
    MessageTold,
    Person,
    ProfileTold,
    ReceiptsTold,
    SessionTold,
)
from contacts.facts import Facts
from contacts.models import PhoneNumber
from contacts.people import PeopleChanged
from contacts.refresh import refresh
from contacts.telling import merge
from contacts.tombstones import ERASED, NOBODY, Tombstones, is_erased, raise_if_erased
from contacts.writing import Ask, MessageKey, Placement, Written, write

NOT_HERE_YET = "Nobody here has this phone or user ID yet: it is kept, and counts once they have written."


def apply(
    told: Sequence[tuple[PhoneNumber, Event]], *, alone: bool = False, erased: Tombstones = NOBODY
) -> dict[int, str]:
    """Apply the events, each with the business number that it belongs to, in the caller's transaction.

    Returns the reasons why events have no effect for now, by their index in `told`. Raises `PeopleChanged` when the
    batch changes who is one person and `alone` is not set: roll back, and apply it again with `alone`, which keeps
    every other sync out of the workspace until the transaction ends. Raises `ErasedPeople` when the batch tells of
    somebody who was erased: roll back, and apply it again with the tombstones found, which leaves those events out.
    """
    reasons = {
        index: ERASED for index, (number, event) in enumerate(told) if is_erased(number, event, erased)
    }
    kept = [index for index in range(len(told)) if index not in reasons]
    waiting = _apply([told[index] for index in kept], alone=alone)
    return reasons | {kept[index]: reason for index, reason in waiting.items()}


def _apply(told: Sequence[tuple[PhoneNumber, Event]], *, alone: bool) -> dict[int, str]:
    if not told:
        return {}
    if alone:
        people.lock_alone({number.workspace_id for number, _ in told})
    facts = Facts.of(told)
    newly_linked = facts.record()
    raise_if_erased(told, facts.tombstones)
    messages, receipted = _messages(told)
    rows = {key: merge(event for _, event in tellings) for key, tellings in messages.items()}
    mentions = [
        (index, ask)
        for index, (number, event) in enumerate(told)
        if _mention(event)
        for ask in _asks_about(number, event)
    ]
    placement = Placement.of(
        [*_asks(messages, rows, receipted), *(ask for _, ask in mentions)],
        newly_linked,
        _people_named_otherwise(messages, rows),
    )
    if placement.seeds and not alone:
        raise PeopleChanged
    written = write(rows, receipted, placement)
    if written.is_misplaced and not alone:
        raise PeopleChanged
    _regroup(placement, written)
    refresh(written, set(rows), facts.sessions.keys())
    about = placement.asked[len(messages) + len(receipted) :]
    here = {index for (index, _), place in zip(mentions, about, strict=True) if place.contact_id}
    return {
        index: NOT_HERE_YET
        for index, _ in mentions
        if isinstance(told[index][1], ProfileTold) and index not in here
    }


def _regroup(placement: Placement, written: Written) -> None:
    """Where who is one person has changed, put everything where it belongs by now."""
    if placement.seeds:
        former_leads = {lead for leads in placement.went.values() for lead in leads}
        regrouped = people.regroup(placement.seeds, former_leads, went=placement.went)
        written.contacts |= regrouped.contacts
        written.conversations |= regrouped.conversations
    if written.left:
        written.conversations |= written.left - people.drop_if_emptied(written.left)


Tellings = dict[MessageKey, list[tuple[PhoneNumber, MessageTold]]]


def _messages(told: Sequence[tuple[PhoneNumber, Event]]) -> tuple[Tellings, set[MessageKey]]:
    messages: Tellings = defaultdict(list)
    receipted = set()
    for number, event in told:
        message = event.message if isinstance(event, IdentityChanged) else event
        if isinstance(message, MessageTold):
            messages[number.pk, message.wamid].append((number, message))
        elif isinstance(event, ReceiptsTold):
            receipted.add((number.pk, event.wamid))
    return dict(sorted(messages.items())), receipted - messages.keys()


def _mention(event: Event) -> bool:
    return isinstance(event, ProfileTold | SessionTold | IdentityChanged)


def _asks(
    messages: Tellings, rows: dict[MessageKey, dict[str, Any]], receipted: set[MessageKey]
) -> list[Ask]:
    return [_ask_for_message(tellings[0][0], key, rows[key]) for key, tellings in messages.items()] + [
        Ask(workspace_id=0, number_id=number, wamid=wamid) for number, wamid in sorted(receipted)
    ]


def _ask_for_message(number: PhoneNumber, key: MessageKey, row: dict[str, Any]) -> Ask:
    return Ask(
        workspace_id=number.workspace_id,
        number_id=key[0],
        wamid=key[1],
        direction=row["direction"],
        phone=row["phone"],
        user_id=row["user_id"],
        session=row["session"],
        at=row["earliest_at"],
        ranks=row["told"],
        is_told=True,
        makes_person="person" in row["told"],
    )


def _people_named_otherwise(messages: Tellings, rows: dict[MessageKey, dict[str, Any]]) -> list[Ask]:
    """Of tellings of one message that name different people only one is believed; the others' facts count, too."""
    return [
        person
        for key, tellings in messages.items()
        if len(tellings) > 1
        for number, told in tellings
        if (told.person.phone or rows[key]["phone"], told.person.user_id or rows[key]["user_id"])
        != (rows[key]["phone"], rows[key]["user_id"])
        for person in Ask(
            workspace_id=number.workspace_id,
            number_id=number.pk,
            phone=told.person.phone,
            user_id=told.person.user_id,
            at=told.at,
        ).people
    ]


def _asks_about(number: PhoneNumber, event: Event) -> list[Ask]:
    """A profile is a fact of its phone and of its user id, and these may be two leads."""
    ask = _ask(number, event)
    return ask.people if isinstance(event, ProfileTold) else [ask]


def _ask(number: PhoneNumber, event: Event) -> Ask:
    """Whom an event is about that brings no message: their lead is refreshed."""
    assert isinstance(event, ProfileTold | SessionTold | IdentityChanged)  # noqa: S101 - see _mention
    person: Person = event.after if isinstance(event, IdentityChanged) else event.person
    session = event.session.kapso_id if isinstance(event, SessionTold) else ""
    return Ask(
        workspace_id=number.workspace_id,
        number_id=number.pk,
        phone=person.phone,
        user_id=person.user_id,
        session=session,
        at=event.session.at if isinstance(event, SessionTold) else event.at,
    )
