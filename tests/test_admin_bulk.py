"""The pages on which many leads are changed: what is chosen, the preview, confirming it, and the undo."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from contacts import bulk
from contacts.models import BulkChange, Contact, FollowUp, LeadChange, Membership, Role, Workspace
from tests.test_admin import make_lead, told

LEADS = reverse("admin:contacts_contact_changelist")
BULK = f"{LEADS}bulk/"


@pytest.fixture
def lima(db: None) -> Workspace:
    return Workspace.objects.create(name="Lima", slug="lima")


@pytest.fixture
def leads(lima: Workspace) -> list[Contact]:
    return [make_lead(lima, f"Lead {index}") for index in range(3)]


def somebody(workspace: Workspace, name: str, role: Role = Role.AGENT) -> User:
    user = User.objects.create_user(name, is_staff=True)
    Membership.objects.create(workspace=workspace, user=user, role=role)
    return user


def browser_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def rep(lima: Workspace) -> User:
    return somebody(lima, "rep")


@pytest.fixture
def desk(rep: User) -> Client:
    return browser_of(rep)


def preview(client: Client, leads: list[Contact], query: str = "", **form: Any) -> Any:
    answer = client.post(BULK + query, {"lead": [lead.pk for lead in leads], **form})
    assert answer.status_code == 200
    return answer


def confirm(client: Client, page: Any, query: str = "") -> Any:
    return client.post(BULK + query, {"plan": page.context["plan"]}, follow=True)


def words(page: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", "", page.content.decode()).split())


def tags(leads: list[Contact]) -> list[list[str]]:
    rows = Contact.objects.filter(pk__in=[lead.pk for lead in leads]).order_by("pk")
    return list(rows.values_list("tags", flat=True))


def test_it_works(desk: Client, leads: list[Contact]) -> None:
    Contact.objects.filter(pk=leads[2].pk).update(tags=["VIP"])
    page = preview(desk, leads, do="tag", name="vip")
    assert "2 leads will change – → vip: 2" in words(page)
    assert "1 lead has it already" in words(page)
    assert tags(leads) == [[], [], ["VIP"]]

    done = confirm(desk, page)
    assert done.redirect_chain == [(LEADS, 302)]
    assert tags(leads) == [["vip"], ["vip"], ["VIP"]]
    made = BulkChange.objects.get()
    address = reverse("admin:contacts_contact_bulk_undo", args=[made.pk])
    assert "2 leads changed" in told(done)
    assert f'action="{address}"' in told(done)

    assert "Every lead that still has what the change gave it" in words(desk.get(address))
    undone = desk.post(address, {"next": "status=new"}, follow=True)
    assert undone.redirect_chain == [(f"{LEADS}?status=new", 302)]
    assert "2 leads are as they were" in told(undone)
    assert tags(leads) == [[], [], ["VIP"]]
    assert "undone already" in told(desk.post(address, follow=True))


def test_every_action_is_offered_and_read(desk: Client, leads: list[Contact], rep: User) -> None:
    local = (timezone.now() + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M")
    for form in (
        {"do": "status", "to": "qualified", "reason": "Fair"},
        {"do": "assign", "owner": "me"},
        {"do": "tag", "name": "vip, lima"},
        {"do": "untag", "name": "VIP"},
        {"do": "follow-up", "step": "tomorrow", "due": "", "remark": "Call"},
        {"do": "snooze", "step": "", "due": local},
        {"do": "assign", "owner": "nobody"},
    ):
        assert "3 leads changed" in told(confirm(desk, preview(desk, leads, **form))), form
    lead = Contact.objects.get(pk=leads[0].pk)
    assert (lead.lead_status, lead.owner, lead.tags) == ("qualified", None, ["lima"])
    assert lead.snoozed_until
    assert lead.snoozed_until.strftime("%Y-%m-%dT%H:%M") == local
    assert FollowUp.objects.filter(remark="Call", by=rep).count() == 3


@pytest.mark.parametrize(
    ("form", "word"),
    [
        ({}, "Choose what to do"),
        ({"do": "erase"}, "Choose what to do"),
        ({"do": "status"}, "Choose a status"),
        ({"do": "status", "to": "sold"}, "Choose a status"),
        ({"do": "assign"}, "Choose the owner"),
        ({"do": "assign", "owner": "99999"}, "no such person"),
        ({"do": "tag", "name": " , "}, "Say which tag"),
        ({"do": "tag", "name": "x" * 51}, "has 51 characters"),
        ({"do": "follow-up"}, "Say when"),
        ({"do": "follow-up", "due": "2020-01-01T10:00"}, "in the past"),
        ({"do": "snooze", "due": "one day"}, "not a date"),
    ],
)
def test_what_cannot_be_is_said_and_the_choice_of_leads_is_kept(
    desk: Client, leads: list[Contact], form: dict[str, str], word: str
) -> None:
    page = preview(desk, leads, **form)
    assert word in words(page)
    assert "plan" not in page.context
    kept = ",".join(str(lead.pk) for lead in leads)
    assert f'name="leads" value="{kept}"' in page.content.decode()
    again = desk.post(BULK, {"leads": kept, "do": "tag", "name": "vip"})
    assert "3 leads will change" in words(again)


def test_nothing_chosen_is_said(desk: Client, leads: list[Contact]) -> None:
    for answer in (
        desk.get(BULK + "?status=new", follow=True),
        desk.post(
            BULK + "?status=new", {"do": "tag", "name": "x", "lead": ["x", "-1", "9" * 40]}, follow=True
        ),
    ):
        assert answer.redirect_chain == [(f"{LEADS}?status=new", 302)]
        assert "Choose leads" in told(answer)


def test_all_that_the_list_shows_are_as_many_as_one_change_takes(
    desk: Client, leads: list[Contact], lima: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_lead(lima, "Sold", lead_status="converted")
    make_lead(Workspace.objects.create(name="B", slug="b"), "Foreign")
    query = "?status=new&q=lead"
    page = desk.post(BULK + query, {"all": "1", "do": "tag", "name": "vip"})
    assert "3 leads will change" in words(page)
    assert confirm(desk, page, query).redirect_chain == [(LEADS + query, 302)]
    assert tags(leads) == [["vip"]] * 3
    monkeypatch.setattr(bulk, "MOST", 2)
    page = desk.post(BULK + query, {"all": "1", "do": "tag", "name": "more"})
    assert "2 leads will change" in words(page)
    assert "Choose leads" in told(desk.post(BULK + "?created_at=nonsense", {"all": "1"}, follow=True))


def test_a_preview_is_for_who_saw_it_and_cannot_be_written_by_hand(
    desk: Client, leads: list[Contact], lima: Workspace
) -> None:
    page = preview(desk, leads, do="tag", name="vip")
    forged = signing.dumps({"action": {"do": "tag", "names": ["x"]}, "seen": {}, "by": 1})
    for client, plan in (
        (browser_of(somebody(lima, "mate")), page.context["plan"]),
        (desk, forged),
        (desk, page.context["plan"][:-1]),
        (desk, ""),
    ):
        assert "too old" in told(client.post(BULK, {"plan": plan}, follow=True))
    assert tags(leads) == [[]] * 3
    assert not BulkChange.objects.exists()


def test_what_changed_since_the_preview_is_left_and_said(desk: Client, leads: list[Contact]) -> None:
    page = preview(desk, leads, do="status", to="qualified")
    leads[1].change_status("archived", by=None)
    leads[2].change_status("qualified", by=None)
    done = told(confirm(desk, page))
    assert "1 lead changed" in done
    assert "cannot become Qualified: \u2068Lead 1\u2069. Left as it is." in done
    assert BulkChange.objects.get().leads == 1


def test_what_became_so_by_itself_is_no_change(desk: Client, leads: list[Contact]) -> None:
    page = preview(desk, leads, do="tag", name="vip")
    Contact.objects.update(tags=["vip"])
    assert "have it already" in told(confirm(desk, page))
    page = preview(desk, leads, do="tag", name="more")
    Contact.objects.update(merged_into=make_lead(leads[0].workspace, "Survivor"))
    assert "no longer here" in told(confirm(desk, page))
    assert not BulkChange.objects.exists()


def test_a_viewer_sees_no_bar_and_changes_nothing(leads: list[Contact], lima: Workspace) -> None:
    viewer = browser_of(somebody(lima, "viewer", Role.VIEWER))
    assert 'id="bulk"' not in viewer.get(LEADS).content.decode()
    page = preview(viewer, leads, do="tag", name="vip")
    assert "You may look at it, not change it" in words(page)
    assert "Nothing would change" in words(page)
    confirm(viewer, page)
    assert tags(leads) == [[]] * 3


def test_leads_of_another_workspace_do_not_exist(desk: Client) -> None:
    foreign = make_lead(Workspace.objects.create(name="B", slug="b"), "Secret name")
    page = preview(desk, [foreign], do="tag", name="vip")
    assert "Secret name" not in words(page)
    assert "1 lead is no longer here" in words(page)
    other = BulkChange.objects.create(
        workspace=foreign.workspace, action={"do": "tag", "names": ["x"]}, leads=1
    )
    address = reverse("admin:contacts_contact_bulk_undo", args=[other.pk])
    assert (desk.get(address).status_code, desk.post(address).status_code) == (404, 404)


def test_an_undo_is_refused_in_words(desk: Client, leads: list[Contact], lima: Workspace) -> None:
    confirm(desk, preview(desk, leads, do="tag", name="vip"))
    address = reverse("admin:contacts_contact_bulk_undo", args=[BulkChange.objects.get().pk])
    mate = browser_of(somebody(lima, "mate"))
    assert "managers of the workspace" in words(mate.get(address))
    assert "managers of the workspace" in told(mate.post(address, follow=True))
    BulkChange.objects.update(at=timezone.now() - timedelta(minutes=11))
    assert "ten minutes" in words(desk.get(address))
    assert "ten minutes" in told(desk.post(address, follow=True))
    assert tags(leads) == [["vip"]] * 3


def test_an_undo_says_what_was_changed_since(desk: Client, leads: list[Contact]) -> None:
    confirm(desk, preview(desk, leads, do="tag", name="vip"))
    Contact.objects.filter(pk=leads[0].pk).update(tags=["vip", "more"])
    address = reverse("admin:contacts_contact_bulk_undo", args=[BulkChange.objects.get().pk])
    answer = told(desk.post(address, follow=True))
    assert "2 leads are as they were" in answer
    assert "1 lead was changed since and left alone" in answer
    assert tags(leads) == [["vip", "more"], [], []]


def test_hostile_names_and_tags_stay_words(desk: Client, leads: list[Contact]) -> None:
    hostile = "<img src=x onerror=alert(1)>\u202e"
    Contact.objects.update(name=hostile, lead_status="converted")
    page = preview(desk, leads, do="tag", name="<script>x</script>")
    done = confirm(desk, page)
    refused = preview(desk, leads, do="status", to="new")
    change = desk.get(reverse("admin:contacts_contact_bulk_undo", args=[BulkChange.objects.get().pk]))
    for answer in (page, done, refused, change):
        assert "<img src=x" not in answer.content.decode()
        assert "<script>x" not in answer.content.decode()


def test_a_preview_takes_the_same_queries_for_any_number(desk: Client, lima: Workspace) -> None:
    def queries(count: int) -> int:
        many = [make_lead(lima, f"{count}-{index}") for index in range(count)]
        with CaptureQueriesContext(connection) as captured:
            preview(desk, many, do="follow-up", step="week")
        return len(captured)

    queries(1)
    assert queries(2) == queries(60)


def test_everybody_is_recorded_as_who_they_are(desk: Client, leads: list[Contact], rep: User) -> None:
    confirm(desk, preview(desk, leads, do="untag", name="x"))
    confirm(desk, preview(desk, leads, do="assign", owner="me", reason="Mine"))
    rows = LeadChange.objects.values_list("kind", "by", "reason", "after")
    assert set(rows) == {("owner", rep.pk, "Mine", rep.pk)}


def test_a_date_that_is_refused_stays_as_it_was_typed(desk: Client, leads: list[Contact]) -> None:
    for sent, shown in (
        (
            "2020-01-01T10:00:00.000Z",
            timezone.localtime(datetime(2020, 1, 1, 10, tzinfo=UTC)).strftime("%Y-%m-%dT%H:%M"),
        ),
        ("2020-01-01T10:00", "2020-01-01T10:00"),
        ("2020-02-31T10:00Z", "2020-02-31T10:00Z"),
    ):
        page = preview(desk, leads, do="follow-up", step="", due=sent)
        assert f'name="due" value="{shown}"' in page.content.decode()
