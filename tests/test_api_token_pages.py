"""Where people make and revoke the tokens of their programs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from api import tokens
from api.models import Scope, Token
from contacts.models import Membership, Role, Workspace
from tests.test_rights import at_desk

pytestmark = pytest.mark.django_db

OWN, TEAM = "/admin/tokens/", "/admin/tokens/team/"
NEW = {"name": "Orders sheet", "scope": "write", "days": "30"}


@pytest.fixture
def lima() -> Workspace:
    return Workspace.objects.create(name="Lima", slug="lima")


def somebody(name: str, workspace: Workspace | None = None, role: str = Role.AGENT, **more: Any) -> User:
    user = User.objects.create_user(name, is_staff=True, **more)
    if workspace:
        Membership.objects.create(workspace=workspace, user=user, role=role)
    return user


def secret_in(page: str) -> str | None:
    found = re.search(r"lcrm_[\w-]{43}", page)
    return found and found[0]


def revoke_page(token: Token) -> str:
    return f"/admin/tokens/{token.pk}/revoke/"


def test_a_token_is_made_and_shown_once(lima: Workspace) -> None:
    ana = somebody("ana", lima)
    made = at_desk(ana).post(OWN, NEW)
    text = secret_in(made.content.decode())
    assert text
    assert "no-store" in made["Cache-Control"]
    assert secret_in(at_desk(ana).get(OWN).content.decode()) is None
    token = tokens.use(text)
    assert token is not None
    assert (token.user, token.name, token.scope) == (ana, "Orders sheet", Scope.WRITE)
    assert token.expires_at is not None
    assert abs(token.expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)


def test_a_page_that_is_sent_again_makes_no_second_one(lima: Workspace) -> None:
    client = at_desk(somebody("ana", lima))
    client.post(OWN, NEW)
    again = client.post(OWN, NEW).content.decode()
    assert "You have a token of this name already." in again
    assert (Token.objects.count(), secret_in(again)) == (1, None)


def test_the_name_of_a_revoked_one_is_free_again(lima: Workspace) -> None:
    client = at_desk(somebody("ana", lima))
    client.post(OWN, NEW)
    tokens.revoke(Token.objects.get())
    assert secret_in(client.post(OWN, NEW).content.decode())


def test_one_that_never_expires_is_asked_for(lima: Workspace) -> None:
    at_desk(somebody("ana", lima)).post(OWN, NEW | {"days": "0"})
    assert Token.objects.get().expires_at is None


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"name": "x" * 101}, {"name": "a\x00"}, {"scope": "all"}, {"days": "9999"}]
)
def test_what_cannot_be_is_refused_in_words(lima: Workspace, wrong: dict[str, str]) -> None:
    page = at_desk(somebody("ana", lima)).post(OWN, NEW | wrong)
    assert page.status_code == 200
    assert not Token.objects.exists()
    assert page.context["form"].errors


def test_nobody_has_tokens_without_end(lima: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.admin.tokens.MOST", 1)
    client = at_desk(somebody("ana", lima))
    client.post(OWN, NEW)
    assert "You have 1 tokens." in client.post(OWN, NEW | {"name": "Second"}).content.decode()
    assert Token.objects.count() == 1


def test_the_pages_are_for_people_who_work_here(lima: Workspace) -> None:
    for address in (OWN, TEAM, "/admin/tokens/1/revoke/"):
        assert Client().get(address).status_code == 302
        assert at_desk(User.objects.create_user(address)).get(address).status_code == 302


def test_the_list_says_when_each_was_used_and_until_when_it_is_good(lima: Workspace) -> None:
    ana = somebody("ana", lima)
    tokens.issue(ana, "<b>Never</b>")
    dead, _ = tokens.issue(ana, "Dead", expires_at=timezone.now() - timedelta(days=1))
    Token.objects.filter(pk=dead.pk).update(last_used_at=timezone.now())
    page = at_desk(ana).get(OWN).content.decode()
    for said in ("Never used", "does not expire", "Last used", "expired", "&lt;b&gt;Never&lt;/b&gt;"):
        assert said in page
    assert "You have none." in at_desk(somebody("bea", lima)).get(OWN).content.decode()


def test_they_are_linked_from_the_user_menu_and_the_members(lima: Workspace) -> None:
    olga = at_desk(somebody("olga", lima, Role.OWNER))
    assert OWN in olga.get("/admin/").content.decode()
    assert TEAM in olga.get(f"/admin/contacts/workspace/{lima.pk}/members/").content.decode()


def test_revoking_asks_first(lima: Workspace) -> None:
    ana = somebody("ana", lima)
    token, text = tokens.issue(ana, "Sheet")
    client = at_desk(ana)
    assert "This cannot be undone" in client.get(revoke_page(token)).content.decode()
    assert tokens.use(text)
    assert client.post(revoke_page(token))["Location"] == OWN
    assert tokens.use(text) is None
    assert client.post(revoke_page(token)).status_code == 404  # it is gone from the page


@pytest.mark.parametrize("role", [Role.MANAGER, Role.AGENT, Role.VIEWER])
def test_tokens_of_others_are_for_owners(lima: Workspace, role: str) -> None:
    token, _ = tokens.issue(somebody("ana", lima), "Sheet")
    other = at_desk(somebody("other", lima, role))
    assert other.get(TEAM).status_code == 403
    assert other.get(revoke_page(token)).status_code == 404
    assert other.post(revoke_page(token)).status_code == 404
    assert Token.objects.get().revoked_at is None


def test_an_owner_sees_and_revokes_those_of_members_alone(lima: Workspace) -> None:
    elsewhere = Workspace.objects.create(name="Quito", slug="quito")
    members, _ = tokens.issue(somebody("ana", lima), "Ana's sheet")
    strangers, _ = tokens.issue(somebody("bob", elsewhere), "Bob's sheet")
    roots, _ = tokens.issue(somebody("root", lima, is_superuser=True), "Root's sheet")
    client = at_desk(somebody("olga", lima, Role.OWNER))
    page = client.get(TEAM).content.decode()
    assert ("Ana&#x27;s" in page, "Bob&#x27;s" in page, "Root&#x27;s" in page) == (True, False, False)
    assert client.post(revoke_page(members))["Location"] == TEAM
    for other in (strangers, roots):
        assert client.post(revoke_page(other)).status_code == 404
    assert set(Token.objects.exclude(revoked_at=None)) == {members}


def test_a_superuser_sees_everybodys(lima: Workspace) -> None:
    token, _ = tokens.issue(somebody("ana", lima), "Sheet")
    client = at_desk(somebody("root", is_superuser=True))
    assert "Sheet" in client.get(TEAM).content.decode()
    client.post(revoke_page(token))
    assert Token.objects.get().revoked_at


@pytest.mark.parametrize("address", [OWN, TEAM])
def test_a_list_costs_the_same_however_long_it_is(
    lima: Workspace, address: str, django_assert_num_queries: Any
) -> None:
    olga, ana = somebody("olga", lima, Role.OWNER), somebody("ana", lima)
    client = at_desk(olga)
    counts = []
    for count in (1, 20):
        for number in range(count):
            tokens.issue(olga, f"{count} {number}")
            tokens.issue(ana, f"{count} {number}")
        with django_assert_num_queries(5 if address == OWN else 6, exact=True) as asked:
            client.get(address)
        counts.append(len(asked))
    assert counts[0] == counts[1]
