"""One change for many leads: the plan, the change, its history, and its undo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from contacts import bulk, lead_views, notifying, work
from contacts.bulk_actions import (
    Action,
    AssignAll,
    FollowUpAll,
    MoveAll,
    SnoozeAll,
    TagAll,
    UntagAll,
    action_from,
)
from contacts.changing import Refused
from contacts.merging import merge
from contacts.models import (
    BulkChange,
    Contact,
    FollowUp,
    LeadChange,
    Membership,
    Role,
    StatusChange,
    Tag,
    Workspace,
)
from contacts.rights import Rights
from contacts.when import as_json

CLOCKS = ("pk", "last_activity_at", "last_contact_at", "last_inbound_at")


@pytest.fixture
def lima(db: None) -> Workspace:
    return Workspace.objects.create(name="Lima", slug="lima")


@pytest.fixture
def rep(lima: Workspace) -> User:
    return somebody(lima, "rep")


@pytest.fixture
def mate(lima: Workspace) -> User:
    return somebody(lima, "mate")


def somebody(workspace: Workspace, name: str, role: Role = Role.AGENT) -> User:
    user = User.objects.create_user(name, is_staff=True)
    Membership.objects.create(workspace=workspace, user=user, role=role)
    return user


def make(workspace: Workspace, *statuses: str, **fields: Any) -> list[Contact]:
    fields = {"last_inbound_at": timezone.now() - timedelta(hours=1)} | fields
    return Contact.objects.bulk_create(
        Contact(workspace=workspace, name=f"Lead {index}", lead_status=status, **fields)
        for index, status in enumerate(statuses)
    )


def planned(action: Action, leads: list[Contact], by: User) -> bulk.Plan:
    return bulk.plan(action, [lead.pk for lead in leads], rights=Rights.of(by))


def do(action: Action, leads: list[Contact], by: User) -> BulkChange:
    seen = planned(action, leads, by).seen
    (made,), _ = bulk.apply(action, seen, by=by, rights=Rights.of(by))
    return made


def undo(made: BulkChange, by: User) -> bulk.Undone:
    return bulk.undo(made, by=by, rights=Rights.of(by))


def column(name: str, leads: list[Contact]) -> list[Any]:
    return list(
        Contact.objects.filter(pk__in=[lead.pk for lead in leads]).order_by("pk").values_list(name, flat=True)
    )


def soon(**ahead: float) -> str:
    return as_json(timezone.now() + timedelta(**ahead or {"days": 1})) or ""


def every_action(mate: User) -> Iterator[Action]:
    yield MoveAll("archived", "Spring cleaning")
    yield AssignAll(mate.pk)
    yield TagAll(["vip"])
    yield UntagAll(["old"])
    yield FollowUpAll(soon(), "Call")
    yield SnoozeAll(soon(days=2))


# What would be, and doing it


def test_a_plan_says_what_changes_and_what_does_not(lima: Workspace, rep: User) -> None:
    leads = make(lima, "new", "contacted", "qualified", "converted")
    made = planned(MoveAll("qualified"), leads, rep)
    assert [(step.lead, step.before, step.after) for step in made.steps] == [
        (leads[0], "new", "qualified"),
        (leads[1], "contacted", "qualified"),
    ]
    assert made.same == [leads[2]]
    assert dict(made.refused) == {"A lead that is Converted cannot become Qualified": [leads[3]]}
    assert column("lead_status", leads) == ["new", "contacted", "qualified", "converted"]


def test_each_change_is_in_the_history_of_its_lead(lima: Workspace, rep: User, mate: User) -> None:
    leads = make(lima, "new", "qualified", tags=["old"])
    clocks = list(Contact.objects.order_by("pk").values(*CLOCKS))
    for action in every_action(mate):
        made = do(action, leads, rep)
        assert (made.leads, made.by, action_from(made.action).words()) == (2, rep, action.words())
        rows = made.status_changes if action.kind is None else made.lead_changes
        assert sorted(row.contact_id for row in rows.all()) == [lead.pk for lead in leads]
        assert {row.by for row in rows.all()} == {rep}
    assert column("lead_status", leads) == ["archived"] * 2
    assert column("owner", leads) == [mate.pk] * 2
    assert column("tags", leads) == [["vip"]] * 2
    assert set(StatusChange.objects.values_list("from_status", "reason")) == {
        ("new", "Spring cleaning"),
        ("qualified", "Spring cleaning"),
    }
    assert set(FollowUp.objects.values_list("remark", "by")) == {("Call", rep.pk)}
    assert (
        Contact.objects.filter(snoozed_at=F("last_inbound_at"), snoozed_until__gt=timezone.now()).count() == 2
    )
    assert list(Contact.objects.order_by("pk").values(*CLOCKS)) == clocks


def test_single_and_bulk_changes_are_recorded_alike(lima: Workspace, rep: User, mate: User) -> None:
    one, many = make(lima, "new", "new", tags=["old"])
    until = timezone.now() + timedelta(days=1)
    work.assign(one, mate, by=rep)
    work.add_tags(one, ["vip"], by=rep)
    work.plan_follow_up(one, until, "Call", by=rep)
    work.snooze(one, until, by=rep)
    for action in (AssignAll(mate.pk), TagAll(["vip"]), FollowUpAll(as_json(until) or "", "Call")):
        do(action, [many], rep)
    do(SnoozeAll(as_json(until) or ""), [many], rep)
    of = LeadChange.objects.order_by("pk").values_list("kind", "field", "before", "after", "by", "reason")
    assert list(of.filter(contact=one)) == list(of.filter(contact=many))
    columns = ("owner", "tags", "snoozed_until", "follow_ups__due_at", "follow_ups__remark")
    assert len(set(map(str, Contact.objects.values_list(*columns)))) == 1


def test_tags_are_spelled_as_the_workspace_does(lima: Workspace, rep: User) -> None:
    Tag.objects.create(workspace=lima, name="VIP")
    leads = make(lima, "new", "new") + make(lima, "new", tags=["Vip"])
    made = planned(TagAll(["vip"]), leads, rep)
    assert made.same == leads[2:]
    do(TagAll(["vip"]), leads, rep)
    assert column("tags", leads) == [["VIP"], ["VIP"], ["Vip"]]


def test_a_lead_with_too_many_tags_is_left_as_it_is(lima: Workspace, rep: User) -> None:
    (full,) = make(lima, "new", tags=[str(tag) for tag in range(50)])
    assert list(planned(TagAll(["vip"]), [full], rep).refused) == ["A lead has at most 50 tags."]


def test_an_open_follow_up_moves(lima: Workspace, rep: User) -> None:
    leads = make(lima, "new", "new")
    work.plan_follow_up(leads[0], timezone.now() + timedelta(hours=2), "Old", by=rep)
    do(FollowUpAll(soon(), "New"), leads, rep)
    assert list(FollowUp.objects.values_list("remark", "done_at")) == [("New", None)] * 2


def test_each_workspace_has_a_change_of_its_own(lima: Workspace, rep: User) -> None:
    other = Workspace.objects.create(name="Other", slug="other")
    Membership.objects.create(workspace=other, user=rep)
    here, there = make(lima, "new", "new"), make(other, "new")
    action = TagAll(["vip"])
    made, _ = bulk.apply(action, planned(action, here + there, rep).seen, by=rep, rights=Rights.of(rep))
    assert [(one.workspace, one.leads) for one in made] == [(lima, 2), (other, 1)]
    undo(made[1], rep)
    assert column("tags", here + there) == [["vip"], ["vip"], []]


def test_a_foreign_owner_is_refused_lead_by_lead(lima: Workspace, rep: User, mate: User) -> None:
    other = Workspace.objects.create(name="Other", slug="other")
    Membership.objects.create(workspace=other, user=rep)
    here, there = make(lima, "new"), make(other, "new")
    made = planned(AssignAll(mate.pk), here + there, rep)
    assert [step.lead for step in made.steps] == here
    assert dict(made.refused) == {"mate does not work in the lead's workspace": there}


def test_only_leads_that_one_sees_and_may_work_are_changed(lima: Workspace, rep: User, mate: User) -> None:
    looked_at, foreign = (Workspace.objects.create(name=slug, slug=slug) for slug in ("looked", "foreign"))
    Membership.objects.create(workspace=looked_at, user=rep, role=Role.VIEWER)
    lima.agents_see_all = False
    lima.save()
    mine, theirs = make(lima, "new", owner=rep), make(lima, "new", owner=mate)
    seen, unseen = make(looked_at, "new"), make(foreign, "new")
    made = planned(TagAll(["vip"]), mine + theirs + seen + unseen, rep)
    assert [step.lead for step in made.steps] == mine
    assert dict(made.refused) == {"You may look at it, not change it": seen}
    assert made.gone == 2
    forged: dict[int, Any] = {lead.pk: [] for lead in theirs + seen + unseen}
    assert bulk.apply(TagAll(["vip"]), forged, by=rep, rights=Rights.of(rep))[0] == []
    assert column("tags", theirs + seen + unseen) == [[], [], []]


def test_what_somebody_changed_since_the_preview_is_left_alone(
    lima: Workspace, rep: User, mate: User
) -> None:
    leads = make(lima, "new", "new", "new")
    seen = planned(AssignAll(rep.pk), leads, rep).seen
    work.assign(leads[1], mate, by=mate)
    merge(leads[0], leads[2], by=mate)
    (made,), plan = bulk.apply(AssignAll(rep.pk), seen, by=rep, rights=Rights.of(rep))
    assert made.leads == 1
    assert plan.gone == 1
    assert dict(plan.refused) == {"Somebody else changed it since the preview": [leads[1]]}
    assert column("owner", leads[:2]) == [rep.pk, mate.pk]


def test_nothing_to_change_leaves_no_change(lima: Workspace, rep: User) -> None:
    leads = make(lima, "new", tags=["vip"])
    made, plan = bulk.apply(TagAll(["VIP"]), {leads[0].pk: ["vip"]}, by=rep, rights=Rights.of(rep))
    assert (made, plan.same, BulkChange.objects.count()) == ([], leads, 0)


def test_a_follow_up_that_is_past_by_the_time_it_is_confirmed(lima: Workspace, rep: User) -> None:
    leads = make(lima, "new")
    for action in (FollowUpAll(soon(seconds=-1)), SnoozeAll(soon(seconds=-1))):
        made, plan = bulk.apply(action, {leads[0].pk: None}, by=rep, rights=Rights.of(rep))
        assert made == []
        assert "in the past" in next(iter(plan.refused))


def test_whoever_is_assigned_leads_is_told_of_each(
    lima: Workspace, rep: User, mate: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(
        notifying, "leads_assigned", lambda leads, by: told.extend((lead.owner_id, by) for lead in leads)
    )
    do(AssignAll(mate.pk), make(lima, "new", "new"), rep)
    assert told == [(mate.pk, rep)] * 2


# Taking it back


def test_an_undo_gives_each_lead_back_what_it_had(lima: Workspace, rep: User, mate: User) -> None:
    leads = make(lima, "new", "qualified", tags=["old"])
    work.assign(leads[0], rep, by=rep)
    work.plan_follow_up(leads[0], timezone.now() + timedelta(hours=2), "Old", by=rep)
    work.snooze(leads[0], timezone.now() + timedelta(hours=3), by=rep)
    rows = Contact.objects.order_by("pk").values("lead_status", "owner", "tags", "snoozed_until", *CLOCKS)
    open_ones = FollowUp.objects.order_by("contact").values_list("contact", "due_at", "remark")
    before = list(rows.all()), list(open_ones.all())
    made = [do(action, leads, rep) for action in every_action(mate)]
    assert list(rows.all()) != before[0]
    for one in reversed(made):
        assert undo(one, rep) == bulk.Undone(leads, left=0)
        assert BulkChange.objects.get(pk=one.pk).undone_at
    assert (list(rows.all()), list(open_ones.all())) == before
    assert StatusChange.objects.filter(reason="Undone", by=rep).count() == 2
    assert LeadChange.objects.filter(reason="Undone", by=rep).count() == 10


def test_an_undo_leaves_alone_what_was_changed_since(lima: Workspace, rep: User, mate: User) -> None:
    leads = make(lima, *["new"] * 5)
    made = do(MoveAll("qualified"), leads, rep)
    leads[1].change_status("contacted", by=mate)
    merge(leads[2], leads[3], by=mate)
    leads[4].follow_ups.all().delete()
    undone = undo(made, rep)
    assert [lead.pk for lead in undone.returned] == [leads[0].pk, leads[2].pk, leads[4].pk]
    assert undone.left == 2
    assert column("lead_status", leads) == ["new", "contacted", "new", "qualified", "new"]


@pytest.mark.parametrize("index", range(6))
def test_an_undo_leaves_alone_any_value_that_is_another_by_now(
    lima: Workspace, rep: User, mate: User, index: int
) -> None:
    leads = make(lima, "new", "new", tags=["old"])
    action = list(every_action(mate))[index]
    made, touched = do(action, leads, rep), leads[0]
    later = timezone.now() + timedelta(days=9)
    change: list[Callable[[], Any]] = [
        lambda: touched.change_status("new", by=mate),
        lambda: work.assign(touched, None, by=mate),
        lambda: work.add_tags(touched, ["more"], by=mate),
        lambda: work.add_tags(touched, ["more"], by=mate),
        lambda: work.plan_follow_up(touched, later, by=mate),
        lambda: work.wake(touched, by=mate),
    ]
    change[index]()
    row = Contact.objects.values().get(pk=touched.pk)
    follow_ups = list(FollowUp.objects.filter(contact=touched).values())
    undone = undo(made, rep)
    assert ([lead.pk for lead in undone.returned], undone.left) == ([leads[1].pk], 1)
    assert Contact.objects.values().get(pk=touched.pk) == row
    assert list(FollowUp.objects.filter(contact=touched).values()) == follow_ups


def test_an_owner_who_left_since_does_not_come_back(lima: Workspace, rep: User, mate: User) -> None:
    leads = make(lima, "new", owner=mate)
    made = do(AssignAll(rep.pk), leads, rep)
    Membership.objects.get(user=mate).delete()
    assert undo(made, rep) == bulk.Undone([], left=1)
    assert column("owner", leads) == [rep.pk]


def test_a_lead_taken_back_to_the_archive_has_written_again_as_before(lima: Workspace, rep: User) -> None:
    (lead,) = make(lima, "new")
    move = lead.change_status("archived", by=rep)
    StatusChange.objects.filter(pk=move.pk).update(at=timezone.now() - timedelta(hours=2))
    Contact.objects.filter(pk=lead.pk).update(closed_at=timezone.now() - timedelta(hours=2))
    closed_at = Contact.objects.get().closed_at
    for _ in range(2):
        assert lead_views.wrote_again(Contact.objects.all()).exists()
        made = do(MoveAll("new"), [lead], rep)
        assert not lead_views.wrote_again(Contact.objects.all()).exists()
        undo(made, rep)
        assert abs(closed_at - Contact.objects.get().closed_at) < timedelta(seconds=1)  # type: ignore[operator]
    assert lead_views.awaiting_reply(Contact.objects.all(), timezone.now()).exists()


def test_an_undo_leaves_alone_what_its_maker_does_not_see_any_more(
    lima: Workspace, rep: User, mate: User
) -> None:
    Workspace.objects.update(agents_see_all=False)
    leads = make(lima, "new", "new", owner=rep)
    made = do(TagAll(["vip"]), leads, rep)
    Contact.objects.filter(pk=leads[0].pk).update(owner=mate)
    assert undo(made, rep) == bulk.Undone([leads[1]], left=1)
    given = do(AssignAll(mate.pk), leads[1:], rep)
    assert undo(given, rep) == bulk.Undone([leads[1]], left=0)


def test_an_undo_is_for_whoever_did_it_and_for_managers(lima: Workspace, rep: User, mate: User) -> None:
    manager = somebody(lima, "manager", Role.MANAGER)
    leads = make(lima, "new")
    made = do(TagAll(["vip"]), leads, rep)
    with pytest.raises(Refused, match="managers"):
        undo(made, mate)
    Membership.objects.filter(user=rep).update(role=Role.VIEWER)
    with pytest.raises(Refused, match="managers"):
        undo(made, rep)
    assert undo(made, manager).returned == leads
    with pytest.raises(Refused, match="undone already"):
        undo(made, manager)
    assert column("tags", leads) == [[]]


def test_after_ten_minutes_it_stays(lima: Workspace, rep: User) -> None:
    leads = make(lima, "new")
    made = do(TagAll(["vip"]), leads, rep)
    BulkChange.objects.update(at=timezone.now() - timedelta(minutes=10))
    with pytest.raises(Refused, match="ten minutes"):
        undo(made, rep)
    assert column("tags", leads) == [["vip"]]
    BulkChange.objects.update(at=timezone.now() - timedelta(minutes=9))
    undo(made, rep)
    assert column("tags", leads) == [[]]


@pytest.mark.django_db(transaction=True)
def test_of_two_who_undo_at_once_one_does(lima: Workspace, rep: User) -> None:
    leads = make(lima, "new", "new")
    made, gate = do(MoveAll("qualified"), leads, rep), Barrier(2)

    def take_back(_: int) -> int:
        try:
            gate.wait()
            return len(undo(made, rep).returned)
        except Refused:
            return 0
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(take_back, range(2))) == [0, 2]
    assert StatusChange.objects.filter(reason="Undone").count() == 2


@pytest.mark.django_db(transaction=True)
def test_many_and_one_changed_at_once_lose_nothing(lima: Workspace, rep: User, mate: User) -> None:
    leads, gate = make(lima, *["new"] * 20), Barrier(2)
    seen = planned(AssignAll(rep.pk), leads, rep).seen

    def many() -> None:
        gate.wait()
        bulk.apply(AssignAll(rep.pk), seen, by=rep, rights=Rights.of(rep))
        connections.close_all()

    def one_by_one() -> None:
        gate.wait()
        for lead in reversed(leads):
            with suppress(Refused):
                work.assign(lead, mate, by=mate, seen="")
        connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(many), pool.submit(one_by_one)]:
            done.result()
    assert LeadChange.objects.count() == 20  # each lead has one owner and had no other
    assert dict(LeadChange.objects.values_list("contact", "after")) == dict(
        Contact.objects.values_list("pk", "owner")
    )


# The number of statements


@pytest.mark.parametrize("index", range(6))
def test_two_hundred_leads_take_the_statements_of_two(
    lima: Workspace, rep: User, mate: User, index: int
) -> None:
    def statements(count: int) -> tuple[int, int, int]:
        action = list(every_action(mate))[index]
        leads = make(lima, *["new"] * count, tags=["old"])
        work.plan_follow_up(leads[0], timezone.now() + timedelta(hours=2), by=rep)
        rights, counts = Rights.of(rep), []
        with CaptureQueriesContext(
            connection,
        ) as captured:
            seen = bulk.plan(action, [lead.pk for lead in leads], rights=rights).seen
        counts.append(len(captured))
        with CaptureQueriesContext(connection) as captured:
            (made,), _ = bulk.apply(action, seen, by=rep, rights=rights)
        counts.append(len(captured))
        with CaptureQueriesContext(connection) as captured:
            assert len(bulk.undo(made, by=rep, rights=rights).returned) == count
        return counts[0], counts[1], len(captured)

    assert statements(2) == statements(200)
