"""What `normalise` is told about a delivery, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from contacts.events import Event

# A JSON object as it came: nothing in it is clean yet, no key or type can be relied on.
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One part of a delivery that is applied, or ignored, on its own.

    `number` is the business phone_number_id that routes it, "" if it names none. `ignored` says in plain words why
    nothing (more) comes of it. `needs_number` is False for workflow events: their session routes them. `counted` is
    `ignored` without the values in it, where there are any; `notes` is what is odd about an item that is applied
    nevertheless. Both are counted, so both are words of ours or key paths.
    """

    number: str
    events: tuple[Event, ...] = ()
    ignored: str = ""
    needs_number: bool = True
    counted: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What stands around a payload.

    `source` stands for the body, or for one item of it: the sha256 of the body, with the item's index if it is not the
    first. One body may tell several facts, each the same when it comes again. `own_phones` are the numbers' own digits.
    """

    headers: Mapping[str, str]
    received_at: datetime
    source: str
    own_phones: Mapping[str, str]

    def of_item(self, index: int) -> Delivery:
        return replace(self, source=f"{self.source}:{index}") if index else self
