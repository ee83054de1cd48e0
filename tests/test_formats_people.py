"""Who an event is about."""

from __future__ import annotations

from typing import Any

import pytest

from contacts.events import IdentityChanged, MessageTold, Person
from tests.test_formats import LIMA, inbound, items_of, meta, only, outbound

ROSA = "51987650101"
OUR_OWN = "5115550142"


def person_of(payload: dict[str, Any], **conversation: Any) -> Person:
    person: Person = only(items_of(payload | {"conversation": conversation})).person
    return person


@pytest.mark.parametrize("sender", [ROSA, f"+{ROSA}", "+51 987-650-101", f"00{ROSA}", int(ROSA)])
def test_a_sender_is_the_same_person_however_written(sender: object) -> None:
    assert person_of(inbound(**{"from": sender})) == Person(phone=ROSA)


@pytest.mark.parametrize("sender", ["", None, OUR_OWN, "12345", ["x"], "unknown"])
def test_where_the_sender_is_unusable_the_conversation_tells(sender: object) -> None:
    assert person_of(inbound(**{"from": sender}), phone_number="+51 987 650 101").phone == ROSA


def test_an_outbound_message_is_about_its_recipient() -> None:
    told = outbound(**{"from": OUR_OWN, "from_user_id": "PE.SENDER1", "to": ROSA, "to_user_id": "PE.ROSA1"})
    assert person_of(told) == Person(phone=ROSA, user_id="PE.ROSA1")


def test_without_a_recipient_the_statuses_then_the_conversation_tell() -> None:
    statuses = [{"status": "sent", "recipient_id": ROSA}, {"status": "read", "recipient_user_id": "PE.ROSA1"}]
    told = outbound(to=None, kapso={"direction": "outbound", "statuses": statuses})
    assert person_of(told, phone_number="51987650199") == Person(phone=ROSA, user_id="PE.ROSA1")
    assert person_of(outbound(to=""), phone_number="51987650199").phone == "51987650199"


@pytest.mark.parametrize("key", ["business_scoped_user_id", "from_user_id"])
def test_a_user_id_alone_is_a_person_without_a_phone(key: str) -> None:
    assert person_of(inbound(**{"from": "", key: "PE.77"})) == Person(user_id="PE.77")


def test_the_message_names_its_person_before_the_conversation() -> None:
    told = inbound(business_scoped_user_id="PE.A", from_user_id="PE.B")
    assert person_of(told, business_scoped_user_id="PE.C").user_id == "PE.A"
    assert person_of(inbound(), business_scoped_user_id="PE.C").user_id == "PE.C"


@pytest.mark.parametrize("value", ["PE.1180022933441", "user.0af3b2c1"])
def test_a_user_id_in_a_phones_place_is_a_user_id(value: str) -> None:
    assert person_of(inbound(**{"from": value})) == Person(user_id=value)
    assert person_of(inbound(**{"from": None}), phone_number=value) == Person(user_id=value)


@pytest.mark.parametrize(
    "value", ["unknown", f"{ROSA}@s.whatsapp.net", "1-800-FLOWERS", "Rosa Quispe 51987650101"]
)
def test_other_words_in_a_phones_place_are_nobody(value: str) -> None:
    assert person_of(inbound(**{"from": value})) == Person()


@pytest.mark.parametrize("odd", ["with space 1", "x" * 257, 12345, ["PE.1"], True, ""])
def test_an_unusable_user_id_leaves_the_phone(odd: object) -> None:
    assert person_of(inbound(**{"from": ROSA, "from_user_id": odd})) == Person(phone=ROSA)


def test_a_parent_id_is_kept_apart() -> None:
    told = inbound(**{"from": ROSA, "from_parent_user_id": "US.ENT.9"})
    assert person_of(told) == Person(phone=ROSA, parent_user_id="US.ENT.9")
    assert person_of(inbound(**{"from": "US.ENT.9021033"})) == Person(parent_user_id="US.ENT.9021033")


@pytest.mark.parametrize(
    ("told", "kept"), [("@nora", "nora"), (" nora ", "nora"), (" ", None), ("x" * 500, "x" * 255)]
)
def test_a_username_is_trimmed_and_cut(told: str, kept: str | None) -> None:
    assert person_of(inbound(username=told)).username == kept


