"""What nobody has heard of shows: by key path and type, never by value."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from kapso_sync import drift
from kapso_sync.drift import KNOWN, KNOWN_FIELDS, MOST_FOUND, known_fields, unknown_in
from tests.builders import ANA, batch, contact_updated, message, meta, meta_status, reaction, session_event
from tests.kapso import PAYLOADS, load

CORPUS = sorted(path.stem for path in PAYLOADS.glob("*.json"))


@pytest.mark.parametrize("name", [name for name in CORPUS if not name.startswith("malformed")])
def test_every_payload_of_the_corpus_is_known(name: str) -> None:
    assert unknown_in(load(name).get("body")) == []


def test_fields_of_the_wrong_type_are_named_with_the_type_they_have() -> None:
    found = unknown_in(load("malformed-wrong-types")["body"])
    assert "changed type: message.kapso is string" in found
    assert "changed type: is_new_conversation is string" in found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (message("a", hologram="x"), "unknown field: message.hologram"),
        (message("a", timestamp=1781000000.5), "changed type: message.timestamp is number"),
        (message("a") | {"surprise": {"a": 1}}, "unknown field: surprise"),
        (message("a", kapso={"direction": "inbound", "mood": 1}), "unknown field: message.kapso.mood"),
        (message("a", kapso=[]), "changed type: message.kapso is array"),
        (message("a", kapso={"has_media": 1}), "changed type: message.kapso.has_media is number"),
        (message("a", errors=["boom"]), "changed type: message.errors[] is string"),
        (batch(message("a", hologram="x")), "unknown field: message.hologram"),
        (batch("a"), "changed type: data[] is string"),
        (meta({"messages": [{"text": {"hologram": 1}}]}), "unknown field: message.text.hologram"),
        (meta({"novelties": []}), "unknown field: entry[].changes[].value.novelties"),
        (contact_updated(ANA, "Ana", mood=1), "unknown field: mood"),
        ({"event": "x", "data": message("a", hologram=1)}, "unknown field: message.hologram"),
        (message("a", type="edit", edit={"message": {"x": 1}}), "unknown field: message.edit.message.x"),
    ],
)
def test_what_is_new_is_named_by_its_path(body: Any, found: str) -> None:
    assert unknown_in(body) == [found]


@pytest.mark.parametrize(
    "body",
    [
        message("a", name="Ana", user_id="PE.1"),
        reaction("a", 0, "b", "👍"),
        session_event("s", 0, status="ended"),
        contact_updated(ANA, "Ana"),
        meta_status("a", "read", 0),
        message("a", text=None, context=None),
        {"conversation": {"metadata": {"anything": {"at": ["all"]}}}},
        message("a", kapso={"flow_response": {"whatever": {"they": "asked"}}}),
    ],
)
def test_what_is_known_or_free_is_not(body: Any) -> None:
    assert unknown_in(body) == []


@pytest.mark.parametrize("key", [ANA, "Ana Torres", "x" * 70, "", "a\x00b", "PE.1180022933441177553", "<b>"])
def test_a_key_that_may_be_a_value_stays_unsaid(key: str) -> None:
    assert unknown_in({"message": {key: 1}}) == ["unknown field: message.(no usual word)"]


@pytest.mark.parametrize("body", [None, [], "text", 17, True])
def test_what_is_no_object_has_no_fields(body: Any) -> None:
    assert unknown_in(body) == []


def test_one_body_says_no_more_than_a_page_can_hold() -> None:
    assert len(unknown_in({"x" * index: 1 for index in range(1, 50)})) == MOST_FOUND


def test_a_huge_body_is_looked_at_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: Counter[str] = Counter()
    real = drift._look_at

    def look(value: Any, place: Any, *rest: Any) -> None:
        looked["values"] += 1
        real(value, place, *rest)

    monkeypatch.setattr(drift, "_look_at", look)
    unknown_in(meta({"messages": [message(str(index))["message"] for index in range(50_000)]}))
    assert looked["values"] < 5000


def test_nesting_without_end_is_no_trouble() -> None:
    body: dict[str, Any] = {}
    for _ in range(500):
        body = {"data": body}
    assert unknown_in(body) == []


def test_the_file_is_sorted_out() -> None:
    """Each path once, with a type, below one that is there."""
    paths = [line.split() for line in KNOWN_FIELDS.read_text().splitlines() if line and line[0] != "#"]
    assert [path for path, count in Counter(path for path, *_ in paths).items() if count > 1] == []
    assert [path for path, *words in paths if not words] == []
    known = {path for path, *_ in paths}
    orphans = [path for path in known if "." in path and path.rpartition(".")[0] not in known]
    assert orphans == []
    assert KNOWN.fields["message"].fields["timestamp"].types == {str}


def test_the_file_is_read_as_it_says() -> None:
    tree = known_fields(
        [
            "# a comment",
            "",
            "a object",
            "a.b string number",
            "c array",
            "c[] = a",
            "d object *",
            "e[] = (top)",
        ]
    )
    assert unknown_in({"a": {"b": 1.5}, "c": [{"b": "x"}], "d": {"x": [{}]}}, tree) == []
    found = unknown_in({"c": [{"b": True}, {"z": 1}]}, tree)
    assert found == ["unknown field: c[].z", "changed type: a.b is boolean"]
