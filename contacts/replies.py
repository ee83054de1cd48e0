"""Where replies go: to the identity that the customer last wrote from, in that very thread."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from contacts.models import Conversation
from contacts.statements import run
from contacts.statements.reply_addresses import REPLY_ADDRESSES


@dataclass(frozen=True, slots=True)
class Address:
    """Whom WhatsApp is to deliver to; both parts may be unknown. Where a phone is left out, so is its doubt."""

    phone: str | None
    user_id: str | None


def reply_addresses(threads: Collection[Conversation]) -> dict[int, Address]:
    """Of these threads, by their ids, in one statement, however many there are."""
    return addresses_of([thread.pk for thread in threads])


def addresses_of(threads: Collection[int]) -> dict[int, Address]:
    """As `reply_addresses`, of threads that are known by their ids."""
    if not threads:
        return {}
    return {pk: Address(phone, user_id) for pk, phone, user_id in run(REPLY_ADDRESSES, [sorted(threads)])}
