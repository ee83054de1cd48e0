"""The figures for managers, each against a set that was made to be counted by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contacts.business_hours import open_time, openings, zone_of
from contacts.models import Contact, FollowUp, LeadStatus, Message
from contacts.reports import MORE, Report
from contacts.statements import report_on_messages as sql
from tests.builders import LIMA, Desk, message, sent
from tests.reporting import Shop

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
# A Wednesday afternoon in Madrid.
NOW = datetime(2026, 6, 10, 15, 0, tzinfo=UTC)


@pytest.fixture
def shop(db: None) -> Shop:
    return Shop.open()


def report(shop: Shop, days: int = 7, now: datetime = NOW) -> Report:
    return Report(shop.workspace, days, now)


def counted(shop: Shop, **more: Any) -> dict[str, tuple[int, int, int]]:
    """By day: from customers, from us, new leads; days without any are left out."""
    days = report(shop, **more).by_day()
    return {str(day.date): told for day in days if any(told := (day.inbound, day.outbound, day.new))}


def took(shop: Shop, **more: Any) -> timedelta | None:
    return report(shop, **more).replies().all.time


# Messages and new leads by day


def test_a_day_is_that_of_the_workspace(shop: Shop) -> None:
    ana = shop.lead()
    shop.wrote(ana, "2026-06-08 23:59:59")
    shop.wrote(ana, "2026-06-09 00:00")
    shop.answered(ana, "2026-06-09 00:01")
    assert counted(shop) == {"2026-06-08": (1, 0, 1), "2026-06-09": (1, 1, 0)}


def test_all_days_of_the_period_are_there_the_last_one_being_today(shop: Shop) -> None:
    days = [str(day.date) for day in report(shop).by_day()]
    assert (days[0], days[-1], len(days)) == ("2026-06-04", "2026-06-10", 7)
    late = NOW.replace(hour=22, minute=30)  # past midnight in Madrid
    assert str(report(shop, now=late).by_day()[-1].date) == "2026-06-11"


def test_the_first_moment_of_the_period_counts_and_the_one_before_does_not(shop: Shop) -> None:
    shop.wrote(shop.lead(), "2026-06-03 23:59:59.999999")
    shop.wrote(shop.lead(), "2026-06-04 00:00")
    assert counted(shop) == {"2026-06-04": (1, 0, 1)}


def test_only_turns_that_did_not_fail_count(shop: Shop) -> None:
    ana = shop.lead()
    shop.answered(ana, "2026-06-09 10:00", status="failed")
    for kind in ("reaction", "edit", "revoke", "system", "request_welcome"):
        shop.wrote(ana, "2026-06-09 10:00", message_type=kind)
    assert counted(shop) == {}
    shop.answered(ana, "2026-06-09 11:00", origin="business_app", status="sent")
    assert counted(shop) == {"2026-06-09": (0, 1, 1)}


@pytest.mark.parametrize(
    ("now", "day", "hours"),
    [("2026-03-31 12:00", "2026-03-29", 23), ("2026-10-27 12:00", "2026-10-25", 25)],
)
def test_a_day_on_which_the_clock_changes_is_as_long_as_it_is(
    shop: Shop, now: str, day: str, hours: int
) -> None:
    ana, begin = shop.lead(), shop.at(f"{day} 00:00").astimezone(UTC)
    for hour in range(-1, hours + 1):
        shop.wrote(ana, begin + hour * HOUR)
    assert counted(shop, now=shop.at(now))[day] == (hours, 0, 0)


def test_a_lead_is_new_on_the_day_of_its_first_message_whoever_wrote(shop: Shop) -> None:
    old, ana, bea = shop.lead(), shop.lead(), shop.lead()
    shop.wrote(old, "2026-05-01 10:00")
    shop.wrote(old, "2026-06-08 10:00")
    shop.wrote(ana, "2026-06-08 10:00")
    shop.wrote(ana, "2026-06-09 10:00")
    shop.answered(bea, "2026-06-09 10:00")
    shop.lead("Typed by hand, never heard of")
    assert {day: told[2] for day, told in counted(shop).items()} == {"2026-06-08": 1, "2026-06-09": 1}
    assert report(shop).new_leads() == [bea.pk, ana.pk]
    assert report(shop).new_leads(report(shop).dates[-2]) == [bea.pk]


def test_other_workspaces_and_people_nobody_knows_yet_do_not_count(shop: Shop) -> None:
    other = Shop.open("Lima", "America/Lima")
    other.answered(other.lead(), NOW - HOUR)
    told = shop.wrote(shop.lead(), NOW - HOUR)
    type(told).objects.filter(pk=told.pk).update(contact=None, conversation=None)
    assert counted(shop) == {}
    assert report(shop).replies().all.count == 0
    assert counted(other) == {"2026-06-10": (0, 1, 1)}


def test_messages_behind_a_day_are_those_that_it_counts(shop: Shop) -> None:
    ana = shop.lead()
    first = shop.wrote(ana, "2026-06-08 10:00")
    second = shop.wrote(ana, "2026-06-09 10:00")
    shop.wrote(ana, "2026-06-09 11:00", message_type="reaction")
    ours = shop.answered(ana, "2026-06-09 12:00")
    shop.answered(ana, "2026-06-09 12:00", status="failed")
    told = report(shop)
    assert list(told.messages("inbound")) == [second, first]
    assert list(told.messages("inbound", told.dates[-2])) == [second]
    assert list(told.messages("outbound")) == [ours]


# How fast we answer


def test_a_wait_begins_with_the_first_message_and_ends_with_our_next_one(shop: Shop) -> None:
    ana = shop.lead()
    shop.wrote(ana, "2026-06-10 10:00")
    shop.wrote(ana, "2026-06-10 10:15")
    shop.answered(ana, "2026-06-10 10:30")
    shop.answered(ana, "2026-06-10 11:30")
    assert took(shop) == 30 * MINUTE
    assert report(shop).replies().all.count == 1


def test_the_median_is_that_of_all_waits_and_the_first_response_that_of_the_first(shop: Shop) -> None:
    ana, bea = shop.lead(), shop.lead()
    for lead, minutes in ((ana, 10), (bea, 20)):
        shop.wrote(lead, "2026-06-10 10:00")
        shop.answered(lead, f"2026-06-10 10:{minutes}")
    shop.wrote(ana, "2026-06-10 11:00")
    shop.answered(ana, "2026-06-10 11:50")
    told = report(shop).replies()
    assert (told.all.count, told.all.time) == (3, 20 * MINUTE)
    assert (told.first.count, told.first.time) == (2, 15 * MINUTE)


def test_an_answer_at_the_same_second_answers(shop: Shop) -> None:
    ana = shop.lead()
    shop.answered(ana, "2026-06-10 10:00")
    shop.wrote(ana, "2026-06-10 10:00")
    told = report(shop).replies().all
    assert (told.count, told.time) == (1, timedelta())


def test_a_failed_send_answers_nobody(shop: Shop) -> None:
    ana = shop.lead()
    shop.wrote(ana, "2026-06-10 10:00")
    shop.answered(ana, "2026-06-10 10:05", status="failed")
    assert report(shop).replies().all.count == 0
    shop.answered(ana, "2026-06-10 10:40")
    assert took(shop) == 40 * MINUTE


@pytest.mark.parametrize("origin", ["business_app", "cloud_api", "history_sync"])
def test_whoever_answers_and_from_where_counts(shop: Shop, origin: str) -> None:
    ana = shop.lead()
    shop.wrote(ana, "2026-06-10 10:00")
    shop.answered(ana, "2026-06-10 10:07", origin=origin, status="pending")
    assert took(shop) == 7 * MINUTE


@pytest.mark.parametrize("kind", ["reaction", "edit", "revoke", "system"])
def test_what_is_no_turn_neither_waits_nor_answers(shop: Shop, kind: str) -> None:
    ana = shop.lead()
    shop.wrote(ana, "2026-06-10 09:30", message_type=kind)
    shop.wrote(ana, "2026-06-10 10:00")
    shop.answered(ana, "2026-06-10 10:01", message_type=kind)
    shop.answered(ana, "2026-06-10 10:30")
    assert took(shop) == 30 * MINUTE


def test_nights_and_weekends_do_not_count(shop: Shop) -> None:
    ana = shop.lead()
    shop.wrote(ana, "2026-06-05 17:30")  # a Friday
    shop.answered(ana, "2026-06-08 09:15")
    assert took(shop) == 45 * MINUTE
    bea = shop.lead()
    shop.wrote(bea, "2026-06-06 12:00")
    shop.answered(bea, "2026-06-07 12:00")
    assert [answer.took for answer in report(shop).answers(only_first=True)] == [45 * MINUTE, timedelta()]


def test_a_wait_over_the_change_of_the_clock(shop: Shop) -> None:
    ana = shop.lead()
    shop.wrote(ana, "2026-03-27 17:00")
    shop.answered(ana, "2026-03-30 10:00")
    assert took(shop, now=shop.at("2026-03-31 12:00")) == 2 * HOUR


def test_without_hours_the_clock_counts(shop: Shop) -> None:
    shop.workspace.business_hours = [None] * 7
    ana = shop.lead()
    shop.wrote(ana, "2026-06-05 20:00")
    shop.answered(ana, "2026-06-06 20:00")
    assert not report(shop).knows_hours
    assert took(shop) == 24 * HOUR


def test_a_wait_that_began_before_the_period_is_not_of_it(shop: Shop) -> None:
    ana = shop.lead()
    shop.wrote(ana, "2026-06-03 17:00")
    shop.wrote(ana, "2026-06-04 10:00")  # still the same wait
    shop.answered(ana, "2026-06-04 11:00")
    assert report(shop).replies().all.count == 0
    shop.wrote(ana, "2026-06-04 12:00")
    shop.answered(ana, "2026-06-04 12:30")
    told = report(shop).replies()
    assert (told.all.count, told.all.time, told.first.count) == (1, 30 * MINUTE, 0)


def test_who_was_answered_before_the_period_waits_anew_in_it(shop: Shop) -> None:
    ana, bea = shop.lead(), shop.lead()
    shop.wrote(ana, "2026-06-03 17:00")
    shop.answered(ana, "2026-06-03 17:00")  # at the same second: answered
    shop.answered(bea, "2026-06-03 17:00")  # we wrote first
    for lead in (ana, bea):
        shop.wrote(lead, "2026-06-04 10:00")
        shop.answered(lead, "2026-06-04 10:30")
    told = report(shop).replies()
    assert (told.all.count, told.first.count) == (2, 1)


def test_an_answer_on_any_number_answers(shop: Shop) -> None:
    ana = shop.lead()
    shop.wrote(ana, "2026-06-10 10:00")
    second = type(shop.number).objects.create(workspace=shop.workspace, phone_number_id="900002")
    Shop(shop.workspace, second).answered(ana, "2026-06-10 10:20")
    assert took(shop) == 20 * MINUTE


def test_owners_have_the_answers_to_their_leads(shop: Shop) -> None:
    ana, bea = shop.member("ana"), shop.member("bea")
    for owner, minutes in ((ana, 5), (ana, 15), (bea, 30), (None, 40)):
        lead = shop.lead(owner=owner)
        shop.wrote(lead, "2026-06-10 10:00")
        shop.answered(lead, f"2026-06-10 10:{minutes:02}")
    by_owner = report(shop).replies().by_owner
    assert {owner: told.time for owner, told in by_owner.items()} == {
        ana.pk: 10 * MINUTE, bea.pk: 30 * MINUTE, None: 40 * MINUTE,
    }  # fmt: skip
    slowest = report(shop).answers(only_first=False, of_owner=True, owner=ana.pk)
    assert [answer.took for answer in slowest] == [15 * MINUTE, 5 * MINUTE]
    assert len(report(shop).answers(only_first=False, of_owner=True)) == 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_sql_counts_business_hours_as_the_pure_functions_do(shop: Shop, data: st.DataObject) -> None:
    clock = st.sampled_from(["00:00", "02:30", "08:00", "13:15", "18:00", "22:00", "24:00"])
    day = st.one_of(st.none(), st.tuples(clock, clock).map(list))
    hours = data.draw(st.lists(day, min_size=7, max_size=7))
    zone = data.draw(st.sampled_from(["Europe/Madrid", "America/Santiago", "Asia/Kathmandu", "UTC"]))
    now = data.draw(
        st.sampled_from([NOW, datetime(2026, 3, 30, 12, tzinfo=UTC), datetime(2026, 9, 8, 3, tzinfo=UTC)])
    )
    shop.workspace.business_hours, shop.workspace.time_zone = hours, zone
    told = report(shop, now=now)
    minutes = st.integers(0, int((now - told.midnights[0]) / MINUTE))
    begin, end = sorted(told.midnights[0] + data.draw(minutes) * MINUTE for _ in range(2))
    lead = shop.lead()
    shop.wrote(lead, begin)
    shop.answered(lead, end)
    expected = open_time(openings(hours, zone_of(zone), told.midnights[0], told.midnights[-1]), begin, end)
    (answer,) = [one for one in told.answers(only_first=False) if one.contact_id == lead.pk]
    assert answer.took == expected


# Leads, who waits, and what is overdue


def test_leads_are_counted_by_status_source_and_owner(shop: Shop) -> None:
    ana = shop.member("ana")
    shop.lead(owner=ana)
    shop.lead(owner=ana, lead_status=LeadStatus.CONVERTED)
    shop.lead(source="Summer (ad 1)", lead_status=LeadStatus.QUALIFIED)
    gone = shop.lead()
    Contact.objects.filter(pk=gone.pk).update(merged_into=shop.lead())
    Shop.open("Lima").lead()
    told = report(shop).leads()
    assert told.by_status == {"new": 2, "converted": 1, "qualified": 1}
    assert told.by_source == {"whatsapp": 3, "Summer (ad 1)": 1}
    assert told.open_by_owner == {ana.pk: 1, None: 2}
    assert (told.total, told.is_capped) == (4, False)
    assert [lead.pk for lead in report(shop).open_leads(ana.pk)] == [
        Contact.objects.get(owner=ana, lead_status="new").pk
    ]


def test_a_large_workspace_is_counted_no_further_than_its_newest_leads(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contacts.reports.MOST_LEADS", 2)
    for day in (1, 2, 3):
        shop.lead(last_activity_at=NOW - timedelta(days=day), lead_score=day, source=f"Ad {day}")
    told = report(shop).leads()
    assert (told.by_source, told.is_capped) == ({"Ad 1": 1, "Ad 2": 1}, True)


def test_who_waits_is_counted_by_how_long(shop: Shop) -> None:
    ana = shop.member("ana")
    ages = (MINUTE, HOUR - MINUTE, HOUR, 4 * HOUR - MINUTE, 4 * HOUR, 24 * HOUR, timedelta(days=9))
    for age in ages:
        shop.wrote(shop.lead(owner=ana), NOW - age)
    answered = shop.lead()
    shop.wrote(answered, NOW - HOUR)
    shop.answered(answered, NOW - HOUR)
    told = report(shop).waiting()
    assert told.by_age == {"1h": 2, "4h": 2, "24h": 1, MORE: 2}
    assert (told.by_owner, told.total) == ({ana.pk: 7}, 7)
    assert {age: report(shop).waiting_leads(age).count() for age in told.by_age} == told.by_age


def test_overdue_follow_ups_are_counted_by_owner_of_the_lead_as_it_is_now(shop: Shop) -> None:
    ana = shop.member("ana")
    late, soon, done, merged = (shop.lead(owner=ana) for _ in range(4))
    survivor = shop.lead()
    Contact.objects.filter(pk=merged.pk).update(merged_into=survivor)
    for lead, due in ((late, -HOUR), (soon, HOUR), (done, -HOUR), (merged, -HOUR), (survivor, -HOUR)):
        FollowUp.objects.create(workspace=shop.workspace, contact=lead, due_at=NOW + due)
    FollowUp.objects.filter(contact=done).update(done_at=NOW)
    assert report(shop).overdue() == {ana.pk: 1, None: 1}


# What must not change them


def figures(told: Report) -> list[Any]:
    return [told.by_day(), told.replies(), told.leads(), told.waiting(), told.overdue()]


def test_a_replay_changes_no_figure(db: None) -> None:
    desk = Desk.open()
    for index in range(4):
        phone = f"5191111000{index}"
        desk.told(
            message(f"in{index}", index * 600, phone=phone),
            sent(f"out{index}", index * 600 + 90, phone=phone),
        )
    desk.told(message("waits", 7200))
    told = Report(desk.numbers[LIMA].workspace, 7, datetime.fromtimestamp(1781000000 + 9000, UTC))
    before = figures(told)
    assert told.by_day()[-1].inbound == 5
    assert told.replies().all.count == 4
    call_command("replay_webhooks", "--all", verbosity=0)
    assert figures(told) == before


def test_an_installation_without_anything_has_figures(shop: Shop) -> None:
    told = report(shop, now=timezone.now())
    assert told.replies().first.time is None
    assert (told.leads().total, told.waiting().total, told.overdue()) == (0, 0, {})


def test_messages_of_a_period_are_read_from_their_index(shop: Shop) -> None:
    leads = Contact.objects.bulk_create(Contact(workspace=shop.workspace, name=str(n)) for n in range(200))
    Message.objects.bulk_create(
        Message(
            workspace=shop.workspace, phone_number=shop.number, contact=leads[n % 200], kapso_message_id=f"many-{n}",
            direction=("inbound", "outbound")[n % 2], status=("received", "read")[n % 2], sent_at=NOW - n * HOUR,
        )
        for n in range(5000)
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE contacts_message, contacts_contact")
        for statement in (sql.BY_DAY, sql.REPLIES):
            cursor.execute(f"EXPLAIN {statement}", report(shop)._parameters)
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert "message_report" in plan
            assert "Seq Scan on contacts_message" not in plan
