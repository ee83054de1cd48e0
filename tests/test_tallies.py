"""Nothing that the code turns away goes uncounted, and counting costs a webhook nothing."""

from __future__ import annotations

import ast
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts.models import PhoneNumber
from kapso_sync import counting, tallies
from kapso_sync.models import AnswerCount, Tally, WebhookDelivery
from kapso_sync.replaying import replay_in_batches
from kapso_sync.tallies import MOST_REASONS, OTHER, Tallies
from kapso_sync.usual import today_and_usual
from tests.builders import (
    ANA,
    LIMA,
    OWN_PHONE,
    RECEIVED,
    SAOPAULO,
    SENT,
    UNKNOWN,
    Desk,
    Json,
    batch,
    contact_updated,
    message,
    meta,
    sent,
)

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


@pytest.fixture
def real_desk(transactional_db: None) -> Desk:
    """With transactions that really commit: what another thread writes is seen, what fails breaks nothing."""
    return Desk.open()


@pytest.fixture(autouse=True)
def counts(monkeypatch: pytest.MonkeyPatch) -> Tallies:
    """The counts of this test alone."""
    mine = Tallies()
    monkeypatch.setattr(counting, "tallies", mine)
    monkeypatch.setattr(counting, "_registered", set())
    return mine


def counted(counts: Tallies, *sources: str) -> dict[str, int]:
    """What stands in the table, after everything was written."""
    assert counts.flush()
    rows = Tally.objects.filter(source__in=sources) if sources else Tally.objects.all()
    return {f"{row.source}: {row.reason}": row.count for row in rows}


# Every early return counts


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def test_every_reason_with_a_value_in_it_is_counted_without_the_value() -> None:
    """An Item that is ignored, and a Part that is not applied: a plain text counts as it is, any other needs `counted`."""
    uncounted = []
    for path in sorted((ROOT / "kapso_sync").rglob("*.py")):
        for call in calls(path):
            named = {keyword.arg: keyword.value for keyword in call.keywords}
            reason = named.get("ignored")
            if name_of(call) == "ignored" and call.args:
                reason = call.args[0]
            if name_of(call) == "Part" and len(call.args) > 4:
                reason = call.args[4]
            is_told = "counted" in named or (name_of(call) == "Part" and len(call.args) > 5)
            is_items_own = isinstance(reason, ast.Attribute) and reason.attr == "ignored"
            if reason is None or is_told or is_items_own or isinstance(reason, ast.Constant):
                continue
            uncounted.append(f"{path.name}:{call.lineno} {ast.unparse(reason)}")
    assert uncounted == []


def test_nothing_is_refused_but_with_words_of_our_own() -> None:
    """What a refusal says is counted as it is, so it must not hold a value."""
    refusals = [call for call in calls(ROOT / "kapso_sync" / "views.py") if name_of(call) == "Refused"]
    assert len(refusals) >= 6
    assert [ast.unparse(call) for call in refusals if not isinstance(call.args[1], ast.Constant)] == []


def refused(desk: Desk, how: str) -> int:
    url = "/webhooks/kapso/"
    if how == "method":
        return desk.client.get(url).status_code
    if how == "size":
        return desk.client.post(
            url, b" " * (8 * 1024 * 1024 + 1), content_type="application/json"
        ).status_code
    if how == "secret":
        PhoneNumber.objects.update(webhook_secret="")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE contacts_phonenumber SET webhook_secret = 'not encrypted by us'")
    return desk.post(message("a"), secret="wrong").status


@pytest.mark.parametrize(
    ("how", "status", "reason"),
    [
        ("method", 405, "405 Not a POST."),
        ("size", 413, "413 Larger than 8 MB."),
        ("signature", 401, "401 The signature matches no secret of this number, nor a project-wide one."),
        ("secret", 503, "503 The secret of this number cannot be read. Send it again later."),
    ],
)
def test_every_refusal_counts(desk: Desk, counts: Tallies, how: str, status: int, reason: str) -> None:
    assert refused(desk, how) == status
    assert counted(counts) == {f"answer: {status}": 1, f"refused: {reason}": 1}


def test_what_cannot_be_stored_counts(desk: Desk, counts: Tallies, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: WebhookDelivery) -> bool:
        raise OSError("disk")

    monkeypatch.setattr(WebhookDelivery, "store", fail)
    assert desk.post(message("a")).status == 503
    assert counted(counts) == {
        "answer: 503": 1,
        "refused: 503 Could not be stored just now. Send it again.": 1,
    }


