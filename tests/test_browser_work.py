"""Working on leads in a real browser: in place, by keyboard, and many at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User

from contacts import work
from contacts.models import BulkChange, Contact, FollowUp, Note, StatusChange
from tests import test_browser
from tests.conftest import Cast
from tests.test_admin import make_lead
from tests.test_browser import LEADS, PHONE, fits

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
browser, page = test_browser.browser, test_browser.page  # the fixtures


@pytest.fixture
def leads(cast: Cast) -> list[Contact]:
    """Newest first, before those of the cast."""
    now = datetime.now(UTC)
    return [
        make_lead(cast.workspaces["lima"], f"Lead {index}", last_activity_at=now - timedelta(minutes=index))
        for index in range(3)
    ]


def open_page(page: Page, lead: Contact) -> None:
    page.goto(f"{LEADS}{lead.pk}/change/")


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.innerText"))


def owners() -> list[str | None]:
    named = Contact.objects.filter(name__startswith="Lead").order_by("name")
    return list(named.values_list("owner__username", flat=True))


# One lead


def test_notes_and_follow_ups_are_made_in_place(page: Page, leads: list[Contact]) -> None:
    open_page(page, leads[0])
    page.keyboard.press("n")
    page.keyboard.type("Wants it in blue? a/j")
    with page.expect_navigation():
        page.click('form[action$="/do/note/"] button')
    page.wait_for_selector("#work-said:has-text('Note added')")
    assert (Note.objects.get().text, Note.objects.get().contact) == ("Wants it in blue? a/j", leads[0])
    form = 'form[action$="/do/follow-up/"]'
    page.fill(f"{form} [name=remark]", "Call")
    with page.expect_navigation():
        page.click(f"{form} button >> nth=1")
    page.wait_for_selector("#work-said:has-text('Follow-up planned')")
    assert FollowUp.objects.get().remark == "Call"
    year = datetime.now(UTC).year + 1
    page.click("#later summary >> nth=0")
    page.fill(f"{form} [type=datetime-local]", f"{year}-06-10T08:30")  # in Lima
    with page.expect_navigation():
        page.click(f"{form} button >> nth=0")
    page.wait_for_selector("#work-said:has-text('Follow-up planned')")
    assert FollowUp.objects.get().due_at == datetime(year, 6, 10, 13, 30, tzinfo=UTC)


def test_what_was_typed_stays_when_it_is_refused(page: Page, leads: list[Contact]) -> None:
    open_page(page, leads[0])
    page.fill('form[action$="/do/note/"] textarea', "  ")
    page.click('form[action$="/do/note/"] button')
    page.wait_for_selector(".work-refused:has-text('Write something')")
    assert page.input_value('form[action$="/do/note/"] textarea') == "  "
    page.fill('form[action$="/do/follow-up/"] [type=datetime-local]', "2020-01-01T10:00")
    page.click('form[action$="/do/follow-up/"] button >> nth=0')
    page.wait_for_selector(".work-refused:has-text('in the past')")
    assert not Note.objects.exists()
    assert not FollowUp.objects.exists()


def test_of_two_who_take_a_lead_the_second_is_told(page: Page, leads: list[Contact], cast: Cast) -> None:
    open_page(page, leads[0])
    boss = User.objects.create_user("boss")
    cast.workspaces["lima"].members.add(boss)
    work.assign(leads[0], boss, by=boss)
    page.click("text=Assign to me")
    page.wait_for_selector(".work-refused:has-text('the owner is “boss” now')")
    with page.expect_navigation():
        page.click(".work-refused a")
    with page.expect_navigation():
        page.click("text=Assign to me")
    page.wait_for_selector("#work-said:has-text('yours now')")
    assert owners()[0] == "ana"


# The keyboard


def test_the_keyboard_goes_through_the_list_and_on_from_a_leads_page(
    page: Page, leads: list[Contact]
) -> None:
    page.goto(LEADS)
    page.keyboard.press("j")
    assert focused(page) == "Lead 0"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert focused(page) == "Lead 1"
    with page.expect_navigation():
        page.keyboard.press("Enter")
    for key, name in (("j", "Lead 2"), ("k", "Lead 1"), ("ArrowLeft", "Lead 0"), ("ArrowRight", "Lead 1")):
        with page.expect_navigation():
            page.keyboard.press(key)
        page.wait_for_load_state()
        assert name in page.title(), key
    with page.expect_navigation():
        page.keyboard.press("u")
    page.wait_for_load_state()
    page.keyboard.press("j")
    assert focused(page) == "Lead 1"
    page.keyboard.press("k")
    page.keyboard.press("k")
    assert "first lead" in page.inner_text("#work-said")
    page.evaluate("sessionStorage.clear()")
    open_page(page, leads[0])
    page.keyboard.press("j")
    assert "from the list" in page.inner_text("#work-said")


def test_a_lead_is_taken_with_one_key(page: Page, leads: list[Contact]) -> None:
    page.goto(LEADS)
    page.keyboard.press("j")
    with page.expect_navigation():
        page.keyboard.press("a")
    page.wait_for_selector("#work-said:has-text('yours now')")
    open_page(page, leads[1])
    with page.expect_navigation():
        page.keyboard.press("a")
    page.wait_for_load_state()
    assert owners() == ["ana", "ana", None]


def test_keys_do_nothing_while_somebody_types_or_reads_the_help(page: Page, leads: list[Contact]) -> None:
    open_page(page, leads[0])
    page.focus("#note-text")
    page.keyboard.type("janu?/x")
    assert page.input_value("#note-text") == "janu?/x"
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    assert page.is_visible("#keys-help")
    page.keyboard.press("a")
    page.keyboard.press("Escape")
    assert not page.is_visible("#keys-help")
    page.click(".keys-hint")
    assert "Assign to me" in page.inner_text("#keys-help")
    page.click("#keys-help button")
    assert not page.is_visible("#keys-help")
    assert page.url.endswith(f"/{leads[0].pk}/change/")
    assert owners() == [None] * 3


# Many at once


def test_many_leads_are_changed_after_a_preview_and_changed_back(page: Page, leads: list[Contact]) -> None:
    Contact.objects.filter(pk=leads[2].pk).update(lead_status="converted")
    page.goto(LEADS)
    assert not page.is_visible("#bulk [name=do]")
    page.keyboard.press("j")
    page.keyboard.press("x")
    for lead in leads[1:]:
        page.check(f"[name=lead][value='{lead.pk}']")
    assert page.inner_text("[data-bulk-count]") == "3 leads chosen"
    assert not page.is_visible("#bulk [name=to]")
    page.select_option("#bulk [name=do]", "status")
    page.select_option("#bulk [name=to]", "qualified")
    with page.expect_navigation():
        page.click("#bulk button")
    assert "2 leads will change" in page.inner_text(".bulk-preview")
    assert "A lead that is Converted cannot become Qualified" in page.inner_text(".bulk-preview")
    assert not StatusChange.objects.exists()
    with page.expect_navigation():
        page.click("text=Change 2 leads")
    assert list(Contact.objects.filter(lead_status="qualified").order_by("pk")) == leads[:2]
    with page.expect_navigation():
        page.click(".bulk-done button")
    assert "2 leads are as they were" in page.inner_text("#main, #content, body")
    assert not Contact.objects.filter(lead_status="qualified").exists()
    assert BulkChange.objects.get().undone_at


def test_all_of_a_page_are_chosen_at_once(page: Page, leads: list[Contact]) -> None:
    page.goto(f"{LEADS}?q=Lead")
    page.check("[data-bulk-page]")
    assert page.inner_text("[data-bulk-count]") == "3 leads chosen"
    page.uncheck(f"[name=lead][value='{leads[0].pk}']")
    assert page.inner_text("[data-bulk-count]") == "2 leads chosen"
    page.check("[data-bulk-all]")
    page.select_option("#bulk [name=do]", "tag")
    page.fill("#bulk [name=name]", "vip")
    with page.expect_navigation():
        page.press("#bulk [name=name]", "Enter")
    assert "3 leads will change" in page.inner_text(".bulk-preview")
    with page.expect_navigation():
        page.click("text=Change 3 leads")
    assert page.url.endswith("?q=Lead")
    assert Contact.objects.filter(tags=["vip"]).count() == 3


def test_the_pages_fit_a_phone(page: Page, leads: list[Contact]) -> None:
    Contact.objects.filter(pk=leads[0].pk).update(name="x" * 255, tags=["y" * 50])
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.goto(LEADS)
    page.check("[data-bulk-page]")
    page.select_option("#bulk [name=do]", "follow-up")
    assert fits(page)
    with page.expect_navigation():
        page.click("#bulk button")
    assert fits(page)
    with page.expect_navigation():
        page.click(".merge-go")
    assert fits(page)
    page.goto(f"{LEADS}bulk/{BulkChange.objects.get().pk}/undo/")
    assert fits(page)
