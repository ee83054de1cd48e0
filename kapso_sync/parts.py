"""What deliveries tell, part by part: bodies normalised, each item routed to the number that it names.

A part has all that its item tells, whether that is applied or not: what is sealed, exported or searched for does not
depend on what is set active today. Whether it is applied is its `status`.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from contacts.events import Event
from contacts.models import PhoneNumber
from kapso_sync import formats
from kapso_sync.formats.reading import clean_text
from kapso_sync.models import WebhookDelivery

Status = WebhookDelivery.Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to become of a part, and why. `counted` is the reason without the values in it, where there are any."""

    status: Status
    reason: str = ""
    counted: str = ""
    waits_for: str = ""  # the number that is not here, or not active


@dataclass(slots=True, kw_only=True)
class Part:
    """One independently applied part of a delivery: what it tells, and what comes of it.

    `number` is the registered one that it is for, also an inactive one; None for what names none, one that is not
    here, or one for which its sender may not speak.
    """

    delivery: WebhookDelivery
    events: tuple[Event, ...] = ()
    number: PhoneNumber | None = None
    status: Status
    reason: str = ""
    counted: str = ""
    waits_for: str = ""
    notes: tuple[str, ...] = ()  # what is odd about the item
    met_others: bool = False  # it failed since somebody else was at the same rows
    is_erased: bool = False  # it tells of somebody who was erased

    @property
    def is_to_apply(self) -> bool:
        return self.status == Status.PROCESSED and bool(self.events)

    def failed(self, error: Exception, *, met_others: bool = False) -> None:
        self.status = Status.FAILED
        self.reason = clean_text("".join(traceback.format_exception(error)))
        self.counted = type(error).__name__
        self.met_others = met_others


def told_by(deliveries: Sequence[WebhookDelivery]) -> list[Part]:
    """What stored deliveries tell, as it would be applied now; nothing is."""
    return parts_of(deliveries, numbers_named_by(deliveries))


def numbers_named_by(deliveries: Iterable[WebhookDelivery]) -> dict[str, PhoneNumber]:
    named = {number for delivery in deliveries for number in delivery.numbers_named}
    registered = PhoneNumber.objects.filter(phone_number_id__in=named)
    return {number.phone_number_id: number for number in registered}


def parts_of(deliveries: Iterable[WebhookDelivery], numbers: Mapping[str, PhoneNumber]) -> list[Part]:
    own_phones = {number_id: number.own_phone for number_id, number in numbers.items()}
    return [part for delivery in deliveries for part in _parts(delivery, numbers, own_phones)]


def _parts(
    delivery: WebhookDelivery, numbers: Mapping[str, PhoneNumber], own_phones: Mapping[str, str]
) -> list[Part]:
    if delivery.unparseable:
        return [
            Part(
                delivery=delivery,
                status=Status.IGNORED,
                reason=f"The body cannot be read: {delivery.unparseable}.",
                counted="the body is no JSON that we accept",
            )
        ]
    try:
        items = delivery.items(own_phones)
    except Exception as error:  # noqa: BLE001 - a body that our code cannot read is kept as failed
        part = Part(delivery=delivery, status=Status.FAILED)
        part.failed(error)
        return [part]
    return [_part(delivery, item, numbers) for item in items]


def _part(delivery: WebhookDelivery, item: formats.Item, numbers: Mapping[str, PhoneNumber]) -> Part:
    served = delivery.served_numbers
    is_served = served is None or not item.number or item.number in served
    number = numbers.get(item.number) if is_served else None
    verdict = (
        _verdict(item, number, was_applied=delivery.has_applied(item.number))
        if is_served
        else _not_served(item)
    )
    return Part(
        delivery=delivery,
        events=item.events,
        number=number,
        status=verdict.status,
        reason=verdict.reason,
        counted=verdict.counted or item.counted,
        waits_for=verdict.waits_for[:64],
        notes=item.notes,
    )


def _not_served(item: formats.Item) -> Verdict:
    return Verdict(
        status=Status.IGNORED,
        reason=f"It names the number {item.number}, which the signing secret does not serve.",
        counted="it names a number that the signing secret does not serve",
    )


def _verdict(item: formats.Item, number: PhoneNumber | None, *, was_applied: bool) -> Verdict:
    """Whether the item is to be applied. What was applied already is not undone by setting its number inactive."""
    if item.ignored.startswith(formats.UNREADABLE):
        return Verdict(status=Status.FAILED, reason=item.ignored)
    if not item.events:
        return Verdict(status=Status.IGNORED, reason=item.ignored)
    if item.needs_number and number is None:
        return Verdict(
            status=Status.UNROUTABLE,
            reason=f"No number {item.number or '(none is named)'} is registered here yet.",
            counted=f"no {'such number is registered' if item.number else 'number is named'}",
            waits_for=item.number,
        )
    if number is not None and not number.is_active and not was_applied:
        return Verdict(
            status=Status.IGNORED,
            reason=f"The number {item.number} is set inactive.",
            counted="the number is set inactive",
            waits_for=item.number,
        )
    return Verdict(status=Status.PROCESSED, reason=item.ignored)
