"""The page of one lead in a real browser."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from contacts.models import Contact, Conversation, CustomField, FollowUp, Membership, Message, Note
from tests.conftest import Cast
from tests.kapso import Kapso
from tests.test_admin import make_lead, say
from tests.test_browser import PHONE, browser, fits, page  # noqa: F401 - fixtures
from tests.test_browser_list import write

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

BEGIN = datetime(2026, 6, 10, 3, 30, tzinfo=UTC)


@pytest.fixture
def lead(cast: Cast) -> Contact:
    return make_lead(cast.workspaces["lima"], "Long Talk", phone="51987111222")


def talk(lead: Contact, count: int) -> None:
    thread = say(lead, "message 000 " + "long " * 20, sent_at=BEGIN).conversation
    assert thread
    Message.objects.bulk_create(
        Message(
            workspace=lead.workspace, contact=lead, conversation=thread, phone_number=thread.phone_number,
            direction=("inbound", "outbound")[n % 2], status=("received", "read")[n % 2],
            content=f"message {n:03} " + "long " * 20, sent_at=BEGIN + timedelta(hours=n), kapso_message_id=f"w{n}",
        )
        for n in range(1, count)
    )  # fmt: skip


def address(lead: Contact) -> str:
    return f"/admin/contacts/contact/{lead.pk}/change/"


def numbers(page: Page) -> list[int]:  # noqa: F811
    return [int(text.split()[1]) for text in page.locator(".bubble .words").all_inner_texts()]


def test_older_messages_come_in_place_and_the_view_stays(page: Page, lead: Contact) -> None:  # noqa: F811
    talk(lead, 130)
    page.goto(address(lead))
    assert numbers(page) == list(range(80, 130))
    first = page.locator(".bubble").first
    key = first.get_attribute("id")
    # The link stands above: seeing it is enough.
    page.evaluate("document.querySelector('.talk').scrollTop = 0")
    page.wait_for_function("document.querySelectorAll('.bubble').length === 100")
    assert numbers(page) == list(range(30, 130))
    inside = page.evaluate(
        f"(() => {{ const t = document.querySelector('.talk').getBoundingClientRect();"
        f" const b = document.getElementById('{key}').getBoundingClientRect(); return b.top - t.top }})()"
    )
    assert 0 <= inside < 300
    page.locator(".talk-more a").dispatch_event("click")  # a real click would scroll there first
    page.wait_for_function("document.querySelectorAll('.bubble').length === 130")
    assert page.locator(".talk-more").count() == 0
    # One line for each day in Lima, five hours behind.
    days = {(BEGIN + timedelta(hours=n - 5)).date() for n in range(130)}
    assert page.locator(".talk-day").count() == len(days)


def test_without_script_older_messages_are_a_link_away(page: Page, lead: Contact) -> None:  # noqa: F811
    talk(lead, 60)
    page.route("**/lead.js", lambda route: route.abort())
    page.goto(address(lead))
    with page.expect_navigation():
        page.click(".talk-more a")
    assert numbers(page) == list(range(10))
    with page.expect_navigation():
        page.click("text=Back to the newest messages")
    assert numbers(page)[-1] == 59


def test_a_quote_shows_what_it_quotes(page: Page, lead: Contact) -> None:  # noqa: F811
    talk(lead, 40)
    say(lead, "message 999", reply_to_kapso_id="w1", sent_at=BEGIN + timedelta(days=9))
    page.goto(address(lead))
    quoted = page.locator(f"#m{Message.objects.get(kapso_message_id='w1').pk}")
    page.click("a.quote")
    assert "?" not in page.url
    page.wait_for_function(
        "(id) => { const t = document.querySelector('.talk').getBoundingClientRect();"
        " const b = document.getElementById(id).getBoundingClientRect(); return b.top >= t.top && b.bottom <= t.bottom }",
        arg=quoted.get_attribute("id"),
    )


def test_a_typed_time_is_sent_with_its_zone(page: Page, lead: Contact) -> None:  # noqa: F811
    sent: list[Any] = []

    def keep(route: Any) -> None:
        sent.append(route.request.post_data)
        route.abort()

    page.route("**/do/follow-up/", keep)
    page.goto(address(lead))
    page.fill("#follow-up-due", "2030-01-02T09:00")
    with page.expect_request("**/do/follow-up/"):
        page.click("#later >> role=button[name='Plan']")
    assert due_in(sent[0]) == ["2030-01-02T14:00:00.000Z"]
    page.goto(address(lead))
    with page.expect_request("**/do/follow-up/"):
        page.click("#later form[action$='follow-up/'] >> text=Tomorrow")
    assert due_in(sent[1]) == ["tomorrow"]


def due_in(form: str) -> list[str]:
    """Of a form that a script has sent."""
    return re.findall(r'name="due"\s+(\S+)', form)


def test_hostile_text_fits_a_phone_and_does_not_run(page: Page, lead: Contact) -> None:  # noqa: F811
    Membership.objects.update(role="manager")
    evil = "<img src=x onerror='window.pwned=1'>\u202e" + "x" * 900
    ana = Membership.objects.get().user
    for kind in ("text", "document", "template", "location", "order", "interactive"):
        payload = {
            "filename": evil, "name": evil, "address": evil, "text": evil, "type": "button",
            "product_items": [{"product_retailer_id": evil, "quantity": 1}],
            "action": {"buttons": [{"reply": {"title": evil}}] * 3}, "header": {"text": evil},
        }  # fmt: skip
        say(lead, evil, message_type=kind, payload=payload, referral={"headline": evil, "source_url": evil})
    say(lead, evil, direction="outbound", status="failed", error_code=131047, error_message=evil)
    CustomField.objects.create(workspace=lead.workspace, key="k", label=evil[:100])
    Note.objects.create(workspace=lead.workspace, contact=lead, text=evil, by=ana)
    FollowUp.objects.create(workspace=lead.workspace, contact=lead, due_at=BEGIN, remark=evil[:400])
    Conversation.objects.update(handoff_at=BEGIN, handoff_reason=evil)
    Contact.objects.filter(pk=lead.pk).update(
        name=evil[:255], username="u" * 255, tags=[evil[:50], "y" * 50], metadata={"k": evil}, owner=ana
    )
    for size in (PHONE, {"width": 1280, "height": 800}):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        page.goto(address(lead))
        page.wait_for_load_state("networkidle")
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
        assert fits(page), size
        talk_box, inner = page.evaluate(
            "(() => { const t = document.querySelector('.talk'); return [t.clientWidth, t.scrollWidth] })()"
        )
        assert inner <= talk_box
    assert page.evaluate("window.pwned") is None


@pytest.mark.parametrize("name", ["W" * 255, "many words " * 23, "اسم طويل جدا " * 19])
def test_a_long_name_in_the_heading_is_cut_on_a_phone(page: Page, lead: Contact, name: str) -> None:  # noqa: F811
    Contact.objects.filter(pk=lead.pk).update(name=name)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.goto(address(lead))
    assert fits(page)
    assert page.inner_text("h1").strip() == name.strip()
    box = page.locator("h1 bdi").bounding_box()
    assert box
    assert box["height"] < 40
    last = page.locator("#header-inner button, #header-inner a").last.bounding_box()
    assert last
    assert box["width"] > 100
    assert box["x"] + box["width"] <= last["x"]
    assert last["x"] + last["width"] <= PHONE["width"]


def test_more_messages_than_a_page_that_came_meanwhile_stand_at_the_end(page: Page, lead: Contact) -> None:  # noqa: F811
    talk(lead, 3)
    page.goto(address(lead))
    page.wait_for_selector(".bubble")
    thread = Conversation.objects.get(contact=lead)
    Message.objects.bulk_create(
        Message(
            workspace=lead.workspace, contact=lead, conversation=thread, phone_number=thread.phone_number,
            direction="inbound", status="received", content=f"message {n:03}", sent_at=BEGIN + timedelta(hours=n),
            kapso_message_id=f"w{n}",
        )
        for n in range(3, 63)
    )  # fmt: skip
    page.wait_for_selector(".bubble:has-text('message 062')")
    assert numbers(page) == list(range(13, 63))
    page.evaluate("document.querySelector('.talk').scrollTop = 0")  # those between are one page further up
    page.wait_for_function("document.querySelectorAll('.bubble').length === 63")
    assert numbers(page) == list(range(63))


def test_a_tick_is_renewed_and_a_late_message_comes_in_its_place(page: Page, lead: Contact) -> None:  # noqa: F811
    talk(lead, 4)
    page.goto(address(lead))
    page.wait_for_selector(".bubble")
    page.evaluate("window.kept = document.querySelectorAll('.bubble')[0]")
    Message.objects.filter(kapso_message_id="w1").update(status="failed")
    say(lead, "message 777", kapso_message_id="late", sent_at=BEGIN + timedelta(hours=2, minutes=30))
    page.wait_for_selector(".bubble:has-text('message 777')")
    assert numbers(page) == [0, 1, 2, 777, 3]
    assert page.locator(".bubble").nth(1).locator(".tick").get_attribute("aria-label") == "Not delivered"
    assert page.evaluate("window.kept === document.querySelectorAll('.bubble')[0]"), (
        "what is the same is left alone"
    )


def test_every_control_of_the_page_has_a_name(page: Page, lead: Contact) -> None:  # noqa: F811
    talk(lead, 3)
    Contact.objects.filter(pk=lead.pk).update(tags=["vip"])
    page.goto(address(lead))
    nameless = page.evaluate(
        """[...document.querySelectorAll(".lead-page input:not([type=hidden]), .lead-page select,"""
        """ .lead-page textarea:not([aria-hidden]), .lead-page button")].filter((each) =>"""
        """ !(each.labels?.length || each.ariaLabel || each.textContent.trim())).map((each) => each.outerHTML)"""
    )
    assert nameless == []


def test_a_message_that_comes_while_the_page_is_open_is_shown(
    page: Page,  # noqa: F811
    lead: Contact,
    kapso: Kapso,
) -> None:
    talk(lead, 30)
    page.goto(address(lead))
    page.wait_for_selector(".bubble")
    page.fill("textarea[name=text]", "half a no")
    write(kapso, lead, "Is it still there?")
    page.wait_for_selector(".bubble .words:has-text('Is it still there?')", timeout=10_000)
    assert (
        page.evaluate("(t => t.scrollHeight - t.scrollTop - t.clientHeight)(document.querySelector('.talk'))")
        < 60
    )
    assert page.input_value("textarea[name=text]") == "half a no"
    page.wait_for_selector(".lead-talk [role=status]:has-text('New messages')", state="attached")
    # Whoever reads further up is not moved, but told.
    page.evaluate("document.querySelector('.talk').scrollTop = 0")
    write(kapso, lead, "Hello?")
    page.wait_for_selector(".to-newest:not([hidden])", timeout=10_000)
    assert page.evaluate("document.querySelector('.talk').scrollTop") == 0
    page.click(".to-newest")
    page.wait_for_selector(".to-newest", state="hidden")
