"""Erase one person from the CRM and from every stored delivery."""

from __future__ import annotations

from typing import Any

from django.core.management import CommandError
from django.core.management.base import BaseCommand, CommandParser

from contacts.erasing import Person
from kapso_sync.erasing import count_bodies, erase_person
from kapso_sync.finding import deliveries_of
from kapso_sync.management.choosing import add_person_arguments, chosen_person, who
from kapso_sync.management.progress import progress
from kapso_sync.patience import TooBusy


class Command(BaseCommand):
    help = (
        "Erase one person: the lead, every message, and every stored webhook that tells of them. Nothing brings them "
        "back, and nothing undoes it. If it is interrupted, start it again; once the lead is gone, by the phone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_person_arguments(parser)
        parser.add_argument("--dry-run", action="store_true", help="only list what would go")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *_: Any, **options: Any) -> None:
        person = chosen_person(options)
        if options["dry_run"] or not options["yes"]:
            self._list(person)
        if options["dry_run"]:
            return
        if not options["yes"]:
            self._ask(person)
        total = self._total(person)
        try:
            with progress(self.stderr, total) as bar:
                outcome = erase_person(
                    person.workspace_id, person.lead_id, person.named, on_batch=bar.advance
                )
        except TooBusy as error:
            raise CommandError(str(error)) from error
        self.stdout.write(str(outcome))

    def _ask(self, person: Person) -> None:
        try:
            answer = input(f"Erase {who(person)}, for ever? Type yes: ")
        except EOFError:
            answer = ""
        if answer.strip().lower() != "yes":
            raise CommandError("Nothing was erased.")

    def _list(self, person: Person) -> None:
        if not person.is_known:
            self.stdout.write("Nobody in the CRM is known by that; stored deliveries are looked through.")
        with progress(self.stderr, self._total(person)) as bar:
            bodies = count_bodies(person, on_batch=bar.advance)
        self.stdout.write(f"This would be erased of {who(person)}:")
        for count, what in [
            *person.counts,
            (bodies, "stored delivery" if bodies == 1 else "stored deliveries"),
        ]:
            self.stdout.write(f"  {count} {what}")

    def _total(self, person: Person) -> int:
        return deliveries_of(person.workspace_id).with_bodies().count()
