"""Bytes to JSON, and JSON values to clean ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from kapso_sync.formats import Unparseable, parse
from kapso_sync.formats.reading import (
    clean,
    first_moment,
    moment,
    phone,
    session_id,
    user_id,
    username,
    wamid,
)
from tests.test_formats import RECEIVED_AT, inbound, items_of, only


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b'{"a":"\xff"}', "not UTF-8 at byte 6"),
        (b"\xef\xbb\xbf{}", "it starts with a byte order mark"),
        (b'{"a":', "not JSON: Expecting value (character 5)"),
        (b"{} {}", "not JSON: Extra data (character 3)"),
        (b"[NaN]", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b'{"a":1,"a":1}', "an object has the same key twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * 600 + b"]" * 600, "nested too deeply"),
        (b"1" * 1001, "an integer of more than 1000 digits"),
        (b"'a'", "not JSON: Expecting value (character 0)"),
    ],
)
def test_a_body_that_could_mean_two_things_is_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(Unparseable) as refused:
        parse(body)
    assert str(refused.value) == reason


@pytest.mark.parametrize("value", [{}, [], None, 1, "x", 1.5, {"a": [{}]}, "\ud83d", "\x00"])
def test_json_of_any_kind_is_parsed(value: object) -> None:
    assert parse(json.dumps(value).encode()) == value


def test_300_levels_and_1000_digits_are_parsed() -> None:
    assert parse(b"[" * 300 + b"]" * 300)
    assert parse(b"9" * 1000) == 10**1000 - 1


def test_many_flat_objects_are_not_nested() -> None:
    assert len(json.loads(json.dumps(parse(b"[" + b"{}," * 5000 + b"{}]")))) == 5001


SENT = datetime(2026, 6, 9, 10, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    "told",
    [
        "1781000000",
        " 1781000000 ",
        1781000000,
        1781000000.0,
        "1781000000.0",
        1781000000000,
        "1781000000000",
        "2026-06-09T10:13:20Z",
        "2026-06-09T10:13:20+00:00",
        "2026-06-09T05:13:20-05:00",
        "2026-06-09T10:13:20",
        "2026-06-09 10:13:20.000000",
    ],
)
def test_a_time_may_be_seconds_milliseconds_or_iso(told: object) -> None:
    assert moment(told, RECEIVED_AT) == SENT


@pytest.mark.parametrize(
    "told",
    [
        None, "", "0", 0, -5, True, "soon", [], {}, "1230767999", 10**400, -(10**400), 1e308, float("nan"), float("inf"),
        10**12, 10**15, "9999-12-31T23:59:59-10:00", "0001-01-01T00:00:00+10:00", "\ud800", "1781172001", "2009-W01",
    ],
)  # fmt: skip
def test_an_absurd_time_is_none(told: object) -> None:
    assert moment(told, RECEIVED_AT) is None


def test_a_day_ahead_is_the_limit() -> None:
    limit = RECEIVED_AT + timedelta(days=1)
    assert moment(limit.timestamp(), RECEIVED_AT) == limit
    assert moment(limit.timestamp() + 1, RECEIVED_AT) is None
    assert first_moment(RECEIVED_AT, "later", 0, "1781000000") == SENT


@pytest.mark.parametrize("told", [None, 0, "", "1999999999", True, {"at": 1}])
def test_a_message_without_a_usable_time_is_at_its_receipt(told: object) -> None:
    event = only(items_of(inbound(timestamp=told)))
    assert (event.at, event.timed) == (RECEIVED_AT, False)


def test_a_message_time_is_the_providers_in_utc() -> None:
    event = only(items_of(inbound(timestamp="2026-06-09T05:13:20-05:00")))
    assert (event.at, event.timed, event.at.tzinfo) == (SENT, True, UTC)


def test_clean_replaces_what_postgresql_refuses_in_texts_and_keys() -> None:
    dirty = {"a\x00": ["b\ud83d", {"\udc00": float("nan")}], "n": [1, True, None, 1.5, float("inf")]}
    assert clean(dirty) == {"a\ufffd": ["b\ufffd", {"\ufffd": None}], "n": [1, True, None, 1.5, None]}


def test_clean_cuts_at_32_levels() -> None:
    nested: object = "end"
    for _ in range(40):
        nested = [nested]
    depth = 0
    cut = clean(nested)
    while isinstance(cut, list):
        cut, depth = cut[0], depth + 1
    assert (cut, depth) == (None, 32)


@pytest.mark.parametrize(
    "told",
    ["51987650101", "+51 987 650 101", "(51) 987-650.101", "0051987650101", 51987650101, "٥١٩٨٧٦٥٠١٠١"],
)
def test_a_phone_is_its_digits_however_written(told: object) -> None:
    assert phone(told) == "51987650101"


@pytest.mark.parametrize(
    "told",
    ["", None, "123456", "1234567890123456", True, 1.5, [], "PE.11800229334", "51987650101 ext 5", "x" * 99],
)
def test_what_is_no_phone_is_none(told: object) -> None:
    assert phone(told) is None


def test_the_business_number_is_nobodys_phone() -> None:
    assert phone("+51 1 555-0142", {"5115550142"}) is None


@pytest.mark.parametrize("told", ["PE.118", "user.0af", "x" * 256, "Ünïcode-ist-opak"])
def test_an_odd_user_id_is_taken_as_it_is(told: str) -> None:
    assert user_id(told) == told


@pytest.mark.parametrize("told", ["", " ", "a b", "a\n", "x" * 257, 12345, None, ["PE.1"]])
def test_what_is_no_user_id_is_none(told: object) -> None:
    assert user_id(told) is None


def test_a_username_loses_one_at_sign_and_is_cut() -> None:
    assert username(" @nora.v ") == "nora.v"
    assert username("@@nora") == "@nora"
    assert username("@") is username(" ") is username(None) is None
    assert username("x" * 500) == "x" * 255


def test_ids_are_text_or_numbers_and_stay_distinct_when_long() -> None:
    assert wamid("wamid.A\x00") == "wamid.A\ufffd"
    assert wamid(17) == "17"
    assert wamid(True) == wamid(None) == wamid("  ") == wamid([]) == ""
    assert wamid("x" * 255) == "x" * 255
    assert wamid("x" * 256).startswith("sha256:")
    assert wamid("x" * 256) != wamid("x" * 257)
    assert session_id("x" * 129) == session_id(5) == ""
