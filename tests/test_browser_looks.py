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

DESK = {"width": 1280, "height": 900}


@pytest.fixture
def boutique(live_server: Any, transactional_db: None) -> Boutique:
    return open_boutique(live_server.url)


@pytest.fixture
def page(browser: Browser, live_server: Any, boutique: Boutique) -> Iterator[Page]:
    """The browser of Ana, who manages the boutique."""
    context = browser.new_context(
        base_url=live_server.url, viewport=DESK, timezone_id="America/Lima", locale="en-GB", reduced_motion="reduce"
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


def others() -> list[str]:
    return [f"{LEADS}?view=mine&status=new&q=xyz", "/admin/reports/?days=30", "/admin/notifications/", "/admin/preferences/"]


def faults(page: Page, address: str) -> list[str]:
    """What somebody who sees or moves differently would stumble over."""
    page.goto(address)
    page.wait_for_load_state("networkidle")
    found = Axe().run(page).response["violations"]
    return [
        f"{address} {each['id']}: {node['target']} {node['html'][:200]} {node['failureSummary'][-300:]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_nobody_stumbles(page: Page, boutique: Boutique, colours: Any) -> None:
    page.emulate_media(color_scheme=colours)
    found = [fault for address in [*addresses(boutique).values(), *others()] for fault in faults(page, address)]
    assert found == []


def test_the_pictures(page: Page, boutique: Boutique, tmp_path: Path) -> None:
    folder = Path(os.environ.get("LEADCRM_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    for name, address in addresses(boutique).items():
        for look, size, colours in (("light", DESK, "light"), ("dark", DESK, "dark"), ("phone", PHONE, "light")):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            page.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
            page.goto(address)
            page.wait_for_load_state("networkidle")
            page.screenshot(path=folder / f"{name}-{look}.png")
            assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
