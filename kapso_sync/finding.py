"""Finding the stored deliveries that tell of one person: to erase them, or to hand them out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from django.db.models import Q

from contacts.erasing import Person, tombstones_of
from contacts.events import AutomationTold
from contacts.models import PhoneNumber
from contacts.tombstones import ERASED, NOBODY, Mark, Tombstones, is_erased, marks
from kapso_sync.models import WebhookDelivery, WebhookDeliveryQuerySet
from kapso_sync.parts import Part, told_by


def deliveries_of(workspace_id: int) -> WebhookDeliveryQuerySet:
    """Those that may tell of somebody in this workspace."""
    return WebhookDelivery.objects.filter(Q(workspace=workspace_id) | Q(workspace=None))


def self_told(workspace_id: int) -> WebhookDeliveryQuerySet:
    """Those without a body that still say something of themselves, which may name or quote somebody."""
    return deliveries_of(workspace_id).without_bodies().exclude(error="").exclude(error=ERASED)


def are_more_than(most: int, workspace_id: int) -> bool:
    """Whether more deliveries than that are to be looked through. Counts no further."""
    searched = (deliveries_of(workspace_id).with_bodies(), self_told(workspace_id))
    return sum(each.order_by().values("pk")[: most + 1].count() for each in searched) > most


class Finder:
    """Knows a person again in what was delivered, whether or not it could be read.

    `with_erased`: also whoever else was erased before, as long as it is from before that.
    """

    def __init__(self, person: Person, *, with_erased: bool = False) -> None:
        self.marks = person.marks
        self.with_erased = with_erased
        self.workspace_id = person.workspace_id
        numbers = PhoneNumber.objects.filter(workspace=person.workspace_id)
        self.numbers = set(numbers.values_list("phone_number_id", flat=True))
        self.words = {value for _, kind, value in self.marks if kind in ("user", "session")}
        self.words |= {wamid for _, wamid in person.told_of}
        # The digits one after the other, with whatever people put between them; a longer number is somebody else's.
        phones = (rf"(?<!\d){'[^0-9]{0,3}'.join(phone)}(?!\d)" for phone in person.phones)
        wamids = (rf"wamid\.[\w+/]{{4}}{re.escape(hidden)}" for hidden in person.hidden_in_wamids)
        patterns = [*phones, *wamids]
        self.pattern = re.compile("|".join(patterns)) if patterns else None

    def found(self, deliveries: Sequence[WebhookDelivery]) -> list[WebhookDelivery]:
        """Those of the deliveries that tell of the person."""
        parts = told_by(deliveries)
        erased = NOBODY
        if self.with_erased:
            erased = tombstones_of({mark for part in parts for mark in marks_of(part)})
        about = {id(part.delivery) for part in parts if self.is_about(part, erased)}
        return [d for d in deliveries if id(d) in about or (self._is_ours(d) and self.names(_text(d)))]

    def names(self, text: str) -> bool:
        if self.pattern and self.pattern.search(text):
            return True
        return bool(self.words) and not self.words.isdisjoint(_words(text))

    def is_about(self, part: Part, erased: Tombstones = NOBODY) -> bool:
        number = part.number
        if number is None:
            if not self._is_served(part.delivery):
                return False
            ids = {event.session_id for event in part.events if isinstance(event, AutomationTold)}
            return any((self.workspace_id, "session", session) in self.marks for session in ids)
        if not self.marks.isdisjoint(marks_of(part)):
            return True
        return any(is_erased(number, event, erased) for event in part.events)

    def _is_ours(self, delivery: WebhookDelivery) -> bool:
        """What names only others' numbers is another team's, even if the same person is in it."""
        named = delivery.numbers_named
        is_named = not named or not self.numbers.isdisjoint(named)
        return delivery.workspace_id is not None or (is_named and self._is_served(delivery))

    def _is_served(self, delivery: WebhookDelivery) -> bool:
        """Whether its signature speaks for a number of ours."""
        return not delivery.served_numbers or not self.numbers.isdisjoint(delivery.served_numbers)


def marks_of(part: Part) -> set[Mark]:
    """Whom and what an item names."""
    number = part.number
    return {mark for event in part.events for mark in marks(number, event)} if number else set()


def _words(text: str) -> Iterator[str]:
    return (match[0] for match in re.finditer(r'[^\s"\\,{}\[\]]+', text))


def _text(delivery: WebhookDelivery) -> str:
    """The body as it came, and with what JSON escapes written out."""
    raw = delivery.raw_body.decode(errors="replace")
    if "\\" not in raw or delivery.unparseable:
        return raw
    try:
        return f"{raw}\n{json.dumps(delivery.payload, ensure_ascii=False)}"
    except (ValueError, RecursionError):
        return raw
