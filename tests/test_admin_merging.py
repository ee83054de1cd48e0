"""The pages on which people merge leads, take it back, and look through possible duplicates."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from contacts import merging
from contacts.models import Contact, ContactMerge, Membership, MergeDismissal, Role
from tests.builders import ANA, ANA_ID, BEA, LIMA, SAOPAULO, Desk, message

LEADS = "/admin/contacts/contact/"
LONG, SHORT = "5511987654321", "551187654321"


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


@pytest.fixture
def rep(desk: Desk) -> Client:
    """Somebody who works in Lima."""
    user = User.objects.create_user("rep", password="a password", is_staff=True)
    Membership.objects.create(workspace=desk.numbers[LIMA].workspace, user=user, role=Role.MANAGER)
    client = Client(enforce_csrf_checks=False)
    client.force_login(user)
    return client


def pair(desk: Desk) -> tuple[Contact, Contact]:
    desk.told(message("a", 0, phone=LONG, name="Long"), message("b", 1, phone=SHORT, name="Short"))
    return desk.lead(LONG), desk.lead(SHORT)


def text(client: Client, address: str, **query: Any) -> str:
    page = client.get(address, query)
    assert page.status_code == 200
    return page.content.decode()


def said(page: Any) -> str:
    return " ".join(str(message) for message in page.context["messages"])


def test_a_lead_that_looks_like_another_says_so_and_is_merged_in_two_clicks(desk: Desk, rep: Client) -> None:
    a, b = pair(desk)
    Contact.objects.filter(pk=b.pk).update(email="b@example.com")
    page = text(rep, f"{LEADS}{b.pk}/change/")
    assert "Looks like" in page
    assert f"{LEADS}{b.pk}/merge/{a.pk}/" in page
    page = text(rep, f"{LEADS}{b.pk}/merge/{a.pk}/")
    assert page.count("b@example.com") == 2  # of the one, and of both together
    assert "ninth digit" in page

    done = rep.post(f"{LEADS}{b.pk}/merge/{a.pk}/", follow=True)
    made = ContactMerge.objects.get()
    assert (made.survivor, made.merged, made.by and made.by.username) == (a, b, "rep")
    assert done.redirect_chain[-1][0] == f"{LEADS}{a.pk}/change/"
    assert f'href="{LEADS}merges/{made.pk}/undo/"' in said(done)
    page = text(rep, f"{LEADS}{a.pk}/change/")
    assert f"{LEADS}merges/{made.pk}/undo/" in page
    assert "Looks like" not in page

    assert "becomes a lead of its own again" in text(rep, f"{LEADS}merges/{made.pk}/undo/")
    done = rep.post(f"{LEADS}merges/{made.pk}/undo/", follow=True)
    assert "is a lead of its own again" in said(done)
    assert Contact.objects.living().count() == 2
    made.refresh_from_db()
    assert made.undone_by == made.by
    page = " ".join(text(rep, f"{LEADS}{a.pk}/change/").split())
    assert re.search(r"Undid the merge with Short</span> <small> <bdi>rep</bdi>", page)
    done = rep.post(f"{LEADS}merges/{made.pk}/undo/", follow=True)
    assert "two leads already" in said(done)


def test_any_lead_of_the_workspace_can_be_found_and_chosen(desk: Desk, rep: Client) -> None:
    desk.told(message("a", 0, name="Ana"), message("b", 1, phone=BEA, name="Beatriz"))
    desk.told(message("c", 1, phone="551150200999", name="Beatriz too", number=SAOPAULO))
    a, b = desk.lead(ANA), desk.lead(BEA)
    page = text(rep, f"{LEADS}{a.pk}/merge/", q="beatriz")
    assert f"{LEADS}{a.pk}/merge/{b.pk}/" in page
    assert "Beatriz too" not in page
    assert "Nobody else" in text(rep, f"{LEADS}{a.pk}/merge/", q="Ana")
    assert "Who is the same person?" in text(rep, f"{LEADS}{a.pk}/merge/")


def test_the_status_history_of_both_shows(desk: Desk, rep: Client) -> None:
    a, b = pair(desk)
    b.change_status("qualified", by=None)
    merging.merge(a, b, by=None)
    page = " ".join(text(rep, f"{LEADS}{a.pk}/change/").split())
    assert "New → Qualified" in page
    assert rep.get(f"{LEADS}{b.pk}/change/").headers["Location"] == f"{LEADS}{a.pk}/change/"


def test_whom_replies_reach_is_shown(desk: Desk, rep: Client) -> None:
    desk.told(message("a", 0, user_id=ANA_ID), message("b", 5, phone=None, user_id=ANA_ID))
    assert f"<b>{ANA_ID}</b>" in text(rep, f"{LEADS}{desk.lead(ANA).pk}/change/")


def test_a_merge_that_whatsapp_proved_is_named_as_such(desk: Desk, rep: Client) -> None:
    desk.told(message("a", 0), message("u", 1, phone=None, user_id=ANA_ID), message("p", 5, user_id=ANA_ID))
    page = text(rep, f"{LEADS}{desk.lead(ANA).pk}/change/")
    assert "WhatsApp&#x27;s own word" in page or "WhatsApp's own word" in page
    assert "no longer counts" in text(rep, f"{LEADS}merges/{ContactMerge.objects.get().pk}/undo/")


def test_possible_duplicates_are_listed_dismissed_and_taken_back(desk: Desk, rep: Client) -> None:
    assert "No duplicates in sight" in text(rep, f"{LEADS}duplicates/")
    a, b = pair(desk)
    page = text(rep, f"{LEADS}duplicates/")
    assert "ninth digit" in page
    assert page.count("Hola") == 2
    assert "Possible duplicates" in text(rep, LEADS)  # in the menu
    done = rep.post(f"{LEADS}duplicates/dismiss/", {"a": b.pk, "b": a.pk}, follow=True)
    assert "stay two leads" in said(done)
    assert "Compare and merge" not in done.content.decode()
    no = MergeDismissal.objects.get()
    assert f"{LEADS}duplicates/restore/{no.pk}/" in done.content.decode()
    done = rep.post(f"{LEADS}duplicates/restore/{no.pk}/", follow=True)
    assert "Compare and merge" in done.content.decode()


def test_a_slow_workspace_is_said_and_nothing_changes(
    desk: Desk, rep: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError
    from psycopg.errors import LockNotAvailable

    a, b = pair(desk)

    def busy(*_: Any, **__: Any) -> None:
        raise OperationalError from LockNotAvailable()

    monkeypatch.setattr(merging, "merge", busy)
    done = rep.post(f"{LEADS}{a.pk}/merge/{b.pk}/", follow=True)
    assert "Nothing was changed" in said(done)
    assert Contact.objects.living().count() == 2


def test_what_cannot_be_merged_is_said(desk: Desk, rep: Client) -> None:
    a, b = pair(desk)
    done = rep.get(f"{LEADS}{a.pk}/merge/{a.pk}/", follow=True)
    assert "Choose another lead" in said(done)
    merging.merge(a, b, by=None)
    assert rep.post(f"{LEADS}{a.pk}/merge/{b.pk}/").status_code == 404


def test_leads_of_others_do_not_exist(desk: Desk, rep: Client) -> None:
    a, _ = pair(desk)
    desk.told(message("x", 0, phone=LONG, number=SAOPAULO), message("y", 0, phone=SHORT, number=SAOPAULO))
    x, y = desk.lead(LONG, SAOPAULO), desk.lead(SHORT, SAOPAULO)
    made = merging.merge(x, y, by=None)
    for address in (
        f"{x.pk}/merge/", f"{a.pk}/merge/{x.pk}/", f"{x.pk}/merge/{a.pk}/", f"merges/{made.pk}/undo/",
    ):  # fmt: skip
        assert rep.get(LEADS + address).status_code == 404
        assert rep.post(LEADS + address).status_code in (404, 405)
    assert rep.post(f"{LEADS}duplicates/dismiss/", {"a": a.pk, "b": x.pk}).status_code == 404
    assert rep.post(f"{LEADS}duplicates/dismiss/", {"a": "", "b": "x"}).status_code == 404
    merging.undo(made, by=None)
    no = MergeDismissal.objects.create(workspace=x.workspace, a=x, b=y)
    assert rep.post(f"{LEADS}duplicates/restore/{no.pk}/").status_code == 404
    page = text(rep, f"{LEADS}duplicates/")
    assert (f"{LEADS}{x.pk}/" in page, f"{LEADS}{a.pk}/" in page) == (False, True)
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    done = root.get(f"{LEADS}{a.pk}/merge/{x.pk}/", follow=True)
    assert "same workspace" in said(done)
    done = root.post(f"{LEADS}{a.pk}/merge/{x.pk}/", follow=True)
    assert "two workspaces" in said(done)


def test_nothing_changes_by_get_or_without_the_token(desk: Desk, rep: Client) -> None:
    a, b = pair(desk)
    rep.get(f"{LEADS}{a.pk}/merge/{b.pk}/")
    assert rep.get(f"{LEADS}duplicates/dismiss/").status_code == 405
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(User.objects.get(username="rep"))
    for address in (f"{a.pk}/merge/{b.pk}/", "duplicates/dismiss/"):
        assert careful.post(LEADS + address, {"a": a.pk, "b": b.pk}).status_code == 403
    assert Contact.objects.living().count() == 2
    outside = rep.post(f"{LEADS}duplicates/dismiss/", {"a": a.pk, "b": b.pk, "next": "https://evil.example"})
    assert outside.headers["Location"] == f"{LEADS}duplicates/"


def test_the_list_of_duplicates_takes_the_same_queries_however_long(
    desk: Desk, rep: Client, django_assert_max_num_queries: Any
) -> None:
    for index in range(12):
        desk.told(message(f"a{index}", 0, phone=f"5511876543{index:02}"))
        desk.told(message(f"b{index}", 0, phone=f"55119876543{index:02}"))
    with django_assert_max_num_queries(10):
        assert text(rep, f"{LEADS}duplicates/").count("Not the same") >= 12
