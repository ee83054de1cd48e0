"""Who is who: CONTRACT.md section 8, EDGE_CASES.md part 1, 57 to 85 and 143."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F
from django.test import Client
from django.urls import reverse

from contacts.models import Contact, ContactMerge, Conversation, Identity, Message
from kapso_sync.models import WebhookDelivery
from kapso_sync.replaying import replay_in_batches
from tests.builders import (
    ANA,
    ANA_ID,
    BEA,
    BEA_ID,
    LIMA,
    OWN_PHONE,
    SAOPAULO,
    Desk,
    Json,
    contact_updated,
    message,
    meta,
    moment,
    sent,
    session_event,
    status,
    system_line,
    user_id_update,
)
from tests.state import crm_state

NEW_PHONE, NEW_ID = "51922220001", "PE.2000000000000001"


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


def who(lead: Contact) -> tuple[str | None, str | None]:
    return lead.phone, lead.business_scoped_user_id


def leads() -> set[tuple[str | None, str | None]]:
    return {who(lead) for lead in Contact.objects.living()}


def wamids(lead: Contact) -> set[str]:
    return set(lead.messages.values_list("kapso_message_id", flat=True))


# Phones


@pytest.mark.parametrize(
    "written",
    [
        "51911110001",
        "+51911110001",
        "+51 911 110 001",
        "(51) 911-110-001",
        "0051911110001",
        "51.911.110.001",
        51911110001,
        " 51911110001 ",
        "٥١٩١١١١٠٠٠١",
    ],
)
def test_a_phone_is_its_digits(desk: Desk, written: Any) -> None:
    desk.told(message("a", 0), message("b", 1, session="other", **{"from": written}))
    assert wamids(desk.only_lead) == {"a", "b"}
    assert desk.only_lead.phone == ANA


@pytest.mark.parametrize("written", ["+51911110001", "51911110001", "+51 (911) 110-001"])
def test_the_conversations_phone_serves_where_the_message_has_none(desk: Desk, written: str) -> None:
    body = message("b", 1, phone=None, session="other")
    body["conversation"]["phone_number"] = written
    desk.told(message("a", 0), body)
    assert wamids(desk.only_lead) == {"a", "b"}


@pytest.mark.parametrize(
    "given", ["123456", "1234567890123456", "", None, "unknown", True, 1.5, [ANA], {"a": ANA}]
)
def test_what_is_no_phone_identifies_nobody(desk: Desk, given: Any) -> None:
    desk.told(message("a", 0, phone=None, user_id=ANA_ID, **{"from": given}))
    assert who(desk.only_lead) == (None, ANA_ID)


@pytest.mark.parametrize("digits", ["1234567", "123456789012345"])
def test_the_shortest_and_the_longest_phone(desk: Desk, digits: str) -> None:
    desk.told(message("a", 0, phone=digits))
    assert desk.only_lead.phone == digits


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("5511987650111", "551187650111"),
        ("551133334444", "5511933334444"),
        ("5215512345678", "525512345678"),
        ("5491123456789", "541123456789"),
    ],
)
def test_likeness_joins_nobody(desk: Desk, one: str, other: str) -> None:
    desk.told(message("a", 0, phone=one), message("b", 1, phone=other))
    assert leads() == {(one, None), (other, None)}


def test_the_business_number_is_nobody(desk: Desk) -> None:
    body = message("a", 0, phone=OWN_PHONE, session="s")
    body["conversation"]["phone_number"] = "+" + ANA
    desk.told(body)
    assert desk.only_lead.phone == ANA


def test_the_business_number_alone_makes_no_lead(desk: Desk) -> None:
    desk.post(message("a", 0, phone=OWN_PHONE, session="s"))
    assert (Contact.objects.count(), Message.objects.get().contact) == (0, None)


# Where an outbound message names its person


def test_an_outbound_message_is_of_its_recipient(desk: Desk) -> None:
    desk.told(sent("a", 0, **{"from": OWN_PHONE}))
    assert leads() == {(ANA, None)}


@pytest.mark.parametrize("place", ["conversation", "kapso", "status"])
def test_the_recipient_is_looked_for_elsewhere(desk: Desk, place: str) -> None:
    body = sent("a", 0, phone=None, session="s")
    if place == "conversation":
        body["conversation"]["phone_number"] = "+51 911 110 001"
    elif place == "kapso":
        body["message"]["kapso"]["phone_number"] = ANA
    else:
        body["message"]["kapso"]["statuses"] = [status("sent", 0, recipient_id=ANA)]
    desk.told(body)
    assert leads() == {(ANA, None)}


def test_the_recipients_user_id_serves_alone(desk: Desk) -> None:
    desk.told(sent("a", 0, phone=None, user_id=ANA_ID))
    desk.told(sent("b", 1, phone=None, session="t", statuses=[status("sent", 1, recipient_user_id=ANA_ID)]))
    assert (leads(), wamids(desk.only_lead)) == ({(None, ANA_ID)}, {"a", "b"})


def test_the_session_alone_leads_to_the_person(desk: Desk) -> None:
    desk.told(message("a", 0, session="s"), sent("b", 1, phone=None, session="s"))
    assert wamids(desk.only_lead) == {"a", "b"}


# User ids


@pytest.mark.parametrize(
    ("part", "key"),
    [
        ("message", "business_scoped_user_id"),
        ("message", "from_user_id"),
        ("conversation", "business_scoped_user_id"),
    ],
)
def test_a_user_id_alone_makes_a_lead(desk: Desk, part: str, key: str) -> None:
    body = message("a", 0, phone=None, session="s")
    body[part][key] = ANA_ID
    desk.told(body)
    assert leads() == {(None, ANA_ID)}


def test_the_messages_user_id_goes_before_the_conversations(desk: Desk) -> None:
    body = message("a", 0, user_id=ANA_ID)
    body["conversation"]["business_scoped_user_id"] = BEA_ID
    desk.told(body)
    assert leads() == {(ANA, ANA_ID)}


@pytest.mark.parametrize("user_id", ["PE.1180022933441177553", "user." + "0f" * 32, "US.1Ab9"])
def test_a_user_id_in_a_phones_place_is_kept_as_it_is(desk: Desk, user_id: str) -> None:
    desk.told(message("a", 0, phone=user_id))
    assert leads() == {(None, user_id)}


def test_a_user_id_in_a_phones_place_of_metas_card(desk: Desk) -> None:
    told = {"id": "a", "timestamp": "1781000000", "type": "text", "text": {"body": "x"}, "from": ANA_ID}
    desk.told(meta({"contacts": [{"wa_id": ANA_ID, "profile": {"name": "Ana"}}], "messages": [told]}))
    assert (leads(), desk.only_lead.kapso_name) == ({(None, ANA_ID)}, "Ana")


@pytest.mark.parametrize("empty", ["", None])
def test_people_without_phones_do_not_collide(desk: Desk, empty: str | None) -> None:
    sender: dict[str, Any] = {"from": empty}
    for wamid, user_id in (("a", ANA_ID), ("b", BEA_ID)):
        desk.told(message(wamid, 0, phone=None, user_id=user_id, **sender))
    assert leads() == {(None, ANA_ID), (None, BEA_ID)}


def test_people_without_user_ids_do_not_collide(desk: Desk) -> None:
    desk.told(message("a", 0, user_id=""), message("b", 0, phone=BEA, user_id=""))
    assert leads() == {(ANA, None), (BEA, None)}


@pytest.mark.parametrize("odd", ["x" * 256, "ünïcode-☂", "0", "-1", "PE.1;DROP TABLE"[:4], "PE/1+2=3"])
def test_an_opaque_user_id_is_accepted_as_it_is(desk: Desk, odd: str) -> None:
    desk.told(message("a", 0, user_id=odd))
    assert leads() == {(ANA, odd)}


@pytest.mark.parametrize("odd", ["x" * 257, "PE 1", "PE.1\n", "\t", 17, True, ["PE.1"], {"id": "PE.1"}])
def test_an_odd_user_id_is_left_out(desk: Desk, odd: Any) -> None:
    desk.told(message("a", 0, user_id=odd))
    assert leads() == {(ANA, None)}


def test_a_parent_id_stands_apart(desk: Desk) -> None:
    parent = "US.ENT.1234567890"
    desk.told(message("a", 0, user_id=ANA_ID, from_parent_user_id=parent))
    desk.told(message("b", 0, phone=BEA, user_id=BEA_ID, from_parent_user_id=parent))
    assert leads() == {(ANA, ANA_ID), (BEA, BEA_ID)}
    assert {lead.parent_user_id for lead in Contact.objects.living()} == {parent}


# Nobody known


def test_a_message_of_nobody_is_kept(desk: Desk) -> None:
    answer = desk.post(message("a", 0, phone=None, session="s"))
    assert answer.status == 200
    assert (Contact.objects.count(), Message.objects.get().content) == (0, "Hola")


@pytest.mark.parametrize("how", ["message", "conversation event"])
def test_a_message_of_nobody_finds_its_lead_by_its_session(desk: Desk, how: str) -> None:
    desk.post(message("a", 0, phone=None, session="s"))
    if how == "message":
        desk.told(message("b", 5, session="s"))
    else:
        desk.post(session_event("s", 5), "whatsapp.conversation.inactive")
        desk.told(message("b", 5, session="other"))
    assert wamids(desk.only_lead) == {"a", "b"}


def test_a_conversation_event_makes_a_lead_of_whom_a_waiting_message_is(desk: Desk) -> None:
    desk.post(message("a", 0, phone=None, session="s"))
    desk.post(session_event("s", 5), "whatsapp.conversation.inactive")
    assert (wamids(desk.only_lead), desk.only_lead.phone) == ({"a"}, ANA)


def test_a_status_that_knows_the_person_brings_the_message_home(desk: Desk) -> None:
    desk.post(sent("a", 0, phone=None, session="s"), "whatsapp.message.sent")
    desk.became("a", "delivered", 5, session="s")
    assert (wamids(desk.only_lead), desk.only_lead.phone) == ({"a"}, ANA)


@pytest.mark.parametrize("order", list(permutations([0, 1, 2])), ids=str)
def test_a_session_that_names_two_people_has_one_result_in_any_order(
    desk: Desk, order: tuple[int, ...]
) -> None:
    """A message that names nobody, in a session that is Ana's by a message and Bea's by a newer event."""
    told = [message("a", 0, phone=None, session="s"), message("b", 5, session="s")]
    for index in order:
        if index == 2:
            desk.post(session_event("s", 10, phone=BEA), "whatsapp.conversation.inactive")
        else:
            desk.post(told[index])
    owner = desk.row("a").contact
    assert owner is not None
    assert (owner.phone, leads()) == (BEA, {(ANA, None), (BEA, None)})


# What is learnt later


PHONE_ONLY, BOTH, ID_ONLY = (
    message("a", 0),
    message("b", 1, user_id=ANA_ID),
    message("c", 2, phone=None, user_id=ANA_ID),
)


@pytest.mark.parametrize("order", list(permutations([0, 1, 2])), ids=str)
def test_phone_only_and_id_only_and_both_are_one_lead(desk: Desk, order: tuple[int, ...]) -> None:
    for index in order:
        desk.told((PHONE_ONLY, BOTH, ID_ONLY)[index])
    assert (leads(), wamids(desk.only_lead)) == ({(ANA, ANA_ID)}, {"a", "b", "c"})
    assert Conversation.objects.count() == 1


@pytest.mark.parametrize("order", list(permutations([0, 1, 2])), ids=str)
def test_joining_keeps_what_people_typed(desk: Desk, order: tuple[int, ...]) -> None:
    typed: dict[int, Json] = {
        0: {"name": "Doña Ana", "tags": ["vip"]},
        2: {"email": "ana@example.com", "lead_score": 3},
    }
    for index in order:
        desk.told((PHONE_ONLY, BOTH, ID_ONLY)[index])
        Contact.objects.living().filter(messages__kapso_message_id="abc"[index]).update(
            **typed.get(index, {})
        )
    lead = desk.only_lead
    assert (lead.name, lead.tags, lead.email, lead.lead_score) == ("Doña Ana", ["vip"], "ana@example.com", 3)


def test_a_joined_lead_points_to_its_survivor(desk: Desk) -> None:
    desk.told(PHONE_ONLY, ID_ONLY, BOTH)
    merged = Contact.objects.get(merged_into__isnull=False)
    assert (merged.merged_into, who(merged)) == (desk.only_lead, (None, None))
    assert ContactMerge.objects.get().survivor == desk.only_lead


def test_a_message_for_a_joined_lead_lands_on_the_survivor(desk: Desk) -> None:
    desk.told(PHONE_ONLY, ID_ONLY, BOTH, message("d", 9), message("e", 10, phone=None, user_id=ANA_ID))
    assert wamids(desk.only_lead) == {"a", "b", "c", "d", "e"}


def test_a_phone_that_changes_hands_goes_to_its_newest_holder(desk: Desk) -> None:
    desk.told(
        message("a", 0, user_id=ANA_ID), message("b", 10, user_id=BEA_ID), message("c", 20), message("d", 5)
    )
    assert leads() == {(None, ANA_ID), (ANA, BEA_ID)}
    assert wamids(desk.lead(ANA)) == {"b", "c"}
    assert wamids(Contact.objects.get(business_scoped_user_id=ANA_ID)) == {"a", "d"}


def test_a_phone_that_changes_hands_does_so_in_any_order(desk: Desk) -> None:
    told = [
        message("a", 0, user_id=ANA_ID),
        message("b", 10, user_id=BEA_ID),
        message("c", 20),
        message("d", 5),
    ]
    results = []
    for index, order in enumerate(permutations(range(4))):
        phone, users = f"5191333{index:04}", (f"PE.A{index}", f"PE.B{index}")
        for body in (told[position] for position in order):
            user = body["message"].get("from_user_id")
            new = None if user is None else users[user == BEA_ID]
            at = {"a": 0, "b": 10, "c": 20, "d": 5}[body["message"]["id"]]
            desk.told(message(f"{body['message']['id']}-{index}", at, phone=phone, user_id=new))
        holder = desk.lead(phone)
        former = Contact.objects.get(business_scoped_user_id=users[0])
        results.append([sorted(wamid[0] for wamid in wamids(lead)) for lead in (holder, former)])
    assert results == [[["b", "c"], ["a", "d"]]] * 24


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_of_two_first_holders_at_the_same_time_one_is_it_in_any_order(
    desk: Desk, order: tuple[int, ...]
) -> None:
    """What the phone did before either is the one's whose user id sorts last: its messages, and its change of number."""
    told = [
        message("a", 10, user_id=ANA_ID),
        message("b", 10, user_id=BEA_ID),
        message("c", 5),
        system_line("d", 3, ANA, type="user_changed_number", wa_id=NEW_PHONE),
        message("e", 20, phone=NEW_PHONE),
    ]
    desk.told(*(told[index] for index in order), told[-1])
    holder = Contact.objects.living().get(business_scoped_user_id=BEA_ID)
    other = Contact.objects.living().get(business_scoped_user_id=ANA_ID)
    assert (wamids(holder), wamids(other)) == ({"b", "c", "d", "e"}, {"a"})
    assert Contact.objects.living().count() == 2


