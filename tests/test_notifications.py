"""The bell and the notifications in the admin."""

from __future__ import annotations

import html as escapes
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from contacts import notifying
from contacts.models import Contact, FollowUp, Membership, Note, Notification, Role, Workspace
from tests.builders import LIMA, Desk

TOLD = "/admin/notifications/"
HEALTH = "/admin/numbers-health/"


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


@pytest.fixture
def lima(desk: Desk) -> Workspace:
    return desk.numbers[LIMA].workspace


@pytest.fixture
def ana(lima: Workspace) -> User:
    return member(lima, "ana")


@pytest.fixture
def browser(ana: User) -> Client:
    return browser_of(ana)


def member(workspace: Workspace, name: str, role: Role = Role.AGENT) -> User:
    user = User.objects.create_user(name, is_staff=True)
    Membership.objects.create(workspace=workspace, user=user, role=role)
    return user


def browser_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def tell(user: User, workspace: Workspace, name: str = "Maria", **fields: Any) -> Contact:
    lead = Contact.objects.create(workspace=workspace, name=name, **({"owner": user} | fields))
    Notification.objects.create(
        workspace=workspace, user=user, kind="assigned", key=str(lead.pk), contact=lead
    )
    return lead


def text_of(client: Client, url: str = TOLD) -> str:
    response = client.get(url)
    assert response.status_code == 200, response
    return escapes.unescape(response.content.decode())


def unread(client: Client, url: str = HEALTH) -> str:
    """What the bell says."""
    page = text_of(client, url)
    return (
        page.split('aria-label="', 1)[1]
        and page.split("data-bell=")[1].split('aria-label="')[1].split('"')[0]
    )


# The bell


def test_the_bell_counts_what_is_unread_on_every_page(browser: Client, ana: User, lima: Workspace) -> None:
    assert unread(browser) == "Notifications"
    lead = tell(ana, lima)
    pages = ["/admin/", reverse("admin:contacts_contact_changelist"), HEALTH, TOLD]
    pages += [reverse("admin:contacts_contact_change", args=[lead.pk]), reverse("admin:password_change")]
    assert [unread(browser, page) for page in pages] == ["1 unread notification"] * len(pages)


def test_the_bell_counts_no_further_than_anybody_reads(browser: Client, ana: User, lima: Workspace) -> None:
    lead = tell(ana, lima)
    Notification.objects.bulk_create(
        Notification(workspace=lima, user=ana, kind="mention", key=str(n), contact=lead) for n in range(150)
    )
    page = text_of(browser, HEALTH)
    assert '<span class="bell-count" aria-hidden="true">99+</span>' in page


@pytest.mark.parametrize("page", ["/admin/", HEALTH, "/admin/contacts/contact/"])
def test_the_bell_takes_one_small_statement(browser: Client, ana: User, lima: Workspace, page: str) -> None:
    tell(ana, lima)
    with CaptureQueriesContext(connection) as captured:
        browser.get(page)
    asked = [query["sql"] for query in captured if "contacts_notification" in query["sql"]]
    assert len(asked) == 1
    assert "LIMIT 100" in asked[0]


def test_nobody_who_is_not_logged_in_is_counted_for(db: None) -> None:
    with CaptureQueriesContext(connection) as captured:
        page = text_of(Client(), "/admin/login/")
    assert (len(captured), "data-bell" in page) == (0, False)


def test_the_bell_alone_can_be_asked_again(browser: Client, ana: User, lima: Workspace) -> None:
    tell(ana, lima)
    assert unread(browser, "/admin/notifications/bell/") == "1 unread notification"


# The list


def test_the_newest_is_first(browser: Client, ana: User, lima: Workspace) -> None:
    tell(ana, lima, "Older")
    tell(ana, lima, "Newer")
    page = text_of(browser)
    assert page.index("Newer") < page.index("Older")
    assert "\u2068Newer\u2069 is yours now" in page


def test_each_kind_is_read_out(browser: Client, ana: User, lima: Workspace) -> None:
    ben = User.objects.create_user("ben", first_name="Ben")
    lead = Contact.objects.create(workspace=lima, name="Maria", owner=ana)
    notifying.lead_assigned(lead, by=ben)
    notifying.mentioned(Note.objects.create(workspace=lima, contact=lead, text="@ana please", by=ben))
    due = Note.objects.get().at
    FollowUp.objects.create(workspace=lima, contact=lead, due_at=due, remark="price list", by=ana)
    notifying.follow_ups_due(due)
    Membership.objects.update(role=Role.OWNER)
    notifying.number_silent(lima.phone_numbers.get(), since=due, what="nothing for 5 hours.")
    page = text_of(browser).replace("\u2068", "").replace("\u2069", "")
    for words in (
        "Ben assigned Maria to you.",
        "Ben mentioned you in a note on Maria.",
        "@ana please",
        "Follow up on Maria, due ",
        "price list",
        "The number +5115550142 fell silent.",
        "nothing for 5 hours.",
    ):
        assert words in page, words


def test_opening_one_reads_it_and_leads_to_the_lead(browser: Client, ana: User, lima: Workspace) -> None:
    lead, other = tell(ana, lima), tell(ana, lima, "Other")
    one = Notification.objects.get(contact=lead)
    response = browser.get(f"{TOLD}{one.pk}/")
    assert response["Location"] == reverse("admin:contacts_contact_change", args=[lead.pk])
    assert list(Notification.objects.filter(read_at=None).values_list("contact", flat=True)) == [other.pk]


def test_opening_a_silence_leads_to_the_numbers_health(lima: Workspace) -> None:
    boss = member(lima, "boss", Role.MANAGER)
    number = lima.phone_numbers.get()
    notifying.number_silent(number, since=number.created_at, what="nothing.")
    response = browser_of(boss).get(f"{TOLD}{Notification.objects.get().pk}/")
    assert response["Location"] == HEALTH


