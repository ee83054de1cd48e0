"""What the search looks in says what leads and messages say: whoever writes them, and only as long as they do."""

from __future__ import annotations

import pytest
from django.db import connection

from contacts.models import Contact, Message, SearchedLead, SearchedMessage
from tests.builders import LIMA, Desk, message

pytestmark = pytest.mark.django_db


def called() -> dict[int, str]:
    return dict(SearchedLead.objects.values_list("contact_id", "words"))


def said(word: str) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT message_id FROM contacts_searchedmessage WHERE words @@ contacts_query(%s)", [word]
        )
        return [row[0] for row in cursor.fetchall()]


def test_a_lead_is_called_what_it_is_called_now() -> None:
    desk = Desk.open()
    desk.told(message("m1", 1))
    lead = desk.only_lead
    assert lead.phone
    assert f"+{lead.phone}" in called()[lead.pk]
    Contact.objects.filter(pk=lead.pk).update(name="Zoë  Ångström", email="Zoe@Shop.pe", username="zoe_1")
    assert " zoe angstrom " in called()[lead.pk]
    assert " @zoe_1 zoe@shop.pe " in called()[lead.pk]


def test_activity_and_statuses_leave_it_alone() -> None:
    desk = Desk.open()
    desk.told(message("m1", 1))
    rows = "SELECT ctid::text FROM contacts_searchedlead UNION ALL SELECT ctid::text FROM contacts_searchedmessage"
    with connection.cursor() as cursor:
        cursor.execute(rows)
        before = cursor.fetchall()
        Contact.objects.update(last_activity_at="2027-01-01T00:00Z", lead_score=7, lead_status="archived")
        Message.objects.update(status="read")
        cursor.execute(rows)
        assert cursor.fetchall() == before


def test_a_message_is_found_by_what_it_says_now() -> None:
    desk = Desk.open()
    desk.told(message("m1", 1))
    row = Message.objects.get()
    Message.objects.update(content="Entrega en Miraflores", transcript="")
    assert said("MIRAFLÓRES") == said("entrega mira") == [row.pk]
    Message.objects.update(content="", transcript="voz")
    assert said("miraflores") == []
    assert said("voz") == [row.pk]
    Message.objects.update(content="", transcript="")
    assert said("voz") == []


def test_what_is_deleted_is_found_no_more() -> None:
    number = Desk.open().numbers[LIMA]
    lead = Contact.objects.create(workspace=number.workspace, name="Ana")
    thread = lead.conversations.create(workspace=number.workspace, phone_number=number)
    Message.objects.create(
        workspace=number.workspace, conversation=thread, contact=lead, kapso_message_id="m", direction="inbound",
        content="hola", sent_at="2026-01-01T00:00Z",
    )  # fmt: skip
    assert (SearchedLead.objects.count(), SearchedMessage.objects.count()) == (1, 1)
    Message.objects.all().delete()
    thread.delete()
    Contact.objects.all().delete()
    assert (SearchedLead.objects.count(), SearchedMessage.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    "typed", ["'", "\\", "a\\b", "<b>'x'</b>", "!", "a & b | !c:*", "(", "C:\\x\\'", "½", "%"]
)
def test_whatever_is_typed_is_a_query(typed: str) -> None:
    assert said(typed) == []
