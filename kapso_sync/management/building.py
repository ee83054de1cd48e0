"""What `rebuild_crm` and `verify_crm` have in common: the workspaces they are for, and building with a bar."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.core.management import CommandError
from django.core.management.base import BaseCommand, CommandParser

from contacts.models import Workspace
from kapso_sync.management.progress import progress
from kapso_sync.models import WebhookDelivery
from kapso_sync.patience import TooBusy
from kapso_sync.rebuilding import Busy, Incomplete, Outdated, Rebuild, rebuilding

# What a rebuild is built on may change while it runs: then it begins anew, so often.
TRIES = 3
# PgBouncer would give the connection to others between two transactions, and the lock with it.
TAKES_A_SESSION = (
    "This holds a lock for as long as it takes, which takes a connection of its own: "
    "set WORKER_DATABASE_URL to the database itself, past PgBouncer."
)
KEEPS_CHANGING = "Numbers, code, bodies or erased people keep changing: run it again later."


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument("--workspace", metavar="SLUG", help="this workspace alone (default: every one)")
    parser.add_argument(
        "--restart", action="store_true", help="begin anew, even where an earlier run was interrupted"
    )


def workspaces(slug: str | None) -> list[Workspace]:
    found = list(
        Workspace.objects.filter(slug=slug) if slug is not None else Workspace.objects.order_by("pk")
    )
    if slug is not None and not found:
        shown = slug or '""'
        known = ", ".join(Workspace.objects.order_by("slug").values_list("slug", flat=True)) or "none"
        raise CommandError(f"There is no workspace {shown}. Known: {known}.")
    return found


@contextmanager
def built(command: BaseCommand, workspace: Workspace, *, restart: bool) -> Iterator[Rebuild]:
    """The workspace's shadow, complete; it is left behind only where something went wrong on the way."""
    if settings.PGBOUNCER:
        raise CommandError(TAKES_A_SESSION)
    try:
        with rebuilding(workspace) as rebuild:
            build(command, rebuild, restart=restart)
            yield rebuild
            rebuild.drop()
    except Busy as error:
        raise CommandError(f"{workspace} is being rebuilt or verified by somebody else.") from error
    except TooBusy as error:
        raise CommandError(str(error)) from error
    except Incomplete as error:
        raise CommandError(f"{workspace} could not be rebuilt: {error}") from error


def build(command: BaseCommand, rebuild: Rebuild, *, restart: bool) -> None:
    for attempt in range(TRIES):
        try:
            return _build(command, rebuild, restart=restart and not attempt)
        except Outdated as error:
            if attempt == TRIES - 1:
                raise CommandError(KEEPS_CHANGING) from error
    raise AssertionError


def _build(command: BaseCommand, rebuild: Rebuild, *, restart: bool) -> None:
    if said := rebuild.begin(restart=restart):
        command.stderr.write(said)
    with progress(command.stderr, rebuild.count_waiting()) as bar, _quiet():
        rebuild.build(bar.advance)
    if failed := rebuild.outcomes[WebhookDelivery.Status.FAILED]:
        command.stderr.write(
            f"{failed} of the deliveries cannot be applied: the admin shows why, once replayed."
        )


def say_what_rests(command: BaseCommand, rebuild: Rebuild) -> None:
    """Rows that no stored delivery tells are kept as they are, and cannot be compared with anything."""
    sealed = rebuild.sealed()
    if not sealed:
        return
    counts = ", ".join(sealed)
    emptied = rebuild.emptied()
    why = f"{emptied} deliver{'y' if emptied == 1 else 'ies'} with a cleared body, or were made by hand"
    command.stdout.write(
        f"{rebuild.workspace}: {counts} rest on {why if emptied else 'no delivery: made by hand'}."
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """A poisoned delivery fails here as it did live: said once, in numbers."""
    logger = logging.getLogger("kapso_sync.sync")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
