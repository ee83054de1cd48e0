"""The start page and the reports in a real browser: on a phone, with the keyboard, without anything running."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from contacts.models import Contact, FollowUp
from tests.reporting import Shop
from tests.test_browser import PHONE, browser, fits

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["browser"]

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror='window.pwned=1'>" + "W" * 200
PAGES = ("/admin/", "/admin/reports/?days=30", "/admin/reports/behind/?of=in", "/admin/today/follow-ups/")


@pytest.fixture
def shop(transactional_db: None) -> Shop:
    """With leads that have long and hostile names, and some of everything that the pages show."""
    shop, now = Shop.open("Madrid " + "x" * 200), timezone.now()
    for index in range(8):
        lead = shop.lead(HOSTILE if index % 2 else f"Lead number {index}", source=HOSTILE)
        shop.wrote(lead, now - timedelta(hours=22, minutes=10 * index))
        shop.thread(lead, handoff_at=now, handoff_reason=HOSTILE)
        due = now - timedelta(hours=index)
        FollowUp.objects.create(workspace=shop.workspace, contact=lead, due_at=due, remark=HOSTILE)
    return shop


@pytest.fixture
def page(browser: Browser, live_server: Any, shop: Shop) -> Iterator[Page]:
    shop.member("bo", password="a password", first_name=HOSTILE[:150])
    context = browser.new_context(base_url=live_server.url, timezone_id="America/Lima", locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.goto("/admin/login/")
    page.fill("#id_username", "bo")
    page.fill("#id_password", "a password")
    page.press("#id_password", "Enter")
    page.wait_for_url("**/admin/")
    yield page
    context.close()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_everything_fits_a_phone_and_nothing_runs(page: Page, colours: Any) -> None:
    page.emulate_media(color_scheme=colours)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    for address in PAGES:
        page.goto(address)
        assert fits(page), address
        assert page.evaluate("window.pwned") is None
    page.goto("/admin/")
    assert page.locator(".start-chart svg rect").count() > 0
    assert page.screenshot(full_page=True)


def test_a_lead_of_today_is_one_key_away_from_its_list(page: Page) -> None:
    page.goto("/admin/")
    page.focus("#todo-follow-ups h3 a")
    page.keyboard.press("Tab")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert "/admin/contacts/contact/" in page.url


def test_a_count_leads_to_its_list_and_a_figure_to_its_rows(page: Page) -> None:
    page.goto("/admin/")
    assert page.inner_text("#todo-awaiting .start-count") == "8"
    with page.expect_navigation():
        page.click("#todo-awaiting h3 a")
    assert page.locator(".field-lead").count() == Contact.objects.count() == 8
    page.goto("/admin/")
    with page.expect_navigation():
        page.click(".start-figure >> nth=0")
    assert page.locator(".start-behind tbody tr").count() == 8


def test_another_period_is_chosen_with_the_form(page: Page) -> None:
    page.goto("/admin/reports/")
    page.select_option("select[name=days]", "30")
    with page.expect_navigation():
        page.click(".start-choose button")
    assert page.locator(".start-by-day tbody tr").count() == 30


def test_a_screen_reader_is_told_what_a_picture_shows(page: Page) -> None:
    page.goto("/admin/reports/")
    pictures = page.get_by_role("img").all()
    labels = [picture.get_attribute("aria-label") or "" for picture in pictures]
    assert any(label.startswith("Messages by day: ") for label in labels)
    assert page.get_by_role("region", name="By day").count() == 1
