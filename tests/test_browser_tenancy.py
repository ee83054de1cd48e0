"""What a member of one workspace finds of the leads of another, in a real browser: nothing, wherever they look."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User

from contacts.admin.working import WHAT
from contacts.lead_views import VIEWS
from contacts.models import Contact, Membership, Role
from tests.builders import RECEIVED, SAOPAULO, message
from tests.conftest import Cast
from tests.kapso import Kapso
from tests.test_admin import make_lead, say
from tests.test_browser import LEADS, browser, page
from tests.test_browser_desk import ago

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["browser", "page"]  # fixtures
pytestmark = pytest.mark.browser


@pytest.fixture
def foreign(page: Page, cast: Cast) -> Contact:
    """A lead of São Paulo, full of what one could look for; Ana manages Lima."""
    Membership.objects.filter(user__username="ana").update(role=Role.MANAGER)
    zoe = User.objects.create_user("zoe", first_name="Zoe Foreign")
    Membership.objects.create(workspace=cast.workspaces["saopaulo"], user=zoe, role=Role.AGENT)
    lead = make_lead(
        cast.workspaces["saopaulo"], "Secret Person", phone="5511987654321", username="secretive", email="s@secret.test",
        owner=zoe, tags=["hidden"], last_inbound_at=ago(23), last_activity_at=datetime.now(UTC),
    )  # fmt: skip
    say(lead, "confidential words")
    return lead


WORDS = ("Secret Person", "5511987654321", "secretive", "s@secret.test", "confidential words", "Zoe Foreign")


def unheard_of(text: str) -> bool:
    return not any(word in text for word in WORDS)


def test_a_lead_of_another_workspace_is_not_found_by_any_address(
    page: Page, cast: Cast, foreign: Contact
) -> None:
    mine, said = make_lead(cast.workspaces["lima"], "Mine"), foreign.messages.get()
    below = (
        "change/", "history/", "messages/", "members/", f"message/{said.pk}/", f"why/?message={said.pk}",
        "merge/", f"merge/{mine.pk}/", "export/", "erase/",
    )  # fmt: skip
    addresses = [f"{LEADS}{foreign.pk}/{rest}" for rest in below]
    for address in (
        *addresses,
        f"{LEADS}{mine.pk}/merge/{foreign.pk}/",
        f"{LEADS}{mine.pk}/message/{said.pk}/",
    ):
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == 404, address
        assert unheard_of(page.content()), address
    page.goto(f"{LEADS}{mine.pk}/change/")
    token = page.locator("input[name=csrfmiddlewaretoken]").first.input_value()
    for what in WHAT:
        form: dict[str, str | float | bool] = {
            "csrfmiddlewaretoken": token,
            "to": "archived",
            "owner": "me",
            "name": "x",
            "text": "x",
            "seen": "",
        }
        answered = page.request.post(f"{LEADS}{foreign.pk}/do/{what}/", form=form, max_redirects=0)
        assert answered.status == 404, what
    before = (foreign.lead_status, foreign.owner_id, foreign.tags, foreign.name)
    foreign.refresh_from_db()
    assert (foreign.lead_status, foreign.owner_id, foreign.tags, foreign.name) == before


def test_a_lead_of_another_workspace_is_in_no_change_of_many(
    page: Page, cast: Cast, foreign: Contact
) -> None:
    mine = make_lead(cast.workspaces["lima"], "Mine", last_activity_at=datetime.now(UTC))
    page.goto(LEADS)
    page.check(f"input[name=lead][value='{mine.pk}']")
    forged = page.locator("input[name=lead]:not(:checked)").first
    forged.evaluate("(box, pk) => { box.value = pk; box.checked = true }", str(foreign.pk))
    page.select_option("#bulk [name=do]", "status")
    page.select_option("#bulk [name=to]", "archived")
    with page.expect_navigation():
        page.click("#bulk button")
    assert "1 lead is no longer here." in page.inner_text(".bulk-preview")
    assert unheard_of(page.content())
    with page.expect_navigation():
        page.click("text=Change 1 lead")
    statuses = dict(Contact.objects.filter(pk__in=[mine.pk, foreign.pk]).values_list("name", "lead_status"))
    assert statuses == {"Mine": "archived", "Secret Person": "new"}


def test_a_lead_of_another_workspace_is_found_nowhere(page: Page, cast: Cast, foreign: Contact) -> None:
    mine = make_lead(cast.workspaces["lima"], "Mine", last_activity_at=datetime.now(UTC))
    for query in ("Secret", "5511987654321", "87654321", "@secretive", "s@secret.test", "confidential"):
        page.goto(LEADS)
        page.fill("#searchbar", query)
        with page.expect_navigation():
            page.press("#searchbar", "Enter")
        assert page.locator(".field-lead").count() == 0, query
        page.goto(f"{LEADS}{mine.pk}/merge/?q={query}")
        assert f"/{foreign.pk}/" not in page.content(), query
    seen = Contact.objects.living().filter(workspace=cast.workspaces["lima"])
    for key in VIEWS:
        page.goto(f"{LEADS}?view={key}")
        assert unheard_of(page.content()), key
    page.goto(LEADS)
    tabs = page.locator("#lead-tabs a").filter(has_text=re.compile(r"^\s*(All|Window closing)\s"))
    assert tabs.locator(".lead-count").all_inner_texts() == [str(seen.count()), "0"]
    for address in (
        f"{LEADS}{mine.pk}/members/?member=zoe",
        f"{LEADS}live/",
        f"{LEADS}{mine.pk}/change/?member=zoe",
    ):
        page.goto(address)
        assert unheard_of(page.content()), address
    for model, field in (
        ("contact", "owner"),
        ("membership", "user"),
        ("note", "contact"),
        ("contact", "merged_into"),
    ):
        asked = f"/admin/autocomplete/?app_label=contacts&model_name={model}&field_name={field}&term=e"
        answer = page.request.get(asked)
        assert answer.status in (403, 404) or unheard_of(answer.text()), asked


def test_what_another_workspace_hears_is_no_news(
    page: Page, cast: Cast, foreign: Contact, kapso: Kapso
) -> None:
    make_lead(cast.workspaces["lima"], "Mine", last_activity_at=datetime.now(UTC))
    page.goto(LEADS)
    told = message("wamid.foreign", phone=foreign.phone, number=SAOPAULO, text="confidential words")
    assert kapso.post(told, event=RECEIVED).json["status"] == "processed"
    with page.expect_response("**/live/**") as polled:
        pass
    assert polled.value.status == 204
    assert unheard_of(page.content())
