"""The addresses to which pages send what people do with a lead: who may, what is answered, where one ends up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from contacts import work
from contacts.merging import merge
from contacts.models import (
    Contact,
    FollowUp,
    LeadChange,
    Membership,
    Note,
    Role,
    StatusChange,
    Workspace,
)
from tests.test_admin import make_lead, page_of, told

JSON = {"Accept": "application/json"}
EVERYTHING = {
    "status": {"to": "qualified"},
    "assign": {"owner": "me"},
    "tag": {"name": "vip"},
    "untag": {"name": "old"},
    "field": {"name": "email", "value": "m@example.com"},
    "note": {"text": "Wants blue"},
    "follow-up": {"due": "tomorrow", "remark": "Call"},
    "snooze": {"until": "week"},
}


@pytest.fixture
def lima(db: None) -> Workspace:
    return Workspace.objects.create(name="Lima", slug="lima")


@pytest.fixture
def lead(lima: Workspace) -> Contact:
    return make_lead(lima, tags=["old"], last_inbound_at=timezone.now() - timedelta(hours=1))


def somebody(workspace: Workspace, name: str, role: Role = Role.AGENT) -> User:
    user = User.objects.create_user(name, is_staff=True)
    Membership.objects.create(workspace=workspace, user=user, role=role)
    return user


@pytest.fixture
def rep(lima: Workspace) -> User:
    return somebody(lima, "rep")


@pytest.fixture
def desk(rep: User, client: Client) -> Client:
    client.force_login(rep)
    return client


def do(client: Client, lead: Contact, what: str, headers: Any = None, **form: Any) -> Any:
    address = reverse("admin:contacts_contact_do", args=[lead.pk, what])
    return client.post(address, form, headers=headers, follow=not headers)


def ask(client: Client, lead: Contact, what: str, **form: Any) -> tuple[int, dict[str, str]]:
    answer = do(client, lead, what, JSON, **form)
    return answer.status_code, answer.json()


def everything_of(lead: Contact) -> list[Any]:
    """Up to where it is read aside: the page that comes back has been opened."""
    tables = (LeadChange, StatusChange, Note, FollowUp)
    return [
        Contact.objects.values().get(pk=lead.pk) | {"read_at": None},
        *(table.objects.count() for table in tables),
    ]


def test_every_change_is_a_post_away(desk: Client, lead: Contact, rep: User) -> None:
    clocks = Contact.objects.values("last_activity_at", "last_contact_at", "last_inbound_at")
    before = clocks.get(pk=lead.pk)
    for what, form in EVERYTHING.items():
        answer = do(desk, lead, what, **form)
        assert answer.redirect_chain == [(page_of(lead), 302)], what
        assert told(answer)
    lead.refresh_from_db()
    assert (lead.lead_status, lead.owner, lead.tags, lead.email) == (
        "qualified",
        rep,
        ["vip"],
        "m@example.com",
    )
    assert lead.snoozed_until
    assert (Note.objects.get().text, FollowUp.objects.get().remark) == ("Wants blue", "Call")
    assert ask(desk, lead, "follow-up-done") == (200, {"message": "Follow-up done."})
    assert ask(desk, lead, "wake") == (200, {"message": "Taken up again."})
    assert ask(desk, lead, "handoff-clear")[0] == 200
    assert ask(desk, lead, "assign", owner="") == (200, {"message": "The lead is nobody's now."})
    assert {change.by for change in LeadChange.objects.all()} == {rep}
    assert clocks.get(pk=lead.pk) == before


def test_notes_are_changed_and_deleted_by_their_author(desk: Client, lead: Contact) -> None:
    do(desk, lead, "note", text="Wants blue")
    note = Note.objects.get()
    assert "Note changed" in told(
        do(desk, lead, "note-edit", note=note.pk, text="Wants red", seen="Wants blue")
    )
    other = Client()
    other.force_login(somebody(lead.workspace, "other"))
    assert "Only who wrote" in told(do(other, lead, "note-delete", note=note.pk))
    assert Note.objects.get().text == "Wants red"
    assert "Note deleted" in told(do(desk, lead, "note-delete", note=note.pk))
    assert "no longer here" in told(do(desk, lead, "note-edit", note=note.pk, text="x"))


def test_a_note_is_reached_by_its_own_lead_only(desk: Client, lead: Contact, rep: User) -> None:
    note = work.add_note(make_lead(lead.workspace, "Other"), "x", by=rep)
    for pk in (note.pk, "x", "9" * 30, ""):
        assert ask(desk, lead, "note-delete", note=pk)[0] == 422
    assert Note.objects.exists()


def test_a_lead_that_wrote_again_is_taken_up_with_one_click(desk: Client, lead: Contact) -> None:
    Contact.objects.filter(pk=lead.pk).update(lead_status="converted")
    assert "new again" in told(do(desk, lead, "reengage", seen="converted"))
    assert StatusChange.objects.count() == 2


@pytest.mark.parametrize(
    ("what", "form", "status", "word"),
    [
        ("status", {"to": "converted"}, 422, "Allowed: Qualified, Archived"),
        ("status", {}, 422, "no such status"),
        ("status", {"to": "archived", "seen": "qualified"}, 409, "“New” now"),
        ("assign", {"owner": "me", "seen": "1"}, 409, "empty now"),
        ("assign", {"owner": "999999"}, 422, "no such person"),
        ("assign", {"owner": "root"}, 422, "no such person"),
        ("tag", {}, 422, "which tag"),
        ("field", {"name": "email", "value": "x"}, 422, "E-mail"),
        ("field", {"name": "owner_id", "value": "1"}, 422, "no field"),
        ("field", {"name": "email", "value": "", "seen": "old@example.com"}, 409, "empty now"),
        ("note", {}, 422, "Write something"),
        ("follow-up", {"due": "2020-01-01T10:00"}, 422, "in the past"),
        ("follow-up", {"due": "whenever"}, 422, "not a date"),
        ("follow-up", {}, 422, "Say when"),
        ("follow-up-done", {}, 422, "No follow-up"),
        ("snooze", {"until": "2020-01-01"}, 422, "in the past"),
        ("reengage", {}, 422, "worked on"),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(
    desk: Client, lead: Contact, what: str, form: dict[str, str], status: int, word: str
) -> None:
    before = everything_of(lead)
    answered, answer = ask(desk, lead, what, **form)
    assert answered == status
    assert word in answer["error"]
    page = do(desk, lead, what, **form)
    assert page.redirect_chain == [(page_of(lead), 302)]
    assert word in told(page)
    assert everything_of(lead) == before


def test_a_foreign_owner_is_refused(desk: Client, lead: Contact) -> None:
    stranger = somebody(Workspace.objects.create(name="B", slug="b"), "stranger")
    viewer = somebody(lead.workspace, "viewer", Role.VIEWER)
    for user in (stranger, viewer):
        assert ask(desk, lead, "assign", owner=str(user.pk))[0] == 422
    assert Contact.objects.get(pk=lead.pk).owner is None


def test_another_workspaces_lead_is_not_found(desk: Client) -> None:
    foreign = make_lead(Workspace.objects.create(name="B", slug="b"))
    before = everything_of(foreign)
    for what, form in EVERYTHING.items():
        assert do(desk, foreign, what, JSON, **form).status_code == 404
    assert do(desk, Contact(pk=10**15), "note", JSON, text="x").status_code == 404
    assert everything_of(foreign) == before


def test_an_agent_works_their_own_and_nobodys_where_the_workspace_says_so(
    desk: Client, lead: Contact, rep: User, lima: Workspace
) -> None:
    lima.agents_see_all = False
    lima.save()
    mate = somebody(lima, "mate")
    Contact.objects.filter(pk=lead.pk).update(owner=mate)
    assert do(desk, lead, "note", JSON, text="x").status_code == 404
    Contact.objects.filter(pk=lead.pk).update(owner=None)
    assert do(desk, lead, "note", JSON, text="x").status_code == 200
    given_away = do(desk, lead, "assign", owner=str(mate.pk))
    assert given_away.redirect_chain == [(reverse("admin:contacts_contact_changelist"), 302)]
    assert "mate's now" in told(given_away)


def test_who_may_only_look_changes_nothing(lead: Contact, client: Client) -> None:
    client.force_login(somebody(lead.workspace, "viewer", Role.VIEWER))
    before = everything_of(lead)
    for what, form in EVERYTHING.items():
        assert ask(client, lead, what, **form) == (
            403,
            {"error": "You may look at these leads, not change them."},
        )
        assert do(client, lead, what, **form).status_code == 403
    assert everything_of(lead) == before


def test_strangers_are_sent_to_log_in(client: Client, lead: Contact) -> None:
    answer = do(client, lead, "note", JSON, text="x")
    assert (answer.status_code, "/login/" in answer["Location"]) == (302, True)
    assert not Note.objects.exists()


def test_looking_at_the_address_does_nothing(desk: Client, lead: Contact) -> None:
    assert desk.get(reverse("admin:contacts_contact_do", args=[lead.pk, "wake"])).status_code == 405
    assert do(desk, lead, "delete-everything", JSON).status_code == 404


def test_a_form_of_another_site_does_nothing(rep: User, lead: Contact) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(rep)
    assert do(client, lead, "note", JSON, text="x").status_code == 403
    assert not Note.objects.exists()


def test_one_gets_back_to_where_one_was_but_nowhere_else(desk: Client, lead: Contact) -> None:
    back = "/admin/contacts/contact/?view=mine"
    address = reverse("admin:contacts_contact_do", args=[lead.pk, "note"])
    assert desk.post(address, {"text": "x", "next": back})["Location"] == back
    assert desk.post(address, {"text": "x", "next": "https://evil.example/"})["Location"] == page_of(lead)


def test_a_lead_that_was_merged_meanwhile_leads_to_the_one_that_is_left(
    desk: Client, lead: Contact, rep: User
) -> None:
    other = make_lead(lead.workspace, "Other")
    merge(lead, other, by=rep)
    answer = do(desk, other, "note", text="x")
    assert answer.redirect_chain[-1][0] == page_of(lead)
    assert "merged into another" in told(answer)
    assert not Note.objects.exists()


@pytest.fixture
def impatient() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '50ms'")
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '3s'")


@pytest.mark.django_db(transaction=True)
def test_a_lead_that_webhooks_hold_is_left_alone_and_said_so(
    desk: Client, lead: Contact, impatient: None
) -> None:
    webhook = connection.copy()
    try:
        with webhook.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT 1 FROM contacts_contact WHERE id = %s FOR NO KEY UPDATE", [lead.pk])
            status, answer = ask(desk, lead, "note", text="x")
            cursor.execute("ROLLBACK")
    finally:
        webhook.close()
    assert status == 409
    assert "try again" in answer["error"]
