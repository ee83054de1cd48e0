"""What people do with a lead: each rule, what the history says of it, and that no clock moves."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone, translation
from pytest_django import DjangoAssertNumQueries

from contacts import notifying, work
from contacts.changing import Refused, Stale
from contacts.mentions import mentioned
from contacts.merging import merge, undo
from contacts.models import (
    Contact,
    Conversation,
    CustomField,
    FollowUp,
    LeadChange,
    Membership,
    Note,
    Role,
    StatusChange,
    Tag,
    TransitionRefused,
)
from contacts.when import moment
from tests.builders import ANA, BEA, LIMA, SAOPAULO, Desk, message
from tests.builders import moment as event_time
from tests.test_rebuild_command import run

CLOCKS = ("last_activity_at", "last_contact_at", "last_inbound_at")


@pytest.fixture
def desk(db: None) -> Desk:
    desk = Desk.open()
    desk.told(message("a", 0, phone=ANA, name="Ana"), message("b", 5, phone=BEA, name="Bea"))
    return desk


@pytest.fixture
def lead(desk: Desk) -> Contact:
    return desk.lead(ANA)


@pytest.fixture
def rep(desk: Desk) -> User:
    return member(desk, "rep")


@pytest.fixture
def mate(desk: Desk) -> User:
    return member(desk, "mate")


def member(desk: Desk, name: str, role: Role = Role.AGENT, number: str = LIMA) -> User:
    user = User.objects.create_user(name, is_staff=True)
    Membership.objects.create(workspace=desk.numbers[number].workspace, user=user, role=role)
    return user


def soon(**ahead: float) -> datetime:
    return timezone.now().replace(microsecond=0) + timedelta(**ahead or {"days": 1})


def clocks(lead: Contact) -> list[Any]:
    return list(Contact.objects.filter(pk=lead.pk).values_list(*CLOCKS))


def changes(lead: Contact) -> list[tuple[Any, ...]]:
    rows = LeadChange.objects.of(lead).order_by("pk")
    return list(rows.values_list("kind", "field", "before", "after", "by__username"))


def refused(call: Callable[[], Any], *words: str, kind: type[Exception] = Refused) -> None:
    """It is refused in these words, and nothing whatever was changed."""
    tables = (Contact, LeadChange, StatusChange, Note, FollowUp)
    before = [list(table.objects.order_by("pk").values()) for table in tables]
    with pytest.raises(kind) as refusal:
        call()
    assert [list(table.objects.order_by("pk").values()) for table in tables] == before
    for word in words:
        assert word in str(refusal.value)


# Status


def test_a_move_is_recorded_with_who_and_why(lead: Contact, rep: User) -> None:
    before = clocks(lead)
    change = work.move(lead, "qualified", by=rep, reason="Asked for\n a price", seen="new")
    assert (change.from_status, change.to_status, change.by, change.reason) == (
        "new",
        "qualified",
        rep,
        "Asked for a price",
    )
    lead.refresh_from_db()
    assert lead.lead_status == "qualified"
    assert clocks(lead) == before


def test_a_move_that_is_not_allowed_changes_nothing(lead: Contact, rep: User) -> None:
    refused(
        lambda: work.move(lead, "converted", by=rep), "cannot become", "Qualified", kind=TransitionRefused
    )
    refused(lambda: work.move(lead, "sold", by=rep), "no such status")
    refused(lambda: work.move(lead, "new", by=rep), "already")
    refused(lambda: work.move(lead, "qualified", by=rep, reason="x" * 256), "256", "255")
    refused(lambda: work.move(lead, "archived", by=rep, seen="qualified"), "“New” now", kind=Stale)


@pytest.mark.parametrize(
    ("status", "steps"),
    [
        ("archived", [("archived", "new")]),
        ("converted", [("converted", "archived"), ("archived", "new")]),
    ],
)
def test_a_lead_that_wrote_again_is_new_by_allowed_moves(
    lead: Contact, rep: User, status: str, steps: list[tuple[str, str]]
) -> None:
    Contact.objects.filter(pk=lead.pk).update(lead_status=status)
    work.reengage(lead, by=rep, seen=status)
    told = (
        StatusChange.objects.of(lead).order_by("pk").values_list("from_status", "to_status", "reason", "by")
    )
    assert list(told) == [(*step, "Wrote again", rep.pk) for step in steps]
    assert Contact.objects.get(pk=lead.pk).lead_status == "new"
    refused(lambda: work.reengage(lead, by=rep), "it is worked on")


# Owner


def test_a_lead_gets_an_owner_and_loses_it(lead: Contact, rep: User, mate: User) -> None:
    before = clocks(lead)
    work.assign(lead, mate, by=rep, reason="Speaks Quechua", seen="")
    work.assign(lead, None, by=mate, seen=str(mate.pk))
    assert work.assign(lead, None, by=mate) is None
    assert changes(lead) == [
        ("owner", "", None, mate.pk, "rep"),
        ("owner", "", mate.pk, None, "mate"),
    ]
    assert LeadChange.objects.earliest("pk").reason == "Speaks Quechua"
    assert clocks(lead) == before


def test_only_who_works_in_the_workspace_owns_its_leads(desk: Desk, lead: Contact, rep: User) -> None:
    stranger = member(desk, "stranger", number=SAOPAULO)
    viewer = member(desk, "viewer", Role.VIEWER)
    gone = member(desk, "gone")
    User.objects.filter(pk=gone.pk).update(is_active=False)
    for user in (stranger, viewer, gone, User.objects.create_superuser("boss")):
        refused(partial(work.assign, lead, user, by=rep), f"{user.username} does not work")


def test_of_two_who_assign_the_second_is_told(lead: Contact, rep: User, mate: User) -> None:
    work.assign(lead, mate, by=mate, seen="")
    refused(lambda: work.assign(lead, rep, by=rep, seen=""), "the owner is “mate” now", kind=Stale)
    work.assign(lead, None, by=mate)
    refused(lambda: work.assign(lead, rep, by=rep, seen=str(mate.pk)), "empty now", kind=Stale)


def test_whoever_is_assigned_is_told(
    lead: Contact, rep: User, mate: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(notifying, "lead_assigned", lambda lead, by: told.append((lead.owner, by)))
    work.assign(lead, mate, by=rep)
    work.assign(lead, mate, by=rep)
    assert told == [(mate, rep)]


def asked_for_a_human(lead: Contact, second: int = 100) -> datetime:
    Conversation.objects.filter(contact=lead).update(handoff_at=event_time(second), handoff_reason="A refund")
    return event_time(second)


def test_who_takes_a_lead_takes_its_hand_off(lead: Contact, rep: User) -> None:
    at = asked_for_a_human(lead)
    work.assign(lead, rep, by=rep)
    lead.refresh_from_db()
    assert lead.handoff_cleared_at == at
    assert ("handoff", "", None, at.isoformat(), "rep") in changes(lead)


def test_who_is_given_a_lead_has_not_taken_its_hand_off(lead: Contact, rep: User, mate: User) -> None:
    asked_for_a_human(lead)
    work.assign(lead, mate, by=rep)
    assert Contact.objects.get(pk=lead.pk).handoff_cleared_at is None
    assert work.assign(lead, mate, by=mate) is None  # it is theirs already, and they take it
    assert Contact.objects.get(pk=lead.pk).handoff_cleared_at


def test_a_cleared_hand_off_comes_back_with_the_next(lead: Contact, rep: User) -> None:
    assert work.clear_handoff(lead, by=rep) is None
    first = asked_for_a_human(lead)
    assert work.clear_handoff(lead, by=rep)
    assert work.clear_handoff(lead, by=rep) is None
    assert Contact.objects.get(pk=lead.pk).handoff_cleared_at == first
    asked_for_a_human(lead, 101)
    assert work.clear_handoff(lead, by=rep)


# Tags


def test_tags_are_added_and_removed_whatever_their_case(desk: Desk, lead: Contact, rep: User) -> None:
    Tag.objects.create(workspace=lead.workspace, name="VIP")
    before = clocks(lead)
    work.add_tags(lead, ["vip, big  order", "Vip"], by=rep)
    assert work.add_tags(lead, ["BIG ORDER"], by=rep) is None
    work.remove_tags(lead, ["viP"], by=rep)
    assert work.remove_tags(lead, ["never there"], by=rep) is None
    assert changes(lead) == [
        ("tags", "", [], ["VIP", "big order"], "rep"),
        ("tags", "", ["VIP", "big order"], ["big order"], "rep"),
    ]
    assert Contact.objects.get(pk=lead.pk).tags == ["big order"]
    assert clocks(lead) == before


def test_tags_that_cannot_be(lead: Contact, rep: User) -> None:
    refused(lambda: work.add_tags(lead, [" , "], by=rep), "which tag")
    refused(lambda: work.add_tags(lead, ["x" * 51], by=rep), "51", "50")
    refused(lambda: work.add_tags(lead, map(str, range(51)), by=rep), "at most 50")


def test_hostile_words_are_kept_as_words(lead: Contact, rep: User) -> None:
    work.add_tags(lead, ["<script>\u202e=1+1\x00"], by=rep)
    assert Contact.objects.get(pk=lead.pk).tags == ["<script>\u202e=1+1\ufffd"]
    assert work.add_note(lead, "a\x00b\ud800", by=rep).text == "a\ufffdb\ufffd"


# Fields


def test_a_typed_name_is_the_teams_from_then_on(desk: Desk, lead: Contact, rep: User) -> None:
    work.set_field(lead, "name", "  Ana Flores ", by=rep, seen="Ana")
    desk.told(message("earlier", -100, phone=ANA, name="Anita"))
    assert desk.lead(ANA).name == "Ana Flores"
    assert changes(lead) == [("name", "", "Ana", "Ana Flores", "rep")]


def test_email_and_score(lead: Contact, rep: User) -> None:
    before = clocks(lead)
    work.set_field(lead, "email", "ana@example.com", by=rep)
    work.set_field(lead, "lead_score", "40", by=rep, seen="0")
    assert work.set_field(lead, "lead_score", "40", by=rep) is None
    lead.refresh_from_db()
    assert (lead.email, lead.lead_score) == ("ana@example.com", 40)
    assert [change[:4] for change in changes(lead)] == [
        ("email", "", "", "ana@example.com"),
        ("lead_score", "", 0, 40),
    ]
    assert clocks(lead) == before


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("email", "no address", "E-mail: "),
        ("lead_score", "much", "Score: "),
        ("lead_score", "99999999999", "Score: "),
        ("name", "x" * 256, "255"),
        ("owner", "1", "no field"),
        ("phone", "1", "no field"),
        ("last_activity_at", "2026-01-01", "no field"),
        ("nonsense", "1", "no field"),
    ],
)
def test_what_a_field_does_not_take(lead: Contact, rep: User, name: str, value: str, word: str) -> None:
    refused(lambda: work.set_field(lead, name, value, by=rep), word)


def custom(lead: Contact, kind: str, choices: tuple[str, ...] = ()) -> None:
    CustomField.objects.create(
        workspace=lead.workspace, key="extra", label="Extra", kind=kind, choices=list(choices)
    )
    Contact.objects.filter(pk=lead.pk).update(metadata={"of_an_import": [1]})


@pytest.mark.parametrize(
    ("kind", "typed", "value"),
    [
        ("text", " <b>x</b> ", "<b>x</b>"),
        ("number", "12", 12),
        ("number", "1.50", 1.5),
        ("number", "0", 0),
        ("date", "2026-02-28", "2026-02-28"),
        ("choice", "Red", "Red"),
        ("yes_no", "yes", True),
        ("yes_no", "no", False),
        ("yes_no", "on", True),
    ],
)
def test_a_custom_field_keeps_values_of_its_kind(
    lead: Contact, rep: User, kind: str, typed: str, value: Any
) -> None:
    custom(lead, kind, ("Red", "Blue"))
    work.set_field(lead, "extra", typed, by=rep, seen="")
    found = Contact.objects.get(pk=lead.pk).metadata
    assert found == {"of_an_import": [1], "extra": value}
    assert type(found["extra"]) is type(value)
    work.set_field(lead, "extra", "", by=rep, seen=typed)
    assert Contact.objects.get(pk=lead.pk).metadata == {"of_an_import": [1]}
    assert changes(lead) == [
        ("field", "extra", None, value, "rep"),
        ("field", "extra", value, None, "rep"),
    ]


@pytest.mark.parametrize(
    ("kind", "typed"),
    [
        ("text", "x" * 501),
        ("text", "a\x00b"),
        ("number", "NaN"),
        ("number", "Infinity"),
        ("number", "1e400"),
        ("number", "12 apples"),
        ("date", "2026-02-30"),
        ("date", "yesterday"),
        ("choice", "Green"),
        ("yes_no", "perhaps"),
    ],
)
def test_a_custom_field_refuses_values_of_another_kind(
    lead: Contact, rep: User, kind: str, typed: str
) -> None:
    custom(lead, kind, ("Red", "Blue"))
    refused(lambda: work.set_field(lead, "extra", typed, by=rep), "Extra: ")


def test_a_decimal_comma_is_that_of_the_language(lead: Contact, rep: User) -> None:
    custom(lead, "number")
    with translation.override("es"):
        work.set_field(lead, "extra", "1,5", by=rep)
    assert Contact.objects.get(pk=lead.pk).metadata["extra"] == 1.5


def test_a_field_of_another_workspace_is_none(desk: Desk, lead: Contact, rep: User) -> None:
    CustomField.objects.create(workspace=desk.numbers[SAOPAULO].workspace, key="extra", label="Extra")
    refused(lambda: work.set_field(lead, "extra", "x", by=rep), "no field")


def test_of_two_who_type_the_second_is_told(lead: Contact, rep: User, mate: User) -> None:
    work.set_field(lead, "email", "first@example.com", by=mate, seen="")
    refused(
        lambda: work.set_field(lead, "email", "second@example.com", by=rep, seen=""),
        "first@example.com",
        kind=Stale,
    )


# Notes


def test_a_note_is_its_authors(lead: Contact, rep: User, mate: User) -> None:
    before = clocks(lead)
    note = work.add_note(lead, " Wants\r\nblue ", by=rep)
    assert (note.text, note.by, note.workspace_id) == ("Wants\nblue", rep, lead.workspace_id)
    refused(lambda: work.edit_note(note, "Wants red", by=mate), "Only who wrote")
    refused(lambda: work.delete_note(note, by=mate), "Only who wrote")
    work.edit_note(note, "Wants red", by=rep, seen="Wants\r\nblue")
    note.refresh_from_db()
    assert note.text == "Wants red"
    assert note.edited_at
    refused(lambda: work.edit_note(note, "Green", by=rep, seen="Wants blue"), "“Wants red” now", kind=Stale)
    work.delete_note(note, by=rep)
    assert not Note.objects.exists()
    assert changes(lead) == [("note", "", note.at.isoformat(), None, "rep")]
    refused(lambda: work.delete_note(note, by=rep), "no longer here")
    assert clocks(lead) == before


def test_a_note_says_something_but_not_everything(lead: Contact, rep: User) -> None:
    refused(lambda: work.add_note(lead, " \n ", by=rep), "Write something")
    refused(lambda: work.add_note(lead, "x" * 10_001, by=rep), "10001", "10000")


def test_a_note_names_members_who_see_the_lead(
    desk: Desk, lead: Contact, rep: User, mate: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    member(desk, "stranger", number=SAOPAULO)
    boss = member(desk, "ana.boss", Role.MANAGER)
    told: list[Note] = []
    monkeypatch.setattr(notifying, "mentioned", told.append)
    text = "@rep @MATE and @ana.boss. Not x@mate, @stranger or @nobody: see\n@mate"
    note = work.add_note(lead, text, by=rep)
    assert told == [note]
    assert mentioned(note) == sorted((mate, boss), key=lambda user: user.pk)
    lead.workspace.agents_see_all = False
    lead.workspace.save()
    Contact.objects.filter(pk=lead.pk).update(owner=rep)
    assert mentioned(Note.objects.get()) == [boss]


def test_the_note_of_a_merged_lead_stays_with_it(desk: Desk, lead: Contact, rep: User) -> None:
    other = desk.lead(BEA)
    note = work.add_note(other, "About Bea", by=rep)
    merge(lead, other, by=rep)
    assert list(Note.objects.of(lead)) == [note]
    work.edit_note(note, "Still about Bea", by=rep)
    undo(lead.merges.get(), by=rep)
    assert list(Note.objects.of(lead)) == []
    assert [found.text for found in Note.objects.of(other)] == ["Still about Bea"]


def test_nothing_is_done_to_a_lead_that_was_merged_meanwhile(desk: Desk, lead: Contact, rep: User) -> None:
    other = desk.lead(BEA)
    merge(lead, other, by=rep)
    refused(lambda: work.add_note(other, "x", by=rep), "merged into another")
    refused(lambda: work.move(other, "qualified", by=rep), "merged into another")


# Follow-ups


def test_a_follow_up_is_planned_moved_and_done(lead: Contact, rep: User, mate: User) -> None:
    before, first, second = clocks(lead), soon(days=1), soon(days=2)
    work.plan_follow_up(lead, first, "Call\nback", by=rep, seen="")
    work.plan_follow_up(lead, second, "Call", by=mate, seen=first.isoformat())
    planned = FollowUp.objects.get()
    assert (planned.due_at, planned.remark, planned.by, planned.done_at) == (second, "Call", mate, None)
    work.finish_follow_up(lead, by=rep)
    planned.refresh_from_db()
    assert planned.done_by == rep
    refused(lambda: work.finish_follow_up(lead, by=rep), "No follow-up")
    one = {"due_at": first.isoformat(), "remark": "Call back"}
    two = {"due_at": second.isoformat(), "remark": "Call"}
    assert [change[2:] for change in changes(lead)] == [
        (None, one, "rep"),
        (one, two, "mate"),
        (two, None, "rep"),
    ]
    assert clocks(lead) == before


def test_a_follow_up_that_cannot_be(lead: Contact, rep: User) -> None:
    refused(lambda: work.plan_follow_up(lead, soon(minutes=-1), by=rep), "in the past")
    refused(lambda: work.plan_follow_up(lead, soon(days=3650), by=rep), "five years")
    refused(lambda: work.plan_follow_up(lead, soon(), "x" * 501, by=rep), "501")
    work.plan_follow_up(lead, soon(), by=rep)
    refused(lambda: work.plan_follow_up(lead, soon(), by=rep, seen=""), "the follow-up is “20", kind=Stale)


def test_of_two_merged_leads_one_follow_up_is_left_when_it_moves(
    desk: Desk, lead: Contact, rep: User
) -> None:
    other = desk.lead(BEA)
    for one in (lead, other):
        work.plan_follow_up(one, soon(), by=rep)
    merge(lead, other, by=rep)
    work.plan_follow_up(lead, soon(days=3), by=rep)
    assert FollowUp.objects.of(lead).get(done_at=None).contact == lead


# Putting aside


def test_a_lead_is_put_aside_and_taken_up_again(lead: Contact, rep: User) -> None:
    before, until = clocks(lead), soon(days=3)
    work.snooze(lead, until, by=rep, seen="")
    lead.refresh_from_db()
    assert (lead.snoozed_until, lead.snoozed_at) == (until, lead.last_inbound_at)
    assert work.wake(lead, by=rep, seen=until.isoformat())
    assert work.wake(lead, by=rep) is None
    assert Contact.objects.get(pk=lead.pk).snoozed_until is None
    assert [change[:4] for change in changes(lead)] == [
        ("snooze", "", None, until.isoformat()),
        ("snooze", "", until.isoformat(), None),
    ]
    refused(lambda: work.snooze(lead, soon(minutes=-1), by=rep), "in the past")
    assert clocks(lead) == before


def test_a_lead_that_wrote_is_not_put_aside_any_more(desk: Desk, lead: Contact, rep: User) -> None:
    work.snooze(lead, soon(), by=rep)
    desk.told(message("c", 10, phone=ANA))
    assert work.wake(lead, by=rep) is None


# Reading


def test_reading_reaches_as_far_as_the_page_showed(desk: Desk, lead: Contact) -> None:
    desk.told(message("c", 10, phone=ANA))
    assert work.mark_read(lead)  # as it was loaded, before that message
    assert not work.mark_read(lead)
    assert desk.lead(ANA).read_at == event_time(0)
    assert work.mark_read(desk.lead(ANA))
    assert not work.mark_read(lead)  # an older page takes nothing back
    assert desk.lead(ANA).read_at == event_time(10)
    assert not work.mark_read(Contact(pk=lead.pk))


# Words for times


@pytest.mark.parametrize(
    ("named", "at"),
    [
        ("today", datetime(2026, 6, 9, 22, 0, tzinfo=UTC)),
        ("tomorrow", datetime(2026, 6, 10, 14, 0, tzinfo=UTC)),
        ("week", datetime(2026, 6, 16, 14, 0, tzinfo=UTC)),
        ("2026-06-10", datetime(2026, 6, 10, 14, 0, tzinfo=UTC)),
        ("2026-06-10T08:30", datetime(2026, 6, 10, 13, 30, tzinfo=UTC)),
        ("2026-06-10T08:30:00+00:00", datetime(2026, 6, 10, 8, 30, tzinfo=UTC)),
    ],
)
def test_times_are_local_to_whoever_names_them(named: str, at: datetime) -> None:
    with timezone.override("America/Lima"):
        assert moment(named, datetime(2026, 6, 9, 15, 0, tzinfo=UTC)) == at


def test_today_is_later_even_in_the_evening() -> None:
    now = datetime(2026, 6, 9, 21, 10, 5, tzinfo=UTC)
    assert moment("today", now) == datetime(2026, 6, 9, 22, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "named", ["", "soon", "2026-02-30", "2026-13-01T10:00", "0001-01-01", "9999-12-31", "\x00"]
)
def test_what_is_no_time(named: str) -> None:
    with pytest.raises(Refused):
        moment(named, datetime(2026, 6, 9, 15, 0, tzinfo=UTC))


# Two at once, and what the sync does meanwhile


@pytest.mark.django_db(transaction=True)
def test_two_take_one_lead_and_one_gets_it(lead: Contact, rep: User, mate: User) -> None:
    gate = Barrier(2)

    def take(user: User) -> str:
        try:
            gate.wait()
            work.assign(Contact.objects.get(pk=lead.pk), user, by=user, seen="")
        except Stale as stale:
            return str(stale)
        finally:
            connections.close_all()
        return ""

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(take, (rep, mate)))
    assert answers[0] == ""
    assert "the owner is “" in answers[1]
    assert LeadChange.objects.count() == 1


def budget(lead: Contact, **fields: Any) -> CustomField:
    told = {"key": "budget", "label": "Budget", "kind": "number"} | fields
    return CustomField.objects.create(workspace=lead.workspace, **told)


def test_several_fields_are_set_in_one_go(
    lead: Contact, rep: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    budget(lead), budget(lead, key="vip", label="VIP", kind="yes_no")
    values = {"name": "Ana Flores", "lead_score": 7, "metadata": {"budget": 1.5, "vip": False}}
    with django_assert_num_queries(6):  # two of them begin and end the transaction
        made = work.set_fields(lead, values, by=rep)
    lead.refresh_from_db()
    assert (lead.name, lead.chosen_name, lead.lead_score) == ("Ana Flores", "", 7)
    assert lead.metadata == {"budget": 1.5, "vip": False}
    assert [(change.kind, change.field, change.after) for change in made] == [
        ("name", "", "Ana Flores"), ("lead_score", "", 7), ("field", "budget", 1.5), ("field", "vip", False)
    ]  # fmt: skip
    assert work.set_fields(lead, values, by=rep) == []
    work.set_fields(lead, {"metadata": {"budget": None}}, by=rep)
    lead.refresh_from_db()
    assert lead.metadata == {"vip": False}


@pytest.mark.parametrize(
    ("values", "name", "word"),
    [
        ({"name": 5}, "name", "takes text"),
        ({"email": "no address"}, "email", "E-mail"),
        ({"lead_score": "7"}, "lead_score", "whole number"),
        ({"lead_score": True}, "lead_score", "whole number"),
        ({"metadata": {"budget": "5"}}, "budget", "takes a number"),
        ({"metadata": {"budget": True}}, "budget", "takes a number"),
        ({"metadata": {"budget": [5]}}, "budget", "takes a number"),
        ({"metadata": {"colour": "red"}}, "colour", "no field"),
    ],
)
def test_one_value_that_does_not_fit_changes_nothing(
    lead: Contact, rep: User, values: dict[str, Any], name: str, word: str
) -> None:
    budget(lead)
    with pytest.raises(work.FieldRefused, match=word) as refusal:
        work.set_fields(lead, {"lead_score": 3} | values, by=rep)
    assert refusal.value.name == name
    lead.refresh_from_db()
    assert (lead.lead_score, lead.metadata) == (0, {})
    assert not LeadChange.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_plan_at_once_and_one_follow_up_is_open(lead: Contact, rep: User, mate: User) -> None:
    gate = Barrier(2)

    def plan(user: User) -> None:
        gate.wait()
        work.plan_follow_up(lead, soon(days=user.pk % 7 + 1), by=user)
        connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(plan, (rep, mate)))
    assert FollowUp.objects.filter(done_at=None).count() == 1
    assert LeadChange.objects.filter(kind="follow_up").count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_rebuild_keeps_all_of_it(lead: Contact, rep: User) -> None:
    work.add_note(lead, "Wants blue", by=rep)
    work.plan_follow_up(lead, soon(), "Call", by=rep)
    work.snooze(lead, soon(days=2), by=rep)
    work.assign(lead, rep, by=rep)
    work.add_tags(lead, ["vip"], by=rep)
    work.move(lead, "qualified", by=rep)
    tables = (Note, FollowUp, LeadChange, StatusChange)
    kept = [list(table.objects.order_by("pk").values()) for table in tables]
    row = Contact.objects.values().get(pk=lead.pk)
    Contact.objects.filter(pk=lead.pk).update(last_activity_at=None)
    assert "put right" in run("rebuild_crm")
    assert [list(table.objects.order_by("pk").values()) for table in tables] == kept
    assert Contact.objects.values().get(pk=lead.pk) == row
