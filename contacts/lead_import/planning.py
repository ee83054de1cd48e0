"""What becomes of a person by what a row says of them. Pure: no database."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from contacts.changing import Refused
from contacts.lead_import.headers import CUSTOM
from contacts.lead_import.words import Told, Wrong
from contacts.models import Import, ImportRow, LeadStatus
from contacts.work import MOST_TAGS, with_tags

Outcome = ImportRow.Outcome
Existing = Import.Existing

SOURCE = "import"
IDS = ("phone", "business_scoped_user_id")
COLUMNS = (*IDS, "name", "email", "lead_score", "owner")
_EMPTY = {
    "phone": None,
    "business_scoped_user_id": None,
    "name": "",
    "email": "",
    "lead_score": 0,
    "owner": None,
}


@dataclass(slots=True)
class Known:
    """A person of the workspace or, while a file is checked, one whom an earlier row would make."""

    person: str
    phone: str | None = None
    business_scoped_user_id: str | None = None
    name: str = ""
    # The name that the sync chose: as long as it is this one, nobody has typed any.
    chosen_name: str = ""
    email: str = ""
    lead_score: int = 0
    tags: list[str] = field(default_factory=list)
    owner: int | None = None
    source: str = SOURCE
    lead_status: str = LeadStatus.NEW
    metadata: dict[str, Any] = field(default_factory=dict)
    # The first row of the file that names them.
    row: int | None = None
    pk: int | None = None

    @property
    def shown(self) -> str:
        return self.name or (f"+{self.phone}" if self.phone else "") or self.email or "?"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class Planned:
    """What becomes of a row. `changes` are {field: [before, after]}; custom fields as `metadata.<key>`."""

    number: int
    outcome: str
    known: Known | None = None
    changes: dict[str, list[Any]] = field(default_factory=dict)
    why: Told | None = None
    notes: list[Told] = field(default_factory=list)
    # Of the `ImportRow`.
    pk: int | None = None

    @property
    def told(self) -> dict[str, Any]:
        parts = {"changes": self.changes, "why": self.why, "notes": self.notes}
        return {name: part for name, part in parts.items() if part}


def made(said: dict[str, Any], number: int) -> Planned:
    """A new lead of this row."""
    own = {name: said[name] for name in (*COLUMNS, "tags", "source", "lead_status") if name in said}
    metadata = {name.removeprefix(CUSTOM): value for name, value in said.items() if name.startswith(CUSTOM)}
    known = Known(f"r{number}", **own, metadata=metadata, row=number)
    return Planned(number, Outcome.NEW, known, {name: [None, value] for name, value in said.items()})


def changed(said: dict[str, Any], number: int, known: Known, existing: str) -> Planned:
    """What the row changes about somebody who is known; `known` has it afterwards. Raises `Wrong`.

    The first row of a person counts: the later ones fill in what it left empty, so that importing a file once more
    finds everything as it is.
    """
    planned = Planned(number, Outcome.SAME, known)
    is_again = known.row is not None
    if is_again:
        planned.notes.append(["again", {"row": known.row}])
    if existing == Existing.LEAVE:
        planned.notes.append(["left", {}])
    else:
        _merge(planned, said, known, overwrites=existing == Existing.OVERWRITE and not is_again)
    known.row = known.row or number
    if existing == Existing.LEAVE:
        return planned
    if said.get("lead_status", known.lead_status) != known.lead_status:
        planned.notes.append(["status_kept", {"status": known.lead_status}])
    if said.get("source", known.source) != known.source:
        planned.notes.append(["source_kept", {}])
    if planned.changes:
        planned.outcome = Outcome.CHANGED
    return planned


def _merge(planned: Planned, said: dict[str, Any], known: Known, *, overwrites: bool) -> None:
    try:
        tags = with_tags(known.tags, said.get("tags", []))
    except Refused as error:
        raise Wrong("tags", most=MOST_TAGS) from error
    for name in COLUMNS:
        before = getattr(known, name)
        is_empty = before == _EMPTY[name] or (name == "name" and before == known.chosen_name)
        is_theirs = name in IDS  # what somebody is known by is filled in, never replaced
        if name in said and said[name] != before and (is_empty or (overwrites and not is_theirs)):
            planned.changes[name] = [before, said[name]]
            setattr(known, name, said[name])
    if tags != known.tags:
        planned.changes["tags"] = [known.tags, tags]
        known.tags = tags
    for name, value in said.items():
        if name.startswith(CUSTOM):
            key = name.removeprefix(CUSTOM)
            before = known.metadata.get(key)
            if before in (None, "") or (overwrites and (before != value or type(before) is not type(value))):
                planned.changes[name] = [before, value]
                known.metadata = known.metadata | {key: value}
    if "name" in planned.changes:
        known.chosen_name = ""  # from now on the sync leaves the name alone
