"""What sales people see, in a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User

from contacts.models import Contact, Membership, Message
from tests.conftest import Cast
from tests.kapso import Kapso
from tests.test_admin import make_lead, say

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LEADS = "/admin/contacts/contact/"
PHONE = {"width": 390, "height": 844}
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        tell = pytest.fail if os.environ.get("LEADCRM_REQUIRE_BROWSER") == "1" else pytest.skip
        tell(f"no browser found: install one of {', '.join(NAMES)}")
    from playwright.sync_api import sync_playwright

    with pytest.MonkeyPatch.context() as patch:
        # Playwright keeps an event loop in this thread, and Django would refuse to touch the database there.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
            yield browser
            browser.close()


@pytest.fixture
def page(browser: Browser, live_server: Any, cast: Cast) -> Iterator[Page]:
    """Ana's browser, logged in, in Lima."""
    ana = User.objects.create_user("ana", password="a password", is_staff=True)
    Membership.objects.create(workspace=cast.workspaces["lima"], user=ana)
    context = browser.new_context(base_url=live_server.url, timezone_id="America/Lima", locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.goto("/admin/login/")
    page.fill("#id_username", "ana")
    page.fill("#id_password", "a password")
    page.press("#id_password", "Enter")
    page.wait_for_url("**/admin/")
    yield page
    context.close()


def talk(cast: Cast, count: int = 3) -> Contact:
    lead = make_lead(cast.workspaces["lima"], "Long Talk", last_activity_at=datetime.now(UTC))
    for index in range(count):
        said_at = datetime(2026, 6, 10, 3, 30, tzinfo=UTC) + timedelta(hours=index)
        side, status = (("inbound", "received"), ("outbound", "read"))[index % 2]
        say(lead, f"message {index} " + "long " * 40, direction=side, status=status, sent_at=said_at)
    return lead


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def test_the_newest_lead_is_on_top_and_one_click_away(page: Page, cast: Cast, kapso: Kapso) -> None:
    talk(cast)
    kapso.post_file("message-received-text")
    Contact.objects.filter(name="Long Talk").update(last_activity_at=datetime.now(UTC) + timedelta(minutes=1))
    page.goto("/admin/")
    with page.expect_navigation():
        page.click("a.tile >> nth=0")
    assert page.inner_text(".field-lead >> nth=0") == "Long Talk"
    with page.expect_navigation():
        page.click(".field-lead a >> nth=0")
    assert page.locator(".bubble").count() == 3


def test_bubbles_stand_in_order_and_the_newest_is_in_view(page: Page, cast: Cast) -> None:
    lead = talk(cast, 30)
    page.goto(f"{LEADS}{lead.pk}/change/")
    texts = page.locator(".bubble p").all_inner_texts()
    assert [text.split()[1] for text in texts] == [str(index) for index in range(30)]
    assert page.evaluate(
        "(() => { const t = document.querySelector('.talk'); return t.scrollTop + t.clientHeight >= t.scrollHeight - 2 })()"
    )


def test_times_and_days_are_those_of_the_reader(page: Page, cast: Cast) -> None:
    lead = talk(cast)
    page.goto(f"{LEADS}{lead.pk}/change/")
    # 03:30 UTC is the evening before in Lima.
    assert page.inner_text(".bubble >> nth=0 >> time") == "22:30"
    assert "9 Jun 2026" in page.inner_text(".talk-day >> nth=0")
    assert page.locator(".talk-day").count() == 2


def test_what_strangers_write_is_never_run(page: Page, kapso: Kapso) -> None:
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    kapso.post_file("message-received-text-html-injection")
    lead = Message.objects.latest("id").contact
    assert lead is not None
    hostile = "<img src=x onerror='window.pwned=1;alert(1)'><script>window.pwned=1</script>"
    Contact.objects.filter(pk=lead.pk).update(name=hostile, tags=[hostile[:50]])
    say(lead, hostile, direction="outbound", status="failed", error_message=hostile)
    for address in (LEADS, f"{LEADS}{lead.pk}/change/", f"{LEADS}?q=%3Cscript%3Ewindow.pwned=1%3C/script%3E"):
        page.goto(address)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.pwned") is None
    assert dialogs == []


def test_everything_fits_a_phone(page: Page, cast: Cast) -> None:
    lead = talk(cast)
    say(
        lead,
        "https://example.com/" + "x" * 300,
        direction="outbound",
        status="failed",
        error_message="y" * 200,
    )
    say(lead, "z" * 300 + ".pdf", message_type="document", payload={"filename": "z" * 300 + ".pdf"})
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    for address in (
        "/admin/",
        LEADS,
        f"{LEADS}{lead.pk}/change/",
        f"{LEADS}add/",
        "/admin/kapso_sync/webhookdelivery/",
    ):
        page.goto(address)
        assert fits(page), address


def test_a_delivery_fits_a_phone(page: Page, kapso: Kapso) -> None:
    delivery = kapso.post_file("message-received-text").delivery
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.goto(f"/admin/kapso_sync/webhookdelivery/{delivery.pk}/change/")
    assert fits(page)


def test_search_is_one_key_away(page: Page, cast: Cast) -> None:
    talk(cast)
    make_lead(cast.workspaces["lima"], "Somebody else", last_activity_at=datetime.now(UTC))
    page.goto(LEADS)
    page.keyboard.press("/")
    page.keyboard.type("long ta")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.locator(".field-lead").all_inner_texts() == ["Long Talk"]
