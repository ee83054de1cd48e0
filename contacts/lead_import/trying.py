"""What becomes of a batch of rows: the same whether it is only checked or imported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from contacts.lead_import import planning
from contacts.lead_import.matching import People
from contacts.lead_import.planning import Outcome, Planned
from contacts.lead_import.values import Context, values_of
from contacts.lead_import.words import Wrong
from contacts.models import Import, ImportRow

After = dict[int, dict[str, Any]]


def plan(made: Import, rows: Iterable[ImportRow], *, is_check: bool) -> tuple[list[Planned], After]:
    """In the order of the file. With a check comes what each row's person would have after it."""
    context = Context.of(made)
    said = dict[int, dict[str, Any]]()
    planned = list[Planned]()
    refused = dict[int, Planned]()
    numbers = dict[int, int]()
    for row in rows:
        numbers[row.number] = row.pk
        try:
            said[row.number] = values_of(row.cells, context)
        except Wrong as wrong:
            refused[row.number] = Planned(row.number, Outcome.REFUSED, why=wrong.told)
    people = People.load(made, said, is_check=is_check)
    after = After()
    for number, pk in numbers.items():
        one = refused.get(number) or _plan(said[number], number, people, made.existing)
        one.pk = pk
        planned.append(one)
        if is_check and one.known and one.outcome != Outcome.REFUSED:
            after[number] = one.known.as_json()
    return planned, after


def _plan(said: dict[str, Any], number: int, people: People, existing: str) -> Planned:
    try:
        known, is_shared = people.find(said)
        if known is None:
            people.refuse_erased(said)
            planned = planning.made(said, number)
        else:
            planned = planning.changed(said, number, known, existing)
    except Wrong as wrong:
        return Planned(number, Outcome.REFUSED, why=wrong.told)
    if is_shared:
        planned.notes.append(["also_email", {}])
    if planned.known:
        people.learn(planned.known)
    return planned
