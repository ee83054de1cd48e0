"""Whether each number is heard: pauses, silence and gaps show before somebody misses a customer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from contacts.models import KapsoSession, Membership, PhoneNumber, Workspace
from kapso_sync import counting, pages, sightings, watching
from kapso_sync.models import AnswerCount, Tally, WebhookDelivery
from kapso_sync.tallies import Tallies
from kapso_sync.usual import today_and_usual
from kapso_sync.watching import Picture
from tests.builders import LIMA, RECEIVED, SAOPAULO, Desk, Json, message, session_event

NOW = datetime(2026, 6, 10, 15, 0, tzinfo=UTC)  # a Wednesday
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
HEALTH, DRIFT = "/admin/numbers-health/", "/admin/drift/"
_keys = count()


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


@pytest.fixture(autouse=True)
def counts(monkeypatch: pytest.MonkeyPatch) -> Tallies:
    """The counts of this test alone."""
    mine = Tallies()
    monkeypatch.setattr(counting, "tallies", mine)
    monkeypatch.setattr(pages, "tallies", mine)
    return mine


def picture(desk: Desk, number: str = LIMA, now: datetime = NOW) -> Picture:
    return watching.pictures([desk.numbers[number]], now)[0]


def labels(desk: Desk, number: str = LIMA, now: datetime = NOW) -> list[str]:
    return [problem.label for problem in picture(desk, number, now).problems]


def delivered(*times: datetime, number: str = LIMA, status: str = "processed") -> None:
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(
            received_at=at,
            phone_number_id=number,
            status=status,
            body=b"{}",
            idempotency_key=f"k{next(_keys)}",
        )
        for at in times
    )


def every(step: timedelta, begin: datetime, end: datetime) -> Iterator[datetime]:
    while begin < end:
        yield begin
        begin += step


# The picture


def test_a_number_that_never_was_heard_is_calm(desk: Desk) -> None:
    seen = picture(desk)
    assert (seen.last_at, seen.problems, seen.label) == (None, [], "Nothing yet")


def test_it_shows_the_newest_delivery_and_those_of_a_day_by_outcome(desk: Desk) -> None:
    delivered(NOW - DAY - HOUR, NOW - 23 * HOUR, NOW - HOUR)
    delivered(NOW - 2 * HOUR, status="failed")
    delivered(NOW, number=SAOPAULO)
    seen = picture(desk)
    assert seen.last_at == NOW - HOUR
    assert seen.lately == {"processed": 2, "failed": 1}
    assert seen.lately_in_words == "2 processed, 1 failed"


def test_a_number_that_is_inactive_or_removed_says_so(desk: Desk) -> None:
    number = desk.numbers[LIMA]
    number.is_active = False
    assert labels(desk) == ["Set inactive"]
    number.is_active, number.disconnected_at = True, NOW
    assert labels(desk) == ["Removed in Kapso"]


# Kapso's pause rule


def answered(by_status: dict[int, int], ago: timedelta = timedelta(minutes=5)) -> None:
    minute = (NOW - ago).replace(second=0)
    AnswerCount.objects.bulk_create(
        AnswerCount(phone_number_id=LIMA, minute=minute, http_status=status, count=number)
        for status, number in by_status.items()
    )


@pytest.mark.parametrize(
    ("by_status", "label"),
    [
        ({200: 6, 503: 34}, ["Would be switched off"]),  # 40, 85 %
        ({200: 5, 503: 34}, ["At risk"]),  # 39
        ({200: 7, 503: 34}, ["At risk"]),  # 82.9 %
        ({503: 4}, []),
        ({503: 5}, ["At risk"]),
        ({200: 40}, []),
        ({200: 200, 503: 9}, []),
        ({200: 4, 401: 50}, []),  # by anybody who knows the number
        ({401: 50, 503: 40}, ["Would be switched off"]),
        ({200: 40, 401: 50, 503: 4}, []),
    ],
)
def test_the_rule_by_which_kapso_switches_off(
    desk: Desk, by_status: dict[int, int], label: list[str]
) -> None:
    answered(by_status)
    assert labels(desk) == label
    assert labels(desk, SAOPAULO) == []


def test_only_the_last_15_minutes_count(desk: Desk) -> None:
    answered({503: 100}, timedelta(minutes=15))
    assert labels(desk) == []
    answered({503: 100}, timedelta(minutes=14))
    assert labels(desk) == ["Would be switched off"]


# Silence


def weekly(
    begin_hour: int, end_hour: int, until: datetime, weeks: int = 5, step: timedelta = HOUR / 4
) -> None:
    """Deliveries on each day between two hours, up to a time."""
    for days in range(weeks * 7 + 1):
        day = (until - days * DAY).replace(hour=0, minute=0)
        times = every(step, day + begin_hour * HOUR, day + end_hour * HOUR)
        delivered(*(at for at in times if at <= until))


def test_silence_at_busy_hours_is_an_alarm(desk: Desk) -> None:
    weekly(9, 18, NOW - 2 * HOUR)
    (problem,) = picture(desk).problems
    assert (problem.label, problem.level) == ("Silent", "danger")
    assert problem.text == "nothing for 2 hours, though at these hours about 8 deliveries are usual."


def test_a_short_silence_is_none(desk: Desk) -> None:
    weekly(9, 18, NOW - HOUR)
    assert labels(desk) == []


def test_a_quiet_night_is_no_alarm(desk: Desk) -> None:
    weekly(9, 18, NOW)
    evening = NOW.replace(hour=17, minute=45)
    delivered(*every(HOUR / 4, NOW, evening + HOUR / 4))
    assert labels(desk, now=evening + 15 * HOUR) == []  # 8:45 of the next morning
    assert labels(desk, now=evening + 18 * HOUR) == ["Silent"]  # 11:45, and nobody wrote


def test_a_week_as_quiet_as_this_one_shows_that_it_happens(desk: Desk) -> None:
    weekly(9, 18, NOW - 2 * HOUR)
    holiday = NOW - 2 * WEEK
    WebhookDelivery.objects.filter(received_at__gt=holiday - 2 * HOUR, received_at__lte=holiday).delete()
    assert labels(desk) == []


def test_silence_for_more_than_a_week_is_compared_with_weeks_before_it(desk: Desk) -> None:
    weekly(9, 18, NOW - 10 * DAY)
    assert labels(desk) == ["Silent"]
    assert "nothing for 10 days" in picture(desk).problems[0].text


def test_a_young_number_is_compared_with_its_longest_pause(desk: Desk) -> None:
    weekly(9, 18, NOW, weeks=1)
    assert labels(desk, now=NOW + 15 * HOUR) == []
    assert labels(desk, now=NOW + 31 * HOUR) == ["Silent"]
    assert "never quiet for longer than 15 hours" in picture(desk, now=NOW + 31 * HOUR).problems[0].text


def test_a_number_of_one_day_is_never_silent(desk: Desk) -> None:
    delivered(*every(HOUR / 4, NOW - 12 * HOUR, NOW))
    assert labels(desk, now=NOW + 5 * DAY) == []


def test_a_number_that_is_not_to_be_heard_is_not_silent(desk: Desk) -> None:
    weekly(9, 18, NOW - 2 * HOUR)
    desk.numbers[LIMA].is_active = False
    assert labels(desk) == ["Set inactive"]


# Gaps


def told(wamid: str, second: int, **summary: Any) -> Json:
    """A message with Kapso's summary of its session."""
    body = message(wamid, second, session="s1")
    body["conversation"]["kapso"] = summary
    return body


