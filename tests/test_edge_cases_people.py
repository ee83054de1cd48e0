"""EDGE_CASES.md part 1: who is who, where no other test asks."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection

from contacts.lead_form import phone_digits
from contacts.models import Contact, Conversation, PhoneNumber
from tests.builders import ANA, ANA_ID, LIMA, Desk, message, moment, sent

SECOND = "480115511990777"


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


def test_a_person_on_two_numbers_of_a_workspace_is_one_lead_with_two_threads(desk: Desk) -> None:
    workspace = desk.numbers[LIMA].workspace
    PhoneNumber.objects.create(workspace=workspace, phone_number_id=SECOND, display_phone_number="5115550999")
    desk.told(message("a", 0), message("b", 50, number=SECOND), sent("c", 90, number=SECOND))
    windows = dict(
        Conversation.objects.values_list("phone_number__phone_number_id", "last_inbound_at").order_by("id")
    )
    assert windows == {LIMA: moment(0), SECOND: moment(50)}
    assert set(Conversation.objects.values_list("contact", flat=True)) == {desk.only_lead.pk}
    assert desk.only_lead.last_inbound_at == moment(50)


def test_two_leads_of_a_workspace_cannot_have_one_phone(desk: Desk) -> None:
    workspace = desk.numbers[LIMA].workspace
    Contact.objects.bulk_create(Contact(workspace=workspace, phone=ANA) for _ in range(2))
    with pytest.raises(IntegrityError, match="contact_phone"):
        connection.check_constraints()


@pytest.mark.parametrize("typed", ["0987 111 222", "(01) 555-0142", "011 4444 5555"])
def test_a_number_typed_without_its_country_is_not_guessed(typed: str) -> None:
    with pytest.raises(ValidationError):
        phone_digits(typed)


def test_a_username_and_a_parent_id_identify_nobody(desk: Desk) -> None:
    desk.told(message("a", 0, username="ana"), message("b", 5, phone="51922220001", username="ana"))
    assert Contact.objects.living().count() == 2


def test_a_user_id_learnt_in_any_way_fills_what_was_empty(desk: Desk) -> None:
    desk.told(message("a", 0, phone=None, user_id=ANA_ID), message("b", 5, user_id=ANA_ID))
    assert (desk.only_lead.phone, desk.only_lead.business_scoped_user_id) == (ANA, ANA_ID)
