"""Everything that is stored about one person, as a JSON file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management import CommandError
from django.core.management.base import BaseCommand, CommandParser

from kapso_sync.exporting import export_person
from kapso_sync.finding import deliveries_of
from kapso_sync.management.choosing import add_person_arguments, chosen_person
from kapso_sync.management.progress import progress


class Command(BaseCommand):
    help = "Write everything that is stored about one person as JSON: the lead, its messages, the deliveries."

    def add_arguments(self, parser: CommandParser) -> None:
        add_person_arguments(parser)
        parser.add_argument(
            "--output", metavar="FILE", help="instead of writing to the terminal; must not exist yet"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        person = chosen_person(options)
        if not person.is_known:
            raise CommandError("Nobody here is known by that.")
        total = deliveries_of(person.workspace_id).with_bodies().count()
        with progress(self.stderr, total) as bar:
            pieces = export_person(person, on_batch=bar.advance)
            if options["output"] is None:
                for piece in pieces:
                    self.stdout.write(piece, ending="")
                return
            try:
                self._write(Path(options["output"]), pieces)
            except OSError as error:
                raise CommandError(f"Cannot write {options['output']}: {error.strerror}.") from error
        self.stdout.write(f"Written to {options['output']}.")

    @staticmethod
    def _write(path: Path, pieces: Iterable[str]) -> None:
        """For its owner's eyes only, from the first moment on."""
        path.touch(mode=0o600, exist_ok=False)
        with path.open("w", encoding="utf-8") as file:
            file.writelines(pieces)
