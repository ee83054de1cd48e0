"""Leads that look alike are suggested, with the reason, and only those; and replies go where the customer wrote from."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contacts import phone_forms
from contacts.merging import merge, undo
from contacts.models import Contact, Conversation, MergeDismissal, Message
from contacts.replies import reply_addresses
from contacts.suggesting import dismiss, suggestions, suggestions_for
from tests.builders import (
    ANA,
    ANA_ID,
    BEA,
    BEA_ID,
    LIMA,
    SAOPAULO,
    SENT,
    Desk,
    Json,
    message,
    sent,
    system_line,
)


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


@pytest.fixture
def clerk(db: None) -> User:
    return User.objects.create_user("clerk")


def found(desk: Desk) -> list[tuple[set[str | None], list[str]]]:
    pairs = suggestions([number.workspace_id for number in desk.numbers.values()])
    for pair in pairs:
        for lead in pair.leads:
            (mine,) = suggestions_for(lead)
            assert (set(mine.leads), mine.reasons) == (set(pair.leads), pair.reasons)
    return [({lead.phone for lead in pair.leads}, pair.reasons) for pair in pairs]


ONE_MOBILE = [
    ("5511987654321", "551187654321", "differ only by Brazil's ninth digit"),
    ("5548999990001", "554899990001", "Brazil's ninth digit"),
    ("5215512345678", "525512345678", "Mexico's 1 after 52"),
    ("5491123456789", "541123456789", "Argentina's 9 after 54"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "reason", "way"),
    [
        *((*mobile, "inbound") for mobile in ONE_MOBILE),
        *((*ONE_MOBILE[0], way) for way in ("echo", "by hand")),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_two_forms_of_one_mobile_are_suggested(
    desk: Desk, one: str, other: str, reason: str, way: str, swapped: bool
) -> None:
    first, second = (other, one) if swapped else (one, other)
    desk.told(message("a", 0, phone=first))
    if way == "inbound":
        desk.told(message("b", 1, phone=second))
    elif way == "echo":
        desk.post(sent("b", 1, phone=second, origin="business_app"), SENT)
    else:
        Contact.objects.create(workspace=desk.numbers[LIMA].workspace, phone=second)
    ((phones, (told,)),) = found(desk)
    assert (phones, reason in told) == ({one, other}, True)
    assert Contact.objects.living().count() == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("551134567890", "5511934567890"),  # a landline has no ninth digit
        ("552087654321", "5520987654321"),  # no such area
        ("551187654321", "551187654322"),
        ("5211234567890", "521234567890"),
        ("56987654321", "5687654321"),  # Chile
    ],
)
def test_other_phones_are_not(desk: Desk, one: str, other: str) -> None:
    desk.told(message("a", 0, phone=one), message("b", 1, phone=other))
    assert found(desk) == []


def test_never_across_workspaces(desk: Desk) -> None:
    one, other, _ = ONE_MOBILE[0]
    desk.told(message("a", 0, phone=one), message("b", 1, phone=other, number=SAOPAULO))
    Contact.objects.update(email="same@example.com")
    assert found(desk) == []


@pytest.mark.parametrize("order", list(permutations([0, 1])))
def test_a_recycled_phone_is_suggested_in_any_order(desk: Desk, order: tuple[int, ...]) -> None:
    told = [message("a", 0, user_id=ANA_ID), message("b", 10, user_id=BEA_ID)]
    desk.told(*(told[index] for index in order))
    ((_, (reason,)),) = found(desk)
    assert "one after the other" in reason


def test_a_phone_typed_into_another_lead_is_suggested(desk: Desk) -> None:
    desk.told(message("a", 0, phone="51911110009"))
    desk.told(system_line("l", 1, "51911110009", type="user_changed_number", wa_id=ANA))
    Contact.objects.create(workspace=desk.numbers[LIMA].workspace, phone="51911110009", name="Typed")
    ((_, (reason,)),) = found(desk)
    assert reason.startswith("Both have the phone")


def test_the_same_email_is_suggested_in_any_case(desk: Desk) -> None:
    desk.told(message("a", 0), message("b", 1, phone=BEA), message("c", 2, phone="51911110003"))
    Contact.objects.filter(phone=ANA).update(email="Ana@Example.com")
    Contact.objects.filter(phone=BEA).update(email="ana@example.com")
    assert found(desk) == [({ANA, BEA}, ["Both have the e-mail ana@example.com"])]


def test_what_is_dismissed_stays_so_also_after_a_merge(desk: Desk, clerk: User) -> None:
    one, other, _ = ONE_MOBILE[0]
    desk.told(message("z", 0, phone=ANA), message("a", 0, phone=one), message("b", 1, phone=other))
    older, a, b = desk.lead(ANA), desk.lead(one), desk.lead(other)
    no = dismiss(b, a, by=clerk)
    assert dismiss(a, b, by=clerk) == no
    assert found(desk) == []
    merge(older, a, by=clerk)
    assert found(desk) == []
    MergeDismissal.objects.all().delete()
    assert len(found(desk)) == 1


def test_a_list_of_many_takes_the_same_queries(desk: Desk, django_assert_num_queries: Any) -> None:
    for size in (1, 12):
        for index in range(size):
            tail = f"{size:02}{index:02}"
            desk.told(message(f"a{tail}", 0, phone=f"55119876{tail}"[:12]))
            desk.told(message(f"b{tail}", 0, phone=f"551199876{tail}"[:13]))
        with django_assert_num_queries(2):
            pairs = suggestions([number.workspace_id for number in desk.numbers.values()])
    assert len(pairs) == 13


digits = st.from_regex(r"\A(55[1-9][0-9]9?|521?|549?|5|1)[0-9]{6,10}\Z")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(digits)
def test_both_writings_of_the_rule_agree(db: None, phone: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT contacts_phone_key(%s)", [phone])
        assert cursor.fetchone() == (phone_forms.forms(phone)[0],)


@pytest.mark.parametrize("stored", ["5511987654321", "551187654321"])
@pytest.mark.parametrize(
    "typed", ["+55 11 98765-4321", "551187654321", "(11) 98765-4321", "011 8765-4321", "87654321"]
)
def test_a_typed_number_finds_the_lead_in_either_form(
    desk: Desk, client: Any, stored: str, typed: str
) -> None:
    desk.told(message("a", 0, phone=stored), message("b", 1, phone=BEA))
    client.force_login(User.objects.create_superuser("root"))
    page = client.get("/admin/contacts/contact/", {"q": typed})
    assert [row.lead.phone for row in page.context["cl"].result_list] == [stored]


def test_a_former_number_finds_the_lead(desk: Desk, client: Any) -> None:
    desk.told(message("a", 0), system_line("l", 1, ANA, type="user_changed_number", wa_id=BEA))
    client.force_login(User.objects.create_superuser("root"))
    page = client.get("/admin/contacts/contact/", {"q": f"+{ANA}"})
    assert [row.lead.phone for row in page.context["cl"].result_list] == [BEA]


# Replies


def reply(wamid: str) -> tuple[str | None, str | None]:
    thread = Message.objects.get(kapso_message_id=wamid).conversation
    assert thread is not None
    address = thread.reply_address()
    return address.phone, address.user_id


def test_a_reply_goes_where_the_customer_last_wrote_from(desk: Desk, clerk: User) -> None:
    desk.told(message("a", 0, phone=ANA), message("b", 10, phone=BEA, user_id=BEA_ID))
    made = merge(desk.lead(ANA), desk.lead(BEA), by=clerk)
    assert reply("a") == reply("b") == (BEA, BEA_ID)
    desk.told(message("a2", 20, phone=ANA), sent("b2", 30, phone=BEA), message("late", 5, phone=BEA))
    assert reply("a2") == (ANA, None)
    undo(made, by=clerk)
    assert (reply("a"), reply("b")) == ((ANA, None), (BEA, BEA_ID))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([sent("a", 0)], (ANA, None)),
        ([message("a", 0), message("r", 5, phone=None, user_id=ANA_ID, type="reaction", reaction={"message_id": "a", "emoji": "x"})], (ANA, None)),
        ([message("a", 0, user_id=ANA_ID), message("b", 5, phone=None, user_id=ANA_ID)], (None, ANA_ID)),
        ([message("a", 0, session="s"), message("b", 5, phone=None, session="s")], (ANA, None)),
        ([message("a", 0, user_id=ANA_ID), message("x", 9, user_id=BEA_ID)], (None, ANA_ID)),
    ],
    ids=["only we wrote", "a reaction is no turn", "a user id only", "the session's", "a phone that went to somebody else"],
)  # fmt: skip
def test_whom_a_reply_reaches(desk: Desk, told: list[Json], expected: tuple[str | None, str | None]) -> None:
    desk.told(*told)
    assert reply("a") == expected


def test_each_number_has_its_own(desk: Desk, clerk: User) -> None:
    desk.told(message("a", 0, phone=ANA), message("b", 10, phone=BEA))
    other = desk.numbers[SAOPAULO]
    other.workspace = desk.numbers[LIMA].workspace
    other.save()
    desk.told(message("c", 20, phone=ANA, number=SAOPAULO))
    merge(desk.lead(ANA), desk.lead(BEA), by=clerk)
    assert (reply("a"), reply("c")) == ((BEA, None), (ANA, None))


def test_whom_replies_reach_takes_the_same_queries_for_any_number_of_threads(
    desk: Desk, django_assert_num_queries: Any
) -> None:
    people = [f"519110000{n:02}" for n in range(6)]
    for phone in people:
        desk.told(message(f"a-{phone}", 0, phone=phone, session=f"s-{phone}"))
        desk.told(message(f"b-{phone}", 5, phone=None, session=f"s-{phone}"))
    for few in (1, 6):
        threads = list(Conversation.objects.order_by("pk")[:few])
        with django_assert_num_queries(1):
            found = reply_addresses(threads)
        assert [found[thread.pk].phone for thread in threads] == people[:few]