def test_both_ids_of_one_event_join_two_leads(desk: Desk) -> None:
    desk.told(message("x", 0, phone=None, user_id=ANA_ID), message("y", 1), message("z", 2, user_id=ANA_ID))
    assert (leads(), wamids(desk.only_lead)) == ({(ANA, ANA_ID)}, {"x", "y", "z"})


def test_both_ids_of_one_event_do_not_join_where_the_phone_has_its_own(desk: Desk) -> None:
    desk.told(message("x", 0, phone=None, user_id=ANA_ID), message("y", 1, user_id=BEA_ID))
    desk.told(message("z", 2, user_id=ANA_ID))
    assert leads() == {(ANA, ANA_ID), (None, BEA_ID)}
    assert wamids(desk.lead(ANA)) == {"x", "z"}


# Change signals


CHANGES = {
    "number changed": system_line(
        "line", 10, ANA, type="user_changed_number", wa_id=NEW_PHONE, user_id=NEW_ID
    ),
    "user id changed": system_line(
        "line", 10, None, type="user_changed_user_id", user_id=NEW_ID, previous_user_id=ANA_ID
    ),
    "user id changed, by its text": system_line(
        "line",
        10,
        None,
        type="user_changed_user_id",
        user_id=NEW_ID,
        body=f"User A changed from {ANA_ID} to {NEW_ID}",
    ),
    "user id update": user_id_update(10, ANA_ID, NEW_ID),
}
BEFORE, AFTER = message("old", 0, user_id=ANA_ID), message("new", 20, phone=NEW_PHONE, user_id=NEW_ID)


