"""Which leads each tab of the list holds, to the minute."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from contacts import lead_views
from contacts.lead_views import VIEWS
from contacts.models import Contact, Conversation, PhoneNumber, StatusChange, Workspace
from tests.builders import Desk, message, moment, sent

NOW = datetime(2026, 6, 10, 12, 0, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
pytestmark = pytest.mark.django_db


def ago(hours: float = 0, **more: float) -> datetime:
    return NOW - timedelta(hours=hours, **more)


@pytest.fixture
def lima() -> Workspace:
    return Workspace.objects.create(name="Lima", slug="lima")


def make(workspace: Workspace, name: str, **fields: Any) -> Contact:
    return Contact.objects.create(workspace=workspace, name=name, **fields)


def names(leads: Iterable[Contact]) -> set[str]:
    return {lead.name for lead in leads}


def close(lead: Contact, at: datetime, to: str = "archived") -> None:
    StatusChange.objects.create(
        workspace=lead.workspace, contact=lead, from_status="contacted", to_status=to, at=at
    )


def test_who_wrote_last_decides_who_waits(lima: Workspace) -> None:
    make(lima, "never wrote", last_contact_at=ago(1))
    make(lima, "nothing was said")
    make(lima, "never answered", last_inbound_at=ago(5))
    make(lima, "wrote last", last_inbound_at=ago(1), last_contact_at=ago(1) - MOMENT)
    make(lima, "a tie is an answer", last_inbound_at=ago(1), last_contact_at=ago(1))
    make(lima, "answered", last_inbound_at=ago(2), last_contact_at=ago(1))
    waiting = lead_views.awaiting_reply(Contact.objects.all(), NOW)
    assert names(waiting) == {"never answered", "wrote last"}


def test_who_was_closed_waits_no_more_until_they_write_again(lima: Workspace) -> None:
    close(make(lima, "done", lead_status="archived", last_inbound_at=ago(3)), ago(2))
    close(make(lima, "at the same time", lead_status="archived", last_inbound_at=ago(2)), ago(2))
    close(make(lima, "back", lead_status="archived", last_inbound_at=ago(1)), ago(2))
    close(make(lima, "bought and asks", lead_status="converted", last_inbound_at=ago(1)), ago(2), "converted")
    close(make(lima, "open again", lead_status="new", last_inbound_at=ago(3)), ago(2), "new")
    leads = Contact.objects.all()
    assert names(lead_views.wrote_again(leads)) == {"back", "bought and asks"}
    assert names(lead_views.awaiting_reply(leads, NOW)) == {"back", "bought and asks", "open again"}


def test_an_answer_to_who_wrote_again_leaves_them_to_be_opened_again(lima: Workspace) -> None:
    lead = make(lima, "back", lead_status="archived", last_inbound_at=ago(1), last_contact_at=ago(0))
    close(lead, ago(2))
    assert names(lead_views.wrote_again(Contact.objects.all())) == {"back"}
    assert not lead_views.awaiting_reply(Contact.objects.all(), NOW)


def test_without_a_record_of_the_closing_what_we_wrote_last_counts(lima: Workspace) -> None:
    make(lima, "wrote", lead_status="archived", last_inbound_at=ago(1))
    make(lima, "wrote after us", lead_status="converted", last_inbound_at=ago(1), last_contact_at=ago(2))
    make(lima, "we wrote last", lead_status="archived", last_inbound_at=ago(2), last_contact_at=ago(1))
    make(lima, "silent", lead_status="archived")
    assert names(lead_views.wrote_again(Contact.objects.all())) == {"wrote", "wrote after us"}


def test_the_newest_change_says_since_when_a_lead_is_closed(lima: Workspace) -> None:
    lead = make(lima, "lead")
    for at, to, closed_at in (
        (ago(5), "archived", ago(5)),
        (ago(9), "qualified", ago(5)),  # recorded late
        (ago(4), "new", None),
        (ago(3), "converted", ago(3)),
    ):
        close(lead, at, to)
        lead.refresh_from_db()
        assert lead.closed_at == closed_at
    lead.change_status("archived", by=None)
    lead.refresh_from_db()
    assert lead.closed_at is not None
    assert lead.closed_at > ago(3)


def test_follow_up_is_due_once_the_period_is_over(lima: Workspace) -> None:
    make(lima, "never contacted")
    make(lima, "to the minute", last_contact_at=ago(72))
    make(lima, "a moment more", last_contact_at=ago(72) - MOMENT)
    make(lima, "lately", last_contact_at=ago(71))
    make(lima, "archived", lead_status="archived", last_contact_at=ago(100))
    make(lima, "converted", lead_status="converted")
    assert names(lead_views.needs_follow_up(Contact.objects.all(), NOW)) == {
        "never contacted",
        "a moment more",
    }


def test_the_period_is_the_workspaces_own(lima: Workspace) -> None:
    quick = Workspace.objects.create(name="Quick", slug="quick", follow_up_hours=4)
    make(lima, "in Lima", last_contact_at=ago(5))
    make(quick, "where they are quick", last_contact_at=ago(5))
    assert names(lead_views.needs_follow_up(Contact.objects.all(), NOW)) == {"where they are quick"}


def test_the_window_closes_after_exactly_a_day(lima: Workspace) -> None:
    make(lima, "closed now", last_inbound_at=ago(24))
    make(lima, "a moment left", last_inbound_at=ago(24) + MOMENT)
    make(lima, "just under two hours", last_inbound_at=ago(22) - MOMENT)
    make(lima, "two hours left", last_inbound_at=ago(22))
    make(lima, "open", last_inbound_at=ago(1))
    make(lima, "never wrote", last_contact_at=ago(23))
    leads = Contact.objects.all()
    assert names(lead_views.window_closing(leads, NOW)) == {"a moment left", "just under two hours"}
    assert names(lead_views.window_open(leads, NOW)) == {
        "a moment left", "just under two hours", "two hours left", "open",
    }  # fmt: skip


def test_who_is_put_aside_is_back_on_the_date_or_on_writing(lima: Workspace) -> None:
    aside = {"snoozed_at": ago(2), "snoozed_until": ago(-2)}
    make(lima, "aside", last_inbound_at=ago(3), **aside)
    make(lima, "aside at that moment", last_inbound_at=ago(2), **aside)
    make(lima, "wrote since", last_inbound_at=ago(2) + MOMENT, **aside)
    make(lima, "never wrote, aside", **aside)
    make(lima, "due now", last_inbound_at=ago(3), snoozed_at=ago(2), snoozed_until=NOW)
    leads = Contact.objects.all()
    assert names(lead_views.awaiting_reply(leads, NOW)) == {"wrote since", "due now"}
    assert names(lead_views.needs_follow_up(leads, NOW)) == {"wrote since", "due now"}
    assert leads.filter(last_contact_at=None).count() == 5


def test_owners(lima: Workspace) -> None:
    ana, ben = User.objects.create_user("ana"), User.objects.create_user("ben")
    make(lima, "Ana's", owner=ana)
    make(lima, "Ben's", owner=ben)
    make(lima, "nobody's")
    assert names(VIEWS["mine"].select(Contact.objects.all(), ana, NOW)) == {"Ana's"}
    assert names(VIEWS["unassigned"].select(Contact.objects.all(), ana, NOW)) == {"nobody's"}


def test_a_human_is_needed_until_somebody_took_care(lima: Workspace) -> None:
    numbers = [PhoneNumber.objects.create(workspace=lima, phone_number_id=str(index)) for index in range(2)]
    for name, cleared in (
        ("asked", None),
        ("cleared", ago(1)),
        ("asked again", ago(3)),
        ("never asked", None),
    ):
        lead = make(lima, name, handoff_cleared_at=cleared)
        for number in numbers if name != "never asked" else ():
            Conversation.objects.create(workspace=lima, contact=lead, phone_number=number, handoff_at=ago(2))
    found = [
        lead.name
        for lead in lead_views.needs_human(
            Contact.objects.order_by("pk"), Workspace.objects.values_list("pk", flat=True)
        )
    ]
    assert found == ["asked", "asked again"]


def test_every_tab_answers_and_the_longest_wait_is_first(lima: Workspace) -> None:
    ana = User.objects.create_user("ana")
    for hours in (1, 9, 23):
        make(lima, f"{hours} h", last_inbound_at=ago(hours), last_activity_at=ago(hours))
    found = {
        key: [lead.name for lead in view.select(Contact.objects.all(), ana, NOW).order_by(*view.order)]
        for key, view in VIEWS.items()
    }
    assert found == {
        "all": ["1 h", "9 h", "23 h"],
        "awaiting": ["23 h", "9 h", "1 h"],
        "follow-up": ["1 h", "9 h", "23 h"],
        "closing": ["23 h"],
        "never": ["1 h", "9 h", "23 h"],
        "mine": [],
        "unassigned": ["1 h", "9 h", "23 h"],
        "again": [],
    }


def test_the_sync_keeps_since_when_a_customer_waits() -> None:
    desk = Desk.open()
    waits = []
    for told in (message("m3", 30), message("m1", 10), sent("m2", 20), message("m4", 40), sent("m5", 50)):
        desk.told(told)
        waits.append(desk.only_lead.unanswered_since)
    assert waits == [moment(30), moment(10), moment(30), moment(30), None]
    desk.became("m5", "failed", 60)
    assert desk.only_lead.unanswered_since == moment(30)
