"""Which part of which payload becomes which event."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from contacts.events import (
    AutomationTold,
    IdentityChanged,
    MessageTold,
    NumberTold,
    Person,
    ProfileTold,
    Receipt,
    SessionTold,
)
from kapso_sync import formats
from tests.test_formats import LIMA, RECEIVED_AT, inbound, items_of, meta, only, outbound, read

ROSA = "51987650101"
TEXT = {"id": "wamid.A", "from": ROSA, "timestamp": "1781000000", "type": "text", "text": {"body": "hola"}}
RECEIVED = "whatsapp.message.received"


def reasons(payload: object, **headers: str) -> list[str]:
    return [item.ignored for item in items_of(payload, **headers)]


@pytest.mark.parametrize("payload", [None, 5, "x", [], [{}], True, 1.5])
def test_what_is_no_object_is_ignored(payload: object) -> None:
    assert reasons(payload) == ["not a JSON object"]


@pytest.mark.parametrize(
    ("payload", "event", "reason"),
    [
        ({}, RECEIVED, "an empty object"),
        ({"a": 1}, "", "names no event, holds no message and no conversation"),
        ({"a": 1}, RECEIVED, f"no message in it (event {RECEIVED})"),
        (inbound(), "whatsapp.message.edited", "event whatsapp.message.edited is not used"),
        (inbound(), "whatsapp.message.status_updated", "event whatsapp.message.status_updated is not used"),
        ({"event": "meta_business_agent.handover"}, "", "event meta_business_agent.handover is not used"),
        (inbound(id=None), RECEIVED, "a message without an id"),
        (inbound(id={"x": 1}), RECEIVED, "a message without an id"),
    ],
)
def test_what_is_not_used_says_why(payload: object, event: str, reason: str) -> None:
    [item] = items_of(payload, event=event)
    assert (item.ignored, item.events) == (reason, ())


def test_the_event_name_may_be_in_the_body_or_nowhere() -> None:
    told = outbound(kapso={})
    assert only(items_of(told, event="whatsapp.message.sent")).direction == "outbound"
    assert only(items_of(told | {"type": "whatsapp.message.read"})).receipts[0].word == "read"
    assert only(items_of(inbound(kapso={}))).direction == "inbound"
    assert only(items_of(inbound(kapso={}, **{"from": "+51 1 5550142"}))).direction == "outbound"


@pytest.mark.parametrize(
    ("event", "direction"), [(RECEIVED, "outbound"), ("whatsapp.message.read", "inbound")]
)
def test_the_message_itself_says_what_it_is(event: str, direction: str) -> None:
    event_told = only(items_of(inbound(to=ROSA, kapso={"direction": direction}), event=event))
    assert event_told.direction == direction
    assert event_told.receipts == ()


def test_an_unknown_origin_is_the_api() -> None:
    assert only(items_of(inbound(kapso={"direction": "inbound", "origin": "fax"}))).origin == "cloud_api"
    assert only(items_of(inbound(kapso={"direction": "inbound", "origin": ["x"]}))).origin == "cloud_api"


# Batches


def test_each_item_of_a_batch_has_its_own_number_and_session() -> None:
    other = inbound(id="wamid.C") | {"phone_number_id": "512340099871245", "conversation": {"id": "c2"}}
    items = items_of({"type": RECEIVED, "batch": True, "data": [inbound(), other]})
    assert [item.number for item in items] == [LIMA, "512340099871245"]
    assert items[1].events[0].session.kapso_id == "c2"  # type: ignore[union-attr]


def test_a_bad_item_does_not_take_the_others_with_it() -> None:
    items = items_of({"type": RECEIVED, "batch": True, "data": [None, 5, {}, {"message": 5}, inbound()]})
    assert [bool(item.events) for item in items] == [False, False, False, False, True]


@pytest.mark.parametrize("data", [[], None, 5, "x"])
def test_a_batch_without_items_is_ignored(data: object) -> None:
    assert reasons({"type": RECEIVED, "batch": True, "data": data}) == ["holds no items"]


def test_the_body_decides_whether_it_is_a_batch() -> None:
    header = {"x-webhook-batch": "true", "x-webhook-event": RECEIVED}
    assert only(read(inbound(), header)).content == "hola"
    assert only(items_of({"data": [inbound()]}, event=RECEIVED)).content == "hola"


def test_an_item_that_names_no_number_is_its_envelopes() -> None:
    item = {"message": inbound()["message"]}
    assert items_of({"type": RECEIVED, "phone_number_id": LIMA, "data": [item]})[0].number == LIMA


# Three forms of one message


def in_v2(message: dict[str, Any], **kapso: Any) -> dict[str, Any]:
    conversation = {"kapso": {"contact_name": "Rosa"}}
    return {"phone_number_id": LIMA, "message": message | {"kapso": kapso}, "conversation": conversation}


def in_v1(content: str, **message: Any) -> dict[str, Any]:
    told = {"id": "uuid", "whatsapp_message_id": "wamid.A", "message_type": "text", "content": content}
    told |= {
        "conversation_phone_number": f"+{ROSA}",
        "contact_name": "Rosa",
        "created_at": "2026-06-09T10:13:20Z",
    }
    return {"message": told | message, "whatsapp_config": {"id": "uuid", "phone_number_id": LIMA}}


def test_the_three_forms_of_a_received_text_are_one_event() -> None:
    v2 = only(items_of(in_v2(TEXT, direction="inbound", content="hola"), event=RECEIVED, version="v2"))
    v1 = only(items_of(in_v1("hola", direction="inbound"), event=RECEIVED, version="v1"))
    contacts = [{"wa_id": ROSA, "profile": {"name": "Rosa"}}]
    assert v2 == v1 == only(items_of(meta(messages=[TEXT], contacts=contacts)))
    assert (v2.content, v2.person) == ("hola", Person(phone=ROSA, name="Rosa"))


def test_the_forms_of_a_sent_text_are_one_event() -> None:
    sent = TEXT | {"from": "5115550142", "to": ROSA}
    v2 = only(
        items_of(in_v2(sent, direction="outbound", origin="business_app"), event="whatsapp.message.sent")
    )
    v1_told = in_v1("hola", direction="outbound", origin="business_app", status="sent")
    v1 = only(items_of(v1_told, event="whatsapp.message.sent"))
    contacts = [{"wa_id": ROSA, "profile": {"name": "Rosa"}}]
    echo = only(items_of(meta("smb_message_echoes", message_echoes=[sent], contacts=contacts)))
    assert v2 == v1 == echo
    assert echo.receipts == (Receipt(word="sent", at=echo.at),)


TYPED = {
    "image": {"id": "1", "caption": "mira"},
    "location": {"latitude": 1, "longitude": 2},
    "reaction": {"message_id": "wamid.T", "emoji": "👍"},
    "contacts": [{"name": {"formatted_name": "Ana"}}],
    "interactive": {"type": "nfm_reply", "nfm_reply": {"name": "alta", "response_json": '{"a":1}'}},
    "order": {"product_items": [{"quantity": 1, "item_price": 2, "currency": "PEN"}]},
    "unsupported": {"type": "poll_creation"},
    "system": {"type": "user_changed_number", "wa_id": "51987650299"},
}


@pytest.mark.parametrize("kind", TYPED)
def test_v2_and_meta_tell_every_type_alike(kind: str) -> None:
    message = TEXT | {"type": kind, kind: TYPED[kind], "context": {"id": "wamid.Q"}, "errors": [{"code": 1}]}
    v2 = only(items_of({"phone_number_id": LIMA, "message": message | {"kapso": {"direction": "inbound"}}}))
    assert v2 == only(items_of(meta(messages=[message])))


def test_v1_media_are_shown_by_their_type() -> None:
    told = in_v1("Image attached URL: https://x", message_type="image", has_media=True, direction="inbound")
    event = only(items_of(told, event=RECEIVED))
    assert (event.content, event.payload) == ("Photo", {})


def test_v1_tells_other_types_by_their_text() -> None:
    event = only(
        items_of(in_v1("Confirmar", message_type="interactive", direction="inbound"), event=RECEIVED)
    )
    assert (event.content, event.payload) == ("Confirmar", {"body": "Confirmar"})


def test_v1_without_a_wamid_keeps_kapsos_id() -> None:
    assert only(items_of(in_v1("hola", whatsapp_message_id=None), event=RECEIVED)).wamid == "uuid"


def test_v1_recognises_its_own_number() -> None:
    told = in_v1("hola", conversation_phone_number="+51 1 5550199")
    told["whatsapp_config"]["display_phone_number"] = "5115550199"
    assert only(items_of(told, event=RECEIVED)).person.phone is None


@pytest.mark.parametrize("version", ["v2", "v9", ""])
def test_v1_is_recognised_by_its_body(version: str) -> None:
    assert (
        only(items_of(in_v1("hola", direction="inbound"), event=RECEIVED, version=version)).wamid == "wamid.A"
    )


def test_a_wrapped_payload_is_unwrapped() -> None:
    for body in (in_v1("hola", direction="inbound"), in_v2(TEXT, direction="inbound")):
        event = only(items_of({"event": RECEIVED, "data": body}))
        assert (event.number, event.content) == (LIMA, "hola")


# Sessions, numbers, workflows


def test_a_session_has_the_newest_time_that_its_conversation_tells() -> None:
    conversation = {
        "id": "c1",
        "status": "Active",
        "updated_at": "never",
        "last_active_at": "2026-06-09T10:13:21Z",
    }
    session = only(items_of(inbound() | {"conversation": conversation})).session
    assert (session.kapso_id, session.status, session.at.second) == ("c1", "active", 21)


def test_a_session_may_be_named_by_the_message_alone() -> None:
    event = only(items_of(inbound(kapso={"direction": "inbound", "whatsapp_conversation_id": "c1"})))
    assert (event.session.kapso_id, event.session.status, event.session.at) == ("c1", "", event.at)
    assert only(items_of(inbound() | {"conversation": {"id": "x" * 129}})).session is None


def test_a_conversation_event_tells_its_session() -> None:
    told = {
        "phone_number_id": LIMA,
        "conversation": {"id": "c1", "phone_number": ROSA, "contact_name": "Rosa"},
    }
    event = only(items_of(told, event="whatsapp.conversation.ended"))
    assert isinstance(event, SessionTold)
    assert (event.session.status, event.session.at) == ("ended", RECEIVED_AT)
    assert event.person == Person(phone=ROSA, name="Rosa")
    assert only(items_of(told)).session.status == ""
    assert reasons({"conversation": {"id": 5}}) == ["a conversation without an id"]


@pytest.mark.parametrize(
    ("word", "connected"), [("phone_number.created", True), ("phone_number.deleted", False)]
)
def test_a_number_comes_and_goes(word: str, connected: bool) -> None:
    told = {"phone_number_id": LIMA, "occurred_at": "2026-06-09T10:13:20Z"}
    event = only(items_of(told, event=f"whatsapp.{word}"))
    assert isinstance(event, NumberTold)
    assert (event.number, event.connected, event.at.second) == (LIMA, connected, 20)
    assert reasons({"project": {}}, event=f"whatsapp.{word}") == [
        f"whatsapp.{word} without a phone_number_id"
    ]


def test_a_handoff_is_routed_by_its_session() -> None:
    told = {
        "event": "workflow.execution.handoff",
        "whatsapp_conversation_id": "c1",
        "handoff": {"reason": " ya\x00 "},
    }
    [item] = items_of(told)
    [event] = item.events
    assert (item.number, item.needs_number) == ("", False)
    assert isinstance(event, AutomationTold)
    assert (event.session_id, event.kind, event.reason, event.at) == (
        "c1",
        "handoff",
        "ya\ufffd",
        RECEIVED_AT,
    )
    assert event.execution_id


@pytest.mark.parametrize("word", ["started", "completed", "handoff_requested"])
def test_other_workflow_events_are_no_handoff(word: str) -> None:
    [item] = items_of({"event": f"workflow.execution.{word}", "whatsapp_conversation_id": "c1"})
    assert (item.ignored, item.needs_number) == (f"event workflow.execution.{word} is not used", False)


def test_a_handoff_without_a_session_is_ignored() -> None:
    told = {"event": "workflow.execution.handoff", "whatsapp_conversation_id": None}
    assert reasons(told) == ["workflow.execution.handoff without a whatsapp_conversation_id"]


# Profiles


@pytest.mark.parametrize("event_key", ["type", "event_type", "event"])
@pytest.mark.parametrize("place", ["contact", "data"])
@pytest.mark.parametrize("who", [{"phone_number": f"00{ROSA}"}, {"wa_id": f"+{ROSA}"}])
@pytest.mark.parametrize("called", [{"display_name": " Rosa "}, {"profile": {"name": "Rosa"}}])
def test_contact_updated_is_read_in_every_shape(
    event_key: str, place: str, who: dict[str, Any], called: dict[str, Any]
) -> None:
    event = only(items_of({event_key: "contact.updated", "phone_number_id": LIMA, place: who | called}))
    assert isinstance(event, ProfileTold)
    assert (event.person, event.counts_as_activity) == (Person(phone=ROSA, name="Rosa"), True)
    assert (event.at, len(event.source)) == (RECEIVED_AT, 64)


def test_contact_updated_reads_contact_before_data_field_by_field() -> None:
    contact, data = {"phone_number": ROSA, "display_name": " "}, {"phone_number": "1", "display_name": "Rosa"}
    event = only(
        items_of({"type": "contact.updated", "contact": contact, "data": data, "timestamp": 1781000000})
    )
    assert event.person == Person(phone=ROSA, name="Rosa")
    assert event.at < RECEIVED_AT


def test_contact_updated_may_name_a_user_id() -> None:
    contact = {"business_scoped_user_id": "PE.77", "display_name": "Rosa"}
    assert only(items_of({"type": "contact.updated", "contact": contact})).person == Person(
        user_id="PE.77", name="Rosa"
    )


@pytest.mark.parametrize(
    ("contact", "missing"),
    [
        ({"display_name": "Rosa"}, "a usable phone number"),
        ({"display_name": "Rosa", "wa_id": "5115550142"}, "a usable phone number"),
        ({"wa_id": ROSA}, "a name"),
        ({"wa_id": ROSA, "display_name": f"+{ROSA}"}, "a name"),
        ([], "a usable phone number"),
    ],
)
def test_contact_updated_without_a_person_or_a_name_is_ignored(contact: object, missing: str) -> None:
    told = {"type": "contact.updated", "phone_number_id": LIMA, "contact": contact}
    assert reasons(told) == [f"contact.updated without {missing}"]


def test_the_body_outranks_the_header_for_contact_updated() -> None:
    told = {"type": "contact.updated", "contact": {"wa_id": ROSA, "display_name": "Rosa"}}
    assert isinstance(only(items_of(told, event=RECEIVED)), ProfileTold)


@pytest.mark.parametrize("value", ["stop", "RESUME", "paused"])
def test_a_marketing_choice_is_told_in_either_form(value: str) -> None:
    choice = {
        "wa_id": ROSA,
        "user_id": "PE.1",
        "category": "marketing_messages",
        "value": value,
        "timestamp": 1781000000,
    }
    told = only(items_of(meta("user_preferences", user_preferences=[choice])))
    assert (told.marketing, told.person, told.counts_as_activity) == (
        value.lower(),
        Person(phone=ROSA, user_id="PE.1"),
        False,
    )
    native = {"phone_number_id": LIMA, "contact": choice}
    twin = only(items_of(native, event="contact.marketing_preference_changed"))
    assert twin == replace(told, source=twin.source)


@pytest.mark.parametrize("choice", [{"wa_id": ROSA}, {"value": "stop"}, {"wa_id": ROSA, "value": 5}, None])
def test_a_choice_without_a_person_or_a_word_is_ignored(choice: object) -> None:
    assert reasons(meta("user_preferences", user_preferences=[choice])) == [
        "a preference without a person or without a choice"
    ]


def test_a_preference_about_something_else_is_ignored() -> None:
    choice = {"wa_id": ROSA, "value": "stop", "category": "calls"}
    assert reasons(meta("user_preferences", user_preferences=[choice])) == [
        "preference of category calls is not used"
    ]


def test_an_address_book_entry_is_a_name_and_a_removal_is_none() -> None:
    card = {"full_name": "Rosa Q", "first_name": "Rosa", "phone_number": ROSA}
    entry = {"action": "add", "contact": card, "metadata": {"timestamp": "1781000000"}}
    items = items_of(meta("smb_app_state_sync", state_sync=[entry, entry | {"action": "remove"}, entry]))
    assert [item.ignored for item in items] == ["", "address book action remove changes nothing", ""]
    first, last = items[0].events[0], items[2].events[0]
    assert isinstance(first, ProfileTold)
    assert isinstance(last, ProfileTold)
    assert (first.address_book_name, first.person, first.at.minute) == ("Rosa Q", Person(phone=ROSA), 13)
    assert last.source == f"{first.source}:2"


# Meta's shape


def test_contacts_are_joined_by_id_never_by_position() -> None:
    cards = [
        {"wa_id": "51987650102", "profile": {"name": "Luis"}},
        {"user_id": "PE.1", "profile": {"name": "Nora"}},
    ]
    messages = [TEXT | {"from": "", "from_user_id": "PE.1"}, TEXT | {"from": "+51987650102"}, TEXT]
    names = [item.events[0].person.name for item in items_of(meta(messages=messages, contacts=cards))]  # type: ignore[union-attr]
    assert names == ["Nora", "Luis", None]


def test_every_part_of_a_change_is_read() -> None:
    status = {"id": "w", "status": "read"}
    items = items_of(
        meta(messages=[TEXT], statuses=[status], errors=[{"code": 130429, "title": "Rate limit"}], calls=[{}])
    )
    assert [item.ignored for item in items] == [
        "",
        "",
        "account error 130429 Rate limit",
        "calls are not used",
    ]
    assert {item.number for item in items} == {LIMA}


@pytest.mark.parametrize(
    "field", ["account_alerts", "message_template_status_update", "security", "group_update"]
)
def test_a_field_that_is_not_used_is_ignored_by_name(field: str) -> None:
    assert reasons(meta(field, messages=[TEXT])) == [f"Meta's field {field} is not used"]


@pytest.mark.parametrize("entry", [[], [None], [{}], [{"changes": None}], [{"changes": []}], None, "x"])
def test_an_empty_forward_is_ignored(entry: object) -> None:
    assert reasons({"object": "whatsapp_business_account", "entry": entry}) == ["holds no items"]


@pytest.mark.parametrize("change", [None, {}, {"value": []}, {"field": "messages"}])
def test_an_empty_change_is_ignored(change: object) -> None:
    [reason] = reasons({"entry": [{"changes": [change]}]})
    assert reason.startswith("nothing in it to apply")


@pytest.mark.parametrize("own", ["5115550142", None])
def test_history_is_told_with_its_directions_and_words(own: str | None) -> None:
    thread = [
        {
            "id": "1",
            "from": "5115550142",
            "timestamp": "1772366400",
            "type": "text",
            "history_context": {"status": "READ"},
        },
        {
            "id": "2",
            "from": ROSA,
            "timestamp": "1772366400",
            "type": "text",
            "history_context": {"status": "READ"},
        },
        {"id": "3", "from": "5115550142", "timestamp": "1772366400", "type": "text"},
        {"id": "4", "from": "5115550142", "type": "text", "history_context": {"status": "ERROR"}},
    ]
    told = meta("history", history=[{"threads": [{"id": ROSA, "messages": thread}]}])
    told["entry"][0]["changes"][0]["value"]["metadata"] = {
        "phone_number_id": "77",
        "display_phone_number": own,
    }
    events = [item.events[0] for item in items_of(told)]
    assert all(isinstance(event, MessageTold) and event.origin == "history_sync" for event in events)
    words = [[(receipt.word, receipt.at is None) for receipt in event.receipts] for event in events]  # type: ignore[union-attr]
    assert words == [[("read", True)], [], [("sent", False)], [("failed", True)]]
    assert {event.person.phone for event in events} == {ROSA}  # type: ignore[union-attr]


def test_media_that_follow_a_history_belong_to_it() -> None:
    assert only(items_of(meta("history", messages=[TEXT]))).origin == "history_sync"


def test_a_declined_history_says_so() -> None:
    chunks = [{"errors": [{"code": 2593109}]}, {"errors": [{"code": 1, "message": "later"}]}]
    assert reasons(meta("history", history=chunks)) == [
        "the owner declined to share history",
        "history error 1 later",
    ]


def test_a_user_id_update_joins_both_ids() -> None:
    update = {
        "wa_id": ROSA,
        "user_id": {"previous": "PE.OLD", "current": "PE.NEW"},
        "timestamp": "1781000000",
    }
    event = only(items_of(meta("user_id_update", user_id_update=[update])))
    assert isinstance(event, IdentityChanged)
    assert (event.before, event.after) == (Person(user_id="PE.OLD"), Person(user_id="PE.NEW", phone=ROSA))


@pytest.mark.parametrize("ids", [None, {}, {"previous": "PE.A"}, {"previous": "PE.A", "current": "PE.A"}])
def test_half_a_user_id_update_is_ignored(ids: object) -> None:
    [reason] = reasons(meta("user_id_update", user_id_update=[{"user_id": ids}]))
    assert reason == "a user id update without a previous and another current id"


def test_a_fault_of_ours_spoils_one_item_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(formats.HANDLERS, RECEIVED, broken)
    told = {"type": RECEIVED, "data": [inbound(), inbound()]}
    assert reasons(told) == [f"{formats.UNREADABLE}ZeroDivisionError"] * 2