@pytest.mark.parametrize("order", list(permutations([0, 1, 2])), ids=str)
@pytest.mark.parametrize("change", list(CHANGES))
def test_a_change_makes_one_lead_of_two_in_any_order(desk: Desk, change: str, order: tuple[int, ...]) -> None:
    for index in order:
        body = (BEFORE, CHANGES[change], AFTER)[index]
        desk.post(body, "" if index == 1 else "whatsapp.message.received")
    assert leads() == {(NEW_PHONE, NEW_ID)}
    assert wamids(desk.only_lead) - {"line"} == {"old", "new"}


def test_a_number_change_keeps_the_old_number_as_an_alias(desk: Desk) -> None:
    desk.told(message("a", 0))
    desk.told(system_line("line", 10, ANA, type="user_changed_number", wa_id=NEW_PHONE))
    assert leads() == {(NEW_PHONE, None)}
    desk.told(message("late", 5))
    assert wamids(desk.only_lead) == {"a", "late", "line"}
    assert set(desk.only_lead.identities.values_list("value", flat=True)) == {ANA, NEW_PHONE}


def test_a_number_change_is_a_line_of_the_timeline_and_no_turn(desk: Desk) -> None:
    desk.told(message("a", 0))
    desk.told(
        system_line("line", 10, ANA, type="user_changed_number", wa_id=NEW_PHONE, body="User A changed")
    )
    row = desk.row("line")
    assert (row.contact, row.message_type, row.content) == (desk.only_lead, "system", "User A changed")
    assert desk.only_lead.last_inbound_at == moment(0)


