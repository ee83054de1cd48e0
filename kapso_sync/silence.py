"""Numbers that fell silent are told to whoever looks after them (kapso_sync.watching knows the silence)."""

from __future__ import annotations

from datetime import datetime

from contacts import notifying
from contacts.models import PhoneNumber
from kapso_sync import watching


def tell_of_silence(now: datetime) -> None:
    """Of every number; the same few statements for any number that speaks. Each silence is told once."""
    numbers = PhoneNumber.objects.filter(is_active=True).defer("webhook_secret")
    for picture in watching.pictures(numbers, now):
        if picture.silence and picture.last_at:
            notifying.number_silent(picture.number, since=picture.last_at, what=_sentence(picture.silence))


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."
