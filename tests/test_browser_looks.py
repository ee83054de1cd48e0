"""How the pages look: legible, named and reachable for everybody, on a phone too; and the pictures of the README.

With LEADCRM_SCREENSHOTS the pictures are written into that folder (`make screenshots`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.looks import PASSWORD, Boutique, open_boutique
from tests.test_browser import LEADS, PHONE, browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["browser"]  # a fixture
pytestmark = pytest.mark.browser

DESK = {"width": 1280, "height": 720}
FITS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"


@pytest.fixture
def boutique(live_server: Any, transactional_db: None) -> Boutique:
    return open_boutique(live_server.url)


@pytest.fixture
def page(browser: Browser, live_server: Any, boutique: Boutique) -> Iterator[Page]:
    """The browser of Ana, who manages the boutique."""
    context = browser.new_context(
        base_url=live_server.url,
        viewport=DESK,  # type: ignore[arg-type]
        timezone_id="America/Lima",
        locale="en-GB",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.goto("/admin/login/")
    page.fill("#id_username", "ana")
    page.fill("#id_password", PASSWORD)
    page.press("#id_password", "Enter")
    page.wait_for_url("**/admin/")
    yield page
    context.close()


def addresses(boutique: Boutique) -> dict[str, str]:
    lead = f"{LEADS}{boutique.lead('Valeria').pk}/change/"
    return {"list": LEADS, "lead": lead, "start": "/admin/"}


OTHERS = (
    f"{LEADS}?view=mine&status=new&q=nobody",
    "/admin/reports/?days=30",
    "/admin/notifications/",
    "/admin/preferences/",
)


def faults(page: Page, address: str) -> Iterator[str]:
    """What somebody who sees, hears or moves differently would stumble over, in axe's words."""
    page.goto(address)
    page.wait_for_load_state("networkidle")
    for rule in Axe().run(page).response["violations"]:
        if rule["impact"] in ("serious", "critical"):
            for node in rule["nodes"]:
                yield f"{address} {rule['id']}: {node['html'][:200]} {node['failureSummary']}"


def test_nobody_stumbles(page: Page, boutique: Boutique) -> None:
    found: list[str] = []
    for colours in ("light", "dark"):
        page.emulate_media(color_scheme=colours)
        for address in (*addresses(boutique).values(), *OTHERS):
            found += faults(page, address)
    page.context.clear_cookies()
    found += faults(page, "/admin/login/")
    assert not found, "\n".join(found)


# Every control that is there to be used, and the walk through them: each tells whether its focus can be seen.
CONTROLS = "a[href], button, input:not([type=hidden]), select, textarea, summary"
WATCH = """(controls) => {
  const usable = (each) => each.checkVisibility({ visibilityProperty: true }) && !each.disabled && !each.closest("[aria-hidden=true]");
  const seen = (each) => [each, each.parentElement, each.closest("tr")].some((one) => {
    const style = one && getComputedStyle(one);
    return style && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  });
  window.walk = { left: new Set([...document.querySelectorAll(controls)].filter(usable)), unseen: [] };
  document.addEventListener("focusin", ({ target }) => {
    walk.left.delete(target);
    if (!seen(target)) walk.unseen.push(target.outerHTML.slice(0, 160));
  });
  return walk.left.size;
}"""


def test_every_control_is_a_tab_away_and_its_focus_seen(page: Page, boutique: Boutique) -> None:
    for address in addresses(boutique).values():
        page.goto(address)
        page.wait_for_load_state("networkidle")
        count = page.evaluate(WATCH, CONTROLS)
        for _ in range(count + 10):
            page.keyboard.press("Tab")
        assert page.evaluate("[...walk.left].map((each) => each.outerHTML.slice(0, 160))") == [], address
        assert page.evaluate("walk.unseen") == [], address
    page.focus("#user-menu")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Preferences").focus()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "user-menu"


TITLES = {"list": "Leads | leadcrm", "lead": "Valeria Gómez | leadcrm", "start": "Home | leadcrm"}
SHOTS = {"light": (DESK, "light"), "dark": (DESK, "dark"), "phone": (PHONE, "light")}


def test_the_pictures(page: Page, boutique: Boutique, tmp_path: Path) -> None:
    folder = Path(os.environ.get("LEADCRM_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    for name, address in addresses(boutique).items():
        for look, (size, colours) in SHOTS.items():
            page.set_viewport_size(size)  # type: ignore[arg-type]
            page.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
            page.goto(address)
            page.wait_for_load_state("networkidle")
            picture = page.screenshot(path=folder / f"{name}-{look}.png")
            # A page with nothing on it takes a few kilobytes.
            assert 20_000 < len(picture) < 150_000, (name, look)
            assert page.evaluate(FITS), (name, look)
        assert page.title().strip() == TITLES[name]
    page.goto(f"{LEADS}?view=mine")
    assert page.title().strip() == "My leads | leadcrm"