def test_a_change_told_twice_is_one(desk: Desk) -> None:
    desk.told(BEFORE, CHANGES["user id update"], CHANGES["user id update"])
    desk.told(CHANGES["user id changed"], CHANGES["user id update"])
    assert leads() == {(ANA, NEW_ID)}


@pytest.mark.parametrize("order", list(permutations([0, 1, 2])), ids=str)
def test_a_chain_of_changes_in_any_order_ends_with_the_newest(desk: Desk, order: tuple[int, ...]) -> None:
    told = (
        message("a", 0, user_id="PE.A1"),
        user_id_update(10, "PE.A1", "PE.B1"),
        user_id_update(20, "PE.B1", "PE.C1"),
    )
    for index in order:
        desk.post(told[index], "" if index else "whatsapp.message.received")
    assert leads() == {(ANA, "PE.C1")}


@pytest.mark.parametrize("change", list(CHANGES))
def test_a_change_of_somebody_unknown_makes_no_lead(desk: Desk, change: str) -> None:
    desk.post(CHANGES[change], "")
    assert Contact.objects.count() == 0


@pytest.mark.parametrize("change", list(CHANGES))
def test_a_change_of_somebody_unknown_counts_once_they_write(desk: Desk, change: str) -> None:
    desk.post(CHANGES[change], "")
    desk.told(BEFORE)
    desk.told(AFTER)
    assert wamids(desk.only_lead) - {"line"} == {"old", "new"}


