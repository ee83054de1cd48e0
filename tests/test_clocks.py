"""DESIGN.md section 3, "Time" and "Activity": what moves a lead's clocks, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contacts.models import Contact, Conversation, Message
from kapso_sync.models import WebhookDelivery
from kapso_sync.replaying import replay_in_batches
from tests.builders import (
    ANA,
    LIMA,
    START,
    Desk,
    Json,
    contact_updated,
    error,
    message,
    meta,
    moment,
    reaction,
    sent,
    session_event,
    status,
    system_line,
)

RECEIVED_AT = datetime(2026, 6, 9, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The webhook's own clock stands still at noon of the day that the messages are of."""
    monkeypatch.setattr("kapso_sync.views.timezone.now", lambda: RECEIVED_AT)
    return RECEIVED_AT


def clocks(lead: Contact) -> tuple[datetime | None, datetime | None, datetime | None]:
    """Activity, contact, inbound."""
    lead.refresh_from_db()
    return lead.last_activity_at, lead.last_contact_at, lead.last_inbound_at


def test_an_inbound_message_is_activity(desk: Desk) -> None:
    desk.told(message("in", 5))
    assert clocks(desk.lead()) == (moment(5), None, moment(5))


def test_an_outbound_message_is_activity_and_contact(desk: Desk) -> None:
    desk.told(sent("out", 5))
    assert clocks(desk.lead()) == (moment(5), moment(5), None)


@pytest.mark.parametrize("origin", ["cloud_api", "business_app", "history_sync"])
def test_an_outbound_message_counts_whatever_its_origin(desk: Desk, origin: str) -> None:
    desk.told(sent("out", 5, origin=origin))
    assert clocks(desk.lead()) == (moment(5), moment(5), None)


@pytest.mark.parametrize("late", [message("late", 3), sent("late", 3, origin="history_sync")])
def test_a_late_arrival_moves_no_clock_back(desk: Desk, late: Json) -> None:
    desk.told(message("in", 10), sent("out", 20), late)
    assert clocks(desk.lead()) == (moment(20), moment(20), moment(10))


def test_a_late_arrival_fills_a_clock_that_was_empty(desk: Desk) -> None:
    desk.told(message("in", 10), sent("late", 3))
    assert clocks(desk.lead()) == (moment(10), moment(3), moment(10))


def test_a_late_arrival_does_not_move_its_thread_back(desk: Desk) -> None:
    desk.told(message("in", 10), sent("out", 20), message("late", 3))
    thread = Conversation.objects.get()
    assert (thread.last_message_at, thread.last_inbound_at) == (moment(20), moment(10))


def test_a_failure_is_activity_only(desk: Desk) -> None:
    desk.became("out", "failed", 5, error())
    assert clocks(desk.lead()) == (moment(5), None, None)


def test_a_failure_moves_contact_back_to_the_last_success(desk: Desk) -> None:
    desk.told(sent("one", 10), sent("two", 20))
    desk.became("two", "failed", 25, error())
    assert clocks(desk.lead()) == (moment(20), moment(10), None)


def test_a_failure_told_by_meta_moves_contact_back(desk: Desk) -> None:
    desk.told(sent("one", 10), sent("two", 20))
    desk.post(meta({"statuses": [status("failed", 25, error(), id="two", recipient_id=ANA)]}))
    assert clocks(desk.lead()) == (moment(20), moment(10), None)


def test_a_delivery_after_the_failure_counts_as_contact_again(desk: Desk) -> None:
    desk.told(sent("one", 10), sent("two", 20))
    desk.became("two", "failed", 25, error())
    desk.became("two", "delivered", 30)
    assert clocks(desk.lead()) == (moment(20), moment(20), None)


def test_a_late_sent_does_not_make_a_failure_a_contact(desk: Desk) -> None:
    desk.became("out", "failed", 25, error())
    desk.told(sent("out", 20))
    assert clocks(desk.lead()) == (moment(20), None, None)


@pytest.mark.parametrize("word", ["delivered", "read"])
def test_a_receipt_moves_no_clock(desk: Desk, word: str) -> None:
    desk.told(sent("out", 5))
    desk.became("out", word, 50)
    assert clocks(desk.lead()) == (moment(5), moment(5), None)


def test_a_receipt_that_comes_first_leaves_no_time_behind(desk: Desk) -> None:
    desk.became("out", "read", 50)
    desk.told(sent("out", 5))
    assert desk.row("out").sent_at == moment(5)
    assert clocks(desk.lead()) == (moment(5), moment(5), None)


