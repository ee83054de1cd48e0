"""Taking an import back, a batch at a time, the last row first.

A lead that the import made and nobody has had to do with since goes: nobody wrote to it, from it or about it. What the
import changed about others gets back what it was, where it still is what the import made it. Phones and user ids that
it filled in stay: messages may rest on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.utils import timezone

from contacts import reasons
from contacts.facts import as_json
from contacts.lead_import.headers import CUSTOM
from contacts.lead_import.planning import IDS, Outcome
from contacts.lead_import.writing import KINDS
from contacts.models import Contact, Identity, Import, ImportRow, LeadChange
from contacts.shadow import plan_for_few_rows
from contacts.statements import import_leads as sql
from contacts.statements import run

UNDO_WITHIN = timedelta(hours=24)


def can_undo(made: Import) -> bool:
    """For a day, as long as its rows are kept."""
    if made.state != Import.State.DONE or made.is_cleared or made.finished_at is None:
        return False
    return timezone.now() < made.finished_at + UNDO_WITHIN and bool(made.count("new") + made.count("changed"))


def take_back(made: Import, rows: Sequence[ImportRow]) -> dict[str, int]:
    """Take these rows back, the last first; says how many leads were deleted, given back and left."""
    plan_for_few_rows()
    leads = Contact.objects.filter(pk__in=[row.contact_id for row in rows], merged_into=None)
    locked: Any = leads.select_for_update(of=("self",)).order_by("pk")
    known = {lead.pk: lead for lead in locked}
    # Deleted before any of it is given back: that would count as something that was done since.
    new = [row.contact_id for row in rows if row.outcome == Outcome.NEW and row.contact_id in known]
    gone = {pk for (pk,) in run(sql.UNTOUCHED, {"leads": new, "bulk": made.bulk_id})}
    changed = [row for row in rows if row.outcome == Outcome.CHANGED and row.contact_id not in gone]
    returned = _give_back(made, changed, known)
    _delete(gone)
    left = sum(row.outcome == Outcome.NEW and row.contact_id not in gone for row in rows)
    return {"deleted": len(gone), "returned": len(returned), "left": left}


def _give_back(made: Import, rows: Sequence[ImportRow], known: dict[int, Contact]) -> set[int]:
    touched = dict[int, Contact]()
    history = []
    for row in rows:
        if (lead := known.get(row.contact_id or 0)) is None:
            continue
        for name, (before, after) in row.told.get("changes", {}).items():
            if name not in IDS and _is_still(lead, name, after):
                _set(lead, name, before)
                touched[lead.pk] = lead
                history.append(_undone(made, lead, name, after, before))
    if touched:
        run(sql.CHANGE, {"leads": as_json([_columns(lead) for lead in touched.values()])})
        LeadChange.objects.bulk_create(history)
    return set(touched)


def _is_still(lead: Contact, name: str, after: Any) -> bool:
    if name.startswith(CUSTOM):
        return bool(lead.metadata.get(name.removeprefix(CUSTOM)) == after)
    return bool(getattr(lead, "owner_id" if name == "owner" else name) == after)


def _set(lead: Contact, name: str, before: Any) -> None:
    if not name.startswith(CUSTOM):
        setattr(lead, "owner_id" if name == "owner" else name, before)
        return
    key = name.removeprefix(CUSTOM)
    rest = {other: value for other, value in lead.metadata.items() if other != key}
    lead.metadata = rest if before is None else rest | {key: before}


def _undone(made: Import, lead: Contact, name: str, before: Any, after: Any) -> LeadChange:
    key = name.removeprefix(CUSTOM) if name.startswith(CUSTOM) else ""
    return LeadChange(
        workspace_id=made.workspace_id,
        contact=lead,
        kind=LeadChange.Kind.FIELD if key else KINDS[name],
        field=key,
        before=before,
        after=after,
        reason=reasons.UNDONE,
        by_id=made.by_id,
        bulk_id=made.bulk_id,
    )


def _columns(lead: Contact) -> dict[str, Any]:
    own = ("id", "phone", "name", "chosen_name", "email", "lead_score", "tags", "metadata")
    told: dict[str, Any] = {name: getattr(lead, name) for name in own}
    return told | {"owner": lead.owner_id, "user_id": lead.business_scoped_user_id}


def _delete(leads: set[int]) -> None:
    """Rows that nothing rests on, and the identities that only they had."""
    if not leads:
        return
    ImportRow.objects.filter(contact__in=leads).update(contact=None)
    Identity.objects.filter(contact__in=leads).delete()
    Contact.objects.filter(pk__in=leads).delete()
