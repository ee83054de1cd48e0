"""New leads are given out in turn: each once, fairly, and never an old one."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts import in_turn, reasons
from contacts.models import Contact, LeadChange, Membership, Notification, Role, Workspace
from kapso_sync.models import WebhookDelivery
from kapso_sync.replaying import replay_in_batches
from tests.builders import ANA, BEA, LIMA, SAOPAULO, Desk, batch, message, meta, sent
from tests.test_rebuild_command import run

RECENT = datetime.now(UTC).replace(microsecond=0)
NOW = str(int(RECENT.timestamp()))
LONG_AGO = str(int((RECENT - timedelta(days=30)).timestamp()))


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


@pytest.fixture
def real_desk(transactional_db: None) -> Desk:
    return Desk.open()


def turn_on(desk: Desk, *, since: timedelta = timedelta(hours=1)) -> Workspace:
    Workspace.objects.filter(slug="lima").update(assigns_in_turn=True)
    Workspace.objects.filter(slug="lima").update(in_turn_since=RECENT - since)
    return Workspace.objects.get(slug="lima")


def agents(desk: Desk, *names: str, **fields: Any) -> list[User]:
    users = [User.objects.create_user(name, is_staff=True) for name in names]
    for user in users:
        Membership.objects.create(workspace=desk.numbers[LIMA].workspace, user=user, **fields)
    return users


def phones(count: int, start: int = 0) -> list[str]:
    return [f"5191111{index:04}" for index in range(start, start + count)]


def owners() -> list[str | None]:
    return list(Contact.objects.living().order_by("pk").values_list("owner__username", flat=True))


# Who gets what


def test_it_works(desk: Desk) -> None:
    turn_on(desk)
    agents(desk, "ana", "ben", "carl")
    desk.told(*(message(phone, NOW, phone=phone) for phone in phones(7)))
    assert owners() == ["ana", "ben", "carl", "ana", "ben", "carl", "ana"]


def test_many_at_once_go_around_as_well(desk: Desk) -> None:
    turn_on(desk)
    agents(desk, "ana", "ben")
    desk.told(message("first", NOW, phone=ANA))
    desk.told(batch(*(message(phone, NOW, phone=phone) for phone in phones(5, 5))))
    assert Counter(owners()) == {"ana": 3, "ben": 3}
    assert owners()[:2] == ["ana", "ben"]


def test_it_is_in_the_history_and_the_person_is_told(desk: Desk) -> None:
    workspace = turn_on(desk)
    (ana,) = agents(desk, "ana")
    desk.told(message("a", NOW))
    (change,) = LeadChange.objects.all()
    assert (change.kind, change.before, change.after, change.by) == ("owner", None, ana.pk, None)
    assert (change.reason, change.workspace, change.contact) == (reasons.IN_TURN, workspace, desk.only_lead)
    (told,) = Notification.objects.all()
    assert (told.user, told.kind, told.by, told.contact) == (ana, "assigned", None, desk.only_lead)
    assert desk.only_lead.typed_at.keys() == {"owner"}


def test_only_agents_who_are_on_and_active_get_leads(desk: Desk) -> None:
    turn_on(desk)
    agents(desk, "boss", role=Role.MANAGER)
    agents(desk, "owner", role=Role.OWNER)
    agents(desk, "viewer", role=Role.VIEWER)
    agents(desk, "off", takes_leads=False)
    (gone,) = agents(desk, "gone")
    gone.is_active = False
    gone.save(update_fields=["is_active"])
    agents(desk, "ana")
    desk.told(*(message(phone, NOW, phone=phone) for phone in phones(3)))
    assert owners() == ["ana"] * 3


def test_what_came_while_nobody_was_on_waits_for_the_first_who_is(desk: Desk) -> None:
    turn_on(desk)
    agents(desk, "ana", takes_leads=False)
    desk.told(message("a", NOW))
    assert (owners(), in_turn.give_out()) == ([None], 0)
    Membership.objects.update(takes_leads=True)
    assert (in_turn.give_out(), owners(), in_turn.give_out()) == (1, ["ana"], 0)


def test_who_comes_on_is_next_but_gets_no_backlog_of_turns(desk: Desk) -> None:
    turn_on(desk)
    agents(desk, "ana")
    desk.told(*(message(phone, NOW, phone=phone) for phone in phones(3)))
    agents(desk, "ben")
    desk.told(*(message(phone, NOW, phone=phone) for phone in phones(3, 3)))
    assert owners() == ["ana", "ana", "ana", "ben", "ana", "ben"]


def test_each_workspace_has_its_own_turns(desk: Desk) -> None:
    turn_on(desk)
    agents(desk, "ana")
    desk.told(message("a", NOW), message("b", NOW, number=SAOPAULO))
    assert owners() == ["ana", None]


# Who is no new lead


def test_a_lead_that_somebody_has_or_had_is_left(desk: Desk) -> None:
    _, ben = agents(desk, "ana", "ben", takes_leads=False)
    turn_on(desk)
    desk.told(message("a", NOW, phone=ANA), message("b", NOW, phone=BEA))
    Contact.objects.filter(phone=ANA).update(owner=ben)
    Contact.objects.filter(phone=BEA).update(owner=ben)
    Contact.objects.filter(phone=BEA).update(owner=None)
    Membership.objects.update(takes_leads=True)
    assert (in_turn.give_out(), owners()) == (0, ["ben", None])


def test_a_lead_from_before_it_was_turned_on_is_left(desk: Desk) -> None:
    agents(desk, "ana")
    desk.told(message("a", NOW, phone=ANA))
    turn_on(desk, since=timedelta(hours=-1))
    desk.told(message("b", NOW, phone=ANA))
    assert owners() == [None]


def test_an_old_message_that_comes_now_is_no_new_lead(desk: Desk) -> None:
    """A replay into empty tables, say: what it tells is older than the turns."""
    turn_on(desk)
    agents(desk, "ana")
    desk.told(message("a", LONG_AGO), message("b", NOW))
    assert owners() == [None]


def test_an_import_of_the_history_is_no_new_lead(desk: Desk) -> None:
    turn_on(desk)
    agents(desk, "ana")
    desk.told(message("a", NOW, origin="history_sync"), message("b", str(int(NOW) + 1)))
    assert owners() == [None]


def test_a_replay_gives_nothing_out(desk: Desk) -> None:
    turn_on(desk)
    agents(desk, "ana", "ben")
    desk.told(message("a", NOW, phone=ANA), message("b", NOW, phone=BEA))
    Contact.objects.update(owner=None)
    replay_in_batches(WebhookDelivery.objects.all())
    in_turn.give_out()
    assert (owners(), LeadChange.objects.count()) == ([None, None], 2)


def test_a_rebuild_gives_nothing_out_and_takes_nothing_away(real_desk: Desk) -> None:
    agents(real_desk, "ana", "ben")
    turn_on(real_desk)
    old, given, let_go = phones(3)
    real_desk.told(message("a", LONG_AGO, phone=old), message("b", NOW, phone=given))
    real_desk.told(message("c", NOW, phone=let_go))
    Contact.objects.filter(phone=let_go).update(owner=None)
    assert "FAILED" not in run("rebuild_crm")
    assert (in_turn.give_out(), owners(), LeadChange.objects.count()) == (0, [None, "ana", None], 2)


def test_whom_we_wrote_to_is_given_out_once_they_answer(desk: Desk) -> None:
    turn_on(desk)
    agents(desk, "ana")
    desk.told(sent("a", NOW))
    assert owners() == [None]
    desk.told(message("b", str(int(NOW) + 5)))
    assert owners() == ["ana"]


def test_a_lead_typed_in_by_hand_is_left(desk: Desk) -> None:
    workspace = turn_on(desk)
    agents(desk, "ana")
    Contact.objects.create(workspace=workspace, phone=ANA, name="By hand")
    desk.told(message("a", NOW))
    assert owners() == [None]


def test_it_is_off_unless_the_workspace_wants_it(desk: Desk) -> None:
    agents(desk, "ana")
    desk.told(message("a", NOW))
    assert (in_turn.give_out(), owners()) == (0, [None])


def test_a_message_in_metas_own_form_counts_as_well(desk: Desk) -> None:
    turn_on(desk)
    agents(desk, "ana")
    text = {"from": ANA, "id": "a", "timestamp": NOW, "type": "text", "text": {"body": "Hola"}}
    desk.told(meta({"messages": [text], "contacts": [{"wa_id": ANA}]}))
    assert owners() == ["ana"]


# Since when


def since() -> datetime | None:
    return Workspace.objects.get(slug="lima").in_turn_since


def test_the_moment_of_turning_it_on_is_kept_whoever_does_it(desk: Desk) -> None:
    workspace = Workspace.objects.get(slug="lima")
    stale = Workspace.objects.get(slug="lima")
    assert since() is None
    workspace.assigns_in_turn = True
    workspace.save()
    began = since()
    assert began is not None
    workspace.name = "Lima again"
    workspace.save()  # this instance does not know since when
    assert since() == began
    stale.save()
    assert since() is None
    Workspace.objects.create(name="New", slug="new", assigns_in_turn=True)
    assert Workspace.objects.get(slug="new").in_turn_since is not None


# Two at once


def test_two_who_give_out_at_once_give_each_lead_once(real_desk: Desk) -> None:
    agents(real_desk, "ana", "ben", "carl", takes_leads=False)
    turn_on(real_desk)
    real_desk.told(batch(*(message(phone, NOW, phone=phone) for phone in phones(30))))
    Membership.objects.update(takes_leads=True)

    def give_out(_: int) -> int:
        try:
            return in_turn.give_out()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        given = list(pool.map(give_out, range(8)))
    assert sum(given) == 30
    assert Counter(owners()) == {"ana": 10, "ben": 10, "carl": 10}
    assert LeadChange.objects.count() == Notification.objects.count() == 30


def test_webhooks_at_once_keep_the_turns_fair(real_desk: Desk) -> None:
    agents(real_desk, "ana", "ben")
    turn_on(real_desk)

    def post(phone: str) -> int:
        try:
            return Desk(numbers=real_desk.numbers).post(message(phone, NOW, phone=phone)).status
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(post, phones(12))) == {200}
    assert Counter(owners()) == {"ana": 6, "ben": 6}


# What it costs a webhook


def statements(desk: Desk, wamid: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        desk.told(message(wamid, NOW))
    return len(captured.captured_queries)


def test_who_does_not_use_it_pays_nothing_and_who_does_one_look(real_desk: Desk) -> None:
    agents(real_desk, "ana")
    real_desk.told(message("a", NOW))
    off = statements(real_desk, "b")
    turn_on(real_desk, since=timedelta(hours=-1))
    assert (off <= 8, statements(real_desk, "c") - off) == (True, 1)


def test_a_turn_that_fails_harms_no_answer(desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    turn_on(desk)
    agents(desk, "ana")

    def fail(_: object) -> int:
        raise OSError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(in_turn, "give_out", fail)
        desk.told(message("a", NOW))
    assert (owners(), "they stay due" in caplog.text) == ([None], True)
    assert (in_turn.give_out(), owners()) == (1, ["ana"])
