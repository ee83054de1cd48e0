"""Statuses and errors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from contacts.events import Receipt, ReceiptsTold
from tests.test_formats import LIMA, inbound, items_of, meta, only, outbound

EVENT_AT = datetime(2026, 6, 9, 10, 23, 20, tzinfo=UTC)
UNDELIVERABLE = {"code": 131026, "title": "title", "message": "message", "error_data": {"details": "details"}}


def receipts_of(event: str, *statuses: Any, **message: Any) -> tuple[Receipt, ...]:
    kapso = {"direction": "outbound", "statuses": list(statuses)} | message.pop("kapso", {})
    told = only(items_of(outbound(kapso=kapso, **message), event=event))
    receipts: tuple[Receipt, ...] = told.receipts
    return receipts


def test_the_history_tells_every_status_with_its_time() -> None:
    history = [{"status": "SENT", "timestamp": "1781000600"}, {"status": "delivered", "timestamp": "soon"}]
    assert receipts_of("whatsapp.message.delivered", *history) == (
        Receipt(word="sent", at=EVENT_AT),
        Receipt(word="delivered", at=None),
    )


def test_the_events_own_word_is_added_where_the_history_lacks_it() -> None:
    assert receipts_of("whatsapp.message.read") == (Receipt(word="read", at=EVENT_AT),)
    assert receipts_of("", kapso={"status": "Delivered"}) == (Receipt(word="delivered", at=EVENT_AT),)
    assert receipts_of("whatsapp.message.sent", timestamp=None) == (Receipt(word="sent", at=None),)


def test_an_imported_messages_status_has_no_time_of_its_own() -> None:
    kapso = {"status": "read", "origin": "history_sync"}
    assert receipts_of("whatsapp.message.received", kapso=kapso) == (Receipt(word="read", at=None),)


@pytest.mark.parametrize("word", ["played", "accepted", "warning", "deleted"])
def test_any_other_word_is_told_as_it_is(word: str) -> None:
    told = receipts_of("whatsapp.message.sent", {"status": word, "timestamp": "1781000600"})
    assert told[0] == Receipt(word=word, at=EVENT_AT)


def test_errors_are_found_in_any_entry() -> None:
    first = {"status": "failed", "timestamp": "1781000600", "errors": [UNDELIVERABLE]}
    [failed, sent] = receipts_of("whatsapp.message.failed", first, {"status": "sent"})
    assert (failed.error_code, failed.error_message, failed.error) == (131026, "details", UNDELIVERABLE)
    assert (sent.word, sent.error_message) == ("sent", "")


def test_several_errors_are_several_receipts() -> None:
    errors = [{"code": "131047", "title": "first"}, {"code": 131026}, "third", {}]
    told = receipts_of("whatsapp.message.failed", {"status": "failed", "errors": errors})
    assert [(each.error_code, each.error_message) for each in told] == [
        (131047, "first"),
        (131026, "131026"),
        (None, "third"),
        (None, "Delivery failed"),
    ]


def test_a_failure_takes_the_messages_errors_where_the_history_has_none() -> None:
    [failed] = receipts_of("whatsapp.message.failed", {"status": "failed"}, errors=[UNDELIVERABLE])
    assert (failed.error_code, failed.error_message) == (131026, "details")


@pytest.mark.parametrize("errors", [None, [], "x", 5])
def test_a_failure_without_errors_says_so(errors: object) -> None:
    [failed] = receipts_of("whatsapp.message.failed", errors=errors)
    assert failed == Receipt(word="failed", at=EVENT_AT, error_message="Delivery failed")


@pytest.mark.parametrize("code", [True, 1.5, "12x", "99999999999", 2**31, None, [1]])
def test_an_unusable_code_is_none(code: object) -> None:
    [failed] = receipts_of(
        "whatsapp.message.failed", {"status": "failed", "errors": [{"code": code, "title": "t"}]}
    )
    assert (failed.error_code, failed.error_message) == (None, "t")


@pytest.mark.parametrize("statuses", [None, "x", {"status": "sent"}, [None, 5, {"status": 5}]])
def test_a_history_of_another_kind_is_survived(statuses: object) -> None:
    told = only(
        items_of(
            outbound(kapso={"direction": "outbound", "statuses": statuses}), event="whatsapp.message.sent"
        )
    )
    assert [receipt.word for receipt in told.receipts] == ["sent"]


def test_an_inbound_message_has_no_status_but_keeps_its_errors() -> None:
    assert only(items_of(inbound(kapso={"direction": "inbound", "status": "delivered"}))).receipts == ()
    event = only(items_of(inbound(type="unsupported", errors=[{"code": 131051, "title": "unknown"}])))
    [receipt] = event.receipts
    assert (receipt.word, receipt.at, receipt.error_code) == ("error", event.at, 131051)
    assert event.payload["errors"] == [{"code": 131051, "title": "unknown"}]


def test_a_meta_status_is_never_a_message() -> None:
    status = {"id": "wamid.B", "status": "failed", "timestamp": "1781000600", "recipient_id": "51987650110"}
    failed = Receipt(word="failed", at=EVENT_AT, error_message="Delivery failed")
    assert only(items_of(meta(statuses=[status]))) == ReceiptsTold(
        number=LIMA, wamid="wamid.B", receipts=(failed,)
    )


@pytest.mark.parametrize("status", [None, {}, {"id": "w"}, {"status": "sent"}, {"id": "w", "status": 5}])
def test_a_meta_status_without_an_id_or_a_word_is_ignored(status: object) -> None:
    assert items_of(meta(statuses=[status]))[0].ignored == "a status without a message id or without a word"


def test_a_meta_status_of_a_group_is_ignored() -> None:
    status = {"id": "w", "status": "sent", "recipient_type": "group"}
    assert items_of(meta(statuses=[status]))[0].ignored == "a status of a group message"
