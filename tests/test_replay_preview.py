"""The admin's preview of a replay: what would change, for whom, and that it is one click to the real outcomes."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from contacts.models import Contact, Membership, Message, Role
from kapso_sync import previewing
from kapso_sync.models import WebhookDelivery
from tests.builders import BEA, LIMA, SAOPAULO, Desk, batch, message, moment
from tests.test_rehearsal import hashes

LIST = reverse("admin:kapso_sync_webhookdelivery_changelist")


@pytest.fixture
def desk(transactional_db: None) -> Desk:
    return Desk.open()


@pytest.fixture
def ana(desk: Desk, client: Client) -> Client:
    """She works in Lima."""
    user = User.objects.create_user("ana", is_staff=True)
    Membership.objects.create(workspace=desk.numbers[LIMA].workspace, user=user, role=Role.MANAGER)
    client.force_login(user)
    return client


def choose(client: Client, action: str) -> Any:
    chosen = list(WebhookDelivery.objects.values_list("pk", flat=True))
    return client.post(LIST, {"action": action, "_selected_action": chosen}, follow=True)


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


def crm() -> dict[str, Any]:
    return {table: rows for table, rows in hashes().items() if "session" not in table and "user" not in table}


def test_a_preview_lists_what_would_change_and_writes_nothing(ana: Client, desk: Desk) -> None:
    desk.told(message("wamid.1", 0, name="Ana"), message("wamid.2", 60, phone=BEA, name="Bea"))
    Message.objects.filter(kapso_message_id="wamid.2").delete()
    Contact.objects.filter(phone=BEA).update(last_activity_at=moment(0))
    before = crm()

    page = text(choose(ana, "preview"))
    assert "What would come of 2 deliveries: <b>2</b> processed." in page
    assert "1 message more: inbound &quot;Hola&quot; of 2026-06-09 10:14:20 UTC" in page
    assert "last activity 2026-06-09 10:13:20 UTC becomes 2026-06-09 10:14:20 UTC" in page
    assert f'href="/admin/contacts/contact/{desk.lead(BEA).pk}/change/">Bea' in page
    assert "51 911 110 001" not in page
    assert crm() == before


def test_from_the_preview_it_is_one_click_to_real_outcomes(ana: Client, desk: Desk) -> None:
    desk.told(message("wamid.1"))
    Message.objects.all().delete()
    assert 'name="action" value="replay"' in text(choose(ana, "preview"))
    assert "Replayed 1 delivery: 1 processed." in text(choose(ana, "replay"))
    assert Message.objects.count() == 1
    assert "Nothing would change" in text(choose(ana, "preview"))


def test_a_delivery_s_own_page_has_a_preview(ana: Client, desk: Desk) -> None:
    desk.told(message("wamid.1"))
    delivery = WebhookDelivery.objects.get()
    address = reverse("admin:kapso_sync_webhookdelivery_preview", args=[delivery.pk])
    assert address in text(ana.get(reverse("admin:kapso_sync_webhookdelivery_change", args=[delivery.pk])))
    page = text(ana.get(address))
    assert "Nothing would change" in page
    assert reverse("admin:kapso_sync_webhookdelivery_replay", args=[delivery.pk]) in page


def test_a_delivery_of_another_workspace_is_not_there(ana: Client, desk: Desk) -> None:
    desk.told(message("wamid.1", number=SAOPAULO))
    address = reverse("admin:kapso_sync_webhookdelivery_preview", args=[WebhookDelivery.objects.get().pk])
    assert ana.get(address).status_code == 404
    assert "wamid.1" not in text(choose(ana, "preview"))


def test_a_body_that_speaks_of_another_workspace_too_shows_one_s_own_leads(ana: Client, desk: Desk) -> None:
    """As after São Paulo's number was registered: the delivery is still Lima's alone."""
    ours, theirs = (
        message("wamid.1", name="Ours"),
        message("wamid.2", phone=BEA, name="Theirs", number=SAOPAULO),
    )
    desk.post(batch(ours, theirs))
    WebhookDelivery.objects.update(workspace=desk.numbers[LIMA].workspace)
    Message.objects.all().delete()
    page = text(choose(ana, "preview"))
    assert "Ours" in page
    assert "Theirs" not in page


def test_too_much_for_one_page_is_said(ana: Client, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previewing, "MOST_PREVIEWED", 1)
    desk.told(message("wamid.1"), message("wamid.2"))
    page = text(choose(ana, "preview"))
    assert "choose up to 1, or run manage.py replay_webhooks --dry-run" in page


def test_more_leads_than_a_page_shows_are_said(
    ana: Client, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previewing, "MOST_LEADS", 1)
    desk.told(message("wamid.1"), message("wamid.2", phone=BEA))
    Message.objects.all().delete()
    page = text(choose(ana, "preview"))
    assert page.count('class="preview-lead"') == 1
    assert "There are more leads than one page can show." in page


def test_what_retention_emptied_is_counted(ana: Client, desk: Desk) -> None:
    desk.told(message("wamid.1"), message("wamid.2"))
    WebhookDelivery.objects.order_by("pk")[:1].get()
    emptied = WebhookDelivery.objects.order_by("pk")[0]
    WebhookDelivery.objects.filter(pk=emptied.pk).update(body=b"", body_cleared_at=timezone.now())
    page = text(choose(ana, "preview"))
    assert "1 delivery cannot be replayed: retention has cleared the body." in page
    assert "What would come of 1 delivery: <b>1</b> processed." in page


def test_what_strangers_wrote_is_escaped(ana: Client, desk: Desk) -> None:
    desk.told(message("wamid.1", name="<script>alert(1)</script>", text="<img src=x>"))
    Message.objects.all().delete()
    page = text(choose(ana, "preview"))
    assert "<script>alert(1)" not in page
    assert "<img src=x>" not in page


def test_the_number_of_queries_does_not_grow(ana: Client, desk: Desk) -> None:
    taken = []
    for count in (1, 8):
        desk.told(*(message(f"wamid.{index}", phone=f"5191111{index:04d}") for index in range(count)))
        with CaptureQueriesContext(connection) as queries:
            choose(ana, "preview")
        taken.append(len(queries))
    assert taken[0] == taken[1] < 160, "most of them make the shadow"
