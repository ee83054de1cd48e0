from __future__ import annotations

import pytest

from contacts.preview import DELETED, file_name, label, preview, shorten


@pytest.mark.parametrize(
    ("message_type", "content", "expected"),
    [
        ("text", "Hola", "Hola"),
        ("image", "Photo", "📷 Photo"),
        ("image", "my desk", "📷 my desk"),
        ("video", "Video", "🎥 Video"),
        ("audio", "Audio", "🎵 Audio"),
        ("audio", "Voice message", "🎤 Voice message"),
        ("document", "offer.pdf", "📄 offer.pdf"),
        ("sticker", "Sticker", "Sticker"),
        ("location", "Lima, Perú", "📍 Lima, Perú"),
        ("contacts", "Rosa and 1 more", "👤 Rosa and 1 more"),
        ("order", "Order: 2 items", "🛒 Order: 2 items"),
        ("poll", "", "[poll]"),
    ],
)
def test_it_says_what_a_message_is(message_type: str, content: str, expected: str) -> None:
    assert preview(message_type, content) == expected


def test_a_voice_message_is_shown_by_its_transcript() -> None:
    told = preview("audio", "Voice message", transcript="Can you call me?", payload={"voice": True})
    assert told == "🎤 Can you call me?"


def test_a_deleted_message_says_nothing_else() -> None:
    assert preview("image", "secret", is_deleted=True) == DELETED


def test_it_is_one_line_of_printable_text() -> None:
    assert preview("text", "  one\n\n two\t\u2028three\x00\x07 ") == "one two three"


def test_it_is_at_most_160_code_points() -> None:
    assert len(preview("text", "a" * 1000)) == 160
    assert preview("text", "a" * 160) == "a" * 160


@pytest.mark.parametrize("whole", ["e\u0301", "👩‍👩‍👧‍👦", "👍🏽", "🇵🇪", "❤️", "हि", "\u1112\u1161\u11ab"])
@pytest.mark.parametrize("before", range(150, 160))
def test_it_never_cuts_a_character_in_two(whole: str, before: int) -> None:
    told = shorten("a" * before + whole + "b" * 50)
    assert told.rstrip("…").lstrip("a").rstrip("b") in ("", whole)


def test_a_text_without_any_boundary_is_cut_all_the_same() -> None:
    assert len(shorten("a" + "\u0301" * 500)) <= 160


@pytest.mark.parametrize("told", ["../../etc/offer.pdf", "C:\\temp\\offer.pdf", "offer.pdf"])
def test_a_file_name_is_no_path(told: str) -> None:
    assert file_name({"filename": told}) == "offer.pdf"


@pytest.mark.parametrize("payload", [None, {}, [], {"filename": 3}, "text"])
def test_a_strange_payload_names_no_file(payload: object) -> None:
    assert file_name(payload) == ""
    assert label("audio", payload) == ("🎵", "Audio")