def test_a_failure_that_comes_first_leaves_no_time_behind(desk: Desk) -> None:
    desk.became("out", "failed", 50, error())
    desk.told(sent("out", 5))
    assert clocks(desk.lead()) == (moment(5), None, None)


@pytest.mark.parametrize("kind", ["created", "ended", "inactive"])
def test_a_conversation_event_moves_no_clock(desk: Desk, kind: str) -> None:
    desk.told(message("in", 5))
    desk.post(session_event(f"session-{ANA}-{LIMA}", 500), f"whatsapp.conversation.{kind}")
    assert clocks(desk.lead()) == (moment(5), None, moment(5))


def test_reactions_count_for_activity_only(desk: Desk) -> None:
    desk.told(message("in", 5), sent("out", 6))
    desk.told(reaction("theirs", 30, "out", "👍"), reaction("ours", 40, "in", "❤️", direction="outbound"))
    assert clocks(desk.lead()) == (moment(40), moment(6), moment(5))


def test_taking_a_reaction_back_is_activity(desk: Desk) -> None:
    desk.told(sent("out", 6), reaction("set", 30, "out", "👍"), reaction("removed", 40, "out", ""))
    assert clocks(desk.lead()) == (moment(40), moment(6), None)


@pytest.mark.parametrize("kind", ["edit", "revoke"])
def test_edits_and_revokes_count_for_activity_only(desk: Desk, kind: str) -> None:
    acts: dict[str, Any] = {"original_message_id": "in"}
    acts |= {"message": {"type": "text", "text": {"body": "Hola!"}}} if kind == "edit" else {}
    changes: dict[str, Any] = {"type": kind, kind: acts}
    desk.told(message("in", 5), message("act", 30, **changes))
    assert clocks(desk.lead()) == (moment(30), None, moment(5))


def test_a_system_line_counts_for_nothing(desk: Desk) -> None:
    desk.told(message("in", 5))
    desk.told(system_line("line", 50, ANA, type="user_changed_number", wa_id="51999990000", body="changed"))
    assert clocks(desk.only_lead) == (moment(5), None, moment(5))


def test_opening_the_chat_is_neither_a_turn_nor_a_window(desk: Desk) -> None:
    desk.told(message("in", 5), message("welcome", 30, type="request_welcome", text=None))
    assert clocks(desk.lead()) == (moment(30), None, moment(5))


def test_a_group_message_counts_for_nothing(desk: Desk) -> None:
    desk.told(message("in", 5))
    desk.post(message("group", 30, group_id="120363"))
    assert clocks(desk.lead()) == (moment(5), None, moment(5))


def test_contact_updated_is_activity(desk: Desk, clock: datetime) -> None:
    desk.told(message("in", 5))
    desk.post(contact_updated(ANA, "Ana"), "")
    assert clocks(desk.lead()) == (clock, None, moment(5))


