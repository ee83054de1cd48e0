"""The desk as one: what its pages say of the same leads agrees, what they cost, and that work is no business of the sync."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from contacts import lead_views, work
from contacts.merging import merge
from contacts.models import (
    Contact,
    CustomField,
    Membership,
    PhoneNumber,
    Preferences,
    SavedFilter,
    Tag,
    Workspace,
)
from contacts.reports import Report
from tests.builders import ANA, BEA, LIMA, Desk, message, sent
from tests.test_admin import make_lead, say
from tests.test_rebuild_command import run

LEADS = "/admin/contacts/contact/"
NOW = timezone.now().replace(microsecond=0)


@pytest.fixture
def lima(db: None) -> Workspace:
    workspace = Workspace.objects.create(name="Lima", slug="lima")
    PhoneNumber.objects.create(workspace=workspace, phone_number_id="111", display_phone_number="511")
    return workspace


def browser_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def somebody(role: str, *workspaces: Workspace) -> User:
    if role == "superuser":
        return User.objects.create_superuser("boss")
    user = User.objects.create_user(role, is_staff=True)
    for workspace in workspaces:
        Membership.objects.create(workspace=workspace, user=user, role=role)
    return user


# What the pages say


def test_a_wait_begins_with_the_first_message_that_is_not_answered_on_every_page(lima: Workspace) -> None:
    """A customer who reminds us has not waited less."""
    patient, eager = make_lead(lima, "Patient"), make_lead(lima, "Eager")
    for lead, hours in ((patient, (5, 4)), (eager, (30, 0.1))):
        for ago in hours:
            say(lead, "?", sent_at=NOW - timedelta(hours=ago))
        first, last = (NOW - timedelta(hours=ago) for ago in hours)
        Contact.objects.filter(pk=lead.pk).update(last_inbound_at=last, unanswered_since=first)
    client = browser_of(somebody("manager", lima))
    (todo, *_others) = client.get("/admin/").context["todos"]
    assert [row.name for row in todo.rows] == ["Eager", "Patient"]
    listed = client.get(LEADS, {"view": "awaiting"}).context["rows"]
    assert [row.name for row in listed] == ["Eager", "Patient"]
    assert [row.customer_waits_since for row in listed] == [row.at for row in todo.rows]
    report = Report(lima, 7, NOW)
    assert dict(report.waiting().by_age) == {"more": 1, "24h": 1}
    assert list(report.waiting_leads("more")) == [eager]


@pytest.mark.parametrize("closed_at", [None, 8, 2])
@pytest.mark.parametrize("contacted", [None, 9, 5, 1])
@pytest.mark.parametrize("inbound", [None, 5])
@pytest.mark.parametrize("snoozed", [None, 5, 4, 6])
def test_a_row_says_of_itself_what_the_tabs_say(
    lima: Workspace, closed_at: int | None, contacted: int | None, inbound: int | None, snoozed: int | None
) -> None:
    def ago(hours: int | None) -> Any:
        return None if hours is None else NOW - timedelta(hours=hours)

    lead = make_lead(
        lima, "Edge", lead_status="archived", closed_at=ago(closed_at), last_contact_at=ago(contacted),
        last_inbound_at=ago(inbound), snoozed_at=ago(snoozed),
        snoozed_until=None if snoozed is None else NOW + timedelta(hours=1),
    )  # fmt: skip
    every = Contact.objects.all()
    assert lead_views.wrote_again(every).exists() is lead_views.has_written_again(lead)
    assert lead_views.not_snoozed(every, NOW).exists() is not lead_views.is_aside(lead, NOW)
    client = browser_of(somebody("manager", lima))
    (row,) = client.get(LEADS).context["rows"]
    page = client.get(f"{LEADS}{lead.pk}/change/")
    assert row.wrote_again is page.context["wrote_again"] is lead_views.has_written_again(lead)
    assert row.aside_until == page.context["snoozed_until"]


# What they cost


@pytest.mark.parametrize("role", ["agent", "manager", "superuser", "viewer"])
@pytest.mark.parametrize("places", [1, 2])
def test_the_list_and_a_lead_take_at_most_twelve_statements_and_an_idle_poll_two(
    lima: Workspace, role: str, places: int
) -> None:
    workspaces = [lima, *(Workspace.objects.create(name=f"W{n}", slug=f"w{n}") for n in range(1, places))]
    Workspace.objects.update(agents_see_all=False)
    user = somebody(role, *workspaces)
    for workspace in workspaces:
        PhoneNumber.objects.get_or_create(workspace=workspace, defaults={"phone_number_id": workspace.slug})
        for index in range(60):
            lead = make_lead(
                workspace,
                f"Lead {index}",
                tags=["a"],
                last_inbound_at=NOW,
                last_activity_at=NOW,
                email="a@x.pe",
            )
        say(lead, "hello")
        Tag.objects.create(workspace=workspace, name="vip")
        SavedFilter.objects.create(workspace=workspace, by=user, name="f", query="view=mine")
    client = browser_of(user)
    for url in (
        LEADS,
        f"{LEADS}?view=awaiting",
        f"{LEADS}?q=Lead",
        f"{LEADS}?owner=nobody",
        f"{LEADS}{lead.pk}/change/",
    ):
        with CaptureQueriesContext(connection) as captured:
            response = client.get(url)
        assert response.status_code == 200
        assert len(captured) <= 12, (url, [query["sql"][:120] for query in captured])
        for select in re.findall(r"<select.*?</select>", response.content.decode(), re.DOTALL):
            assert select.count("<option") <= 100
    seen = client.get(LEADS).context["cursor"]
    with CaptureQueriesContext(connection) as captured:
        assert client.get(f"{LEADS}live/", headers={"X-Seen": seen}).status_code == 204
    assert len(captured) <= 2, [query["sql"][:120] for query in captured]


def test_news_come_in_the_words_and_the_time_of_whoever_asks(lima: Workspace) -> None:
    user = somebody("agent", lima)
    Preferences.objects.create(user=user, time_zone="Asia/Tokyo", language="pt-br")
    lead = make_lead(lima, "Maria", last_activity_at=NOW)
    client = browser_of(user)
    whole = client.get(LEADS)
    news = client.get(f"{LEADS}live/", headers={"X-Seen": "older"})
    row = re.search(rf'<tr [^>]*id="lead-{lead.pk}".*?</tr>', news.content.decode(), re.DOTALL)
    assert row
    assert row[0] in whole.content.decode()
    assert "JST" in row[0]
    assert news["Content-Language"] == "pt-br"


# Hostile names


HOSTILE = "<script>alert(1)</script>\u202e\"'=cmd|x!A1" + "W" * 960


@pytest.mark.parametrize(
    "url",
    [
        "/admin/", LEADS, f"{LEADS}?view=again", f"{LEADS}?q=alert", f"{LEADS}{{lead}}/change/", f"{LEADS}live/",
        "/admin/today/follow-ups/", "/admin/reports/", "/admin/reports/behind/?of=waiting&age=1h",
        "/admin/reports/behind/?of=in", "/admin/reports/behind/?of=open", "/admin/notifications/",
        f"{LEADS}{{lead}}/why/?clock=last_activity_at", f"{LEADS}{{lead}}/merge/", f"{LEADS}duplicates/",
    ],
)  # fmt: skip
def test_what_strangers_wrote_is_inert_on_every_page(lima: Workspace, url: str) -> None:
    user = somebody("owner", lima)
    lead = make_lead(
        lima, HOSTILE[:255], kapso_name=HOSTILE[:255], owner=user, tags=[HOSTILE[:50]], source=HOSTILE[:200], email="a@x.pe",
        last_inbound_at=timezone.now(), last_activity_at=timezone.now(),
    )  # fmt: skip
    make_lead(lima, HOSTILE[:255], email="a@x.pe", username="<b>bold</b>")
    say(lead, HOSTILE, sent_at=timezone.now())
    CustomField.objects.create(workspace=lima, key="k", label=HOSTILE[:100])
    SavedFilter.objects.create(workspace=lima, by=user, name=HOSTILE[:60], query="view=mine")
    work.plan_follow_up(lead, timezone.now() + timedelta(seconds=30), HOSTILE[:200], by=user)
    work.add_note(lead, HOSTILE, by=user)
    work.assign(lead, None, by=user, reason=HOSTILE[:200])
    work.assign(lead, user, by=None, reason=HOSTILE[:200])
    answer = browser_of(user).get(url.format(lead=lead.pk))
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "<script>alert" not in page
    assert "<b>bold" not in page


# Work and the sync


def test_whatever_is_done_with_leads_no_verification_differs_and_no_rebuild_takes_it_away(
    transactional_db: None,
) -> None:
    desk = Desk.open()
    desk.told(message("a1", 0, phone=ANA), sent("a2", 5, phone=ANA), message("b1", 9, phone=BEA))
    place = desk.numbers[LIMA].workspace
    rep = somebody("agent", place)
    ana, bea = (Contact.objects.get(phone=phone) for phone in (ANA, BEA))
    work.assign(ana, rep, by=rep)
    work.snooze(ana, timezone.now() + timedelta(days=1), by=rep)
    work.mark_read(ana)
    work.move(bea, "archived", by=rep)
    work.add_tags(bea, ["vip"], by=rep)
    Contact.objects.filter(pk=bea.pk).update(handoff_cleared_at=timezone.now())
    merge(ana, bea, by=rep)
    work.set_field(ana, "name", "Ana Typed", by=rep)
    work.plan_follow_up(ana, timezone.now() + timedelta(days=1), by=rep)
    columns = ("pk", "owner", "tags", "lead_status", "read_at", "closed_at", "snoozed_at", "snoozed_until")
    before = list(Contact.objects.order_by("pk").values(*columns, "handoff_cleared_at", "merged_into"))
    assert run("verify_crm").endswith("no difference.\n")
    assert "FAILED" not in run("rebuild_crm")
    assert (
        list(Contact.objects.order_by("pk").values(*columns, "handoff_cleared_at", "merged_into")) == before
    )
    assert run("verify_crm").endswith("no difference.\n")