GROUP: Json = {"group_id": "120363025246125486"}
EARLY: list[tuple[str, Any, str, str]] = [
    ("no JSON", b"{", RECEIVED, "ignored: the body is no JSON that we accept"),
    ("no object", [1], RECEIVED, "ignored: not a JSON object"),
    ("empty", {}, RECEIVED, "ignored: an empty object"),
    ("an empty batch", batch(), RECEIVED, "ignored: holds no items"),
    ("an event that is not used", message("a"), "whatsapp.message.edited", "ignored: unused event: whatsapp.message.edited"),
    ("a value for an event", message("a"), f"call {ANA}", "ignored: unused event: (no usual word)"),
    ("a group", message("a", **GROUP), RECEIVED, "ignored: a group message"),
    ("no id", message(""), RECEIVED, "ignored: a message without an id"),
    ("no message", {"phone_number_id": LIMA}, RECEIVED, "ignored: a message event without a message"),
    ("no name", contact_updated(ANA, ""), "", "ignored: contact.updated without a name"),
    ("nobody yet", contact_updated(ANA, "Ana"), "", "ignored: Nobody here has this phone or user ID yet: it is kept, and counts once they have written."),
    ("a field of Meta's", meta({}, field="security"), "", "ignored: unused Meta field: security"),
    ("an account error", meta({"errors": [{"code": 130429, "title": f"Ana {ANA}"}]}), "", "ignored: an account error"),
    ("no such number", message("a", number=UNKNOWN), RECEIVED, "unroutable: no such number is registered"),
    ("no number", {"message": message("a")["message"]}, RECEIVED, "unroutable: no number is named"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "event", "told"), [row[1:] for row in EARLY], ids=[row[0] for row in EARLY])
def test_every_early_return_counts(desk: Desk, counts: Tallies, body: Any, event: str, told: str) -> None:
    desk.post(body, event)
    found = counted(counts, "ignored", "unroutable", "failed")
    assert found == {told: 1}


def test_an_inactive_number_and_a_fault_of_ours_count(
    desk: Desk, counts: Tallies, monkeypatch: pytest.MonkeyPatch
) -> None:
    PhoneNumber.objects.filter(phone_number_id=LIMA).update(is_active=False)
    desk.post(message("a"))
    PhoneNumber.objects.update(is_active=True)

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("Ana 51911110001")

    monkeypatch.setattr("contacts.sync.apply", fail)
    desk.post(message("b"))
    assert counted(counts, "ignored", "failed") == {
        "ignored: the number is set inactive": 1,
        "failed: ZeroDivisionError": 1,
    }


def test_an_item_of_a_number_that_the_secret_does_not_serve_counts(desk: Desk, counts: Tallies) -> None:
    desk.post(batch(message("a"), message("b", number=SAOPAULO)), secret="lima-secret")
    assert counted(counts, "ignored") == {
        "ignored: it names a number that the signing secret does not serve": 1
    }


NOTES: list[tuple[str, Any, str, str]] = [
    ("no time", message("a", None), RECEIVED, "message.timestamp is missing"),
    ("no time at all", message("a", "yesterday"), RECEIVED, "message.timestamp is no usable time"),
    ("ahead", message("a", "4102444800"), RECEIVED, "message.timestamp is more than a day ahead"),
    ("an odd user id", message("a", user_id="Ana with spaces"), RECEIVED, "message.from_user_id is no user ID"),
    ("a user id of another type", message("a", from_user_id=17), RECEIVED, "message.from_user_id is no user ID"),
    ("the other direction", sent("a"), RECEIVED, "the event names another direction than the message"),
    ("another event", batch(message("a")), SENT, "the header names another event than the body"),
    ("a gap", batch(message("a"), batch_info={"first_sequence": 4, "last_sequence": 6}), RECEIVED, "a batch has a gap in its sequence"),
    ("fewer", batch(message("a"), batch_info={"size": 2}), RECEIVED, "a batch holds fewer items than it says"),
    ("our own number", message("a", phone=OWN_PHONE), RECEIVED, "message.from is the business number itself"),
    ("a new type", message("a", type="hologram"), RECEIVED, "unknown message type: hologram"),
    ("a value for a type", message("a", type=f"call {ANA}"), RECEIVED, "unknown message type: (no usual word)"),
    ("a new status", sent("a", statuses=[{"status": "warned"}]), SENT, "unknown status: warned"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "event", "note"), [row[1:] for row in NOTES], ids=[row[0] for row in NOTES])