LATER = datetime(2026, 6, 9, 10, 30, tzinfo=UTC)  # some minutes after START


def test_a_count_ahead_of_ours_is_a_gap(desk: Desk) -> None:
    desk.told(told("wamid.1", 0, messages_count=1), told("wamid.3", 20, messages_count=3))
    (problem,) = picture(desk, now=LATER).problems
    assert problem.label == "Messages are missing"
    assert "one conversation" in problem.text
    desk.told(told("wamid.2", 10, messages_count=2))
    assert labels(desk, now=LATER) == []


def test_a_newest_message_that_is_not_here_is_a_gap(desk: Desk) -> None:
    desk.told(told("wamid.1", 0, last_message_id="wamid.2"))
    assert labels(desk, now=LATER) == ["Messages are missing"]
    desk.told(message("wamid.2", 5))
    assert labels(desk, now=LATER) == []


def test_a_session_of_nobody_with_a_message_that_is_not_here_is_a_gap(desk: Desk) -> None:
    body = session_event("s9", 0, kapso={"messages_count": 2, "last_message_id": "wamid.9"})
    desk.post(body, "whatsapp.conversation.ended")
    assert labels(desk, now=LATER) == ["Messages are missing"]


@pytest.mark.parametrize(
    "summary",
    [
        {"messages_count": 1, "last_message_id": "wamid.1"},
        {"messages_count": None, "last_message_id": None},
        {"messages_count": 0},
        {"messages_count": "7", "last_message_id": 17},
        {"messages_count": True},
        {"messages_count": -1},
        {"messages_count": 2**31},
        {"last_message_id": "0b0e3c1e-3c5f-4d6c-9a51-a3c2d9d7b001"},  # Kapso's own id says nothing
        {},
    ],
)
def test_what_agrees_or_says_nothing_is_no_gap(desk: Desk, summary: Json) -> None:
    desk.told(told("wamid.1", 0, **summary))
    assert labels(desk, now=LATER) == []


