"""Any order, any duplication, any batching of a history ends in the same CRM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from difflib import unified_diff
from itertools import permutations
from pprint import pformat
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, note, settings

from contacts import sync
from contacts.automation import apply_automation
from contacts.events import (
    AutomationTold,
    Event,
    IdentityChanged,
    MessageTold,
    NumberTold,
    Person,
    ProfileTold,
    Receipt,
    ReceiptsTold,
    Session,
    SessionTold,
)
from contacts.models import Contact, Conversation, Message, PhoneNumber, Workspace
from contacts.numbers import apply_numbers
from tests.histories import NUMBERS, START, Batches, brief, histories
from tests.state import crm_state


@pytest.fixture
def two_numbers(db: None) -> dict[str, PhoneNumber]:
    workspace = Workspace.objects.create(name="Lima", slug="lima")
    return {
        number: PhoneNumber.objects.create(workspace=workspace, phone_number_id=number) for number in NUMBERS
    }


class _UndoError(Exception):
    pass


def state_after(batches: Sequence[Sequence[Event]], numbers: dict[str, PhoneNumber]) -> Any:
    """The CRM after these batches were applied to empty tables; nothing of it stays."""
    state = None
    try:
        with transaction.atomic():
            for batch in batches:
                _apply(batch, numbers)
            connection.check_constraints()
            state = crm_state()
            raise _UndoError
    except _UndoError:
        return state


def _apply(batch: Sequence[Event], numbers: dict[str, PhoneNumber]) -> None:
    """As kapso_sync.sync does it."""
    apart = [event for event in batch if isinstance(event, AutomationTold | NumberTold)]
    told = [(numbers[event.number], event) for event in batch if event not in apart]
    sync.apply(told, alone=True)
    apply_numbers([(numbers[event.number], event) for event in apart if isinstance(event, NumberTold)])
    apply_automation([(event, None) for event in apart if isinstance(event, AutomationTold)])


def check(history: tuple[list[Event], Batches], numbers: dict[str, PhoneNumber]) -> None:
    in_order, shuffled = history
    one_by_one = state_after([[event] for event in in_order], numbers)
    otherwise = state_after(shuffled, numbers)
    note("\n".join(["in order:", *map(brief, in_order), "otherwise:"]))
    note("\n--\n".join("\n".join(map(brief, batch)) for batch in shuffled))
    note("\n".join(unified_diff(pformat(one_by_one).split("\n"), pformat(otherwise).split("\n"), n=4)))
    assert otherwise == one_by_one


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories())
def test_any_order_and_duplication_ends_in_the_same_crm(
    two_numbers: dict[str, PhoneNumber], history: tuple[list[Event], Batches]
) -> None:
    check(history, two_numbers)


ANA = Person(phone="51900000001")


def ours(**fields: Any) -> MessageTold:
    """A telling of one message of ours, to ana."""
    told: dict[str, Any] = {"number": NUMBERS[0], "wamid": "wamid.A1", "direction": "outbound"}
    told |= {"message_type": "text", "content": "hola", "at": START, "person": ANA}
    return MessageTold(**told | fields)


def failure(minute: int, code: int | None, text: str) -> Receipt:
    at = START + timedelta(minutes=minute)
    return Receipt(word="failed", at=at, error_code=code, error_message=text)


@pytest.mark.parametrize(
    ("later", "earlier", "shown"),
    [
        ((5, 131047, "too late"), (1, 131026, "no WhatsApp"), (131026, "no WhatsApp")),
        ((5, 131047, "too late"), (1, None, "Delivery failed"), (131047, "too late")),
    ],
)
def test_of_two_errors_the_first_that_explains_is_shown_as_a_whole(
    two_numbers: dict[str, PhoneNumber], later: Any, earlier: Any, shown: Any
) -> None:
    for one in (later, earlier, later):
        _apply([ours(receipts=(failure(*one),))], two_numbers)
    assert Message.objects.values_list("error_code", "error_message").get() == shown


def test_a_telling_that_mistakes_our_message_for_theirs_takes_no_receipt_from_it(
    two_numbers: dict[str, PhoneNumber],
) -> None:
    read = Receipt(word="read", at=START + timedelta(minutes=3))
    _apply([ours(receipts=(failure(1, 131047, "too late"),))], two_numbers)
    theirs = ours(
        direction="inbound", receipts=(Receipt(word="error", at=START, error_message="unsupported"),)
    )
    _apply([theirs, ReceiptsTold(number=NUMBERS[0], wamid="wamid.A1", receipts=(read,))], two_numbers)
    row = Message.objects.get()
    assert (row.direction, row.status, row.read_at) == ("outbound", "read", read.at)
    assert (row.error_code, row.error_message) == (131047, "too late")


def test_a_system_line_at_one_number_finds_the_lead_that_is_made_at_another(
    two_numbers: dict[str, PhoneNumber],
) -> None:
    line = ours(wamid="wamid.line", direction="inbound", message_type="system")
    writes = ours(wamid="wamid.first", direction="inbound", number=NUMBERS[1])
    assert state_after([[line], [writes]], two_numbers) == state_after([[writes], [line]], two_numbers)
    _apply([line], two_numbers)
    _apply([writes], two_numbers)
    assert not Message.objects.filter(contact=None).exists()


def test_a_message_known_by_its_session_alone_finds_the_lead_that_is_made_at_another_number(
    two_numbers: dict[str, PhoneNumber],
) -> None:
    session = Session(kapso_id="session", status="active", at=START)
    nameless = ours(wamid="wamid.nameless", direction="inbound", person=Person(), session=session)
    whose = SessionTold(number=NUMBERS[0], session=session, person=ANA)
    writes = ours(wamid="wamid.first", direction="inbound", number=NUMBERS[1])
    expected = state_after([[writes], [whose], [nameless]], two_numbers)
    events: list[Event] = [nameless, whose, writes]
    for order in permutations(events):
        assert state_after([[event] for event in order], two_numbers) == expected


def test_a_revoked_edit_leaves_the_text_of_before(two_numbers: dict[str, PhoneNumber]) -> None:
    original = ours()
    edit = ours(wamid="wamid.E", message_type="edit", content="new", target="wamid.A1")
    revoke = ours(wamid="wamid.R", message_type="revoke", content="", target="wamid.E")
    events: list[Event] = [original, edit, revoke]
    expected = state_after([events], two_numbers)
    for order in permutations(events):
        assert state_after([[event] for event in order], two_numbers) == expected
    _apply(events, two_numbers)
    assert Message.objects.get(kapso_message_id="wamid.A1").content == "hola"


def test_once_revoked_stays_revoked_though_tellings_disagree_on_the_side(
    two_numbers: dict[str, PhoneNumber],
) -> None:
    revoke = {"wamid": "wamid.R", "message_type": "revoke", "content": "", "target": "wamid.A1"}
    events: list[Event] = [ours(direction="inbound"), ours(direction="inbound", **revoke), ours(**revoke)]
    expected = state_after([events], two_numbers)
    for order in permutations(events):
        assert state_after([[event] for event in order], two_numbers) == expected
    _apply(events, two_numbers)
    assert Message.objects.get(kapso_message_id="wamid.A1").content == ""


def test_one_error_told_in_two_ways_is_kept_in_both(two_numbers: dict[str, PhoneNumber]) -> None:
    brief_error = failure(1, 131047, "too late")
    long_error = replace(brief_error, error={"title": "Re-engagement message"})
    one, other = ours(receipts=(brief_error,)), ours(receipts=(long_error,))
    assert state_after([[one], [other]], two_numbers) == state_after([[other], [one]], two_numbers)


def test_a_profile_that_names_a_phone_and_a_user_id_counts_for_the_leads_of_both(
    two_numbers: dict[str, PhoneNumber],
) -> None:
    by_phone = ours(wamid="wamid.P", direction="inbound")
    by_user = ours(wamid="wamid.U", direction="inbound", person=Person(user_id="PE.1"))
    both = Person(phone=ANA.phone, user_id="PE.1")
    profile = ProfileTold(number=NUMBERS[0], person=both, at=START, source="body", marketing="resume")
    events: list[Event] = [profile, by_phone, by_user]
    expected = state_after([[event] for event in events], two_numbers)
    for order in permutations(events):
        assert state_after([[event] for event in order], two_numbers) == expected


def test_a_lead_goes_with_its_message_to_whom_it_turns_out_to_be_from_and_stays_theirs(
    two_numbers: dict[str, PhoneNumber],
) -> None:
    """Two tellings name different senders; then the sender's number and user id change."""
    one = ours(direction="inbound", payload={"body": "hola"})
    other = replace(one, person=Person(phone="51900000008"), origin="business_app")
    change = IdentityChanged(
        number=NUMBERS[0], before=other.person, after=Person(phone="51900000009", user_id="PE.9"), at=START
    )
    events: list[Event] = [one, other, change]
    expected = state_after([[event] for event in events], two_numbers)
    for order in permutations(events):
        assert state_after([[event] for event in order], two_numbers) == expected
    for event in events:
        _apply([event], two_numbers)
    lead = Contact.objects.living().get()
    assert (lead.phone, lead.business_scoped_user_id) == ("51900000009", "PE.9")


