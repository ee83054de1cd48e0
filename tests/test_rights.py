"""Who may do what: each role against each page and action, by guessed addresses, in lists, search and exports."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from contacts.models import (
    BulkChange,
    Contact,
    Conversation,
    LeadChange,
    Membership,
    Message,
    Notification,
    PhoneNumber,
    SavedFilter,
    Workspace,
)
from kapso_sync.models import WebhookDelivery
from tests.test_admin import make_lead, say

LEADS = "/admin/contacts/contact/"
WHO = ("owner", "manager", "agent", "narrow", "viewer", "stranger")


@pytest.fixture
def lima(db: None) -> Workspace:
    workspace = Workspace.objects.create(name="Lima", slug="lima")
    PhoneNumber.objects.create(workspace=workspace, phone_number_id="111", display_phone_number="511")
    return workspace


@pytest.fixture
def rio(db: None) -> Workspace:
    return Workspace.objects.create(name="Rio", slug="rio", agents_see_all=False)


def somebody(name: str, **roles: Workspace) -> User:
    user = User.objects.create_user(name, f"{name}@crm.test", is_staff=True)
    for role, workspace in roles.items():
        Membership.objects.create(workspace=workspace, user=user, role=role)
    return user


def at_desk(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def as_role(who: str, workspace: Workspace) -> Client:
    """`narrow`: an agent where agents see their own leads and those of nobody."""
    if who == "stranger":
        return at_desk(somebody(who))
    Workspace.objects.filter(pk=workspace.pk).update(agents_see_all=who != "narrow")
    return at_desk(somebody(who, **{"agent" if who == "narrow" else who: workspace}))


@pytest.fixture
def other(lima: Workspace) -> Contact:
    """A lead of somebody else in Lima."""
    return make_lead(lima, "Zoe Other", phone="51911110009", owner=somebody("colleague", agent=lima))


# page -> what owner, manager, agent, an agent who sees only some, viewer and stranger get. `{lead}` is a colleague's.
GET = {
    "lead": (LEADS + "{lead}/change/", (200, 200, 200, 404, 200, 404)),
    "history": (LEADS + "{lead}/history/", (302, 302, 302, 404, 302, 404)),
    "older messages": (LEADS + "{lead}/messages/", (200, 200, 200, 404, 200, 404)),
    "who may own": (LEADS + "{lead}/members/", (200, 200, 200, 404, 200, 404)),
    "why": (LEADS + "{lead}/why/?message={message}", (200, 200, 403, 404, 403, 404)),
    "do": (LEADS + "{lead}/do/tag/", (405, 405, 405, 405, 405, 405)),
    "live": (LEADS + "live/", (200, 200, 200, 200, 200, 200)),
    "many": (LEADS + "bulk/", (302, 302, 302, 302, 302, 302)),
    "change of many": (LEADS + "bulk/{bulk}/undo/", (200, 200, 200, 404, 200, 404)),
    "add lead": (LEADS + "add/", (200, 200, 200, 200, 403, 403)),
    "message": (LEADS + "{lead}/message/{message}/", (200, 200, 200, 404, 200, 404)),
    "merge": (LEADS + "{lead}/merge/", (200, 200, 403, 404, 403, 404)),
    "duplicates": (LEADS + "duplicates/", (200, 200, 403, 403, 403, 200)),
    "export": (LEADS + "{lead}/export/", (200, 200, 403, 404, 403, 404)),
    "erase": (LEADS + "{lead}/erase/", (200, 403, 403, 404, 403, 404)),
    "deliveries": ("/admin/kapso_sync/webhookdelivery/", (200, 200, 403, 403, 403, 403)),
    "delivery": ("/admin/kapso_sync/webhookdelivery/{delivery}/change/", (200, 200, 403, 403, 403, 403)),
    "health": ("/admin/numbers-health/", (200, 200, 200, 200, 200, 200)),
    "drift": ("/admin/drift/", (403, 403, 403, 403, 403, 403)),
    "users": ("/admin/auth/user/", (403, 403, 403, 403, 403, 403)),
    "numbers": ("/admin/contacts/phonenumber/", (403, 403, 403, 403, 403, 403)),
    "settings": ("/admin/contacts/workspace/{workspace}/change/", (200, 200, 200, 200, 200, 404)),
    "members": ("/admin/contacts/workspace/{workspace}/members/", (200, 403, 403, 403, 403, 404)),
    "remove": ("/admin/contacts/workspace/{workspace}/members/{member}/remove/", (200, 403, 403, 403, 403, 404)),
    "tags": ("/admin/contacts/workspace/{workspace}/tags/", (200, 403, 403, 403, 403, 404)),
    "fields": ("/admin/contacts/workspace/{workspace}/fields/", (200, 403, 403, 403, 403, 404)),
    "add workspace": ("/admin/contacts/workspace/add/", (403, 403, 403, 403, 403, 403)),
    "preferences": ("/admin/preferences/", (200, 200, 200, 200, 200, 200)),
    "start": ("/admin/", (200, 200, 200, 200, 200, 200)),
    "due today": ("/admin/today/follow-ups/", (200, 200, 200, 200, 200, 200)),
    "reports": ("/admin/reports/?workspace={workspace}", (200, 200, 403, 403, 403, 403)),
    "behind": ("/admin/reports/behind/?of=open&workspace={workspace}", (200, 200, 403, 403, 403, 403)),
    "notifications": ("/admin/notifications/", (200, 200, 200, 200, 200, 200)),
    "told": ("/admin/notifications/{told}/", (404, 404, 404, 404, 404, 404)),
    "welcome": ("/admin/welcome/", (403, 403, 403, 403, 403, 403)),
}  # fmt: skip
POST = {
    "lead": (LEADS + "{lead}/change/", (405, 405, 405, 404, 405, 404)),
    "status": (LEADS + "{lead}/do/status/", (302, 302, 302, 404, 403, 404)),
    "note": (LEADS + "{lead}/do/note/", (302, 302, 302, 404, 403, 404)),
    "follow-up done": (LEADS + "{lead}/do/follow-up-done/", (302, 302, 302, 404, 403, 404)),
    "undo": (LEADS + "bulk/{bulk}/undo/", (302, 302, 302, 404, 302, 404)),
    "share a filter": (LEADS + "filters/{filter}/share/", (404, 404, 404, 404, 404, 404)),
    "dismiss": (LEADS + "duplicates/dismiss/", (302, 302, 403, 404, 403, 404)),
    "replay": ("/admin/kapso_sync/webhookdelivery/{delivery}/replay/", (302, 302, 403, 403, 403, 403)),
    "settings": ("/admin/contacts/workspace/{workspace}/change/", (200, 403, 403, 403, 403, 404)),
    "role": ("/admin/contacts/workspace/{workspace}/members/{member}/", (302, 403, 403, 403, 403, 404)),
    "invite": ("/admin/contacts/workspace/{workspace}/invitations/", (200, 403, 403, 403, 403, 404)),
    "link": ("/admin/contacts/workspace/{workspace}/members/{member}/reset-link/", (200, 403, 403, 403, 403, 404)),
    "tag": ("/admin/contacts/workspace/{workspace}/tags/", (200, 403, 403, 403, 403, 404)),
    "field": ("/admin/contacts/workspace/{workspace}/fields/", (200, 403, 403, 403, 403, 404)),
}  # fmt: skip


def delivery_of(workspace: Workspace) -> WebhookDelivery:
    key = f"k{WebhookDelivery.objects.count()}"
    return WebhookDelivery.objects.create(
        workspace=workspace, body=b"{}", status="failed", idempotency_key=key
    )


def address(route: str, lead: Contact) -> str:
    return route.format(
        lead=lead.pk,
        message=say(lead, "a long story").pk if "{message}" in route else 0,
        delivery=delivery_of(lead.workspace).pk,
        workspace=lead.workspace_id,
        member=Membership.objects.get(user=lead.owner).pk,
        bulk=bulk_of(lead).pk if "{bulk}" in route else 0,
        filter=filter_of(lead).pk if "{filter}" in route else 0,
        told=told_of(lead).pk if "{told}" in route else 0,
    )


def bulk_of(lead: Contact) -> BulkChange:
    """The owner of the lead tagged it, among others."""
    place = {"workspace": lead.workspace, "by": lead.owner}
    made = BulkChange.objects.create(
        **place, action={"do": "tag", "names": ["vip"]}, leads=1, at=timezone.now()
    )
    LeadChange.objects.create(**place, contact=lead, kind="tags", before=[], after=["vip"], bulk=made)
    Contact.objects.filter(pk=lead.pk).update(tags=["vip"])
    return made


def filter_of(lead: Contact) -> SavedFilter:
    query = f"owner=me&q={SavedFilter.objects.count()}"
    assert lead.owner
    return SavedFilter.objects.create(workspace=lead.workspace, by=lead.owner, name=query, query=query)


def told_of(lead: Contact) -> Notification:
    told = {"workspace": lead.workspace, "user": lead.owner, "contact": lead, "kind": "assigned"}
    return Notification.objects.create(**told, key=str(Notification.objects.count()))


@pytest.mark.parametrize("page", GET)
def test_pages_open_for_the_roles_that_they_are_for(page: str, lima: Workspace, other: Contact) -> None:
    route, expected = GET[page]
    where = address(route, other)
    assert tuple(as_role(who, lima).get(where).status_code for who in WHO) == expected


@pytest.mark.parametrize("action", POST)
def test_actions_are_done_for_the_roles_that_may(action: str, lima: Workspace, other: Contact) -> None:
    route, expected = POST[action]
    data = {"a": other.pk, "b": other.pk, "to": "converted"}
    assert tuple(as_role(who, lima).post(address(route, other), data).status_code for who in WHO) == expected
    other.refresh_from_db()
    assert (other.lead_status, other.owner_id is None) == ("new", False)


def test_a_refusal_says_whom_to_ask(lima: Workspace) -> None:
    page = as_role("viewer", lima).get("/admin/kapso_sync/webhookdelivery/")
    assert page.status_code == 403
    assert "Your role in this workspace does not allow it." in page.content.decode()


@pytest.mark.parametrize("who", WHO)
def test_lists_search_and_counts_hold_what_the_role_sees(who: str, lima: Workspace, other: Contact) -> None:
    client = as_role(who, lima)
    mine = make_lead(lima, "Zoe Mine", owner=User.objects.get(username=who))
    nobodys = make_lead(lima, "Zoe Free")
    seen = {"narrow": {mine.pk, nobodys.pk}, "stranger": set()}.get(who, {mine.pk, nobodys.pk, other.pk})
    for query in ("", "?q=zoe", "?q=Zoe+Other", "?q=51911110009", f"?owner={other.owner_id}"):
        shown = client.get(LEADS + query).context["cl"]
        assert {row.lead.pk for row in shown.result_list} <= seen
        assert shown.result_count == len(shown.result_list)
    page = client.get(LEADS)
    assert {row.lead.pk for row in page.context["cl"].result_list} == seen
    assert [tab["count"].said for tab in page.context["tabs"]][:1] == [str(len(seen))]
    live = client.get(LEADS + "live/").content.decode()
    assert ("Zoe Other" in live) is (other.pk in seen)
    chosen = client.post(LEADS + "bulk/", {"all": "1", "do": "tag", "name": "vip"})
    assert set((getattr(chosen, "context", None) and chosen.context["chosen"]) or ()) == seen


@pytest.mark.parametrize("who", WHO)
def test_querysets_follow_the_role(who: str, lima: Workspace, other: Contact) -> None:
    as_role(who, lima)
    user = User.objects.get(username=who)
    free = make_lead(lima, "Free")
    for lead in (other, free):
        say(lead, "hello")
    waiting = Message.objects.create(
        workspace=lima, phone_number=lima.phone_numbers.get(), kapso_message_id="w", direction="inbound",
        sent_at=datetime(2026, 6, 9, tzinfo=UTC),
    )  # fmt: skip
    leads = {"narrow": {free.pk}, "stranger": set()}.get(who, {free.pk, other.pk})
    assert set(Contact.objects.for_user(user).values_list("pk", flat=True)) == leads
    assert set(Conversation.objects.for_user(user).values_list("contact", flat=True)) == leads
    said = set(Message.objects.for_user(user).values_list("contact", flat=True))
    assert said == leads | ({waiting.contact_id} if who not in ("narrow", "stranger") else set())


def test_autocomplete_offers_no_leads_people_or_workspaces_of_others(
    lima: Workspace, rio: Workspace, other: Contact
) -> None:
    client = as_role("narrow", lima)
    for model, field in (
        ("contacts.contact", "owner"),
        ("contacts.membership", "user"),
        ("contacts.note", "contact"),
    ):
        app, name = model.split(".")
        query = {"app_label": app, "model_name": name, "field_name": field, "term": "o"}
        page = client.get("/admin/autocomplete/", query)
        assert page.status_code in (403, 404) or page.json()["results"] == []
    page = client.get(
        "/admin/autocomplete/",
        {"app_label": "contacts", "model_name": "membership", "field_name": "workspace", "term": ""},
    )
    assert page.status_code == 403 or {row["text"] for row in page.json()["results"]} <= {"Lima"}


def test_manager_here_and_viewer_there(lima: Workspace, rio: Workspace) -> None:
    user = somebody("both", manager=lima, viewer=rio)
    client = at_desk(user)
    here, there = make_lead(lima, "Here"), make_lead(rio, "There")
    assert client.get(f"{LEADS}{here.pk}/export/").status_code == 200
    assert client.get(f"{LEADS}{there.pk}/export/").status_code == 403
    assert client.get(f"{LEADS}{there.pk}/change/").status_code == 200
    assert client.post(f"{LEADS}{there.pk}/do/field/", {"name": "name", "value": "x"}).status_code == 403
    of = {place: delivery_of(place) for place in (lima, rio)}
    rows = client.get("/admin/kapso_sync/webhookdelivery/").context["cl"].result_list
    assert [row.pk for row in rows] == [of[lima].pk]
    assert client.get(f"/admin/kapso_sync/webhookdelivery/{of[rio].pk}/change/").status_code == 404
    form = client.get(LEADS + "add/").context["adminform"].form
    assert list(form.fields["workspace"].queryset) == [lima]


def test_a_lead_that_passes_to_somebody_else_is_gone_for_a_narrow_agent(rio: Workspace) -> None:
    user = somebody("nina", agent=rio)
    lead = make_lead(rio, "Passing", owner=user)
    client = at_desk(user)
    assert client.get(f"{LEADS}{lead.pk}/change/").status_code == 200
    Contact.objects.filter(pk=lead.pk).update(owner=somebody("bea", agent=rio))
    assert client.get(f"{LEADS}{lead.pk}/change/").status_code == 404


def test_an_old_link_to_a_merged_lead_does_not_lead_where_one_may_not_go(rio: Workspace) -> None:
    survivor = make_lead(rio, "Survivor", owner=somebody("bea", agent=rio))
    merged = make_lead(rio, "Merged", merged_into=survivor)
    page = at_desk(somebody("nina", agent=rio)).get(f"{LEADS}{merged.pk}/change/")
    assert page.status_code == 404


def test_a_restricted_agent_of_several_workspaces_gets_whole_pages(lima: Workspace, rio: Workspace) -> None:
    user = somebody("nina", agent=rio, viewer=lima)
    bea = somebody("bea", agent=rio)
    Contact.objects.bulk_create(
        Contact(workspace=rio, name=f"n{n}", owner=bea, last_activity_at=datetime(2026, 6, 9, tzinfo=UTC))
        for n in range(60)
    )
    mine = make_lead(rio, "Mine", owner=user)
    assert [row.lead.pk for row in at_desk(user).get(LEADS).context["cl"].result_list] == [mine.pk]


def test_buttons_that_the_role_may_not_press_are_not_there(lima: Workspace, other: Contact) -> None:
    found = {}
    for who in ("owner", "manager", "viewer"):
        page = as_role(who, lima).get(f"{LEADS}{other.pk}/change/").content.decode()
        found[who] = (
            reverse("lead-export", args=[other.pk]) in page,
            reverse("lead-erase", args=[other.pk]) in page,
        )
    assert found == {"owner": (True, True), "manager": (True, False), "viewer": (False, False)}
    menu = as_role("agent", lima).get("/admin/").content.decode()
    assert "/admin/kapso_sync/webhookdelivery/" not in menu
    assert "/duplicates/" not in menu


def test_health_shows_members_the_number_and_managers_its_deliveries(lima: Workspace) -> None:
    for who, links in (("manager", True), ("viewer", False)):
        page = as_role(who, lima).get("/admin/numbers-health/").content.decode()
        assert "511" in page
        assert ("webhookdelivery/?number=111" in page) is links


def test_rights_cost_one_query_for_a_page(
    lima: Workspace, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = as_role("manager", lima)
    with django_assert_max_num_queries(12):
        client.get(LEADS)


def test_whoever_belongs_to_no_workspace_sees_an_empty_desk(lima: Workspace, other: Contact) -> None:
    client = as_role("stranger", lima)
    assert list(client.get(LEADS).context["cl"].result_list) == []
    assert "You belong to no workspace yet" in client.get("/admin/").content.decode()