def test_what_is_odd_is_noted_and_applied_nevertheless(
    desk: Desk, counts: Tallies, body: Any, event: str, note: str
) -> None:
    answer = desk.post(body, event)
    assert answer.json["status"] == "processed"
    assert f"noted: {note}" in counted(counts, "noted")


def test_an_odd_user_id_leaves_the_phone(desk: Desk) -> None:
    desk.told(message("a", user_id="Ana with spaces"))
    assert desk.lead(ANA).business_scoped_user_id is None


def test_what_is_usual_is_not_noted(desk: Desk, counts: Tallies) -> None:
    desk.told(message("a", user_id="PE.1"), sent("b", 5))
    assert counted(counts, "noted", "drift", "ignored", "refused") == {}
    assert counted(counts, "delivery", "answer") == {"delivery: processed": 2, "answer: 200": 2}


# What is counted, and how often


def test_only_the_first_arrival_counts(desk: Desk, counts: Tallies) -> None:
    for _ in range(3):
        desk.post(message("a", **GROUP), key="same")
    replay_in_batches(WebhookDelivery.objects.all())
    assert counted(counts, "ignored", "delivery") == {
        "ignored: a group message": 1,
        "delivery: ignored": 1,
        "delivery: copy": 2,
    }


def test_how_long_it_took_is_counted(desk: Desk, counts: Tallies) -> None:
    desk.told(message("a"))
    found = counted(counts, counting.COMMIT, counting.LIVE)
    buckets = {key.split(": ")[1] for key in found}
    assert "sum in microseconds" in buckets
    assert (
        sum(count for key, count in found.items() if key.startswith(counting.COMMIT) and "sum" not in key)
        == 1
    )
    # It happened long ago: imported history would say nothing of how fast we are, a late webhook does.
    assert found[f"{counting.LIVE}: +Inf"] == 1


def test_no_value_is_ever_counted(desk: Desk, counts: Tallies) -> None:
    secret = "Ana Torres, Av. Larco 1301"
    desk.post(message("a", text=secret, name=secret, type=secret) | {secret: ANA, ANA: secret}, secret)
    desk.post(contact_updated(ANA, secret), "")
    desk.post(meta({"errors": [{"title": secret}], ANA: 1}), "")
    desk.post(meta({}, field=secret), secret)
    desk.post(message("wamid.b", number=UNKNOWN), f"x.{ANA}")
    said = " ".join(counted(counts))
    for value in (ANA, secret, "Torres", "wamid", LIMA, UNKNOWN, "session-"):
        assert value not in said


def test_what_nobody_signed_is_not_looked_at(desk: Desk, counts: Tallies) -> None:
    desk.post(message("a", hologram=1, type="hologram"), secret="wrong")
    assert counted(counts, "drift", "noted", "delivery") == {}


def test_a_stranger_cannot_fill_the_table(desk: Desk, counts: Tallies) -> None:
    for index in range(MOST_REASONS + 20):
        counts.add("drift", f"unknown field: message.{'x' * index}")
    counts.add("ignored", "y" * 1000)
    found = Counter(Tally.objects.values_list("source", flat=True)) if counts.flush() else Counter()
    assert found == {"drift": MOST_REASONS + 1, "ignored": 1}
    assert Tally.objects.get(source="drift", reason=OTHER).count == 20
    assert len(Tally.objects.get(source="ignored").reason) == 200


# Counting costs a webhook nothing


def test_nothing_is_written_until_the_answer_is_sent(desk: Desk, counts: Tallies) -> None:
    with CaptureQueriesContext(connection) as captured:
        desk.told(message("a", hologram=1))
    assert not [query["sql"] for query in captured if "tally" in (query["sql"] or "")]
    assert not Tally.objects.exists()


def test_everything_is_written_in_one_statement(desk: Desk, counts: Tallies) -> None:
    counts._pruned_at = float("inf")
    desk.post(message("a", **GROUP))
    desk.post(message("b"))
    with CaptureQueriesContext(connection) as captured:
        counts.flush()
    assert len(captured) == 1
    assert counted(counts, "answer") == {"answer: 200": 2}
    assert AnswerCount.objects.get().count == 2


