"""The lead desk in a real browser: which lead stands where, what a thread shows, which moves there are."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User

from contacts import erasing, merging
from contacts.lead_views import VIEWS
from contacts.models import (
    Contact,
    LeadStatus,
    Membership,
    Message,
    PhoneNumber,
    StatusChange,
    Workspace,
)
from contacts.models.contact import ALLOWED_MOVES
from tests.conftest import Cast
from tests.kapso import Kapso
from tests.test_admin import make_lead, say
from tests.test_browser import LEADS, browser, page
from tests.test_corpus import CORPUS, OWN_SECRET

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["browser", "page"]  # fixtures
pytestmark = pytest.mark.browser


# The tabs


def ago(hours: float) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours)


def crafted(workspace: Workspace, ana: User) -> None:
    """Leads in every state that decides on a tab, each named by it."""
    other = User.objects.create_user("zoe")
    asking = make_lead(workspace, "asks for long", owner=ana, last_inbound_at=ago(1), unanswered_since=ago(9))
    for hours in (9, 1):
        say(asking, "And?", kapso_message_id=f"wamid.asks.{hours}", sent_at=ago(hours))
    make_lead(workspace, "asks", owner=other, last_inbound_at=ago(2), last_contact_at=ago(3))
    make_lead(workspace, "closing", last_inbound_at=ago(23), last_contact_at=ago(30))
    make_lead(workspace, "answered", owner=ana, last_inbound_at=ago(5), last_contact_at=ago(4))
    make_lead(workspace, "outbound only", owner=other, last_contact_at=ago(100))
    make_lead(workspace, "no message", owner=other)
    aside = {"snoozed_at": ago(1), "snoozed_until": ago(-9)}
    make_lead(workspace, "snoozed", owner=other, last_inbound_at=ago(6), last_contact_at=ago(90), **aside)
    make_lead(
        workspace, "snoozed, wrote", owner=other, last_inbound_at=ago(0.5), last_contact_at=ago(8), **aside
    )
    for name, status, wrote in (
        ("archived", "archived", ago(50)),
        ("archived, wrote", "archived", ago(3)),
        ("bought, wrote", "converted", ago(4)),
    ):
        lead = make_lead(
            workspace, name, owner=other, lead_status=status, last_inbound_at=wrote, last_contact_at=ago(60)
        )
        StatusChange.objects.create(
            workspace=workspace, contact=lead, from_status="contacted", to_status=status, at=ago(40)
        )
    kept, merged = (
        make_lead(workspace, "kept", owner=other, last_contact_at=ago(1)),
        make_lead(workspace, "merged"),
    )
    merging.merge(kept, merged, by=None)
    Contact.objects.filter(pk=kept.pk).update(name="kept", last_contact_at=ago(1))
    erased = make_lead(workspace, "anonymised", phone="51987000111", last_inbound_at=ago(23))
    erasing.erase(workspace.pk, erased.pk)


# Of Awaiting reply and Window closing in order, too.
IN_TABS = {
    "all": [
        "asks for long", "asks", "closing", "answered", "outbound only", "no message", "snoozed", "snoozed, wrote",
        "archived", "archived, wrote", "bought, wrote", "kept",
    ],
    "awaiting": ["closing", "asks for long", "bought, wrote", "archived, wrote", "asks", "snoozed, wrote"],
    "follow-up": ["asks for long", "outbound only", "no message"],
    "closing": ["closing"],
    "never": ["asks for long", "no message"],
    "mine": ["asks for long", "answered"],
    "unassigned": ["closing"],
    "again": ["archived, wrote", "bought, wrote"],
}  # fmt: skip


def test_each_tab_holds_exactly_its_leads_and_counts_them(page: Page) -> None:
    ana = User.objects.get(username="ana")
    workspace = Workspace.objects.create(name="Desk", slug="desk")
    PhoneNumber.objects.create(workspace=workspace, phone_number_id="1")
    Membership.objects.filter(user=ana).update(workspace=workspace)
    crafted(workspace, ana)
    assert set(IN_TABS) == set(VIEWS)
    page.goto(LEADS)
    for key, view in VIEWS.items():
        tab = page.locator("#lead-tabs a").filter(has_text=re.compile(rf"^\s*{view.title}\s+\d+\s*$"))
        with page.expect_navigation():
            tab.click()
        assert tab.get_attribute("aria-current") == "page"
        names = [name.strip() for name in page.locator(".field-lead").all_inner_texts()]
        found, expected = (
            (names, IN_TABS[key]) if key == "awaiting" else (sorted(names), sorted(IN_TABS[key]))
        )
        assert found == expected, key
        assert tab.locator(".lead-count").inner_text() == str(len(expected)), key


# The thread

# Each type of the corpus -> what stands in the bubble of its message or, if it acts on another, of that one.
SHOWN_BY = {
    "text": 'class="words"',
    "template": 'class="card"',
    "interactive": 'class="card"',
    "button": 'class="card"',
    "image": 'class="card"',
    "audio": 'class="card"',
    "video": 'class="card"',
    "document": 'class="card"',
    "sticker": 'class="card"',
    "location": 'class="card"',
    "contacts": 'class="card"',
    "order": 'class="card"',
    "unsupported": 'class="card"',
    "event_invite": 'class="words"',
    "media_placeholder": 'class="card"',
    "system": 'class="talk-line"',
    "reaction": 'class="reactions"',
    "edit": "edited",
    "revoke": 'class="deleted"',
}
BUBBLES = """() => Object.fromEntries([...document.querySelectorAll(".talk > li[id^=m]")].map((each) => {
  const rest = each.cloneNode(true);
  rest.querySelectorAll(".below, .sr-only, .reactions, time, .why").forEach((part) => part.remove());
  const seen = each.getBoundingClientRect();
  return [each.id.slice(1), {
    isSeen: seen.width > 0 && seen.height > 0, said: rest.textContent.replace(/\\s+/g, " ").trim(),
    below: each.querySelector(".below")?.innerText || "", html: each.outerHTML,
  }];
}))"""


def post_corpus(kapso: Kapso) -> None:
    for name in CORPUS:
        changes = {"secret": OWN_SECRET[name]} if name in OWN_SECRET else {}
        assert kapso.post_file(name, **changes).status == 200, name


def bubbles(page: Page) -> dict[int, Any]:
    """Every bubble and line of every lead's page, as the browser shows it."""
    found: dict[int, Any] = {}
    for lead in Contact.objects.living():
        page.goto(f"{LEADS}{lead.pk}/change/")
        found |= {int(pk): bubble for pk, bubble in page.evaluate(BUBBLES).items()}
    return found


