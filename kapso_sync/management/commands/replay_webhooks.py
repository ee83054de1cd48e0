"""Bring stored deliveries into the CRM again, through the same joint as live webhooks."""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from typing import Any

from django.core.management import CommandError
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from kapso_sync.management.differences import write_differences
from kapso_sync.management.progress import progress
from kapso_sync.models import WebhookDelivery, WebhookDeliveryQuerySet
from kapso_sync.patience import TooBusy
from kapso_sync.rehearsing import rehearsal
from kapso_sync.replaying import cannot_be_replayed, replay_in_batches

Status = WebhookDelivery.Status

LARGEST_ID = 2**63 - 1


class Command(BaseCommand):
    help = (
        "Replay stored webhook deliveries. What is in the CRM already stays as it is, so any of them can be "
        "replayed at any time. Ends with status 1 if a delivery failed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--all", action="store_true", help="every delivery")
        which.add_argument("--failed", action="store_true", help="what failed, or was never finished")
        which.add_argument("--unroutable", action="store_true", help="what came for an unregistered number")
        which.add_argument(
            "--id", nargs="+", action="extend", type=_id, metavar="ID", dest="ids", help="these"
        )
        parser.add_argument("--since", type=_since, metavar="TIME", help="received from this day or time on")
        parser.add_argument("--until", type=_until, metavar="TIME", help="received up to this day or time")
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would change for each lead, and write nothing"
        )
        parser.add_argument(
            "--number", type=_number, metavar="PHONE_NUMBER_ID", help="for this number (Meta's id of it)"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        deliveries = _selected(options)
        if options["ids"]:
            self._name_the_missing(options["ids"])
        cleared = deliveries.without_bodies().count()
        deliveries = deliveries.with_bodies()
        total = deliveries.count()
        if not total and not cleared:
            if options["ids"]:
                raise CommandError("Nothing to replay.")
            self.stdout.write("Nothing to replay: no delivery was selected.")
            return
        if options["dry_run"]:
            self._rehearse(deliveries, total)
            self._name_the_cleared(cleared)
            return
        try:
            with progress(self.stderr, total) as bar, _quiet(options["verbosity"]):
                outcomes = replay_in_batches(
                    deliveries, on_batch=lambda batch: bar.advance(len(batch)), ahead=True
                )
        except TooBusy as error:
            raise CommandError(str(error)) from error
        self.stdout.write(_told(outcomes))
        self._name_the_cleared(cleared)
        if failed := outcomes[Status.FAILED]:
            raise CommandError(f"{_deliveries(failed)} failed: the admin shows why, under Deliveries.")

    def _rehearse(self, deliveries: WebhookDeliveryQuerySet, total: int) -> None:
        with (
            progress(self.stderr, total) as bar,
            rehearsal(deliveries, on_batch=lambda batch: bar.advance(len(batch))) as told,
        ):
            bar.finish()
            if not write_differences(self.stdout, told.differences):
                self.stdout.write("Nothing would change.")
            self.stdout.write(f"{_told(told.outcomes, 'Would replay')} Nothing was written.")

    def _name_the_cleared(self, cleared: int) -> None:
        if cleared:
            self.stdout.write(cannot_be_replayed(cleared))

    def _name_the_missing(self, ids: list[int]) -> None:
        known = WebhookDelivery.objects.filter(pk__in=ids).values_list("pk", flat=True)
        if missing := sorted(set(ids) - set(known)):
            self.stderr.write(f"There is no delivery {', '.join(map(str, missing))}.")


def _selected(options: dict[str, Any]) -> WebhookDeliveryQuerySet:
    if not any(options[name] for name in ("all", "failed", "unroutable", "ids", "since", "until", "number")):
        raise CommandError(
            "Say what to replay: --all, --failed, --unroutable, --id, --since, --until or --number."
        )
    since, until = options["since"], options["until"]
    if since and until and since > until:
        raise CommandError("--since is later than --until: nothing lies between them.")
    deliveries = WebhookDelivery.objects.all()
    if options["failed"]:
        deliveries = deliveries.filter(status__in=[Status.FAILED, Status.RECEIVED])
    elif options["unroutable"]:
        deliveries = deliveries.filter(status=Status.UNROUTABLE)
    elif options["ids"]:
        deliveries = deliveries.filter(pk__in=options["ids"])
    narrowed = {"received_at__gte": since, "received_at__lte": until, "phone_number_id": options["number"]}
    return deliveries.filter(**{name: value for name, value in narrowed.items() if value})


def _id(value: str) -> int:
    if value.isascii() and value.isdecimal() and 0 < len(value) < 20 and 0 < int(value) <= LARGEST_ID:
        return int(value)
    raise argparse.ArgumentTypeError(
        f"{value!r} is not the id of a delivery: a whole number, as the admin shows it."
    )


def _number(value: str) -> str:
    if value.isascii() and value.isdecimal():
        return value
    raise argparse.ArgumentTypeError(
        f"{value!r} is no phone number ID: digits, as the list of numbers shows it."
    )


def _since(value: str) -> datetime:
    return _moment(value, time.min)


def _until(value: str) -> datetime:
    """A day is meant to its end."""
    return _moment(value, time.max)


def _moment(value: str, of_day: time) -> datetime:
    try:
        moment = datetime.combine(date.fromisoformat(value), of_day)
    except ValueError:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            text = f"{value!r} is no time: write 2026-06-30 or 2026-06-30T18:00, with +02:00 for another time zone."
            raise argparse.ArgumentTypeError(text) from error
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


@contextmanager
def _quiet(verbosity: int) -> Iterator[None]:
    """The log has a line for each message of a live webhook: here they would bury the counts (-v 2 shows them)."""
    logger = logging.getLogger("kapso_sync.sync")
    level = logger.level
    if verbosity < 2:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _told(outcomes: Counter[str], done: str = "Replayed") -> str:
    counts = ", ".join(
        f"{outcomes[status]} {words}" for status, words in IN_WORDS.items() if outcomes[status]
    )
    return f"{done} {_deliveries(outcomes.total())}: {counts or 'none'}."


def _deliveries(count: int) -> str:
    return f"{count} deliver{'y' if count == 1 else 'ies'}"


IN_WORDS = {
    Status.PROCESSED: "processed",
    Status.IGNORED: "ignored",
    Status.UNROUTABLE: "for a number that is not registered here",
    Status.FAILED: "failed",
}