def test_all_are_read_at_once_but_for_what_came_since(browser: Client, ana: User, lima: Workspace) -> None:
    tell(ana, lima)
    upto = Notification.objects.get().pk
    tell(ana, lima, "Since then")
    ben = member(lima, "ben")
    tell(ben, lima, "Ben's")
    assert browser.post(f"{TOLD}read/", {"upto": upto})["Location"] == TOLD
    left = Notification.objects.filter(read_at=None).values_list("contact__name", flat=True)
    assert sorted(left) == ["Ben's", "Since then"]


def test_the_page_offers_to_read_all_only_where_something_is_unread(
    browser: Client, ana: User, lima: Workspace
) -> None:
    tell(ana, lima)
    assert "Mark all as read" in text_of(browser)
    Notification.objects.update(read_at=lima.created_at)
    assert "Mark all as read" not in text_of(browser)


@pytest.mark.parametrize("upto", ["", "x", "-1", "9" * 30, "²"])
def test_nonsense_reads_nothing(browser: Client, ana: User, lima: Workspace, upto: str) -> None:
    tell(ana, lima)
    browser.post(f"{TOLD}read/", {"upto": upto})
    text_of(browser, f"{TOLD}?before={upto}")
    assert Notification.objects.get().read_at is None


def test_reading_all_takes_a_post_and_its_token(browser: Client, ana: User, lima: Workspace) -> None:
    tell(ana, lima)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ana)
    assert browser.get(f"{TOLD}read/").status_code == 405
    assert strict.post(f"{TOLD}read/", {"upto": 10**9}).status_code == 403


def test_older_ones_are_a_page_further(browser: Client, ana: User, lima: Workspace) -> None:
    for n in range(60):
        tell(ana, lima, f"Lead {n:02}")
    first = text_of(browser)
    assert (first.count("is yours now"), "Lead 59" in first, "Lead 09" in first) == (50, True, False)
    before = first.split('href="?before=')[1].split('"')[0]
    second = text_of(browser, f"{TOLD}?before={before}")
    assert (second.count("is yours now"), "Lead 09" in second, "Older</a>" in second) == (10, True, False)


def test_an_empty_list_says_what_would_be_there(browser: Client) -> None:
    assert "Nothing to tell you yet" in text_of(browser)


def test_the_page_takes_the_same_statements_for_any_number(
    browser: Client, ana: User, lima: Workspace
) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            browser.get(TOLD)
        return len(captured)

    ben = User.objects.create_user("ben")

    def tell_of_all_kinds(n: int) -> None:
        lead = tell(ana, lima, f"Lead {n}")
        notifying.mentioned(Note.objects.create(workspace=lima, contact=lead, text="@ana", by=ben))
        FollowUp.objects.create(workspace=lima, contact=lead, due_at=lima.created_at, by=ana)
        notifying.follow_ups_due(lima.created_at)

    tell_of_all_kinds(0)
    few = statements()
    for n in range(1, 12):
        tell_of_all_kinds(n)
    assert statements() == few <= 8


# Whose it is


def test_nobody_reads_another_ones(browser: Client, lima: Workspace) -> None:
    ben = member(lima, "ben")
    tell(ben, lima, "Ben's lead")
    one = Notification.objects.get()
    assert browser.get(f"{TOLD}{one.pk}/").status_code == 404
    browser.post(f"{TOLD}read/", {"upto": one.pk})
    assert ("Ben's lead" in text_of(browser), Notification.objects.get().read_at) == (False, None)


@pytest.mark.parametrize("url", [TOLD, f"{TOLD}bell/", f"{TOLD}1/"])
def test_who_is_not_logged_in_is_asked_to(db: None, url: str) -> None:
    assert Client().get(url)["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("how", ["left the workspace", "lead is another's", "lead was erased"])
def test_a_lead_that_is_not_seen_any_more_is_not_named(
    browser: Client, ana: User, lima: Workspace, how: str
) -> None:
    lead = tell(ana, lima, "Secret Maria")
    ben = member(lima, "ben")
    made = Note.objects.create(workspace=lima, contact=lead, text="@ana Maria's secret", by=ben)
    notifying.mentioned(made)
    if how == "left the workspace":
        Membership.objects.filter(user=ana).delete()
    elif how == "lead is another's":
        Contact.objects.update(owner=ben)
        Workspace.objects.update(agents_see_all=False)
    else:
        made.delete()
        lead.delete()
    page = text_of(browser)
    assert "ecret" not in page
    if how != "lead was erased":
        assert page.count("This was about a lead that you do not see any more.") == 2
        one = Notification.objects.order_by("pk")[0]
        assert browser.get(f"{TOLD}{one.pk}/")["Location"] == TOLD


def test_a_merged_leads_notification_leads_to_the_survivor(
    browser: Client, ana: User, lima: Workspace
) -> None:
    merged, survivor = (
        tell(ana, lima, "Twin"),
        Contact.objects.create(workspace=lima, name="Maria", owner=ana),
    )
    Contact.objects.filter(pk=merged.pk).update(merged_into=survivor)
    assert "Maria" in text_of(browser)
    response = browser.get(f"{TOLD}{Notification.objects.get().pk}/")
    assert response["Location"] == reverse("admin:contacts_contact_change", args=[survivor.pk])


def test_hostile_names_are_inert(browser: Client, ana: User, lima: Workspace) -> None:
    tell(ana, lima, "<script>alert(1)</script>\u202e\u2069" + "x" * 200)
    page = browser.get(TOLD).content.decode()
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert page.count("\u2068") == page.count("\u2069") == 1