# Names


@pytest.mark.parametrize(
    "given", [None, "", "   ", "51911110001", "+51 911 110 001", 17, ["Ana"], {"n": "Ana"}]
)
def test_what_is_no_name_leaves_the_phone_to_show(desk: Desk, given: Any) -> None:
    body = message("a", 0)
    body["conversation"]["kapso"] = {"contact_name": given}
    desk.told(body)
    lead = desk.only_lead
    assert (lead.kapso_name, lead.name, lead.shown_name) == ("", "", f"+{ANA}")


@pytest.mark.parametrize("given", ["🌸🌸", "محمد أحمد", "\u202eevil", "<b>Ana</b>", "=1+1", "  Ana  "])
def test_any_other_name_is_kept(desk: Desk, given: str) -> None:
    desk.told(message("a", 0, name=given))
    assert desk.only_lead.kapso_name == desk.only_lead.name == given.strip()


@pytest.mark.parametrize(
    ("given", "kept"), [("ñ" * 1000, "ñ" * 255), ("a\x00b", "a\ufffdb"), ("a\ud83d", "a\ufffd")]
)
def test_a_name_is_made_storable(desk: Desk, given: str, kept: str) -> None:
    desk.told(message("a", 0, name=given))
    assert desk.only_lead.kapso_name == kept


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"phone": ANA, "username": "ana"}, f"+{ANA}"),
        ({"phone": None, "user_id": ANA_ID, "username": "ana"}, "@ana"),
        ({"phone": ANA, "user_id": ANA_ID}, f"+{ANA}"),
        ({"phone": None, "user_id": ANA_ID}, ANA_ID),
    ],
)
def test_without_a_name_the_phone_shows_then_the_username_then_the_user_id(
    desk: Desk, fields: Json, shown: str
) -> None:
    desk.told(message("a", 0, **fields))
    assert desk.only_lead.shown_name == shown