def test_contact_updated_counts_at_the_first_time_that_its_body_came(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.told(message("in", 5))
    for hours in (2, 1, 3):
        monkeypatch.setattr(
            "kapso_sync.views.timezone.now", lambda hours=hours: RECEIVED_AT + timedelta(hours=hours)
        )
        desk.post(contact_updated(ANA, "Ana"), "")
    assert clocks(desk.lead())[0] == RECEIVED_AT + timedelta(hours=1)


def test_contact_updated_with_a_time_of_its_own_counts_then(desk: Desk) -> None:
    desk.told(message("in", 5))
    desk.post(contact_updated(ANA, "Ana", timestamp=str(START + 77)), "")
    assert clocks(desk.lead())[0] == moment(77)


def test_contact_updated_counts_once_its_person_appears(desk: Desk) -> None:
    early = desk.post(contact_updated(ANA, "Ana", timestamp=str(START + 77)), "")
    assert (early.json["status"], Contact.objects.count()) == ("ignored", 0)

    desk.told(message("in", 5))
    assert clocks(desk.lead()) == (moment(77), None, moment(5))


def test_a_marketing_choice_is_no_activity(desk: Desk) -> None:
    desk.told(message("in", 5))
    choice = {"wa_id": ANA, "category": "marketing_messages", "value": "stop", "timestamp": str(START + 77)}
    desk.told(meta({"user_preferences": [choice]}, field="user_preferences"))
    assert clocks(desk.lead()) == (moment(5), None, moment(5))


def test_the_name_in_a_message_is_no_activity_of_its_own(desk: Desk) -> None:
    desk.told(message("in", 50, name="Ana"), message("late", 5, name="Anita"))
    assert clocks(desk.lead())[0] == moment(50)


def test_what_people_type_is_no_activity(desk: Desk) -> None:
    desk.told(message("in", 5))
    lead = desk.lead()
    lead.name, lead.lead_score, lead.tags = "Ana M.", 7, ["vip"]
    lead.save()
    desk.told(message("in", 5))
    assert clocks(lead) == (moment(5), None, moment(5))
    assert (lead.name, lead.lead_score, lead.tags) == ("Ana M.", 7, ["vip"])


@pytest.mark.parametrize(
    ("told", "at"),
    [
        (str(START), moment(0)),
        (START, moment(0)),
        (START * 1000, moment(0)),
        (str(START * 1000 + 250), moment(0.25)),
        ("2026-06-09T10:13:20Z", moment(0)),
        ("2026-06-09T05:13:20-05:00", moment(0)),
        (None, RECEIVED_AT),
        ("", RECEIVED_AT),
        (0, RECEIVED_AT),
        ("0", RECEIVED_AT),
        (-5, RECEIVED_AT),
        (True, RECEIVED_AT),
        ([START], RECEIVED_AT),
        ("yesterday", RECEIVED_AT),
        (10**30, RECEIVED_AT),
        (1, RECEIVED_AT),
        (int(RECEIVED_AT.timestamp()) + 86_400 + 1, RECEIVED_AT),
        (int(RECEIVED_AT.timestamp()) + 86_400, RECEIVED_AT + timedelta(days=1)),
        ("9999-12-31T23:59:59Z", RECEIVED_AT),
    ],
)
def test_a_time_is_the_providers_own_or_that_of_receipt(
    desk: Desk, clock: datetime, told: object, at: datetime
) -> None:
    desk.told(message("in", 0, timestamp=told))
    assert desk.row("in").sent_at == at
    assert clocks(desk.lead()) == (at, None, at)


def test_a_message_without_a_time_is_dropped_nowhere(desk: Desk, clock: datetime) -> None:
    body = message("in")
    del body["message"]["timestamp"]
    desk.told(body)
    assert desk.row("in").sent_at == clock


def test_messages_of_one_second_keep_the_order_of_arrival(desk: Desk) -> None:
    desk.told(*(message(f"in-{index}", 5) for index in range(5)))
    wamids = [row.kapso_message_id for row in Message.objects.in_order()]
    assert wamids == [f"in-{index}" for index in range(5)]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_batch_moves_clocks_to_the_newest_of_its_items(desk: Desk, reverse: bool) -> None:
    items = [message("a", 5), message("b", 9), reaction("c", 12, "a", "👍")]
    body = {"type": "whatsapp.message.received", "batch": True, "data": items[::-1] if reverse else items}
    desk.told(body)
    assert clocks(desk.lead()) == (moment(12), None, moment(9))


def test_a_message_made_by_the_orm_counts_with_the_next_event(desk: Desk) -> None:
    desk.told(message("in", 5))
    thread = Conversation.objects.get()
    Message.objects.create(
        workspace=thread.workspace,
        conversation=thread,
        contact=thread.contact,
        kapso_message_id="imported",
        direction="outbound",
        status="sent",
        sent_at=moment(60),
    )
    desk.told(message("in-2", 6))
    assert clocks(desk.lead()) == (moment(60), moment(60), moment(6))


def test_a_receipt_applies_to_a_message_made_by_the_orm(desk: Desk) -> None:
    desk.told(message("in", 5))
    thread = Conversation.objects.get()
    Message.objects.create(
        workspace=thread.workspace,
        conversation=thread,
        contact=thread.contact,
        kapso_message_id="ours",
        direction="outbound",
        status="pending",
        sent_at=moment(60),
    )
    desk.became("ours", "failed", 70, error())
    assert (desk.row("ours").status, Message.objects.count()) == ("failed", 2)
    assert clocks(desk.lead()) == (moment(60), None, moment(5))


def test_replaying_asks_no_clock(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kapso_sync.views.timezone.now", lambda: RECEIVED_AT)
    body = message("untimed", timestamp=None)
    desk.told(body)
    desk.post(contact_updated(ANA, "Ana"), "")
    before = clocks(desk.lead())
    monkeypatch.undo()

    replay_in_batches(WebhookDelivery.objects.all())
    assert clocks(desk.lead()) == before == (RECEIVED_AT, None, RECEIVED_AT)
