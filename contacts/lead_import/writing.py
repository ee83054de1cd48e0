"""What a batch of rows comes to, written: new leads, changes, their history, and the outcome of each row.

A fixed number of statements. The leads are locked (matching), and every sync is kept out of the workspace until the
transaction ends, so nobody appears in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from contacts.facts import as_json
from contacts.lead_import.headers import CUSTOM
from contacts.lead_import.matching import known_by
from contacts.lead_import.planning import Known, Outcome, Planned
from contacts.models import Contact, Import, LeadChange
from contacts.statements import import_leads as sql
from contacts.statements import run

KINDS = {
    "name": LeadChange.Kind.NAME,
    "email": LeadChange.Kind.EMAIL,
    "lead_score": LeadChange.Kind.SCORE,
    "owner": LeadChange.Kind.OWNER,
    "tags": LeadChange.Kind.TAGS,
    "phone": LeadChange.Kind.PHONE,
    "business_scoped_user_id": LeadChange.Kind.USER_ID,
}


def write(made: Import, planned: Sequence[Planned]) -> None:
    """Make and change the leads, and record it."""
    new = _persons(row for row in planned if row.outcome == Outcome.NEW)
    changed = _persons(row for row in planned if row.outcome == Outcome.CHANGED)
    change = [known for person, known in changed.items() if person not in new]
    if new:
        _make(made, list(new.values()))
    if change:
        run(sql.CHANGE, {"leads": as_json([_columns(known) for known in change])})
    LeadChange.objects.bulk_create(
        LeadChange(contact_id=row.known.pk, **told)
        for row in planned
        if row.known and row.known.pk
        for told in _history(made, row)
    )


def record(planned: Sequence[Planned], after: dict[int, dict[str, Any]] | None = None) -> None:
    """What becomes of each row. `after`: what each row's person has by then, while the file is checked."""
    rows = [_row(row, (after or {}).get(row.number)) for row in planned]
    run(sql.RECORD_ROWS, {"rows": as_json(rows)})


def _row(row: Planned, after: dict[str, Any] | None) -> dict[str, Any]:
    told = {"id": row.pk, "outcome": row.outcome, "told": row.told}
    if row.known is None or row.outcome == Outcome.REFUSED:
        return told
    if after is None:
        return told | {"contact": row.known.pk}
    named = known_by(Known(**after))
    return told | {
        "phone": named.get("phone"),
        "user_id": named.get("user"),
        "email": named.get("email"),
        "person": row.known.person,
        "after": after,
    }


def _persons(rows: Iterable[Planned]) -> dict[str, Known]:
    """Each once, as they are after the whole batch."""
    return {row.known.person: row.known for row in rows if row.known}


def _make(made: Import, new: Sequence[Known]) -> None:
    """The triggers of the table make identities of phones and user ids, as for any lead that somebody typed."""
    leads = Contact.objects.bulk_create(
        Contact(
            workspace_id=made.workspace_id,
            phone=known.phone,
            business_scoped_user_id=known.business_scoped_user_id,
            name=known.name,
            email=known.email,
            lead_score=known.lead_score,
            lead_status=known.lead_status,
            tags=known.tags,
            owner_id=known.owner,
            source=known.source,
            metadata=known.metadata,
        )
        for known in new
    )
    for known, lead in zip(new, leads, strict=True):
        known.pk = lead.pk


def _columns(known: Known) -> dict[str, Any]:
    own = ("phone", "name", "chosen_name", "email", "lead_score", "tags", "owner", "metadata")
    told: dict[str, Any] = {name: getattr(known, name) for name in own}
    return told | {"id": known.pk, "user_id": known.business_scoped_user_id}


def _history(made: Import, row: Planned) -> Iterator[dict[str, Any]]:
    """A new lead's history begins with where it came from, a known one's tells each field."""
    told = {"workspace_id": made.workspace_id, "by_id": made.by_id, "bulk_id": made.bulk_id}
    if row.outcome == Outcome.NEW:
        after = {"file": made.file_name, "row": row.number, "import": made.pk}
        yield told | {"kind": LeadChange.Kind.IMPORT, "after": after}
        return
    for name, (before, value) in row.changes.items():
        key = name.removeprefix(CUSTOM) if name.startswith(CUSTOM) else ""
        kind = LeadChange.Kind.FIELD if key else KINDS[name]
        yield told | {"kind": kind, "field": key, "before": before, "after": value}