def test_a_gap_shows_after_a_grace_and_for_some_days(desk: Desk) -> None:
    desk.told(told("wamid.1", 0, messages_count=2))
    assert labels(desk, now=LATER - 10 * timedelta(minutes=1)) == []
    assert labels(desk, now=LATER + 2 * DAY) == ["Messages are missing"]
    assert labels(desk, now=LATER + 4 * DAY) == []


def test_messages_of_the_thread_without_a_session_count(desk: Desk) -> None:
    desk.told(told("wamid.2", 5, messages_count=2))
    body = message("wamid.1", 0)
    del body["conversation"]["id"]
    desk.told(body)
    assert labels(desk, now=LATER) == []


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)])
def test_the_newest_summary_counts_in_any_order(desk: Desk, order: tuple[int, ...]) -> None:
    bodies = [
        told("wamid.1", 0, messages_count=1, last_message_id="wamid.1"),
        told("wamid.2", 5, messages_count=2, last_message_id="wamid.2"),
        told("wamid.3", 5, messages_count=3, last_message_id="wamid.3"),
    ]
    desk.told(*(bodies[index] for index in order))
    session = KapsoSession.objects.get()
    assert (session.told_messages, session.told_last_wamid) == (3, "wamid.3")


def test_a_summary_that_says_less_later_is_the_newest(desk: Desk) -> None:
    """Whole summaries are compared: a count and an id that were never told together would be no summary."""
    desk.told(
        told("wamid.1", 0, messages_count=5, last_message_id="wamid.1"), told("wamid.2", 9, messages_count=2)
    )
    session = KapsoSession.objects.get()
    assert (session.told_messages, session.told_last_wamid) == (2, "")


# Many numbers


def test_any_number_of_numbers_takes_the_same_statements(desk: Desk) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            watching.pictures(PhoneNumber.objects.all(), NOW)
        return len(captured)

    weekly(9, 18, NOW - 2 * HOUR, weeks=3)
    delivered(*every(6 * HOUR, NOW - 5 * DAY, NOW - DAY), number=SAOPAULO)
    few = statements()
    for index in range(30):
        PhoneNumber.objects.create(workspace=Workspace.objects.all()[index % 2], phone_number_id=f"77{index}")
        delivered(*every(6 * HOUR, NOW - (5 + index) * DAY, NOW - DAY), number=f"77{index}")
    assert statements() == few <= 7


def plan_of(statement: str, parameters: list[Any]) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {statement}", parameters)
        return "\n".join(row[0] for row in cursor.fetchall())


def test_the_questions_are_answered_from_indexes(desk: Desk) -> None:
    delivered(*every(HOUR, NOW - 5 * DAY, NOW))
    for statement, parameters in (
        (sightings.FIRST_AND_LAST, [[LIMA]]),
        (sightings.OUTCOMES, [[LIMA], NOW]),
        (sightings.SAME_HOURS, [[LIMA], [NOW], [HOUR], 4, 1000]),
    ):
        assert "delivery_of_number" in plan_of(statement, parameters)
    gaps = plan_of(sightings.GAPS, [[1], NOW, NOW, 200, 1000])
    assert {"kapso_session_told", "message_timeline", "message_once"} <= set(gaps.replace("\n", " ").split())


# The pages


@pytest.fixture
def ana(desk: Desk, client: Client) -> Client:
    user = User.objects.create_user("ana", is_staff=True)
    Membership.objects.create(workspace=desk.numbers[LIMA].workspace, user=user, role="manager")
    client.force_login(user)
    return client