def test_an_answer_that_was_sent_writes_what_was_counted(
    real_desk: Desk, counts: Tallies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once if the last time is a while ago, else a little later, by itself."""
    monkeypatch.setattr(counts, "flush_soon", lambda: REAL_FLUSH_SOON(counts))
    counts.every = 0.2
    real_desk.told(message("a"))
    assert Tally.objects.get(source="answer").count == 1
    real_desk.told(message("b", 1))
    assert Tally.objects.get(source="answer").count == 1
    timer = counts._timer
    assert timer is not None
    timer.join(10)
    assert Tally.objects.get(source="answer").count == 2


def test_many_threads_count_right(desk: Desk, counts: Tallies) -> None:
    def count() -> None:
        for _ in range(500):
            counts.add("ignored", "a group message")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts.flush()
    assert counted(counts) == {"ignored: a group message": 2000}


def test_counts_wait_for_a_database_that_is_away(
    real_desk: Desk, counts: Tallies, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_desk.told(message("a"))
    with monkeypatch.context() as patch:
        patch.setattr(tallies, "WRITE", "SELECT * FROM away WHERE %s")
        assert not counts.flush()
    real_desk.told(message("b", 1))
    assert counted(counts, "answer") == {"answer: 200": 2}
    assert AnswerCount.objects.get().count == 2


def test_nobody_waits_for_a_database_that_hangs(
    desk: Desk, counts: Tallies, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.told(message("a"))
    within: list[bool] = []
    monkeypatch.setattr(tallies, "_write", lambda *_: within.append(counts.flush()))
    assert counts.flush()
    assert within == [False]


def test_old_answers_go(desk: Desk, counts: Tallies) -> None:
    old, new = datetime.now(UTC) - timedelta(days=3), datetime.now(UTC) - timedelta(hours=1)
    for at in (old, new):
        AnswerCount.objects.create(phone_number_id=LIMA, minute=at, http_status=200, count=1)
    counts.flush()
    assert AnswerCount.objects.get().minute == new


def test_the_sum_of_old_days_is_kept_as_one(desk: Desk, counts: Tallies) -> None:
    today = datetime.now(UTC).date()
    for days, count in ((500, 3), (450, 4), (399, 5), (0, 6)):
        Tally.objects.create(day=today - timedelta(days=days), source="a", reason="b", count=count)
    Tally.objects.create(day=tallies.BEFORE, source="a", reason="b", count=2)
    counts.flush()
    Tallies().flush()
    kept = {row.day: row.count for row in Tally.objects.all()}
    assert kept == {tallies.BEFORE: 9, today - timedelta(days=399): 5, today: 6}


def test_the_sum_of_old_days_is_no_day_to_compare_with(desk: Desk) -> None:
    now = datetime.now(UTC)
    Tally.objects.create(day=tallies.BEFORE, source="delivery", reason="failed", count=900)
    Tally.objects.create(day=now.date() - timedelta(days=1), source="delivery", reason="processed", count=10)
    (processed,) = today_and_usual(now)
    assert (processed.reason, processed.week_mean) == ("processed", 10)


# Answers per number


def test_answers_are_counted_for_registered_numbers_only(desk: Desk, counts: Tallies) -> None:
    desk.told(message("a"))
    desk.post(message("b", number=UNKNOWN))
    desk.post(message("c", number=UNKNOWN), secret="wrong")
    desk.post(message("d"), secret="wrong")
    counts.flush()
    assert list(
        AnswerCount.objects.order_by("http_status").values_list("phone_number_id", "http_status", "count")
    ) == [
        (LIMA, 200, 1),
        (LIMA, 401, 1),
    ]


def test_failures_count_for_the_number_while_the_database_is_away(
    desk: Desk, counts: Tallies, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.told(message("a"))

    def away(*_: Any) -> None:
        raise OSError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr("kapso_sync.arrivals._ask_for_numbers", away)
        assert desk.post(message("b")).status == 503
    counts.flush()
    assert AnswerCount.objects.get(http_status=503).phone_number_id == LIMA


def test_counting_that_fails_is_no_failure_of_the_webhook(
    desk: Desk, counts: Tallies, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(counts, "add", fail)
    answer = desk.post(message("a"))
    assert (answer.status, answer.json["status"]) == (200, "processed")
    assert "could not be counted" in caplog.text


REAL_FLUSH_SOON = Tallies.flush_soon
