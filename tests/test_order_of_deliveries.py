"""Any order and duplication of stored deliveries ends in the same CRM, live or replayed in any batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from difflib import unified_diff
from pprint import pformat
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, currently_in_test_context, given, note, settings
from hypothesis import strategies as st

from contacts.models import PhoneNumber, Workspace
from kapso_sync import sync
from kapso_sync.models import WebhookDelivery
from tests.builders import (
    ANA,
    ANA_ID,
    BEA,
    BEA_ID,
    RECEIVED,
    contact_updated,
    error,
    message,
    moment,
    session_event,
    system_line,
    user_id_update,
    without_time,
)
from tests.deliveries import FIRST_RECEIVED, NUMBERS, Posted, histories
from tests.state import crm_state


@pytest.fixture
def registered(db: None) -> list[PhoneNumber]:
    workspace = Workspace.objects.create(name="Lima", slug="lima")
    return [
        PhoneNumber.objects.create(workspace=workspace, phone_number_id=number, display_phone_number=phone)
        for number, phone in zip(NUMBERS, ("5115550142", "551150200143"), strict=True)
    ]


class _UndoError(Exception):
    pass


def state_after(come: Callable[[], None]) -> Any:
    """The CRM after that happened to empty tables; nothing of it stays."""
    state = None
    try:
        with transaction.atomic():
            come()
            connection.check_constraints()
            assert not list(WebhookDelivery.objects.filter(status="failed").values_list("error", flat=True))
            state = crm_state()
            raise _UndoError
    except _UndoError:
        return state


def _delivery(posted: Posted) -> WebhookDelivery:
    return WebhookDelivery.of(posted.body, posted.headers, received_at=posted.received_at)


def live(posts: Sequence[Posted], numbers: list[PhoneNumber]) -> None:
    for posted in posts:
        sync.receive([_delivery(posted)], numbers)


def replayed(posts: Sequence[Posted], sizes: Sequence[int]) -> None:
    """All stored first, then replayed in batches of these sizes, again and again."""
    for posted in posts:
        WebhookDelivery.store([_delivery(posted)])
    waiting = list(WebhookDelivery.objects.replayable())
    for size in [*sizes, len(waiting)]:
        batch, waiting = waiting[:size], waiting[size:]
        if batch:
            sync.replay(batch)


def check(
    history: tuple[list[Posted], list[Posted]], sizes: Sequence[int], numbers: list[PhoneNumber]
) -> None:
    in_order, shuffled = history
    _note("\n".join(["in order:", *map(_brief, in_order), "otherwise:", *map(_brief, shuffled)]))
    expected = state_after(lambda: live(in_order, numbers))
    for way, come in {
        "live in another order": lambda: live(shuffled, numbers),
        f"replayed by {sizes}": lambda: replayed(shuffled, sizes),
    }.items():
        state = state_after(come)
        _note(way)
        _note("\n".join(unified_diff(pformat(expected).split("\n"), pformat(state).split("\n"), n=4)))
        assert state == expected


def _note(text: str) -> None:
    """What hypothesis shows of a history that it found; others can be read in their test."""
    if currently_in_test_context():
        note(text)
    else:
        print(text)  # noqa: T201 - pytest shows it where the test fails


def _brief(posted: Posted) -> str:
    return f"{posted.received_at:%M:%S} {posted.event} {posted.copy} {posted.body.decode(errors='replace')}"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), st.lists(st.integers(1, 6), max_size=3))
def test_any_order_and_duplication_of_deliveries_ends_in_the_same_crm(
    registered: list[PhoneNumber], history: tuple[list[Posted], list[Posted]], sizes: list[int]
) -> None:
    check(history, sizes, registered)


# Bodies without a time of their own, and what is told in between, with its time, of the same people and sessions.
UNTIMED: dict[str, tuple[Any, str, Any, str]] = {
    "message": (
        message("wamid.A0", None, name="Ana", session="session"),
        RECEIVED,
        message("wamid.A1", FIRST_RECEIVED + 5, name="Bea", session="session"),
        RECEIVED,
    ),
    "current phone": (
        message("wamid.A0", None, user_id=ANA_ID),
        RECEIVED,
        message("wamid.A1", FIRST_RECEIVED + 5, phone=BEA, user_id=ANA_ID),
        RECEIVED,
    ),
    "what could not be handed over": (
        message("wamid.A0", None, errors=[error()]),
        RECEIVED,
        message("wamid.A1", FIRST_RECEIVED + 5),
        RECEIVED,
    ),
    "session": (
        session_event("session", 0, updated_at=None),
        "whatsapp.conversation.ended",
        session_event("session", FIRST_RECEIVED + 5, phone=BEA),
        "whatsapp.conversation.created",
    ),
    "new user id": (
        without_time(user_id_update(0, ANA_ID, BEA_ID, ANA)),
        "",
        message("wamid.A1", FIRST_RECEIVED + 5, phone=ANA, user_id=ANA_ID),
        RECEIVED,
    ),
    "new number": (
        without_time(system_line("wamid.A2", 0, ANA, type="user_changed_number", wa_id=BEA, user_id=BEA_ID)),
        "",
        message("wamid.A1", FIRST_RECEIVED + 5, phone=BEA, user_id=ANA_ID),
        RECEIVED,
    ),
    "workflow": (
        {
            "whatsapp_conversation_id": "session",
            "workflow_execution_id": "run",
            "handoff": {"reason": "angry"},
        },
        "workflow.execution.handoff",
        {
            "whatsapp_conversation_id": "session",
            "workflow_execution_id": "run",
            "handoff": {"reason": "lost"},
            "occurred_at": moment(FIRST_RECEIVED + 5).isoformat(),
        },
        "workflow.execution.handoff",
    ),
    "number": (
        {"phone_number_id": NUMBERS[0]},
        "whatsapp.phone_number.deleted",
        {"phone_number_id": NUMBERS[0], "created_at": moment(FIRST_RECEIVED + 5).isoformat()},
        "whatsapp.phone_number.created",
    ),
    "profile": (
        contact_updated(ANA, "Ana"),
        "contact.updated",
        contact_updated(ANA, "Bea", timestamp=moment(FIRST_RECEIVED + 5).isoformat()),
        "contact.updated",
    ),
}


@pytest.mark.parametrize("what", UNTIMED)
def test_copies_of_a_body_without_a_time_count_at_the_earliest(
    registered: list[PhoneNumber], what: str
) -> None:
    """Where the copy that came first is stored last: two servers whose clocks differ, or two requests that race."""
    body, event, between, its_event = UNTIMED[what]
    first, last = (
        Posted(json.dumps(body).encode(), event, moment(FIRST_RECEIVED + second), copy=second)
        for second in (1, 9)
    )
    other = Posted(json.dumps(between).encode(), its_event, moment(FIRST_RECEIVED + 6))
    people = [
        Posted(json.dumps(told).encode(), RECEIVED, moment(FIRST_RECEIVED))
        for told in (message("wamid.1", 0, session="session"), message("wamid.2", 1, phone=BEA))
    ]
    in_order = [*people, first, other, last]
    for shuffled in (
        [*people, last, other, first],
        [last, other, *people, first],
        [last, first, other, *people],
    ):
        check((in_order, shuffled), [2], registered)
