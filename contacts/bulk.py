"""One change for many leads: what would become of each, doing it, and taking it back for ten minutes.

A preview and the change itself make the same plan, of the rows as they are. The change holds on to what the preview
showed: a lead that somebody has changed since is left as it is, and said. So is, in an undo, every lead whose value is
no longer the one that the change set. The number of statements does not depend on the number of leads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from contacts import notifying, reasons
from contacts.bulk_actions import Action, AssignAll, Step, action_from
from contacts.changing import Refused
from contacts.models import BulkChange, Contact, LeadChange, StatusChange
from contacts.rights import Rights
from contacts.statements import run
from contacts.statements.merge_marks import CLOSED_AT

MOST = 1_000
UNDO_WITHIN = timedelta(minutes=10)


@dataclass(slots=True)
class Plan:
    """What becomes of the leads that somebody chose, as far as they see them."""

    action: Action
    steps: list[Step] = field(default_factory=list)
    same: list[Contact] = field(default_factory=list)
    refused: dict[str, list[Contact]] = field(default_factory=lambda: defaultdict(list))
    gone: int = 0

    @property
    def seen(self) -> dict[int, Any]:
        """What each lead has that would change: what the change insists on later."""
        return {step.lead.pk: step.before for step in self.steps}


def plan(action: Action, chosen: Iterable[int], *, rights: Rights) -> Plan:
    """What would be done now; nothing is."""
    return _plan(action, Contact.objects.all(), set(chosen), rights)


@transaction.atomic
def apply(
    action: Action, seen: Mapping[int, Any], *, by: User, rights: Rights
) -> tuple[list[BulkChange], Plan]:
    """Do it to the leads of a preview (`Plan.seen`) that are still as it showed them; a change for each workspace."""
    locked = Contact.objects.select_for_update(no_key=True, of=("self",))
    made = _plan(action, locked, set(seen), rights)
    changed = _("Somebody else changed it since the preview")
    as_shown = [step for step in made.steps if step.before == seen[step.lead.pk]]
    if len(as_shown) < len(made.steps):
        made.refused[changed] = [step.lead for step in made.steps if step.before != seen[step.lead.pk]]
    made.steps = as_shown
    if not made.steps:
        return [], made
    action.write(made.steps, by)
    bulks = _bulks(action, made.steps, by)
    _record(action, made.steps, by, bulks)
    if isinstance(action, AssignAll):
        notifying.leads_assigned([step.lead for step in made.steps], by=by)
    return list(bulks.values()), made


def _plan(action: Action, rows: Any, chosen: set[int], rights: Rights) -> Plan:
    leads = list(rows.filter(rights.leads(), pk__in=chosen, merged_into=None).order_by("pk"))
    action.load(leads)
    made = Plan(action, gone=len(chosen) - len(leads))
    for lead in leads:
        try:
            if not rights.may_work(lead.workspace_id):
                raise Refused(_("You may look at it, not change it"))
            step = Step(lead, action.before(lead), action.after(lead))
        except Refused as refusal:
            made.refused[str(refusal)].append(lead)
            continue
        if step.before == step.after:
            made.same.append(lead)
        else:
            made.steps.append(step)
    return made


def _bulks(action: Action, steps: Sequence[Step], by: User) -> dict[int, BulkChange]:
    counts = dict[int, int]()
    for step in steps:
        counts[step.lead.workspace_id] = counts.get(step.lead.workspace_id, 0) + 1
    rows = BulkChange.objects.bulk_create(
        BulkChange(workspace_id=workspace, action=action.as_json(), leads=count, by=by, at=timezone.now())
        for workspace, count in sorted(counts.items())
    )
    return {bulk.workspace_id: bulk for bulk in rows}


def _record(
    action: Action, steps: Iterable[Step], by: User | None, bulks: Mapping[int, BulkChange], reason: str = ""
) -> None:
    reason = reason or getattr(action, "reason", "")
    made = [
        {
            "workspace_id": step.lead.workspace_id,
            "contact": step.lead,
            "by": by,
            "reason": reason,
            "bulk": bulks.get(step.lead.workspace_id),
            "before": step.before,
            "after": step.after,
        }
        for step in steps
    ]
    if action.kind:
        LeadChange.objects.bulk_create(LeadChange(kind=action.kind, **row) for row in made)
        return
    StatusChange.objects.bulk_create(
        StatusChange(from_status=row.pop("before"), to_status=row.pop("after"), **row) for row in made
    )


def leads_of(made: BulkChange) -> Any:
    """The leads that it changed."""
    changed = made.lead_changes.values("contact").union(made.status_changes.values("contact"))
    return Contact.objects.filter(pk__in=changed).order_by("name", "pk")


# Taking it back


@dataclass(frozen=True, slots=True)
class Undone:
    returned: list[Contact]
    # Changed since, merged or erased: left as they are.
    left: int


def seen_by(user: User, rights: Rights) -> QuerySet[BulkChange]:
    """Changes that they made, and all where they see all leads: others would tell of leads that they do not see."""
    whole = [place.pk for place in rights.places.values() if place.sees_all]
    mine = Q(by=user, workspace__in=list(rights.places))
    return BulkChange.objects.filter(mine | Q(workspace__in=whole))


def undo_until(bulk: BulkChange) -> datetime:
    return bulk.at + UNDO_WITHIN


def why_not_undo(bulk: BulkChange, *, by: User, rights: Rights) -> str:
    """Empty if `by` may take the change back now."""
    is_theirs = bulk.by_id == by.pk and rights.may_work(bulk.workspace_id)
    if not (is_theirs or rights.may_manage(bulk.workspace_id)):
        return _("Only who made this change and the managers of the workspace can undo it.")
    if bulk.undone_at:
        return _("This change was undone already.")
    if timezone.now() >= undo_until(bulk):
        return _("A change can be undone for ten minutes. This one is older: change the leads again instead.")
    return ""


@transaction.atomic
def undo(bulk: BulkChange, *, by: User, rights: Rights) -> Undone:
    """Give each lead back what it had, where it still has what the change gave it. Raises `Refused`."""
    bulk = BulkChange.objects.select_for_update(of=("self",)).get(pk=bulk.pk)
    if why := why_not_undo(bulk, by=by, rights=rights):
        raise Refused(why)
    action = action_from(bulk.action)
    steps = _steps_of(bulk, action)
    leads = {lead.pk: lead for lead in _locked(step.lead.pk for step in steps)}
    action.load(list(leads.values()))
    back = [
        Step(leads[step.lead.pk], step.before, step.after)
        for step in steps
        if (lead := leads.get(step.lead.pk))
        and (rights.sees(lead) or isinstance(action, AssignAll))  # whoever gave leads away may take them back
        and action.before(lead) == step.after
        and action.can_return(lead, step.before)
    ]
    if back:
        action.put_back(back)
        reversed_steps = [Step(step.lead, step.after, step.before) for step in back]
        _record(action, reversed_steps, by, {bulk.workspace_id: bulk}, reason=reasons.UNDONE)
    BulkChange.objects.filter(pk=bulk.pk).update(undone_at=timezone.now())
    if action.kind is None:
        run(CLOSED_AT, {"leads": [step.lead.pk for step in back]})
    return Undone([step.lead for step in back], left=bulk.leads - len(back))


def _locked(leads: Iterable[int]) -> Any:
    living = Contact.objects.filter(pk__in=list(leads), merged_into=None)
    return living.select_for_update(no_key=True, of=("self",)).order_by("pk")


def _steps_of(bulk: BulkChange, action: Action) -> list[Step]:
    if action.kind:
        changes = bulk.lead_changes.select_related("contact").order_by("contact")
        return [Step(change.contact, change.before, change.after) for change in changes]
    moves = bulk.status_changes.select_related("contact").order_by("contact")
    return [Step(move.contact, move.from_status, move.to_status) for move in moves]
