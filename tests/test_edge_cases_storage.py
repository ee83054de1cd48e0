"""EDGE_CASES.md part 1: what is kept of a delivery, and what a replay leaves as it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from contacts.models import Contact, Message
from kapso_sync.models import WebhookDelivery
from kapso_sync.replaying import replay_in_batches
from tests.builders import ANA, RECEIVED, Desk, contact_updated, message, moment, sent, status, system_line
from tests.state import crm_state


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


def test_a_copy_of_a_delivery_whose_body_was_cleared_is_still_a_copy(desk: Desk) -> None:
    """Retention empties the body and keeps key and hash: Kapso may try again after two days."""
    delivery = desk.post(message("a"), key="k").delivery
    WebhookDelivery.objects.update(body=b"", body_cleared_at=timezone.now())
    before = crm_state()
    answer = desk.post(message("a"), key="k")
    assert (answer.status, answer.json["delivery"]) == (200, delivery.pk)
    assert WebhookDelivery.objects.values_list("duplicates", flat=True).get() == 1
    assert crm_state() == before


def test_a_replay_changes_neither_when_a_delivery_came_nor_what_people_did(desk: Desk) -> None:
    desk.told(message("a", 0, name="Ana"), sent("b", 5))
    desk.post(contact_updated(ANA, "Anita"), "contact.updated")
    Contact.objects.update(name="Ana Torres", lead_status="qualified", tags=["vip"], lead_score=7)
    received = list(WebhookDelivery.objects.order_by("id").values_list("received_at", "duplicates"))
    before = crm_state()
    replay_in_batches(WebhookDelivery.objects.all())
    assert crm_state() == before
    assert list(WebhookDelivery.objects.order_by("id").values_list("received_at", "duplicates")) == received
    lead = desk.only_lead
    assert (lead.name, lead.lead_status, lead.tags, lead.lead_score) == (
        "Ana Torres",
        "qualified",
        ["vip"],
        7,
    )


def test_replaying_one_delivery_changes_nothing(desk: Desk) -> None:
    desk.told(message("a", 0), sent("b", 5), message("c", 9, user_id="PE.1"))
    before = crm_state()
    for pk in WebhookDelivery.objects.values_list("pk", flat=True):
        assert replay_in_batches(WebhookDelivery.objects.filter(pk=pk)) == {"processed": 1}
        assert crm_state() == before


@pytest.mark.parametrize("zone", ["America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia"])
def test_the_time_zone_of_an_installation_changes_nothing_stored(
    desk: Desk, settings: Any, zone: str
) -> None:
    """Over a change to summer time, too: 2026-03-29 in Europe, 2026-03-08 in America."""
    hours = range(-24 * 95, -24 * 60, 7)
    desk.told(*(message(f"m{hour}", 3600 * hour) for hour in hours))
    before = crm_state()
    settings.TIME_ZONE = zone
    replay_in_batches(WebhookDelivery.objects.all())
    assert crm_state() == before
    assert list(Message.objects.order_by("sent_at").values_list("sent_at", flat=True)) == [
        moment(0) + timedelta(hours=hour) for hour in hours
    ]


@pytest.mark.parametrize("code", [131047, 131026, 131049, 131053, 131062])
def test_why_a_message_failed_is_kept_in_code_and_words(desk: Desk, code: int) -> None:
    failure = status("failed", 5, {"code": code, "title": "Title", "error_data": {"details": "Why"}})
    desk.post(sent("a", 5, statuses=[failure]), "whatsapp.message.failed")
    row = desk.row("a")
    assert (row.status, row.error_code, row.error_message) == ("failed", code, "Why")


def test_a_refused_delivery_cannot_be_replayed(desk: Desk) -> None:
    assert desk.post(message("a"), secret="somebody else's").status == 401
    assert replay_in_batches(WebhookDelivery.objects.all()) == {}
    assert not Message.objects.exists()


@pytest.mark.parametrize("kind", ["ephemeral", "view_once", "view_once_v2", "request_welcome"])
def test_a_message_of_a_passing_kind_is_stored_by_its_type(desk: Desk, kind: str) -> None:
    answer = desk.post(message("a", type=kind, text=None), RECEIVED)
    assert answer.json["status"] == "processed"
    row = desk.row("a")
    assert (row.message_type, row.contact) == (kind, desk.only_lead)
    assert row.content


def test_a_message_of_no_kind_is_stored_by_a_placeholder(desk: Desk) -> None:
    desk.told(message("a", type=None, text=None))
    assert (desk.row("a").contact, desk.row("a").content) == (desk.only_lead, "[unknown]")


def test_a_line_about_a_number_is_no_turn_of_the_customer(desk: Desk) -> None:
    desk.told(message("a", 0), sent("b", 5))
    desk.told(system_line("line", 10, ANA, type="user_changed_number", wa_id="51922220001"))
    assert (desk.only_lead.last_inbound_at, desk.only_lead.last_activity_at) == (moment(0), moment(5))
