"""The rows of an import: a page of them in words, and all of one kind as a CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from contacts import lead_export
from contacts.batches import in_batches
from contacts.lead_import.headers import CUSTOM, TARGETS
from contacts.lead_import.words import shown
from contacts.models import CustomField, Import, ImportRow, LeadStatus

PER_PAGE = 50
SHOWN_CELLS = 6
LONGEST = 80

Outcome = ImportRow.Outcome


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    outcome: str
    label: str
    cells: str
    said: list[str]
    lead: int | None


def rows_page(made: Import, outcome: str, after: str) -> dict[str, Any]:
    """The rows of one outcome, else the refused ones first of all: these ask for something."""
    counts = {value: made.count(value) for value in Outcome.values}
    chosen = outcome if outcome in counts else next((kind for kind in _FIRST if counts[kind]), Outcome.NEW)
    start = int(after) if after.isascii() and after.isdecimal() and len(after) < 10 else 0
    rows = ImportRow.objects.filter(of=made, outcome=chosen, number__gt=start).order_by("number")
    found = list(rows[: PER_PAGE + 1])
    return {
        "tabs": [(kind.value, title, counts[kind], kind == chosen) for kind, title in _TITLES.items()],
        "outcome": chosen,
        "lines": lines_of(made, found[:PER_PAGE]),
        "next_after": found[PER_PAGE - 1].number if len(found) > PER_PAGE else None,
        "is_later": start > 0,
    }


_FIRST = (Outcome.REFUSED, Outcome.NEW, Outcome.CHANGED, Outcome.SAME)
_TITLES = {
    Outcome.NEW: gettext_lazy("New"),
    Outcome.CHANGED: gettext_lazy("Changed"),
    Outcome.SAME: gettext_lazy("As they are"),
    Outcome.REFUSED: gettext_lazy("Refused"),
}


def lines_of(made: Import, rows: Sequence[ImportRow]) -> list[Line]:
    """Two queries, whatever the rows."""
    words = _Words.of(made, rows)
    return [
        Line(
            row.number,
            row.outcome,
            str(Outcome(row.outcome).label),
            " · ".join(cell[:LONGEST] for cell in [cell for cell in row.cells if cell][:SHOWN_CELLS]),
            words.said(row),
            row.contact_id,
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class _Words:
    labels: dict[str, str]
    people: dict[int, str]

    @classmethod
    def of(cls, made: Import, rows: Sequence[ImportRow]) -> _Words:
        fields = CustomField.objects.filter(workspace=made.workspace_id)
        labels = {f"{CUSTOM}{field.key}": field.label for field in fields}
        owners = {pk for row in rows for pk in row.told.get("changes", {}).get("owner", []) if pk}
        people = dict(User.objects.filter(pk__in=owners).values_list("pk", "username"))
        return cls(labels, people)

    def said(self, row: ImportRow) -> list[str]:
        """Why it was refused, what changes, and what else there is to say."""
        told = row.told
        lines = [shown(told["why"])] if "why" in told else []
        if row.outcome == Outcome.CHANGED:
            lines += [self._change(name, *values) for name, values in told.get("changes", {}).items()]
        return lines + [shown(_in_words(note)) for note in told.get("notes", [])]

    def _change(self, name: str, before: Any, after: Any) -> str:
        label = self.labels.get(name) or str(TARGETS.get(name, name.removeprefix(CUSTOM)))
        values = {"field": label, "before": self._value(name, before), "after": self._value(name, after)}
        if values["before"]:
            return _("%(field)s: %(before)s → %(after)s") % values
        return _("%(field)s: %(after)s") % values

    def _value(self, name: str, value: Any) -> str:
        if name == "owner":
            return self.people.get(value, "") if value else ""
        if isinstance(value, list):
            return ", ".join(map(str, value))
        if isinstance(value, bool):
            return _("Yes") if value else _("No")
        return "" if value in (None, "") else str(value)


def _in_words(note: list[Any]) -> list[Any]:
    code, values = note
    if "status" in values and values["status"] in LeadStatus.values:
        return [code, values | {"status": LeadStatus(values["status"]).label}]
    return note


def rows_of(made: Import, outcome: str) -> StreamingHttpResponse:
    """The file's own columns, with what became of each row in front: to be corrected, and imported again.

    Raises `lead_export.Busy`.
    """
    chosen = [outcome] if outcome in Outcome.values else Outcome.values
    header = [_("Row"), _("Outcome"), _("Why"), *made.header]
    name = f"import-{made.pk}-{outcome if outcome in Outcome.values else 'rows'}"
    return lead_export.streamed(lead_export.as_csv([header], _lines_of(made, chosen)), "csv", name=name)


def _lines_of(made: Import, outcomes: Sequence[str]) -> Iterator[list[Any]]:
    rows = ImportRow.objects.filter(of=made, outcome__in=outcomes).order_by("number")
    for batch in in_batches(rows.iterator(chunk_size=2000), 500):
        words = _Words.of(made, batch)
        for row in batch:
            yield [row.number, Outcome(row.outcome).label, " ".join(words.said(row)), *row.cells]
