"""Whatever JSON arrives, normalising survives it and lets only storable values out."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kapso_sync.formats import UNREADABLE, Item, event_name, numbers_named, parse
from tests.test_formats import CASES, corpus, inbound, items_of, only, read

UNCLEAN = {chr(0), *map(chr, range(0xD800, 0xE000))}
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.just(10**400)
BODIES = [parse(corpus(case)[0]) for case in CASES if not case.startswith("malformed-")]
EVENTS = [*sorted({corpus(case)[1].get("x-webhook-event", "") for case in CASES}), "contact.updated"]


def known_keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from known_keys(child)


KEYS = st.sampled_from(sorted(set(known_keys(BODIES)))) | ANY_TEXT
JSON = st.recursive(
    SCALARS,
    lambda child: st.lists(child, max_size=4) | st.dictionaries(KEYS, child, max_size=8),
    max_leaves=40,
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in pairs:
        yield value, key
        yield from places(child)


@st.composite
def mutated_bodies(draw: st.DrawFn) -> Any:
    body = copy.deepcopy(draw(st.sampled_from(BODIES)))
    for _ in range(draw(st.integers(1, 4))):
        choices = list(places(body))
        if not choices:
            break
        container, key = choices[draw(st.integers(0, len(choices) - 1))]
        if isinstance(container, dict) and draw(st.booleans()):
            del container[key]
        else:
            container[key] = draw(JSON)
    return body


def leaves(value: object) -> Iterator[object]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list | tuple):
        for child in value:
            yield from leaves(child)
    else:
        yield value


def assert_storable(items: list[Item]) -> None:
    assert items
    for leaf in leaves(items):
        if isinstance(leaf, str):
            assert not UNCLEAN.intersection(leaf)
        elif isinstance(leaf, datetime):
            assert str(leaf.tzinfo) == "UTC"
        else:
            assert (
                leaf is None
                or isinstance(leaf, bool | int)
                or (isinstance(leaf, float) and math.isfinite(leaf))
            )
    assert not [item.ignored for item in items if item.ignored.startswith(UNREADABLE)]


def assert_survives(payload: object, event: str) -> None:
    assert_storable(items_of(payload, event=event))
    assert_storable(items_of(payload, event=event, version="v1"))
    assert all(number.isdigit() for number in numbers_named(payload))
    name = event_name(payload, {})
    assert len(name) <= 100
    assert not UNCLEAN.intersection(name)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
@given(JSON, st.sampled_from(EVENTS))
def test_any_json_is_survived(payload: object, event: str) -> None:
    assert_survives(payload, event)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
@given(mutated_bodies(), st.sampled_from(EVENTS))
def test_any_mutation_of_an_example_is_survived(payload: object, event: str) -> None:
    assert_survives(payload, event)


@pytest.mark.parametrize(
    "value", [None, True, 7, -1.5, float("nan"), "x", "\ud800\x00", [], [[]], {}, {"a": 1}, 10**400]
)
def test_every_single_wrong_value_in_every_example_is_survived(value: object) -> None:
    for case in CASES:
        if case.startswith(("malformed-", "seq-duplicate")):
            continue
        body, headers = corpus(case)
        payload: Any = parse(body)
        for container, key in list(places(payload)):
            kept, container[key] = container[key], value
            assert_storable(read(payload, headers))
            container[key] = kept


def test_texts_and_keys_leave_clean_however_deep() -> None:
    deep = {"a\x00": [{"\ud83d": "x\x00"}]}
    event = only(items_of(inbound(type="odd\x00", **{"odd\ufffd": deep}, referral=deep)))
    assert event.payload == event.referral == {"a\ufffd": [{"\ufffd": "x\ufffd"}]}
    json.dumps(event.payload, ensure_ascii=False, allow_nan=False).encode()


def test_a_megabyte_of_text_is_kept_whole() -> None:
    assert only(items_of(inbound(text={"body": "ñ" * 1_000_000}))).content == "ñ" * 1_000_000


def test_a_payload_is_cut_at_32_levels() -> None:
    nested: object = "end"
    for _ in range(200):
        nested = {"a": nested}
    event = only(items_of(inbound(type="poll", poll=nested, context={"referred_product": nested})))
    assert depth(event.payload) == 32


def depth(value: object) -> int:
    children = value.values() if isinstance(value, dict) else ()
    return isinstance(value, dict) + max(map(depth, children), default=0)


def test_a_payload_is_never_changed() -> None:
    body, headers = corpus("v1-message-received")
    payload = parse(body)
    read(payload, headers)
    assert payload == parse(body)
