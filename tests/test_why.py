"""From a message, or a clock of a lead, to the deliveries that told it."""

from __future__ import annotations

import json
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from contacts.models import Contact, Membership, Message
from kapso_sync import causes
from kapso_sync.models import WebhookDelivery
from tests.builders import ANA, BEA, LIMA, SAOPAULO, Desk, batch, contact_updated, message, meta_status


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


@pytest.fixture
def boss(desk: Desk, client: Client) -> Client:
    """A manager in Lima."""
    user = User.objects.create_user("boss", is_staff=True)
    Membership.objects.create(workspace=desk.numbers[LIMA].workspace, user=user, role="manager")
    client.force_login(user)
    return client


def why(lead: Contact, **query: object) -> str:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    return f"{reverse('lead-why', args=[lead.pk])}?{asked}"


def told_by(client: Client, address: str) -> list[int]:
    page = client.get(address)
    assert page.status_code == 200
    return [int(pk) for pk in re.findall(r"webhookdelivery/(\d+)/change", page.content.decode())]


def test_a_message_leads_to_all_that_told_of_it(desk: Desk, boss: Client) -> None:
    first = desk.post(message("wamid.A/b+c==", 0)).delivery
    desk.post(message("wamid.other", 1))
    again = desk.post(message("wamid.A/b+c==", 0), key="again").delivery
    row = desk.row("wamid.A/b+c==")
    assert told_by(boss, why(desk.lead(), message=row.pk)) == [first.pk, again.pk]
    assert "brought the message" in boss.get(why(desk.lead(), message=row.pk)).content.decode()


def test_a_receipt_says_what_it_said(desk: Desk, boss: Client) -> None:
    desk.became("wamid.o", "sent", 0)
    receipt = desk.post(meta_status("wamid.o", "delivered", 5), "").delivery
    row = desk.row("wamid.o")
    found = causes.causes_of_message(row)
    assert [cause.delivery.pk for cause in found][-1] == receipt.pk
    assert found[-1].words == ["delivered"]
    assert "said: delivered" in boss.get(why(desk.lead(), message=row.pk)).content.decode()


def test_one_of_a_batch_with_escaped_slashes_is_found(desk: Desk, boss: Client) -> None:
    desk.post(batch(message("wamid.x", 0, phone=BEA)))
    raw = b'{"type":"whatsapp.message.received","batch":true,"data":[%s]}'
    escaped = json.dumps(message("wamid.A/b", 0)).replace("/", "\\/").encode()
    delivery = desk.post(raw % escaped).delivery
    assert told_by(boss, why(desk.lead(), message=desk.row("wamid.A/b").pk)) == [delivery.pk]


def test_another_message_that_only_quotes_it_is_no_cause(desk: Desk, boss: Client) -> None:
    first = desk.post(message("wamid.q", 0)).delivery
    desk.post(message("wamid.r", 1, context={"id": "wamid.q"}))
    assert told_by(boss, why(desk.lead(), message=desk.row("wamid.q").pk)) == [first.pk]


@pytest.mark.parametrize("clock", ["last_inbound_at", "last_activity_at"])
def test_a_clock_leads_to_the_newest_message(desk: Desk, boss: Client, clock: str) -> None:
    desk.post(message("wamid.new", 100))
    newest = WebhookDelivery.objects.get()
    desk.post(message("wamid.old", 0))
    assert told_by(boss, why(desk.lead(), clock=clock)) == [newest.pk]


def test_a_failed_message_is_not_why_we_last_wrote(desk: Desk, boss: Client) -> None:
    desk.became("wamid.good", "sent", 0)
    good = WebhookDelivery.objects.get()
    desk.became("wamid.bad", "failed", 50)
    assert told_by(boss, why(desk.lead(), clock="last_contact_at")) == [good.pk]


def test_a_new_name_leads_to_its_delivery(desk: Desk, boss: Client) -> None:
    desk.post(message("wamid.a", 0))
    delivery = desk.post(contact_updated(ANA, "Ana María"), "contact.updated").delivery
    assert told_by(boss, why(desk.lead(), clock="last_activity_at")) == [delivery.pk]


def test_a_cleared_body_is_said_plainly(desk: Desk, boss: Client) -> None:
    delivery = desk.post(message("wamid.a", 0)).delivery
    clear(delivery)
    page = boss.get(why(desk.lead(), message=desk.row("wamid.a").pk)).content.decode()
    assert "No stored delivery tells of it" in page
    assert "were cleared" in page
    assert f"webhookdelivery/{delivery.pk}/change" in page


def clear(delivery: WebhookDelivery) -> None:
    """As retention does."""
    WebhookDelivery.objects.filter(pk=delivery.pk).update(body=b"", body_cleared_at=timezone.now())


def test_what_no_delivery_brought_says_so(desk: Desk, boss: Client) -> None:
    lead = Contact.objects.create(
        workspace=desk.numbers[LIMA].workspace, name="By hand", last_activity_at=timezone.now()
    )
    row = Message.objects.create(
        workspace=lead.workspace, phone_number=desk.numbers[LIMA], contact=lead, kapso_message_id="wamid.hand",
        direction="inbound", sent_at=timezone.now(),
    )  # fmt: skip
    page = boss.get(why(lead, message=row.pk)).content.decode()
    assert "No stored delivery tells of it" in page
    assert "were cleared" not in page


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"message": "x"},
        {"message": "1" * 30},
        {"message": 0},
        {"clock": "name"},
        {"clock": "last_contact_at"},
    ],
)
def test_what_is_not_there_is_not_found(desk: Desk, boss: Client, query: dict[str, object]) -> None:
    desk.post(message("wamid.a", 0))
    assert boss.get(why(desk.lead(), **query)).status_code == 404


def test_only_who_sees_deliveries_is_told(desk: Desk, boss: Client) -> None:
    desk.post(message("wamid.a", 0))
    desk.post(message("wamid.b", 0, number=SAOPAULO))
    mine, foreign = desk.row("wamid.a"), desk.row("wamid.b")
    other = desk.lead(number=SAOPAULO)
    assert boss.get(why(other, message=foreign.pk)).status_code == 404
    assert boss.get(why(desk.lead(), message=foreign.pk)).status_code == 404
    Membership.objects.update(role="agent")
    assert boss.get(why(desk.lead(), message=mine.pk)).status_code == 403
