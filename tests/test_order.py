"""Any order, any duplication, any batching of a history ends in the same CRM."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from difflib import unified_diff
from pprint import pformat
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from contacts import sync
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
from contacts.models import PhoneNumber, Workspace
from tests.state import crm_state

START = datetime(2026, 6, 1, tzinfo=UTC)
PHONES = ["51900000001", "51900000002", "51900000003"]
USERS = ["PE.1", "PE.2", "PE.3", "PE.4"]
WAMIDS = [f"wamid.{letter}" for letter in "ABCDEFGHIJKL"]
KINDS = [
    "text",
    "text",
    "text",
    "reaction",
    "text",
    "text",
    "edit",
    "text",
    "image",
    "revoke",
    "text",
    "request_welcome",
]
# Phones that change hands, people with two phones, with a phone only, with a user id only.
PEOPLE = [
    (PHONES[0], USERS[0]), (PHONES[0], USERS[1]), (PHONES[0], None), (PHONES[1], USERS[0]), (PHONES[1], None),
    (None, USERS[1]), (PHONES[2], USERS[2]), (PHONES[2], None), (None, USERS[3]), (PHONES[0], None),
    (PHONES[1], USERS[3]), (PHONES[2], USERS[0]),
]  # fmt: skip
NUMBERS = ["480115511990231", "512340099871245"]

times = st.integers(0, 20).map(lambda minutes: START + timedelta(minutes=minutes))
phones = st.none() | st.sampled_from(PHONES)
users = st.none() | st.sampled_from(USERS)
names = st.none() | st.sampled_from(["Ana", "Bea"])
numbers = st.sampled_from(NUMBERS)
receipts = st.builds(
    Receipt, word=st.sampled_from(["sent", "failed", "delivered", "read", "played"]), at=times | st.none()
)
errors = st.builds(
    Receipt,
    word=st.just("failed"),
    at=times,
    error_code=st.just(131047) | st.just(131026),
    error_message=st.just("no"),
)
told_receipts = st.lists(receipts | errors, max_size=2).map(tuple)


@st.composite
def messages(draw: st.DrawFn) -> MessageTold:
    """A telling of one of a few messages. Who wrote it and what it acts on is a property of the message; what a
    telling says of that, and everything else, may differ."""
    wamid = draw(st.sampled_from(WAMIDS))
    index = WAMIDS.index(wamid)
    direction = "outbound" if index % 3 == 2 else "inbound"
    kind = KINDS[index]
    phone, user = PEOPLE[index]
    person = Person(
        phone=draw(st.sampled_from([phone, None])),
        user_id=draw(st.sampled_from([user, None])),
        name=draw(names),
        username=draw(st.none() | st.just("ana")),
    )
    return MessageTold(
        number=NUMBERS[index % 2],
        wamid=wamid,
        direction=direction,  # type: ignore[arg-type]
        message_type=draw(st.sampled_from([kind, "unsupported"])) if kind == "text" else kind,
        content=draw(st.sampled_from(["hola", "precio?", kind])),
        at=draw(times),
        timed=draw(st.sampled_from([True, True, True, False])),
        person=person,
        session=draw(st.none() | session_of(index)),
        origin=draw(st.sampled_from(["cloud_api", "cloud_api", "business_app", "history_sync"])),
        payload=draw(st.sampled_from([{}, {"body": "hola"}])),
        media_url=draw(st.sampled_from(["", "https://app.kapso.ai/1"])),
        target=WAMIDS[(index + 3) % len(WAMIDS)] if kind in {"reaction", "edit", "revoke"} else "",
        receipts=draw(told_receipts) if direction == "outbound" else (),
        referral=draw(st.none() | st.just({"source_id": "1", "headline": "Ad"})),
    )


def session_of(index: int) -> st.SearchStrategy[Session]:
    """A session belongs to the person of its messages."""
    return st.builds(
        Session,
        kapso_id=st.just(f"session-{PEOPLE[index]}"),
        status=st.sampled_from(["active", "ended"]),
        at=times,
        messages=st.none() | st.integers(0, 3),
        last_wamid=st.sampled_from(["", *WAMIDS[:3]]),
        summed_up_at=st.none() | times,
    )


@st.composite
def session_events(draw: st.DrawFn) -> SessionTold:
    index = draw(st.integers(0, len(WAMIDS) - 1))
    phone, user = PEOPLE[index]
    person = Person(phone=draw(st.sampled_from([phone, None])), user_id=draw(st.sampled_from([user, None])))
    return SessionTold(number=NUMBERS[index % 2], session=draw(session_of(index)), person=person)


@st.composite
def changes(draw: st.DrawFn) -> IdentityChanged:
    return IdentityChanged(
        number=draw(numbers),
        before=draw(
            st.builds(Person, phone=st.sampled_from(PHONES))
            | st.builds(Person, user_id=st.sampled_from(USERS))
        ),
        after=draw(st.builds(Person, phone=phones, user_id=st.sampled_from(USERS))),
        at=draw(times),
    )


events = st.one_of(
    messages(),
    messages(),
    messages(),
    changes(),
    st.builds(ReceiptsTold, number=numbers, wamid=st.sampled_from(WAMIDS), receipts=told_receipts),
    session_events(),
    st.builds(
        ProfileTold,
        number=numbers,
        person=st.builds(Person, phone=st.sampled_from(PHONES), name=st.sampled_from(["Cleo", "Dora"])),
        at=times,
        source=st.sampled_from(["body-1", "body-2"]),
        counts_as_activity=st.just(True),
        marketing=st.sampled_from(["", "stop", "resume"]),
    ),
)


@pytest.fixture
def two_numbers(db: None) -> dict[str, PhoneNumber]:
    workspace = Workspace.objects.create(name="Lima", slug="lima")
    return {
        number: PhoneNumber.objects.create(workspace=workspace, phone_number_id=number) for number in NUMBERS
    }


def brief(event: Event) -> str:
    """The event without what it leaves at its default."""
    said = [
        f"{field.name}={getattr(event, field.name)}"
        for field in fields(event)
        if getattr(event, field.name) != field.default and field.name not in ("number", "content")
    ]
    text = f"{type(event).__name__}({', '.join(said)})"
    for noise in (
        "datetime.datetime(2026, 6, 1, ",
        ", tzinfo=datetime.timezone.utc)",
        "2026-06-01 ",
        ":00+00:00",
    ):
        text = text.replace(noise, "")
    return re.sub(r"\w+=None,? ?", "", text)


class _UndoError(Exception):
    pass


def state_after(batches: Sequence[Sequence[Event]], numbers: dict[str, PhoneNumber]) -> Any:
    """The CRM after these batches were applied to empty tables; nothing of it stays."""
    state = None
    try:
        with transaction.atomic():
            for batch in batches:
                sync.apply([(numbers[event.number], event) for event in batch], alone=True)
            connection.check_constraints()
            state = crm_state()
            raise _UndoError
    except _UndoError:
        return state


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Event], list[list[Event]]]:
    history = draw(st.lists(events, min_size=1, max_size=12))
    shuffled = draw(st.permutations(history + draw(st.lists(st.sampled_from(history), max_size=4))))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(shuffled) - 1)), max_size=6)))
    batches = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]
    return history, [batch for batch in batches if batch]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories())
def test_any_order_and_duplication_ends_in_the_same_crm(
    two_numbers: dict[str, PhoneNumber], history: tuple[list[Event], list[list[Event]]]
) -> None:
    in_order, shuffled = history
    one_by_one = state_after([[event] for event in in_order], two_numbers)
    otherwise = state_after(shuffled, two_numbers)
    note("\n".join(["in order:", *map(brief, in_order), "otherwise:"]))
    note("\n--\n".join("\n".join(map(brief, batch)) for batch in shuffled))
    note("\n".join(unified_diff(pformat(one_by_one).split("\n"), pformat(otherwise).split("\n"), n=4)))
    assert otherwise == one_by_one