def missing(row: Message, shown: Any) -> list[str]:
    """What is not to be seen of a message, in the bubble that it has or acts on."""
    html, is_gone = shown["html"], row.revoked_at is not None
    outbound = row.direction == "outbound"
    acts = row.message_type in ("reaction", "edit", "revoke")
    wanted = {
        "a bubble of some size": shown["isSeen"],
        "something in it": bool(shown["said"]),
        "what its type has": is_gone or SHOWN_BY[row.message_type] in html,
        "ticks": acts or not outbound or f"tick {row.status}" in html,
        "the failure": acts or row.status != "failed" or not outbound or 'class="failure"' in html,
        "the quote": acts or is_gone or not row.reply_to_kapso_id or 'class="quote"' in html,
        "that it was edited": is_gone
        or (row.edited_at is None and row.message_type != "edit")
        or "edited" in shown["below"],
        "that it was deleted": (not is_gone and row.message_type != "revoke") or 'class="deleted"' in html,
        "its words": row.message_type != "text"
        or is_gone
        or " ".join(row.content.split())[:60].strip() in shown["said"],
    }
    return [what for what, is_there in wanted.items() if not is_there]


def test_the_thread_shows_every_message_of_the_corpus(page: Page, kapso: Kapso) -> None:
    User.objects.filter(username="ana").update(is_superuser=True)
    complaints: list[str] = []
    page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    post_corpus(kapso)
    found = bubbles(page)
    rows = Message.objects.exclude(contact=None)
    by_wamid = {row.kapso_message_id: row for row in rows}
    assert {row.message_type for row in rows} <= set(SHOWN_BY), "say what shows a message of the new type"
    faults = []
    for row in rows:
        target = (
            by_wamid.get(row.target_kapso_id) if row.message_type in ("reaction", "edit", "revoke") else row
        )
        shown = found.get(target.pk if target else row.pk)
        if shown is None:
            # An act on a message that never came has nothing to stand on.
            faults += [] if target is None else [f"{row.message_type} {row.pk}: no bubble"]
            continue
        faults += [
            f"{row.message_type} {row.kapso_message_id}: {what}: {shown}" for what in missing(row, shown)
        ]
    assert not faults, "\n".join(faults)
    assert complaints == []


# Moves


def test_a_lead_has_a_button_for_each_allowed_move_and_each_works(page: Page, cast: Cast) -> None:
    for status in LeadStatus:
        for to in ALLOWED_MOVES[status]:
            lead = make_lead(cast.workspaces["lima"], f"{status} {to}", lead_status=status)
            page.goto(f"{LEADS}{lead.pk}/change/")
            buttons = page.locator("#work button[name=to]")
            offered = dict(
                zip(
                    buttons.all_inner_texts(),
                    buttons.evaluate_all("all => all.map(b => b.value)"),
                    strict=True,
                )
            )
            assert offered == {str(move.label): str(move.value) for move in ALLOWED_MOVES[status]}
            with page.expect_navigation():
                page.click(f"#work button[name=to][value={to}]")
            page.wait_for_selector(f"#work-said:has-text('Status: {to.label}')")
            assert page.inner_text("#work .panel-value >> nth=0").strip().lower() == str(to.label).lower()
            lead.refresh_from_db()
            assert lead.lead_status == to
            assert StatusChange.objects.get(contact=lead).from_status == status
