"""Owners, invitations and preferences in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User

from contacts.models import CustomField, Membership, Preferences, Role, Tag, Workspace
from tests.conftest import Cast
from tests.test_admin import make_lead, say
from tests.test_browser import PHONE, browser, fits
from tests.test_members import HOSTILE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
__all__ = ["browser"]

PASSWORD = "a good long password"


@pytest.fixture
def lima(cast: Cast) -> Workspace:
    return cast.workspaces["lima"]


@pytest.fixture
def page(browser: Browser, live_server: Any, lima: Workspace) -> Iterator[Page]:
    """Olga's browser: she owns Lima, where Ana with a hostile name works."""
    olga = User.objects.create_user("olga", "olga@crm.test", PASSWORD, is_staff=True, first_name="Olga")
    ana = User.objects.create_user("ana", "ana@crm.test", PASSWORD, is_staff=True, first_name=HOSTILE[:150])
    Membership.objects.create(workspace=lima, user=olga, role=Role.OWNER)
    Membership.objects.create(workspace=lima, user=ana, role=Role.AGENT)
    context = browser.new_context(base_url=live_server.url, timezone_id="America/Lima", locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(10_000)
    log_in(page, "olga")
    page.wait_for_url("**/admin/")
    yield page
    context.close()


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.goto("/admin/login/")
    page.fill("#id_username", name)
    page.fill("#id_password", password)
    with page.expect_navigation():
        page.press("#id_password", "Enter")


def of(workspace: Workspace, what: str) -> str:
    return f"/admin/contacts/workspace/{workspace.pk}/{what}/"


def test_an_owner_invites_somebody_who_joins(
    page: Page, lima: Workspace, browser: Browser, live_server: Any, settings: Any
) -> None:
    settings.SITE_URL = live_server.url
    page.goto(of(lima, "members"))
    page.get_by_label("E-mail").fill("nina@crm.test")
    page.get_by_label("Role").last.select_option("manager")
    page.get_by_role("button", name="Invite").click()
    link = page.get_by_label("Link").input_value()
    context = browser.new_context()
    nina = context.new_page()
    nina.goto(link)
    nina.get_by_label("Password", exact=False).first.fill(PASSWORD)
    nina.get_by_label("confirmation", exact=False).fill(PASSWORD)
    nina.get_by_role("button", name="Join").click()
    nina.wait_for_url("**/admin/")
    assert "Welcome to Lima." in nina.inner_text("body")
    context.close()
    assert Membership.objects.get(user__username="nina@crm.test").role == Role.MANAGER


def test_the_page_after_too_many_wrong_passwords(page: Page) -> None:
    page.context.clear_cookies()
    for _ in range(5):
        log_in(page, "ana", "wrong")
    page.get_by_role("alert").wait_for()
    assert "Try again in 15 minutes." in page.inner_text("body")
    assert fits(page)


def test_what_somebody_prefers_decides_on_their_times(page: Page, lima: Workspace) -> None:
    lead = make_lead(lima, "Maria", last_activity_at=datetime(2026, 6, 10, 3, 30, tzinfo=UTC))
    say(lead, "hello", sent_at=datetime(2026, 6, 10, 3, 30, tzinfo=UTC))
    page.goto(f"/admin/contacts/contact/{lead.pk}/change/")
    assert page.inner_text(".bubble time") == "22:30"  # of the browser, in Lima
    page.goto("/admin/preferences/")
    page.get_by_label("Time zone").fill("asia/kolkata")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Your preferences are saved.").wait_for()
    page.goto(f"/admin/contacts/contact/{lead.pk}/change/")
    assert page.inner_text(".bubble time") == "09:00"
    assert Preferences.objects.get().time_zone == "Asia/Kolkata"


def test_pages_fit_on_a_phone_and_hostile_names_are_inert(page: Page, lima: Workspace) -> None:
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    Workspace.objects.filter(pk=lima.pk).update(name=HOSTILE)
    Tag.objects.create(workspace=lima, name=HOSTILE[:50])
    field = CustomField.objects.create(
        workspace=lima, key="f", label=HOSTILE[:100], kind="choice", choices=["x" * 100] * 9
    )
    ana = Membership.objects.get(user__username="ana")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    removal = f"members/{ana.pk}/remove"
    for what in (
        "members",
        removal,
        "tags",
        "fields",
        f"fields/{field.pk}",
        f"fields/{field.pk}/delete",
        "change",
    ):
        page.goto(of(lima, what))
        assert fits(page), what
    page.goto("/admin/preferences/")
    assert fits(page)
    assert dialogs == []
