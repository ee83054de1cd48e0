"""A message in one line, for lists and quotes (CONTRACT.md 9.1 and 9.3). Pure: no database, no HTML."""

from __future__ import annotations

import re
import unicodedata

from django.utils.translation import gettext, gettext_noop

LONGEST = 160
DELETED = gettext_noop("Message deleted")

# type -> emoji and the word for a medium that says nothing else of itself.
LABELS = {
    "image": ("📷", gettext_noop("Photo")),
    "video": ("🎥", gettext_noop("Video")),
    "audio": ("🎵", gettext_noop("Audio")),
    "document": ("📄", gettext_noop("Document")),
    "sticker": ("", gettext_noop("Sticker")),
    "location": ("📍", gettext_noop("Location")),
    "contacts": ("👤", gettext_noop("Contact")),
    "order": ("🛒", gettext_noop("Order")),
}
VOICE = ("🎤", gettext_noop("Voice message"))
# What the sync writes, in English, where nobody said anything: shown in the language of whoever reads.
_WORDS = {
    DELETED,
    VOICE[1],
    *(word for _, word in LABELS.values()),
    gettext_noop("Unsupported message"),
    gettext_noop("Media"),
    gettext_noop("Opened the chat"),
}

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")


def preview(
    message_type: str,
    content: str,
    *,
    transcript: str = "",
    payload: object = None,
    is_deleted: bool = False,
) -> str:
    """One line of at most 160 code points; never empty."""
    if is_deleted:
        return gettext(DELETED)
    emoji, _ = label(message_type, payload, content)
    is_spoken = message_type == "audio" and transcript.strip()
    words = one_line(transcript if is_spoken else worded(message_type, content))
    return shorten(f"{emoji} {words}".strip() or f"[{message_type}]")


def worded(message_type: str, content: str) -> str:
    """The content; in the reader's language where it is a word of the sync's, as the content itself stays English."""
    return gettext(content) if message_type != "text" and content in _WORDS else content


def label(message_type: str, payload: object = None, content: str = "") -> tuple[str, str]:
    """Emoji and word for what kind of thing a message is; two empty strings for mere words."""
    if message_type == "audio" and (_told(payload, "voice") is True or content == VOICE[1]):
        return VOICE
    return LABELS.get(message_type, ("", ""))


def file_name(payload: object) -> str:
    """What a stranger called their file: for showing, never a path."""
    told = _told(payload, "filename")
    return one_line(re.split(r"[/\\]", told)[-1]) if isinstance(told, str) else ""


def _told(payload: object, key: str) -> object:
    return payload.get(key) if isinstance(payload, dict) else None


def one_line(text: str) -> str:
    return " ".join(_UNPRINTABLE.sub("", text).split())


def shorten(text: str, longest: int = LONGEST) -> str:
    """At most so many code points, the ellipsis included, cut between two characters as people see them."""
    if len(text) <= longest:
        return text
    cut = longest - 1
    while cut > longest // 2 and not _is_boundary(text, cut):
        cut -= 1
    return text[:cut].rstrip() + "…"


def _is_boundary(text: str, at: int) -> bool:
    """Whether a character as people see it begins at `at`: accents, joined emoji, skin tones and flags stay whole."""
    before, here = text[at - 1], text[at]
    if unicodedata.category(here) in ("Mn", "Me", "Mc") or here == "\u200d" or before == "\u200d":
        return False
    if "\U0001f3fb" <= here <= "\U0001f3ff" or "\U000e0020" <= here <= "\U000e007f":
        return False
    if "\u1160" <= here <= "\u11ff":  # the rest of a Korean syllable that is written in parts
        return False
    return not (_is_flag_letter(here) and _flag_letters_before(text, at) % 2)


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _flag_letters_before(text: str, at: int) -> int:
    start = at
    while start > 0 and _is_flag_letter(text[start - 1]):
        start -= 1
    return at - start