def test_the_name_is_looked_up_in_order() -> None:
    told = inbound(kapso={"direction": "inbound", "contact_name": "C"})
    assert person_of(told, kapso={"contact_name": "A"}, contact_name="B").name == "A"
    assert person_of(told, kapso={"contact_name": " "}, contact_name="B").name == "B"
    assert person_of(told, kapso=[]).name == "C"


@pytest.mark.parametrize("name", ["", "  ", None, 5, "51987650110", "+51 987 650 110"])
def test_a_name_that_says_nothing_is_none(name: object) -> None:
    assert person_of(inbound(), contact_name=name).name is None


def test_a_name_is_cut_by_code_points() -> None:
    assert person_of(inbound(), contact_name="🌺" * 1000).name == "🌺" * 255


def test_the_business_itself_is_nobody() -> None:
    assert person_of(inbound(**{"from": OUR_OWN}), phone_number=f"+{OUR_OWN}") == Person()


def test_meta_names_its_own_number_itself() -> None:
    told = meta(
        messages=[{"id": "w", "from": "51 1 555 0142", "to": ROSA, "type": "text", "text": {"body": "x"}}]
    )
    event = only(items_of(told))
    assert (event.direction, event.person.phone, event.receipts[0].word) == ("outbound", ROSA, "sent")


@pytest.mark.parametrize(
    "group",
    [
        {"group_id": "g1"},
        {"recipient_type": "group"},
        {"kapso": {"direction": "outbound", "statuses": [{"recipient_type": "group"}]}},
    ],
)
def test_a_group_message_is_ignored(group: dict[str, Any]) -> None:
    [item] = items_of(inbound(**group))
    assert (item.events, item.ignored, item.number) == ((), "a group message", LIMA)


def test_a_group_conversation_is_ignored() -> None:
    assert (
        items_of(inbound() | {"conversation": {"id": "c", "type": "group"}})[0].ignored == "a group message"
    )
    told = {"conversation": {"id": "c", "type": "group"}}
    assert items_of(told, event="whatsapp.conversation.created")[0].ignored == "a group conversation"


def system(**told: Any) -> MessageTold | IdentityChanged:
    sender = told.pop("sender", None)
    event: MessageTold | IdentityChanged = only(
        items_of(inbound(type="system", text=None, system=told, **{"from": sender}))
    )
    return event


def test_a_changed_number_joins_the_old_and_the_new() -> None:
    event = system(type="user_changed_number", wa_id="51987650299", user_id="PE.NEW", body="b", sender=ROSA)
    assert isinstance(event, IdentityChanged)
    assert (event.before, event.after) == (Person(phone=ROSA), Person(phone="51987650299", user_id="PE.NEW"))
    assert event.message
    assert (event.message.person, event.message.content) == (event.before, "b")


def test_a_changed_user_id_is_found_by_field_then_text_then_phone() -> None:
    body = "User changed from PE.X to PE.Y changed from PE.OLD to PE.NEW"
    change = {"type": "user_changed_user_id", "user_id": "PE.NEW", "body": body}
    events = [
        system(**change, previous_user_id="PE.PREVIOUS"),
        system(**change),
        system(**change | {"body": 5}, sender=ROSA),
    ]
    befores = [event.before for event in events if isinstance(event, IdentityChanged)]
    assert befores == [Person(user_id="PE.PREVIOUS"), Person(user_id="PE.OLD"), Person(phone=ROSA)]


@pytest.mark.parametrize(
    "told",
    [
        {"type": "user_changed_number", "sender": ROSA},
        {"type": "user_changed_number", "wa_id": "51987650299"},
        {"type": "user_changed_number", "wa_id": ROSA, "sender": ROSA},
        {"type": "customer_identity_changed", "wa_id": "51987650299", "sender": ROSA},
        {"type": ["x"]},
    ],
)
def test_a_system_line_without_both_sides_is_only_a_line(told: dict[str, Any]) -> None:
    event = system(**told)
    assert isinstance(event, MessageTold)
    assert event.message_type == "system"


def test_a_hostile_system_text_is_read_in_no_time() -> None:
    event = system(type="user_changed_user_id", user_id="PE.NEW", body="changed from a to " * 100_000)
    assert isinstance(event, MessageTold)
