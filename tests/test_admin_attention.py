"""What the admin says about deliveries that nobody retries any more, that are late, or that wait for a number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from contacts.models import Membership, Message, PhoneNumber, Role
from kapso_sync import attention
from kapso_sync.models import DeliveryAttempt, WebhookDelivery
from kapso_sync.outcomes import PAUSES
from tests.builders import LIMA, SAOPAULO, UNKNOWN, Desk, batch, message

FIRST = "/admin/"
LIST = "/admin/kapso_sync/webhookdelivery/"
PAGES = pytest.mark.parametrize("page", [FIRST, LIST])


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


@pytest.fixture
def boss(desk: Desk) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


@pytest.fixture
def ana(desk: Desk) -> Client:
    """She is a manager in Lima."""
    user = User.objects.create_user("ana", is_staff=True)
    Membership.objects.create(workspace=desk.numbers[LIMA].workspace, user=user, role=Role.MANAGER)
    client = Client()
    client.force_login(user)
    return client


def failed(desk: Desk, wamid: str = "a", number: str = LIMA, *, given_up: bool = True) -> WebhookDelivery:
    delivery = desk.post(message(wamid, number=number)).delivery
    delivery.status, delivery.failures = "failed", len(PAUSES) + 1 if given_up else 1
    delivery.error = "Traceback (most recent call last):\n  File x\nValueError: <b>boom</b>\n"
    delivery.next_retry_at = None if given_up else timezone.now() + timedelta(hours=1)
    delivery.save(update_fields=["status", "error", "failures", "next_retry_at"])
    return delivery


def alerts(client: Client, page: str) -> list[str]:
    """Their sentences, without the links."""
    html = client.get(page).content.decode()
    found = re.findall(r'<p class="alert".*?</p>', html, re.DOTALL)
    return [re.search(r"<bdi>(.*?)</bdi>", alert, re.DOTALL).group(1) for alert in found]  # type: ignore[union-attr]


def linked(client: Client, page: str, label: str) -> str:
    """Where a link of the alerts goes to."""
    (address,) = re.findall(rf'<a href="([^"]+)">{label}</a>', client.get(page).content.decode())
    return str(address).replace("&amp;", "&")


def listed(client: Client, url: str) -> int:
    return client.get(url).content.decode().count('class="field-received')


@PAGES
def test_where_all_is_well_nothing_is_said(desk: Desk, boss: Client, page: str) -> None:
    desk.post(message("a"))
    assert alerts(boss, page) == []


@PAGES
def test_what_waits_for_a_human_is_said(desk: Desk, boss: Client, page: str) -> None:
    failed(desk)
    assert alerts(boss, page) == ["1 delivery failed again and again: nothing more is tried by itself."]
    failed(desk, "b")
    failed(desk, "c", given_up=False)
    (said,) = alerts(boss, page)
    assert said.startswith("2 deliveries")
    assert listed(boss, linked(boss, page, "Look at what went wrong")) == 2


@PAGES
def test_what_is_late_is_said(desk: Desk, boss: Client, page: str) -> None:
    delivery = failed(desk, given_up=False)
    assert alerts(boss, page) == []
    WebhookDelivery.objects.filter(pk=delivery.pk).update(received_at=timezone.now() - timedelta(minutes=5))
    (said,) = alerts(boss, page)
    assert "not processed yet came 5 min ago" in said
    assert listed(boss, linked(boss, page, "Look at it")) == 1


@PAGES
def test_what_was_left_behind_is_said_too(boss: Client, page: str) -> None:
    delivery = WebhookDelivery.of(b"{}", {}, received_at=timezone.now() - timedelta(hours=2))
    delivery.save()
    assert "not processed yet came 2 h ago" in alerts(boss, page)[0]
    assert alerts(boss, page) == [], "whoever opened the page let it be processed"


@PAGES
def test_numbers_that_are_not_registered_are_named_with_what_waits(
    desk: Desk, boss: Client, page: str
) -> None:
    for index in range(3):
        desk.post(message(f"m{index}", index, number=UNKNOWN))
    desk.post(batch(message("x"), message("y", number="888888888888888")))
    assert alerts(boss, page) == [
        f"Number {UNKNOWN} is not registered here: 3 webhooks wait.",
        "Number 888888888888888 is not registered here: 1 webhook waits.",
    ]
    PhoneNumber.objects.create(workspace=desk.numbers[LIMA].workspace, phone_number_id="888888888888888")
    boss.get(page)  # and whoever looks at the page lets it be processed
    assert listed(boss, linked(boss, page, "Look at them")) == 3
    assert Message.objects.filter(kapso_message_id="y").exists()
    form = boss.get(linked(boss, page, "Register it")).content.decode()
    assert f'value="{UNKNOWN}"' in form


def test_a_number_that_is_no_number_is_escaped(desk: Desk, boss: Client) -> None:
    desk.post(message("a", number='1"><script>'))
    page = boss.get(FIRST).content.decode()
    assert "<script>1" not in page
    assert '1"><script>' not in page


def test_two_codes_at_work_are_said(desk: Desk, boss: Client, settings: Any) -> None:
    mine = settings.CODE_VERSION
    settings.CODE_VERSION = "0.0.9+01d01d01"
    desk.post(message("a"))
    settings.CODE_VERSION = mine
    (said,) = alerts(boss, FIRST)
    assert said == (
        f"Two versions of the code are at work: {mine} here, 0.0.9+01d01d01 elsewhere. "
        "Restart the web server and the worker."
    )
    WebhookDelivery.objects.update(processed_at=attention._started_at - timedelta(seconds=1))
    assert alerts(boss, FIRST) == [], "that was before this process started"


def test_a_stale_worker_shows_by_what_it_fails_at(desk: Desk, boss: Client) -> None:
    delivery = failed(desk, given_up=False)
    long_ago = timezone.now() - timedelta(days=3)
    WebhookDelivery.objects.filter(pk=delivery.pk).update(code_version="0.0.9+01d01d01", received_at=long_ago)
    assert any("0.0.9+01d01d01 elsewhere" in said for said in alerts(boss, FIRST))


@PAGES
def test_members_are_told_about_their_workspaces_only(desk: Desk, ana: Client, page: str) -> None:
    failed(desk, number=SAOPAULO)
    desk.post(message("b", number=UNKNOWN))
    assert alerts(ana, page) == []
    failed(desk, "c")
    assert alerts(ana, page) == ["1 delivery failed again and again: nothing more is tried by itself."]
    assert "not registered)" not in ana.get(LIST).content.decode()


@PAGES
@pytest.mark.parametrize("who", ["boss", "ana"])
def test_the_alerts_take_the_same_statements_for_any_number(
    desk: Desk, page: str, who: str, request: pytest.FixtureRequest
) -> None:
    client: Client = request.getfixturevalue(who)
    counts = []
    for wamids in (range(2), range(2, 12)):
        for index in wamids:
            failed(desk, f"m{index}")
            desk.post(message(f"u{index}", number=f"99999999999{index:03}"))
        client.get(page)
        with CaptureQueriesContext(connection) as captured:
            client.get(page)
        counts.append(len(captured))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("waits", "found"), [("human", 1), ("retry", 1), ("number", 1), ("nonsense", 4), ("", 4)]
)
def test_the_list_is_filtered_by_what_they_wait_for(desk: Desk, boss: Client, waits: str, found: int) -> None:
    failed(desk)
    failed(desk, "b", given_up=False)
    desk.post(message("c", number=UNKNOWN))
    desk.post(message("d"))
    assert listed(boss, f"{LIST}?waits={waits}") == found


# A delivery's page


def page_of(delivery: WebhookDelivery) -> str:
    return reverse("admin:kapso_sync_webhookdelivery_change", args=[delivery.pk])


def attempts(client: Client, delivery: WebhookDelivery) -> Iterator[str]:
    html = client.get(page_of(delivery)).content.decode()
    (table,) = re.findall(r'<ol class="attempts">.*?</ol>', html, re.DOTALL)
    yield from re.findall(r"<li>.*?</li>", table, re.DOTALL)


def test_the_page_shows_every_attempt_and_an_old_error_as_past(desk: Desk, ana: Client) -> None:
    delivery = failed(desk)
    WebhookDelivery.objects.filter(pk=delivery.pk).update(code_version="0.0.9+01d01d01")
    ana.post(reverse("admin:kapso_sync_webhookdelivery_replay", args=[delivery.pk]))

    newest, first = attempts(ana, delivery)
    assert "Processed" in newest
    assert "ValueError" not in newest
    assert "Failed" in first
    assert "<summary><bdi>ValueError: &lt;b&gt;boom" in first
    assert "0.0.9+01d01d01, not what runs here now" in first
    html = ana.get(page_of(delivery)).content.decode()
    assert '<div class="hint">' not in html, "the error is not current"
    assert "Replay this delivery" in html


@pytest.mark.parametrize(
    ("given_up", "said"),
    [(True, "It waits for a human: nothing more is tried by itself"), (False, "Tried again by itself <time")],
)
def test_the_page_says_what_comes_next(desk: Desk, ana: Client, given_up: bool, said: str) -> None:
    html = ana.get(page_of(failed(desk, given_up=given_up))).content.decode()
    assert said in html
    assert "Retry now" in html


def test_the_page_names_the_number_that_it_waits_for(desk: Desk, boss: Client) -> None:
    html = boss.get(page_of(desk.post(message("a", number=UNKNOWN)).delivery)).content.decode()
    assert f"once {UNKNOWN} is registered and active here" in html


def test_retry_now_says_what_came_of_it(desk: Desk, ana: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery = failed(desk)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("still not")

    monkeypatch.setattr("contacts.sync.refresh", fail)
    replay = reverse("admin:kapso_sync_webhookdelivery_replay", args=[delivery.pk])
    assert "Replayed 1 delivery: 1 failed." in ana.post(replay, follow=True).content.decode()
    delivery.refresh_from_db()
    assert (delivery.status, delivery.failures) == ("failed", 1)
    assert delivery.next_retry_at is not None, "its pauses begin anew"


def test_the_page_takes_the_same_statements_for_any_number_of_attempts(desk: Desk, ana: Client) -> None:
    delivery = failed(desk)
    counts = []
    for numbers in (range(1, 3), range(3, 70)):
        DeliveryAttempt.objects.bulk_create(
            DeliveryAttempt(delivery=delivery, number=number, at=timezone.now(), status="failed", error="no")
            for number in numbers
        )
        WebhookDelivery.objects.filter(pk=delivery.pk).update(attempts=numbers[-1] + 1)
        with CaptureQueriesContext(connection) as captured:
            ana.get(page_of(delivery))
        counts.append(len(captured))
    assert counts[0] == counts[1]
    assert len(list(attempts(ana, delivery))) == 50


@PAGES
def test_whoever_opens_a_page_lets_what_is_due_be_retried(desk: Desk, ana: Client, page: str) -> None:
    """A number that is quiet gets no webhook that would see it."""
    delivery = failed(desk, given_up=False)
    WebhookDelivery.objects.update(next_retry_at=timezone.now() - timedelta(hours=1))
    ana.get(page)
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts) == ("processed", 2)
