"""The open list of leads in a real browser: it follows what comes in and leaves whoever works in it alone."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User

from contacts.models import Contact, SavedFilter
from tests.builders import RECEIVED, message
from tests.conftest import Cast
from tests.kapso import Kapso
from tests.test_admin import make_lead, say
from tests.test_browser import LEADS, PHONE, browser, fits, page

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["browser", "page"]  # fixtures
pytestmark = pytest.mark.browser

NAMES = ".field-lead"
SOON = 5_000  # milliseconds in which an open list shows what came in


def crowd(cast: Cast, count: int = 40) -> list[Contact]:
    """So many leads that one has to scroll; the first was active last."""
    now = datetime.now(UTC)
    return [
        make_lead(
            cast.workspaces["lima"],
            f"Lead {index}",
            phone=f"5198765{index:04}",
            last_activity_at=now - timedelta(hours=index + 1),
        )
        for index in range(count)
    ]


def write(kapso: Kapso, lead: Contact, text: str) -> None:
    """The customer writes, now."""
    wamid = f"wamid.{lead.pk}.{time.time_ns()}"
    told = message(wamid, str(int(time.time())), phone=lead.phone, text=text)
    answer = kapso.post(told, event=RECEIVED)
    assert (answer.status, answer.json["status"]) == (200, "processed")


def on_top(page: Page, name: str) -> None:
    page.wait_for_function(f"document.querySelector('{NAMES}').textContent.trim() === '{name}'", timeout=SOON)


def test_a_message_moves_its_lead_to_the_top_of_the_open_list(page: Page, cast: Cast, kapso: Kapso) -> None:
    leads = crowd(cast)
    page.goto(LEADS)
    page.fill("#searchbar", "half typ")
    page.check("tr:has-text('Lead 7') input[name=lead]")
    page.check("tr:has-text('Lead 30') input[name=lead]")
    write(kapso, leads[30], "Are you there?")
    on_top(page, "Lead 30")
    top = page.locator("#result_list tbody tr").first
    assert "Are you there?" in top.inner_text()
    assert "customer, < 1 min" in top.inner_text()
    ticked = page.eval_on_selector_all("input[name=lead]:checked", "all => all.map(each => each.value)")
    assert {int(pk) for pk in ticked} == {leads[30].pk, leads[7].pk}
    assert page.input_value("#searchbar") == "half typ"
    assert page.locator("#lead-tabs a", has_text="Awaiting reply").locator(".lead-count").inner_text() == "1"


def test_focus_and_scroll_stay_where_they_are(page: Page, cast: Cast, kapso: Kapso) -> None:
    leads = crowd(cast)
    page.goto(LEADS)
    page.focus(f"#lead-{leads[25].pk} .field-lead a")
    before = page.evaluate("document.activeElement.getBoundingClientRect().top")
    assert page.evaluate("window.scrollY") > 0
    write(kapso, leads[39], "First")
    on_top(page, "Lead 39")
    assert page.evaluate("document.activeElement.textContent") == "Lead 25"
    assert abs(page.evaluate("document.activeElement.getBoundingClientRect().top") - before) < 2
    write(kapso, leads[25], "And the row itself")
    on_top(page, "Lead 25")
    assert page.evaluate("document.activeElement.textContent") == "Lead 25"


def test_a_filtered_list_follows_and_a_first_lead_appears(page: Page, cast: Cast, kapso: Kapso) -> None:
    lead = make_lead(cast.workspaces["lima"], "Maria", phone="51987650001")
    page.goto(f"{LEADS}?view=awaiting")
    assert "Nobody is waiting" in page.inner_text("#lead-rows")
    write(kapso, lead, "Hola")
    on_top(page, "Maria")


def test_a_change_by_somebody_else_is_seen(page: Page, cast: Cast) -> None:
    (lead,) = crowd(cast, 1)
    page.goto(LEADS)
    lead.change_status("qualified", by=None)
    page.wait_for_selector(f"#lead-{lead.pk} .field-status:has-text('Qualified')", timeout=SOON)


def test_who_is_logged_out_meanwhile_is_told(page: Page, cast: Cast) -> None:
    crowd(cast, 1)
    page.goto(LEADS)
    page.context.clear_cookies()
    page.wait_for_selector("#lead-news:has-text('logged out')", timeout=2 * SOON)


def test_filters_are_chosen_kept_in_the_address_and_taken_away(page: Page, cast: Cast) -> None:
    lima = cast.workspaces["lima"]
    make_lead(lima, "Mine", owner=User.objects.get(username="ana"), tags=["vip"])
    make_lead(lima, "Other", tags=["vip"])
    page.goto(f"{LEADS}?view=never")
    page.click("summary:has-text('Filters')")
    page.select_option("#filter-form select[name=owner]", "me")
    page.select_option("#filter-form select[name=tag]", "vip")
    with page.expect_navigation():
        page.keyboard.press("Enter")
        page.click("#filter-form button[type=submit]")
    assert page.url.endswith("?view=never&owner=me&tag=vip")
    assert page.locator(NAMES).all_inner_texts() == ["Mine"]
    with page.expect_navigation():
        page.click(".lead-chips a:has-text('Owner')")
    assert set(page.locator(NAMES).all_inner_texts()) == {"Mine", "Other"}
    assert page.url.endswith("?view=never&tag=vip")


def test_a_list_is_saved_shared_and_deleted(page: Page, cast: Cast) -> None:
    make_lead(cast.workspaces["lima"], "Maria")
    page.goto(f"{LEADS}?view=unassigned")
    page.click("summary:has-text('Saved')")
    page.fill("#save-name", "Nobody's")
    with page.expect_navigation():
        page.press("#save-name", "Enter")
    assert page.inner_text(".lead-heading") == "Nobody's"
    page.click("summary:has-text('Saved')")
    with page.expect_navigation():
        page.click("button[aria-label^='Share']")
    assert SavedFilter.objects.get().is_shared
    page.click("summary:has-text('Saved')")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.click("button[aria-label^='Delete']")
    assert SavedFilter.objects.exists()
    page.once("dialog", lambda dialog: dialog.accept())
    with page.expect_navigation():
        page.click("button[aria-label^='Delete']")
    assert not SavedFilter.objects.exists()


def test_the_list_fits_a_phone_whatever_the_names(page: Page, cast: Cast) -> None:
    lead = make_lead(
        cast.workspaces["lima"], "W" * 255, phone="51987654321", username="u" * 200, source="s" * 255,
        tags=["t" * 50] * 9, last_inbound_at=datetime.now(UTC), email="a@b.pe",
    )  # fmt: skip
    say(lead, "https://example.com/" + "x" * 3000)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    for query in ("", "?view=awaiting", "?q=" + "w" * 100, "?tag=" + "t" * 50, "?view=closing"):
        page.goto(LEADS + query)
        assert fits(page), query
        for menu in ("Filters", "Saved"):
            page.click(f"summary:has-text('{menu}')")
            assert fits(page), (query, menu)
    page.goto(LEADS)
    with page.expect_navigation():
        page.locator(f"#lead-{lead.pk} .field-last_message").click(position={"x": 5, "y": 5})
    assert f"/{lead.pk}/change/" in page.url


def test_script_in_what_comes_in_live_does_not_run(page: Page, cast: Cast, kapso: Kapso) -> None:
    (lead,) = crowd(cast, 1)
    hostile = "<img src=x onerror='window.pwned=1'><script>window.pwned=1</script>"
    page.goto(LEADS)
    Contact.objects.filter(pk=lead.pk).update(name=hostile, tags=[hostile[:50]])
    write(kapso, lead, hostile)
    on_top(page, hostile.replace("'", "\\'"))
    assert hostile in page.inner_text(f"#lead-{lead.pk}")
    assert page.evaluate("window.pwned") is None