def test_a_handoff_counts_in_every_thread_of_its_session(two_numbers: dict[str, PhoneNumber]) -> None:
    session = Session(kapso_id="session", status="active", at=START)
    handoff = AutomationTold(session_id="session", execution_id="1", kind="handoff", reason="help", at=START)
    for index, number in enumerate(NUMBERS[:2]):
        _apply([ours(number=number, wamid=f"wamid.{index}", session=session)], two_numbers)
    _apply([handoff], two_numbers)
    assert set(Conversation.objects.values_list("handoff_reason", flat=True)) == {"help"}


def test_whom_a_telling_names_is_brought_up_to_date_though_the_message_is_taken_to_be_of_another(
    two_numbers: dict[str, PhoneNumber],
) -> None:
    late = ours(direction="inbound", at=START + timedelta(hours=2), person=replace(ANA, name="Late"))
    bea = Person(phone="51900000008", name="Bea")
    theirs = replace(late, wamid="wamid.B", at=START + timedelta(hours=3), person=bea)
    mistaken = replace(theirs, at=START, person=replace(ANA, name="Early"))
    events: list[Event] = [late, theirs, mistaken]
    expected = state_after([events], two_numbers)
    for order in permutations(events):
        assert state_after([[event] for event in order], two_numbers) == expected
    for event in events:
        _apply([event], two_numbers)
    assert Contact.objects.get(phone=ANA.phone).name == "Early"