def test_the_newest_profile_name_shows_and_the_earliest_names(desk: Desk) -> None:
    for order in permutations([(0, "Ana"), (10, "Anita"), (20, "Ana María")]):
        phone = "51955" + "".join(str(at // 10) for at, _ in order) + "000"
        desk.told(*(message(f"{phone}-{at}", at, phone=phone, name=name) for at, name in order))
        assert (desk.lead(phone).kapso_name, desk.lead(phone).name) == ("Ana María", "Ana")


def test_a_message_without_a_name_blanks_none(desk: Desk) -> None:
    desk.told(message("a", 0, name="Ana"), message("b", 10), message("c", 20, name=""))
    assert (desk.only_lead.kapso_name, desk.only_lead.name) == ("Ana", "Ana")


def test_a_typed_name_is_never_touched(desk: Desk) -> None:
    desk.told(message("a", 10, name="Ana"))
    Contact.objects.update(name="Sra. Ana")
    desk.told(message("b", 20, name="Anita"), message("c", 0, name="A."))
    desk.post(contact_updated(ANA, "Ana M."), "")
    assert desk.only_lead.name == "Sra. Ana"


def test_contact_updated_renames_by_its_own_time(desk: Desk) -> None:
    desk.told(message("a", 10, name="Ana"))
    desk.post(contact_updated(ANA, "Anterior", timestamp="1781000005"), "")
    assert desk.only_lead.kapso_name == "Ana"
    desk.post(contact_updated(f"00{ANA}", "Ana M.", timestamp="1781000015"), "")
    assert desk.only_lead.kapso_name == "Ana M."


@pytest.mark.parametrize(
    ("given", "kept"),
    [("ana", "ana"), ("@ana", "ana"), (" @ana ", "ana"), ("", ""), ("@", ""), ("x" * 500, "x" * 255)],
)
def test_a_username_is_trimmed(desk: Desk, given: str, kept: str) -> None:
    desk.told(message("a", 0, username=given))
    assert desk.only_lead.username == kept


def test_a_username_joins_nobody_and_the_newest_counts(desk: Desk) -> None:
    desk.told(message("a", 0, username="ana"), message("b", 1, phone=BEA, username="ana"))
    desk.told(message("d", 5, username="ana.m"), message("c", 3, username="ana.old"))
    assert (desk.lead(ANA).username, desk.lead(BEA).username) == ("ana.m", "ana")


# Rows made by hand


def by_hand(desk: Desk, **fields: Any) -> Contact:
    return Contact.objects.create(workspace=desk.numbers[LIMA].workspace, **fields)


def test_a_lead_typed_in_is_found_by_its_phone_and_its_name_stays(desk: Desk) -> None:
    lead = by_hand(desk, phone=ANA, name="Doña Ana")
    desk.told(message("a", 0, name="Ana"))
    assert desk.only_lead == lead
    assert (desk.only_lead.name, desk.only_lead.kapso_name) == ("Doña Ana", "Ana")


@pytest.mark.parametrize("fields", [{}, {"phone": None, "user_id": ANA_ID}, {"user_id": ANA_ID}])
def test_a_lead_typed_in_is_found_by_either_identity(desk: Desk, fields: Json) -> None:
    lead = by_hand(desk, phone=ANA, business_scoped_user_id=ANA_ID)
    desk.told(message("a", 0, **fields))
    assert (desk.only_lead, who(desk.only_lead)) == (lead, (ANA, ANA_ID))


def test_a_lead_typed_in_is_known_to_contact_updated(desk: Desk) -> None:
    by_hand(desk, phone=ANA)
    assert desk.post(contact_updated(ANA, "Ana"), "").json["status"] == "processed"
    assert desk.only_lead.kapso_name == "Ana"


def test_a_lead_typed_in_with_a_former_number_of_another_loses_no_message(desk: Desk) -> None:
    desk.told(message("a", 0))
    desk.told(system_line("line", 10, ANA, type="user_changed_number", wa_id=NEW_PHONE))
    by_hand(desk, phone=ANA, name="Typed")
    desk.told(message("b", 20, phone=NEW_PHONE), message("c", 100, phone=ANA))
    assert desk.row("c").contact is not None
    connection.check_constraints()


def test_a_lead_that_is_given_the_former_number_of_another_loses_no_message(desk: Desk) -> None:
    desk.told(message("a", 0), message("z", 0, phone=BEA))
    desk.told(system_line("line", 10, ANA, type="user_changed_number", wa_id=NEW_PHONE))
    lead = desk.lead(BEA)
    lead.phone = ANA
    lead.save()
    desk.told(message("c", 100, phone=ANA), message("d", 101, phone=BEA), message("e", 102, phone=NEW_PHONE))
    assert not Message.objects.filter(contact=None).exists()
    connection.check_constraints()


def test_two_leads_typed_in_become_one_by_proof(desk: Desk) -> None:
    by_hand(desk, phone=ANA, name="Ana", tags=["a"])
    by_hand(desk, business_scoped_user_id=ANA_ID, email="ana@example.com", tags=["b"])
    desk.told(message("a", 0, user_id=ANA_ID))
    lead = desk.only_lead
    assert (who(lead), lead.name, lead.email, lead.tags) == (
        (ANA, ANA_ID),
        "Ana",
        "ana@example.com",
        ["a", "b"],
    )


# Borders


def test_a_person_is_a_lead_of_each_workspace(desk: Desk) -> None:
    desk.told(message("a", 0), message("b", 1, number=SAOPAULO))
    assert desk.lead(ANA, LIMA) != desk.lead(ANA, SAOPAULO)
    assert (wamids(desk.lead(ANA, LIMA)), wamids(desk.lead(ANA, SAOPAULO))) == ({"a"}, {"b"})


def test_a_change_in_one_workspace_joins_nobody_in_another(desk: Desk) -> None:
    for number in (LIMA, SAOPAULO):
        desk.told(message(f"a-{number}", 0, phone=None, user_id=ANA_ID, number=number))
        desk.told(message(f"b-{number}", 1, number=number))
    desk.told(message("both", 2, user_id=ANA_ID))
    assert Contact.objects.living().filter(workspace__slug="lima").count() == 1
    assert Contact.objects.living().filter(workspace__slug="saopaulo").count() == 2


@pytest.mark.parametrize(
    "marks", [{"group_id": "120363"}, {"recipient_type": "group"}], ids=["group_id", "recipient_type"]
)
def test_a_group_message_is_neither_lead_nor_message(desk: Desk, marks: Json) -> None:
    answer = desk.post(message("a", 0, **marks))
    assert (answer.status, answer.json["status"]) == (200, "ignored")
    assert (Contact.objects.count(), Message.objects.count(), Identity.objects.count()) == (0, 0, 0)


def test_a_conversation_event_that_names_another_phone_makes_no_second_lead(desk: Desk) -> None:
    desk.told(message("a", 0, session="s"))
    desk.post(session_event("s", 10, phone=BEA), "whatsapp.conversation.inactive")
    assert leads() == {(ANA, None)}


# Preferences


def choose(value: str, at: int, phone: str = ANA) -> Json:
    told = {
        "wa_id": phone,
        "category": "marketing_messages",
        "value": value,
        "timestamp": str(1781000000 + at),
    }
    return meta({"user_preferences": [told]}, field="user_preferences")


@pytest.mark.parametrize(
    ("told", "flag"),
    [
        ([], None),
        ([("stop", 5)], True),
        ([("resume", 5)], False),
        ([("stop", 5), ("resume", 6)], False),
        ([("resume", 6), ("stop", 5)], False),
        ([("resume", 5), ("stop", 6)], True),
        ([("stop", 5), ("stop", 5)], True),
        ([("maybe", 5)], None),
    ],
)
def test_the_newest_marketing_choice_counts(
    desk: Desk, told: list[tuple[str, int]], flag: bool | None
) -> None:
    desk.told(message("a", 0))
    for value, at in told:
        desk.told(choose(value, at))
    assert desk.only_lead.marketing_opt_out is flag


def test_a_marketing_choice_of_somebody_unknown_waits_for_them(desk: Desk) -> None:
    answer = desk.post(choose("stop", 5), "")
    assert (answer.json["status"], Contact.objects.count()) == ("ignored", 0)
    desk.told(message("a", 9))
    assert desk.only_lead.marketing_opt_out is True


def test_kapsos_own_marketing_event_is_read_leniently(desk: Desk) -> None:
    desk.told(message("a", 0))
    body = {"phone_number_id": LIMA, "contact": {"wa_id": ANA}, "marketing_preference": "stop"}
    answer = desk.post(body, "contact.marketing_preference_changed")
    assert (answer.json["status"], desk.only_lead.marketing_opt_out) == ("processed", True)


# Replay


def test_replaying_everything_over_joined_leads_changes_nothing(desk: Desk) -> None:
    desk.told(
        PHONE_ONLY, ID_ONLY, BOTH, message("d", 0, phone=BEA, user_id=BEA_ID), message("e", 5, user_id=BEA_ID)
    )
    for change in CHANGES.values():
        desk.post(change, "")
    before = crm_state()
    for size in (1, 3, 500):
        replay_in_batches(WebhookDelivery.objects.all(), size=size)
        assert crm_state() == before


def test_what_has_no_time_of_its_own_shows_where_somebody_is_now(desk: Desk) -> None:
    desk.told(message("m1", 0, user_id=ANA_ID), message("m2", None, phone=BEA, user_id=ANA_ID))
    desk.told(message("m3", 60, user_id=ANA_ID))
    received_at = desk.row("m2").sent_at
    seen = dict(Identity.objects.with_last_seen().values_list("value", F("seen_at")))
    assert seen == {ANA: moment(60), BEA: received_at, ANA_ID: received_at}
    assert leads() == {(BEA, ANA_ID)}
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    page = client.get(reverse("admin:contacts_contact_change", args=[desk.only_lead.pk])).content.decode()
    assert f'last seen <time datetime="{received_at:%Y-%m-%dT%H:%M:%S}' in page


def test_leads_made_in_bulk_read_no_more_for_each(desk: Desk) -> None:
    """Also where PostgreSQL knows nothing of the identities that are being made, or knows that there are none."""
    number = desk.numbers[LIMA]
    read = """SELECT sum(seq_tup_read + COALESCE(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables
        WHERE relname = 'contacts_identity'"""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO contacts_contact (workspace_id, phone, business_scoped_user_id) "
            "SELECT %s, 51000000000 + n, 'PE.' || n FROM generate_series(1, 300) AS n",
            [number.workspace_id],
        )
        cursor.execute(read)
        # Each all those before it would be 180,000. (Dead rows of tests before this one are read and counted, too.)
        assert cursor.fetchone()[0] < 100 * 300
    assert Identity.objects.count() == 600
