"""The page of a user's API tokens in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User

from api import tokens
from api.models import Token
from contacts.models import Membership, Role, Workspace
from tests.test_browser import PHONE, browser, fits
from tests.test_browser_people import log_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
__all__ = ["browser"]

PASSWORD = "a good long password"


@pytest.fixture
def olga(transactional_db: None) -> User:
    lima = Workspace.objects.create(name="Lima", slug="lima")
    olga = User.objects.create_user("olga", "olga@crm.test", PASSWORD, is_staff=True, first_name="Olga")
    Membership.objects.create(workspace=lima, user=olga, role=Role.OWNER)
    ana = User.objects.create_user("ana", is_staff=True, first_name="Ana")
    Membership.objects.create(workspace=lima, user=ana, role=Role.AGENT)
    tokens.issue(ana, "<script>alert(1)</script> " + 70 * "x")
    return olga


@pytest.fixture
def page(browser: Browser, live_server: Any, olga: User) -> Iterator[Page]:
    context = browser.new_context(base_url=live_server.url, timezone_id="America/Lima", locale="en-GB")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(10_000)
    log_in(page, "olga")
    page.wait_for_url("**/admin/")
    yield page
    context.close()


def serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{page.url} {rule['id']}: {node['html'][:200]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def test_a_token_is_made_copied_used_and_revoked(page: Page, olga: User) -> None:
    page.goto("/admin/tokens/")
    assert "You have none." in page.inner_text("main")
    page.get_by_label("Name").fill("Orders sheet")
    page.get_by_label("It may").select_option("write")
    page.get_by_label("Name").press("Enter")
    page.get_by_role("status").get_by_text("it is shown this once").wait_for()
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    text = page.evaluate("navigator.clipboard.readText()")
    token = tokens.use(text)
    assert token is not None
    assert token.user == olga
    page.goto("/admin/tokens/")
    assert text not in page.content()
    page.get_by_role("link", name="Revoke Orders sheet").click()
    page.get_by_role("button", name="Revoke").click()
    page.get_by_text("it opens nothing any more").wait_for()
    assert tokens.use(text) is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_are_legible_and_fit_a_phone(page: Page, scheme: Any, olga: User) -> None:
    tokens.issue(olga, "Data warehouse")
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    found: list[str] = []
    for address in (
        "/admin/tokens/",
        "/admin/tokens/team/",
        f"/admin/tokens/{Token.objects.earliest('pk').pk}/revoke/",
    ):
        page.goto(address)
        page.wait_for_load_state("networkidle")
        assert fits(page), address
        found += serious(page)
    assert found == []


def test_the_documentation_needs_nobody_elses_server(page: Page, live_server: Any) -> None:
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto("/api/docs/")
    page.get_by_role("heading", name="leadcrm").wait_for()
    page.wait_for_load_state("networkidle")
    assert [url for url in asked if not url.startswith((live_server.url, "data:", "blob:"))] == []
    assert errors == []
