"""The first steps and the bell, in a real browser against the running server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User

from contacts import notifying
from contacts.models import Contact, Membership, Notification, PhoneNumber, Workspace
from kapso_sync.tallies import Tallies
from tests.builders import LIMA, message
from tests.kapso import Kapso
from tests.test_browser import PHONE, browser, fits

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["browser"]

pytestmark = pytest.mark.browser

RECEIVED = "whatsapp.message.received"


@pytest.fixture(autouse=True)
def counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that other tests counted and did not write."""
    fresh = Tallies()
    for module in ("kapso_sync.counting", "kapso_sync.tallies", "leadcrm.onboarding"):
        monkeypatch.setattr(f"{module}.tallies", fresh)


@pytest.fixture
def page(browser: Browser, live_server: Any, transactional_db: None) -> Iterator[Page]:
    """The browser of a superuser of an empty installation."""
    User.objects.create_superuser("boss", password="a password")
    context = browser.new_context(base_url=live_server.url, timezone_id="America/Lima", locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.goto("/admin/login/")
    page.fill("#id_username", "boss")
    page.fill("#id_password", "a password")
    page.press("#id_password", "Enter")
    page.wait_for_url("**/admin/")
    yield page
    context.close()


def test_an_empty_installation_leads_to_the_first_lead(page: Page, live_server: Any) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert page.locator("#first-steps .steps li").count() == 4
    assert fits(page)
    page.get_by_role("link", name="Begin").click()
    page.get_by_label("Name of the team").fill("Tienda Lima")
    assert page.get_by_label("Time zone").input_value() == "America/Lima"
    assert fits(page)
    page.get_by_role("button", name="Create the workspace").click()

    page.get_by_label("Phone number ID").fill(LIMA)
    page.get_by_label("The number itself").fill("+51 1 555 0142")
    assert fits(page)
    page.get_by_role("button", name="Add the number").click()

    assert page.get_by_label("1. Its address").input_value() == f"{live_server.url}/webhooks/kapso/"
    page.get_by_role("button", name="Make a secret key here").click()
    secret = page.get_by_label("2. Its secret key").input_value()
    assert (len(secret), fits(page)) == (43, True)
    page.get_by_role("link", name="I have entered both in Kapso").click()

    waiting = page.locator(".listening")
    assert "Waiting" in waiting.inner_text()
    Kapso(live_server.url, secret="mistyped").post(message("a"), event=RECEIVED)
    page.get_by_text("One request for this number was refused").wait_for()
    assert fits(page)
    Kapso(live_server.url, secret=secret).post(message("a", name="Maria"), event=RECEIVED)
    page.locator(".listening.is-heard").wait_for()
    assert (page.get_by_text("was refused").count(), fits(page)) == (0, True)

    page.get_by_role("link", name="Go to the leads").click()
    page.get_by_text("Maria").first.wait_for()
    page.goto("/admin/")
    assert page.locator("#first-steps").count() == 0


def test_each_step_can_be_left_and_taken_up_again(page: Page) -> None:
    workspace = Workspace.objects.create(name="Lima", slug="lima")
    page.goto("/admin/")
    page.get_by_role("link", name="Go on").click()
    assert "/welcome/number/" in page.url
    number = PhoneNumber.objects.create(workspace=workspace, phone_number_id=LIMA)
    page.goto("/admin/welcome/")
    assert f"/welcome/{number.pk}/webhook/" in page.url
    page.get_by_role("link", name="Create a workspace").click()
    assert page.get_by_text("There is already: Lima").count() == 1


def test_the_bell_rings_when_somebody_comes_back_to_the_page(page: Page) -> None:
    boss = User.objects.get()
    workspace = Workspace.objects.create(name="Lima", slug="lima")
    Membership.objects.create(workspace=workspace, user=boss)
    page.clock.install()
    page.goto("/admin/")
    bell = page.locator("[data-bell]")
    assert bell.get_attribute("aria-label") == "Notifications"
    lead = Contact.objects.create(workspace=workspace, name="<img src=x onerror=alert(1)>", owner=boss)
    notifying.lead_assigned(lead, by=None)
    page.clock.run_for(31_000)
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    page.locator("[data-bell].has-news").wait_for()
    assert bell.get_attribute("aria-label") == "1 unread notification"

    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    bell.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin/notifications/")
    assert fits(page)
    page.locator(".told a").click()
    page.wait_for_url(f"**/contact/{lead.pk}/change/")
    assert Notification.objects.get().read_at is not None
    assert bell.get_attribute("aria-label") == "Notifications"
