"""What people are told, and that they are told it once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from contacts import notifying
from contacts.models import Contact, FollowUp, LeadChange, Membership, Note, Notification, Preferences, Role
from kapso_sync.models import WebhookDelivery
from kapso_sync.silence import tell_of_silence
from tests.builders import LIMA, Desk, message

NOW = datetime(2026, 6, 10, 15, 0, tzinfo=UTC)  # ten in the morning in Lima


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


@pytest.fixture
def lead(desk: Desk) -> Contact:
    return Contact.objects.create(workspace=desk.numbers[LIMA].workspace, name="Maria")


def member(desk: Desk, name: str, role: Role = Role.AGENT, **fields: Any) -> User:
    user = User.objects.create_user(name, is_staff=True, **fields)
    Membership.objects.create(workspace=desk.numbers[LIMA].workspace, user=user, role=role)
    return user


def assign(lead: Contact, owner: User | None, by: User | None) -> None:
    """As the service for it does: record, then tell."""
    before, lead.owner = lead.owner_id, owner
    lead.save(update_fields=["owner"])
    LeadChange.objects.create(
        workspace=lead.workspace, contact=lead, kind="owner", before=before, after=lead.owner_id, by=by
    )
    notifying.lead_assigned(lead, by=by)


def told(kind: str = "") -> list[tuple[str, str]]:
    rows = Notification.objects.order_by("pk").filter(**({"kind": kind} if kind else {}))
    return [(row.user.username, row.kind) for row in rows.select_related("user")]


# A lead that was assigned


def test_the_new_owner_is_told(desk: Desk, lead: Contact) -> None:
    ana, ben = member(desk, "ana"), member(desk, "ben")
    assign(lead, ana, by=ben)
    (row,) = Notification.objects.all()
    assert (row.user, row.kind, row.contact, row.by, row.read_at) == (ana, "assigned", lead, ben, None)


def test_who_takes_a_lead_is_not_told(desk: Desk, lead: Contact) -> None:
    ana = member(desk, "ana")
    assign(lead, ana, by=ana)
    assign(lead, None, by=ana)
    assert told() == []


def test_an_assignment_is_told_once_and_the_next_one_again(desk: Desk, lead: Contact) -> None:
    ana, ben = member(desk, "ana"), member(desk, "ben")
    assign(lead, ana, by=ben)
    notifying.lead_assigned(lead, by=ben)
    assert told() == [("ana", "assigned")]
    assign(lead, ben, by=ben)
    assign(lead, ana, by=ben)
    assert told() == [("ana", "assigned")] * 2


def test_many_assignments_take_two_statements(desk: Desk, django_assert_num_queries: Any) -> None:
    ana, ben = member(desk, "ana"), member(desk, "ben")
    workspace = desk.numbers[LIMA].workspace
    leads = [Contact.objects.create(workspace=workspace, name=str(n), owner=ana) for n in range(30)]
    with django_assert_num_queries(2):
        notifying.leads_assigned(leads, by=ben)
    assert Notification.objects.filter(user=ana).count() == 30


# Mentions


def note(lead: Contact, text: str, by: User) -> Note:
    made = Note.objects.create(workspace=lead.workspace, contact=lead, text=text, by=by)
    notifying.mentioned(made)
    return made


@pytest.mark.parametrize(
    "text", ["@ana", "Ask @ana.", "(@ana) knows", "@ana, @ana!", "¿@ana?", "x\n@ana-", "@ana@"]
)
def test_a_mention_is_told(desk: Desk, lead: Contact, text: str) -> None:
    member(desk, "ana")
    note(lead, text, by=member(desk, "ben"))
    assert told() == [("ana", "mention")]


@pytest.mark.parametrize("text", ["ana", "mail me at joe@ana", "@anabel", "@", "@@", "@ ana", "@ana.b"])
def test_what_mentions_nobody_tells_nobody(desk: Desk, lead: Contact, text: str) -> None:
    member(desk, "ana")
    note(lead, text, by=member(desk, "ben"))
    assert told() == []


def test_a_username_may_end_as_a_sentence_does(desk: Desk, lead: Contact) -> None:
    member(desk, "ana.")
    note(lead, "Ask @ana.", by=member(desk, "ben"))
    assert told() == [("ana.", "mention")]


def test_only_members_who_see_the_lead_are_told(desk: Desk, lead: Contact) -> None:
    owner, ben = member(desk, "owner"), member(desk, "ben")
    member(desk, "boss", Role.MANAGER)
    member(desk, "gone", is_active=False)
    User.objects.create_user("stranger", is_staff=True)
    lead.workspace.agents_see_all = False
    lead.workspace.save(update_fields=["agents_see_all"])
    lead.owner = owner
    lead.save(update_fields=["owner"])
    member(desk, "other")
    note(lead, "@owner @ben @boss @gone @stranger @other", by=ben)
    assert sorted(told()) == [("boss", "mention"), ("owner", "mention")]


def test_an_edited_note_tells_only_whom_it_names_anew(desk: Desk, lead: Contact) -> None:
    member(desk, "ana")
    member(desk, "carl")
    made = note(lead, "@ana", by=member(desk, "ben"))
    made.text = "@ana and @carl"
    notifying.mentioned(made)
    assert told() == [("ana", "mention"), ("carl", "mention")]


# Follow-ups


def follow_up(lead: Contact, due: datetime, by: User | None) -> FollowUp:
    return FollowUp.objects.create(workspace=lead.workspace, contact=lead, due_at=due, by=by)


def zone(desk: Desk, name: str) -> None:
    workspace = desk.numbers[LIMA].workspace
    workspace.time_zone = name
    workspace.save(update_fields=["time_zone"])


def test_today_is_that_of_the_workspace(desk: Desk, lead: Contact) -> None:
    zone(desk, "America/Lima")
    ana = member(desk, "ana")
    follow_up(lead, datetime(2026, 6, 11, 4, 59, tzinfo=UTC), ana)  # a minute before midnight there
    later = Contact.objects.create(workspace=lead.workspace, name="Later")
    follow_up(later, datetime(2026, 6, 11, 5, 0, tzinfo=UTC), ana)
    notifying.follow_ups_due(NOW)
    assert list(Notification.objects.values_list("contact__name", flat=True)) == ["Maria"]


def test_or_that_of_the_persons_own_choice(desk: Desk, lead: Contact) -> None:
    zone(desk, "America/Lima")
    ana = member(desk, "ana")
    Preferences.objects.create(user=ana, time_zone="Asia/Tokyo")  # it is the 11th there
    follow_up(lead, datetime(2026, 6, 11, 14, 59, tzinfo=UTC), ana)
    notifying.follow_ups_due(NOW)
    assert told() == [("ana", "follow_up")]


def test_a_zone_that_nobody_knows_is_the_sites(desk: Desk, lead: Contact) -> None:
    zone(desk, "Mars/Olympus")
    follow_up(lead, datetime(2026, 6, 10, 23, 59, tzinfo=UTC), member(desk, "ana"))
    notifying.follow_ups_due(NOW)
    assert told() == [("ana", "follow_up")]


def test_the_owner_is_told_rather_than_who_planned_it(desk: Desk, lead: Contact) -> None:
    ana, ben = member(desk, "ana"), member(desk, "ben")
    lead.owner = ben
    lead.save(update_fields=["owner"])
    follow_up(lead, NOW, ana)
    notifying.follow_ups_due(NOW)
    assert told() == [("ben", "follow_up")]


def test_a_follow_up_is_told_once_and_again_when_it_was_put_off(desk: Desk, lead: Contact) -> None:
    planned = follow_up(lead, NOW, member(desk, "ana"))
    for _ in range(2):
        notifying.follow_ups_due(NOW)
    assert told() == [("ana", "follow_up")]
    planned.due_at = NOW + timedelta(days=1)
    planned.save(update_fields=["due_at"])
    notifying.follow_ups_due(NOW)
    assert len(told()) == 1
    notifying.follow_ups_due(NOW + timedelta(days=1))
    assert len(told()) == 2


@pytest.mark.parametrize("how", ["done", "archived", "left", "inactive", "nobody"])
def test_what_is_nobodys_task_any_more_is_not_told(desk: Desk, lead: Contact, how: str) -> None:
    ana = member(desk, "ana", is_active=how != "inactive")
    made = follow_up(lead, NOW, None if how == "nobody" else ana)
    FollowUp.objects.filter(pk=made.pk, pk__gt=0).update(done_at=NOW if how == "done" else None)
    Contact.objects.filter(pk=lead.pk).update(lead_status="archived" if how == "archived" else "new")
    if how == "left":
        Membership.objects.all().delete()
    notifying.follow_ups_due(NOW)
    assert told() == []


def test_any_number_of_follow_ups_takes_two_statements(desk: Desk, django_assert_num_queries: Any) -> None:
    ana = member(desk, "ana")
    for n in range(30):
        lead = Contact.objects.create(workspace=desk.numbers[LIMA].workspace, name=str(n))
        follow_up(lead, NOW, ana)
    with django_assert_num_queries(2):
        notifying.follow_ups_due(NOW)
    assert len(told("follow_up")) == 30


@pytest.mark.django_db(transaction=True)
def test_ten_at_once_tell_it_once() -> None:
    desk = Desk.open()
    lead = Contact.objects.create(workspace=desk.numbers[LIMA].workspace, name="Maria")
    ana, ben = member(desk, "ana"), member(desk, "ben")
    follow_up(lead, NOW, ana)
    made = Note.objects.create(workspace=lead.workspace, contact=lead, text="@ana", by=ben)

    def tell(_: int) -> None:
        try:
            notifying.follow_ups_due(NOW)
            notifying.mentioned(made)
        finally:
            connection.close()

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(tell, range(10)))
    assert sorted(told()) == [("ana", "follow_up"), ("ana", "mention")]


# A number that fell silent


def fall_silent(desk: Desk) -> datetime:
    """Three days with a delivery an hour, and none since."""
    last = NOW - timedelta(days=1)
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery.of(str(hours).encode(), {}, received_at=last - timedelta(hours=hours))
        for hours in range(73)
    )
    WebhookDelivery.objects.update(phone_number_id=LIMA)
    return last


def test_owners_and_managers_are_told_of_a_silence_once(desk: Desk) -> None:
    member(desk, "owner", Role.OWNER)
    member(desk, "boss", Role.MANAGER)
    member(desk, "ana")
    last = fall_silent(desk)
    tell_of_silence(NOW)
    tell_of_silence(NOW + timedelta(minutes=5))
    assert sorted(told()) == [("boss", "silence"), ("owner", "silence")]
    row = Notification.objects.first()
    assert row is not None
    assert row.key == f"{desk.numbers[LIMA].pk}:{last.isoformat()}"
    assert row.text.startswith("Nothing for 24 hours, though it was never quiet")


def test_a_number_that_speaks_tells_nobody(desk: Desk) -> None:
    member(desk, "owner", Role.OWNER)
    desk.told(message("a"))
    tell_of_silence(NOW)
    assert told() == []


def test_what_is_half_a_year_old_is_forgotten(desk: Desk, lead: Contact) -> None:
    ana, ben = member(desk, "ana"), member(desk, "ben")
    assign(lead, ana, by=ben)
    Notification.objects.update(at=NOW - timedelta(days=181))
    assign(lead, ben, by=ana)
    notifying.forget_old(NOW)
    assert [name for name, _ in told()] == ["ben"]