def test_what_was_ever_told_as_more_than_a_system_line_makes_a_person(
    two_numbers: dict[str, PhoneNumber],
) -> None:
    placeholder = ours(direction="inbound", message_type="unsupported", content="", is_label=True)
    line = replace(placeholder, message_type="system", content="changed", payload={"body": "changed"})
    events: list[Event] = [placeholder, line]
    expected = state_after([events], two_numbers)
    for order in permutations(events):
        assert state_after([[event] for event in order], two_numbers) == expected
    _apply(events, two_numbers)
    assert Contact.objects.living().get().phone == ANA.phone


def test_what_was_ever_told_as_a_revoke_is_one(two_numbers: dict[str, PhoneNumber]) -> None:
    """Another form may know no more than that there was a message."""
    revoke = ours(wamid="wamid.R", message_type="revoke", content="", target="wamid.A1")
    newer = ours(wamid="wamid.R", at=START + timedelta(hours=1), payload={"body": "hola"})
    events: list[Event] = [ours(), revoke, newer]
    expected = state_after([events], two_numbers)
    for order in permutations(events):
        assert state_after([[event] for event in order], two_numbers) == expected
    _apply(events, two_numbers)
    assert Message.objects.get(kapso_message_id="wamid.A1").content == ""


def test_a_system_line_finds_the_lead_that_a_message_makes_by_its_session_alone(
    two_numbers: dict[str, PhoneNumber],
) -> None:
    by_id = Person(user_id="PE.3")
    session = Session(kapso_id="session", status="active", at=START)
    told = SessionTold(number=NUMBERS[0], session=session, person=by_id)
    line = ours(direction="inbound", wamid="wamid.line", message_type="system", person=by_id)
    nameless = ours(direction="inbound", wamid="wamid.text", person=Person(), session=session)
    events: list[Event] = [told, line, replace(line, number=NUMBERS[1]), nameless]
    expected = state_after([events], two_numbers)
    for order in permutations(events):
        assert state_after([[event] for event in order], two_numbers) == expected
    _apply(events, two_numbers)
    assert Contact.objects.living().get().messages.count() == 3


def test_whom_a_system_line_names_counts_once_it_turns_out_to_be_a_message(
    two_numbers: dict[str, PhoneNumber],
) -> None:
    """Only then is it evidence that the phone was this user id's."""
    by_phone = Person(phone=ANA.phone)
    known = ours(direction="inbound", wamid="wamid.known", person=by_phone)
    line = ours(message_type="system", person=replace(by_phone, user_id="PE.7"))
    message = ours(person=by_phone)
    events: list[Event] = [known, line, message]
    expected = state_after([events], two_numbers)
    for order in permutations(events):
        assert state_after([[event] for event in order], two_numbers) == expected
    _apply(events, two_numbers)
    assert Contact.objects.living().get().business_scoped_user_id == "PE.7"
