"""What people do with a lead. Every change runs in a transaction, with the lead's row locked, and is in the history.

None of it touches what is derived from messages: clocks stay. Where a page says what it showed (`seen`), a value that
somebody else has changed since is left as it is, and `Stale` says what it is now. Whatever cannot be done raises
`Refused` and has changed nothing. Whether `by` may work here is asked by whoever calls (contacts.rights); `by` is
None where no person decided.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext as _

from contacts import notifying, reasons
from contacts.changing import Refused, Stale, line, locked, record, record_all, write
from contacts.later import finish_follow_up, plan_follow_up, snooze, wake
from contacts.lead_fields import Field, FieldRefused, field_of, fields_of
from contacts.lead_views import has_written_again
from contacts.models import Contact, Conversation, LeadChange, LeadStatus, Membership, StatusChange, Tag
from contacts.notes import add_note, delete_note, edit_note
from contacts.rights import WORKERS
from contacts.when import as_json

__all__ = [
    "FieldRefused", "Refused", "Stale", "add_note", "add_tags", "assign", "clear_handoff", "delete_note",
    "edit_note", "finish_follow_up", "mark_read", "may_own", "move", "plan_follow_up", "reengage", "remove_tags",
    "set_field", "set_fields", "snooze", "wake",
]  # fmt: skip

Kind = LeadChange.Kind
LONGEST_REASON, LONGEST_TAG, MOST_TAGS = 255, 50, 50


# Status and owner


@transaction.atomic
def move(
    lead: Contact, to: str, *, by: User | None, reason: str = "", seen: str | None = None
) -> StatusChange:
    """Move the lead to another status: `Contact.change_status`, and what a page needs around it."""
    reason = line(reason, LONGEST_REASON)
    row = locked(lead)
    if seen is not None and seen != row.lead_status:
        raise Stale.of(_("the status"), row.get_lead_status_display())
    if to not in LeadStatus.values:
        raise Refused(_("There is no such status."))
    if to == row.lead_status:
        raise Refused(_("The lead is %(status)s already.") % {"status": row.get_lead_status_display()})
    return lead.change_status(to, by=by, reason=reason)


@transaction.atomic
def reengage(lead: Contact, *, by: User | None, reason: str = "", seen: str | None = None) -> StatusChange:
    """A lead that was done with wrote again, or is taken up again: it is new. A converted one goes by the archive, as the workflow says."""
    row = locked(lead)
    reason = line(reason, LONGEST_REASON) or (reasons.WROTE_AGAIN if has_written_again(row) else "")
    if seen is not None and seen != row.lead_status:
        raise Stale.of(_("the status"), row.get_lead_status_display())
    if row.lead_status == LeadStatus.CONVERTED:
        lead.change_status(LeadStatus.ARCHIVED, by=by, reason=reason)
    elif row.lead_status != LeadStatus.ARCHIVED:
        raise Refused(
            _("The lead is %(status)s: it is worked on.") % {"status": row.get_lead_status_display()}
        )
    return lead.change_status(LeadStatus.NEW, by=by, reason=reason)


def may_own(workspaces: Iterable[int]) -> QuerySet[Membership]:
    """Who may own leads there: active members who work leads."""
    return Membership.objects.filter(workspace__in=list(workspaces), role__in=WORKERS, user__is_active=True)


@transaction.atomic
def assign(
    lead: Contact, owner: User | None, *, by: User | None, reason: str = "", seen: str | None = None
) -> LeadChange | None:
    """Give the lead to somebody who works in its workspace, or to nobody; None if it is theirs already.

    Whoever takes a lead takes its hand-off as well. One who is given a lead has not seen it yet: the hand-off stays.
    """
    reason = line(reason, LONGEST_REASON)
    row = locked(lead)
    if seen is not None and seen.strip() != str(row.owner_id or ""):
        raise Stale.of(_("the owner"), row.owner and (row.owner.get_full_name() or row.owner.get_username()))
    if owner and not may_own([row.workspace_id]).filter(user=owner).exists():
        raise Refused(
            _("%(name)s does not work on leads of this workspace.") % {"name": owner.get_username()}
        )
    if owner and owner == by:
        _take_handoffs(row, lead, by)
    if (owner and owner.pk) == row.owner_id:
        return None
    change = record(row, Kind.OWNER, row.owner_id, owner and owner.pk, by=by, reason=reason)
    write(lead, owner_id=owner and owner.pk)
    notifying.lead_assigned(lead, by=by)
    return change


# Tags and fields


def add_tags(lead: Contact, names: Iterable[str], *, by: User | None) -> LeadChange | None:
    """Tags are the same whatever their case; one that the workspace suggests is spelled as it is there."""
    added = clean_tags(names)
    suggested = {tag.lower(): tag for tag in _suggested(lead.workspace_id, added)}
    return _retag(lead, by, lambda tags: with_tags(tags, (suggested.get(t.lower(), t) for t in added)))


def remove_tags(lead: Contact, names: Iterable[str], *, by: User | None) -> LeadChange | None:
    gone = {name.lower() for name in clean_tags(names)}
    return _retag(lead, by, lambda tags: [tag for tag in tags if tag.lower() not in gone])


def clean_tags(names: Iterable[str]) -> list[str]:
    """One name may have several, separated by commas."""
    tags = [tag for name in names for part in name.split(",") if (tag := line(part, LONGEST_TAG))]
    if not tags:
        raise Refused(_("Say which tag."))
    return tags


def with_tags(tags: list[str], more: Iterable[str]) -> list[str]:
    known = {tag.lower() for tag in tags}
    added = dict[str, str]()
    for tag in more:
        if tag.lower() not in known:
            added.setdefault(tag.lower(), tag)
    if len(tags) + len(added) > MOST_TAGS:
        raise Refused(_("A lead has at most %(most)s tags.") % {"most": MOST_TAGS})
    return [*tags, *added.values()]


def _suggested(workspace: int, tags: list[str]) -> Any:
    named = Q(pk__in=[])
    for tag in tags[:MOST_TAGS]:
        named |= Q(name__iexact=tag)
    return Tag.objects.filter(named, workspace=workspace).values_list("name", flat=True)


@transaction.atomic
def _retag(lead: Contact, by: User | None, change: Any) -> LeadChange | None:
    row = locked(lead)
    tags = change(row.tags)
    if tags == row.tags:
        return None
    write(lead, tags=tags)
    return record(row, Kind.TAGS, row.tags, tags, by=by)


@transaction.atomic
def set_field(
    lead: Contact, name: str, value: str, *, by: User | None, seen: str | None = None
) -> LeadChange | None:
    """Write name, email, lead_score or a custom field of the workspace; empty text empties it."""
    row = locked(lead)
    field = field_of(row, name)
    before, after = field.of(row), field.clean(value)
    if seen is not None and not field.is_same(before, seen):
        raise Stale.of(f"“{field.label}”", field.shown(before))
    made = _write_fields(row, lead, {field: after}, by)
    return made[0] if made else None


@transaction.atomic
def set_fields(lead: Contact, values: dict[str, Any], *, by: User | None) -> list[LeadChange]:
    """Several at once, as JSON has their values (null empties): all of them, or none.

    As many statements for twenty as for one. Raises `FieldRefused`, which names the field.
    """
    row = locked(lead)
    fields = fields_of(row, values)
    cleaned = {field: field.clean_json(value) for field, value in fields}
    return _write_fields(row, lead, cleaned, by)


def _write_fields(row: Contact, lead: Contact, values: dict[Field, Any], by: User | None) -> list[LeadChange]:
    """Those that are others than before."""
    before = {field: field.of(row) for field in values}
    changed = {
        field: after
        for field, after in values.items()
        if after != before[field] or type(after) is not type(before[field])
    }
    if not changed:
        return []
    columns: dict[str, Any] = {field.name: after for field, after in changed.items() if not field.custom}
    if columns.get("name"):
        columns["chosen_name"] = ""  # from now on the sync leaves the name alone
    if custom := {field.name: after for field, after in changed.items() if field.custom}:
        kept = row.metadata | custom
        columns["metadata"] = {
            key: value for key, value in kept.items() if value is not None or key not in custom
        }
    write(lead, **columns)
    return record_all(
        row,
        [
            {
                "kind": field.kind,
                "before": before[field],
                "after": after,
                "field": field.name if field.custom else "",
            }
            for field, after in changed.items()
        ],
        by=by,
    )


# What automations asked for, and what was read


@transaction.atomic
def clear_handoff(lead: Contact, *, by: User | None) -> LeadChange | None:
    """Somebody takes care of what the automations asked for so far; None if they ask for nothing."""
    return _take_handoffs(locked(lead), lead, by)


def _take_handoffs(row: Contact, lead: Contact, by: User | None) -> LeadChange | None:
    """Up to the newest one that is known, not up to now: one that is still on its way to us was seen by nobody."""
    asked = Conversation.objects.filter(contact=row).aggregate(newest=Max("handoff_at"))["newest"]
    if asked is None or (row.handoff_cleared_at and asked <= row.handoff_cleared_at):
        return None
    write(lead, handoff_cleared_at=asked)
    return record(row, Kind.HANDOFF, None, as_json(asked), by=by)


def mark_read(lead: Contact) -> bool:
    """The team has read what the customer wrote, as far as `lead` was loaded; what came since is unread.

    A lead that a webhook has locked just now stays unread until it is opened again: a page waits for nobody.
    """
    wrote_at = lead.last_inbound_at
    if wrote_at is None or (lead.read_at and lead.read_at >= wrote_at):
        return False
    free = RawSQL(UNREAD_AND_FREE, [lead.pk, wrote_at])  # noqa: S611 - a constant, with parameters
    return bool(Contact.objects.filter(pk__in=free).update(read_at=wrote_at))


UNREAD_AND_FREE = """
SELECT id FROM contacts_contact WHERE id = %s AND (read_at IS NULL OR read_at < %s) FOR NO KEY UPDATE SKIP LOCKED
"""