@pytest.fixture
def boss(desk: Desk) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def page(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


def fail_lately(number: str) -> None:
    minute = timezone.now().replace(second=0, microsecond=0)
    AnswerCount.objects.create(phone_number_id=number, minute=minute, http_status=503, count=50)


def test_members_see_their_own_numbers_and_superusers_all(ana: Client, boss: Client) -> None:
    assert "+5115550142" in page(ana, HEALTH)
    assert "+551150200143" not in page(ana, HEALTH)
    assert "+551150200143" in page(boss, HEALTH)


def test_a_problem_says_what_to_do(ana: Client, desk: Desk) -> None:
    fail_lately(LIMA)
    shown = page(ana, HEALTH)
    assert "Would be switched off" in shown
    assert "What to do" in shown


def test_what_strangers_post_is_told_apart_and_alarms_nobody(
    desk: Desk, ana: Client, boss: Client, counts: Tallies
) -> None:
    for _ in range(3):
        assert desk.post(message("a"), secret="a stranger's").status == 401
    assert counts.flush()
    shown = page(ana, HEALTH)
    assert "3 refused in the last 15 minutes" in shown
    assert "Nothing came" in shown
    assert 'class="alert"' not in page(boss, "/admin/")


def test_the_first_page_alerts_the_members_of_the_workspace(ana: Client, boss: Client) -> None:
    fail_lately(SAOPAULO)
    assert "not accepted" not in page(ana, "/admin/")
    assert "50 of 50 deliveries of the last 15 minutes were not accepted" in page(boss, "/admin/")
    fail_lately(LIMA)
    assert "not accepted" in page(ana, "/admin/")


def test_what_we_had_to_refuse_today_alerts_superusers(ana: Client, boss: Client) -> None:
    Tally.objects.create(day=timezone.now().date(), source="refused", reason="413 Larger than 8 MB.", count=2)
    Tally.objects.create(day=timezone.now().date(), source="refused", reason="401 Not signed.", count=9)
    assert "Refused today, 2 times: 413 Larger than 8 MB." in page(boss, "/admin/")
    assert "401" not in page(boss, "/admin/")
    assert "Refused" not in page(ana, "/admin/")


@pytest.mark.parametrize("url", [HEALTH, DRIFT])
def test_strangers_see_nothing(desk: Desk, client: Client, url: str) -> None:
    assert client.get(url).status_code == 302
    client.force_login(User.objects.create_user("eve"))
    assert client.get(url).status_code == 302


def test_without_a_number_the_page_says_what_to_do(client: Client, db: None) -> None:
    client.force_login(User.objects.create_superuser("boss"))
    assert "Connect a number" in page(client, HEALTH)


def test_the_health_page_takes_the_same_queries_for_any_number_of_numbers(boss: Client, desk: Desk) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            page(boss, HEALTH)
        return len(captured)

    few = queries()
    for index in range(30):
        PhoneNumber.objects.create(workspace=desk.numbers[LIMA].workspace, phone_number_id=f"77{index}")
    assert queries() == few


# Drift: today versus usual


def tally(reason: str, today: int, *before: int, source: str = "drift") -> None:
    """What was counted today, and on the days before, yesterday first."""
    day = timezone.now().astimezone(UTC).date()
    Tally.objects.bulk_create(
        Tally(day=day - index * DAY, source=source, reason=reason, count=number)
        for index, number in enumerate((today, *before))
        if number
    )


def compared(now: datetime | None = None) -> dict[str, str]:
    end_of_day = timezone.now().astimezone(UTC).replace(hour=23, minute=59)
    return {one.reason: one.verdict for one in today_and_usual(now or end_of_day)}


def test_the_most_unusual_comes_first(db: None) -> None:
    month = [100] * 28
    tally("steady", 103, *month)
    tally("gone", 0, *month)
    tally("much more", 300, *month)
    tally("unknown field: message.hologram", 5)
    tally("one more", 1, *[0] * 20, 1)
    assert list(compared().items()) == [
        ("unknown field: message.hologram", "new"),
        ("much more", "more"),
        ("gone", "less"),
        ("one more", "usual"),
        ("steady", "usual"),
    ]


def test_today_is_compared_with_as_much_of_a_usual_day(db: None) -> None:
    tally("steady", 50, *[100] * 28)
    noon = timezone.now().astimezone(UTC).replace(hour=12, minute=0)
    assert compared(noon) == {"steady": "usual"}
    assert compared() == {"steady": "less"}


def test_a_new_installation_is_not_compared_with_days_before_it(db: None) -> None:
    tally("steady", 100, 100, 100)
    assert compared() == {"steady": "usual"}


def test_timings_and_answers_are_not_on_the_page(db: None) -> None:
    tally("200", 5, source="answer")
    tally("0.05", 5, source="seconds to commit")
    assert compared() == {}


def test_the_page_links_to_the_deliveries_that_it_can_list(boss: Client) -> None:
    tally("an account error", 3, source="ignored")
    tally("unknown field: <b>x", 1)
    shown = page(boss, DRIFT)
    assert "?status=ignored&amp;within=24" in shown
    assert "unknown field: &lt;b&gt;x" in shown
    assert "New" in shown


def test_an_empty_page_says_so(boss: Client) -> None:
    assert "Nothing was counted yet" in page(boss, DRIFT)


def test_drift_is_for_superusers(ana: Client) -> None:
    assert ana.get(DRIFT).status_code == 403
    assert DRIFT not in page(ana, "/admin/")


def test_the_page_has_what_was_counted_until_now(boss: Client, desk: Desk) -> None:
    desk.post(message("a", hologram=1), RECEIVED)
    assert "unknown field: message.hologram" in page(boss, DRIFT)
