"""What can be done to many leads at once: what each lead has before, what it gets, and how it is written for all.

The fields of an action are values that JSON knows: so it stands in its `BulkChange`, and is read from there again.
Writing and putting back take a fixed number of statements, whatever the number of leads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.db.models import DateTimeField, F, Q, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from contacts.changing import Refused
from contacts.later import follow_up_as_json
from contacts.lead_views import is_aside
from contacts.models import Contact, FollowUp, LeadChange, LeadStatus, Tag
from contacts.models.contact import ALLOWED_MOVES
from contacts.when import ahead, as_json
from contacts.work import may_own, with_tags


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one lead."""

    lead: Contact
    before: Any
    after: Any


@dataclass
class Action:
    """One of the actions below. `load` reads what all the leads need; of each, `before` and `after` tell the values."""

    do: ClassVar[str]
    kind: ClassVar[LeadChange.Kind | None]

    def as_json(self) -> dict[str, Any]:
        names = (column.name for column in fields(self))
        return {"do": self.do} | {name: getattr(self, name) for name in names if name[0] != "_"}

    def words(self) -> str:
        raise NotImplementedError

    def load(self, leads: Sequence[Contact]) -> None:
        pass

    def before(self, lead: Contact) -> Any:
        raise NotImplementedError

    def after(self, lead: Contact) -> Any:
        """Raises `Refused` where this lead cannot have it."""
        raise NotImplementedError

    def shown(self, value: Any) -> str:
        return str(value or "–")

    def write(self, steps: Sequence[Step], by: User | None) -> None:
        raise NotImplementedError

    def can_return(self, lead: Contact, before: Any) -> bool:  # noqa: ARG002
        return True

    def put_back(self, steps: Sequence[Step]) -> None:
        """Each lead gets the `before` of its step again."""
        raise NotImplementedError


def _rows(steps: Iterable[Step]) -> Any:
    return Contact.objects.filter(pk__in=[step.lead.pk for step in steps])


def _set_each(steps: Sequence[Step], column: str, values: Iterable[Any]) -> None:
    for step, value in zip(steps, values, strict=True):
        setattr(step.lead, column, value)
    Contact.objects.bulk_update([step.lead for step in steps], [column])


@dataclass
class MoveAll(Action):
    do = "status"
    kind = None
    to: str
    reason: str = ""

    def words(self) -> str:
        return _("Status: %(status)s") % {"status": LeadStatus(self.to).label}

    def before(self, lead: Contact) -> str:
        return lead.lead_status

    def after(self, lead: Contact) -> str:
        current = LeadStatus(lead.lead_status)
        if self.to != current and self.to not in ALLOWED_MOVES[current]:
            told = {"status": current.label, "wanted": LeadStatus(self.to).label}
            raise Refused(_("A lead that is %(status)s cannot become %(wanted)s") % told)
        return self.to

    def shown(self, value: Any) -> str:
        return str(LeadStatus(value).label)

    def write(self, steps: Sequence[Step], by: User | None) -> None:  # noqa: ARG002
        _rows(steps).update(lead_status=self.to)

    def put_back(self, steps: Sequence[Step]) -> None:
        """Not a move: it takes back one that was made by mistake, so the workflow has no say."""
        _set_each(steps, "lead_status", (step.before for step in steps))


@dataclass
class AssignAll(Action):
    do = "assign"
    kind = LeadChange.Kind.OWNER
    owner: int | None
    reason: str = ""
    _names: dict[int, str] = field(default_factory=dict, repr=False)
    _may_own: set[tuple[int, int]] = field(default_factory=set, repr=False)

    def words(self) -> str:
        return _("Owner: %(name)s") % {"name": self.shown(self.owner)}

    def load(self, leads: Sequence[Contact]) -> None:
        members = may_own({lead.workspace_id for lead in leads})
        self._may_own = set(members.values_list("workspace", "user"))

    def before(self, lead: Contact) -> int | None:
        return lead.owner_id

    def after(self, lead: Contact) -> int | None:
        if self.owner is not None and not self.can_return(lead, self.owner):
            raise Refused(
                _("%(name)s does not work in the lead's workspace") % {"name": self.shown(self.owner)}
            )
        return self.owner

    def shown(self, value: Any) -> str:
        if value is None:
            return _("Nobody")
        if value not in self._names:
            self._names |= {user.pk: user.get_full_name() or user.get_username() for user in _people(value)}
        return self._names.get(value) or _("somebody who is no longer here")

    def write(self, steps: Sequence[Step], by: User | None) -> None:  # noqa: ARG002
        _rows(steps).update(owner=self.owner)
        for step in steps:
            step.lead.owner_id = self.owner

    def can_return(self, lead: Contact, before: Any) -> bool:
        return before is None or (lead.workspace_id, before) in self._may_own

    def put_back(self, steps: Sequence[Step]) -> None:
        _set_each(steps, "owner_id", (step.before for step in steps))


def _people(pk: int) -> Any:
    return User.objects.filter(pk=pk)


@dataclass
class TagAll(Action):
    do = "tag"
    kind = LeadChange.Kind.TAGS
    names: list[str]
    _suggested: dict[tuple[int, str], str] = field(default_factory=dict, repr=False)

    def words(self) -> str:
        return _("Add tag: %(tags)s") % {"tags": ", ".join(self.names)}

    def load(self, leads: Sequence[Contact]) -> None:
        named = Q(pk__in=[])
        for name in self.names:
            named |= Q(name__iexact=name)
        tags = Tag.objects.filter(named, workspace__in={lead.workspace_id for lead in leads})
        self._suggested = {(tag.workspace_id, tag.name.lower()): tag.name for tag in tags}

    def before(self, lead: Contact) -> list[str]:
        return lead.tags

    def after(self, lead: Contact) -> list[str]:
        spelled = (self._suggested.get((lead.workspace_id, name.lower()), name) for name in self.names)
        return with_tags(lead.tags, spelled)

    def shown(self, value: Any) -> str:
        return ", ".join(value) or "–"

    def write(self, steps: Sequence[Step], by: User | None) -> None:  # noqa: ARG002
        _set_each(steps, "tags", (step.after for step in steps))

    def put_back(self, steps: Sequence[Step]) -> None:
        _set_each(steps, "tags", (step.before for step in steps))


@dataclass
class UntagAll(TagAll):
    do = "untag"

    def words(self) -> str:
        return _("Remove tag: %(tags)s") % {"tags": ", ".join(self.names)}

    def after(self, lead: Contact) -> list[str]:
        gone = {name.lower() for name in self.names}
        return [tag for tag in lead.tags if tag.lower() not in gone]


@dataclass
class FollowUpAll(Action):
    do = "follow-up"
    kind = LeadChange.Kind.FOLLOW_UP
    due_at: str
    remark: str = ""
    _open: dict[int, FollowUp] = field(default_factory=dict, repr=False)

    def words(self) -> str:
        told = {"when": _shown_time(self.due_at), "remark": self.remark}
        if self.remark:
            return _("Follow-up: %(when)s, %(remark)s") % told
        return _("Follow-up: %(when)s") % told

    def load(self, leads: Sequence[Contact]) -> None:
        """The next of each, of what is merged into it as well."""
        found = _open_of(leads).select_related("contact").order_by("-due_at", "-pk")
        self._open = {planned.contact.merged_into_id or planned.contact_id: planned for planned in found}

    def before(self, lead: Contact) -> dict[str, Any] | None:
        return follow_up_as_json(self._open.get(lead.pk))

    def after(self, lead: Contact) -> dict[str, Any]:  # noqa: ARG002
        ahead(datetime.fromisoformat(self.due_at))
        return {"due_at": self.due_at, "remark": self.remark}

    def shown(self, value: Any) -> str:
        return _shown_time(value["due_at"]) if value else "–"

    def write(self, steps: Sequence[Step], by: User | None) -> None:
        """As `plan_follow_up`: the one that is open moves, and of several one is left."""
        leads, now = [step.lead for step in steps], timezone.now()
        open_ones = _open_of(leads)
        open_ones.exclude(contact__in=leads).update(done_at=now, done_by=by)
        mine = set(open_ones.values_list("contact", flat=True))
        planned = {"due_at": datetime.fromisoformat(self.due_at), "remark": self.remark, "by": by, "at": now}
        open_ones.update(**planned)
        FollowUp.objects.bulk_create(
            FollowUp(workspace_id=lead.workspace_id, contact=lead, **planned)
            for lead in leads
            if lead.pk not in mine
        )

    def put_back(self, steps: Sequence[Step]) -> None:
        """One that was not there before goes; nobody has done it."""
        made = [step.lead for step in steps if step.before is None]
        FollowUp.objects.filter(contact__in=made, done_at=None).delete()
        moved = {step.lead.pk: step.before for step in steps if step.before}
        back = list(FollowUp.objects.filter(contact__in=moved, done_at=None))
        for planned in back:
            before = moved[planned.contact_id]
            planned.due_at, planned.remark = datetime.fromisoformat(before["due_at"]), before["remark"]
        FollowUp.objects.bulk_update(back, ["due_at", "remark"])


def _open_of(leads: Sequence[Contact]) -> Any:
    ids = [lead.pk for lead in leads]
    rows = Contact.objects.filter(Q(pk__in=ids) | Q(merged_into__in=ids)).values("pk")
    return FollowUp.objects.filter(contact__in=rows, done_at=None)


@dataclass
class SnoozeAll(Action):
    do = "snooze"
    kind = LeadChange.Kind.SNOOZE
    until: str
    _now: datetime = field(default_factory=timezone.now, repr=False)

    def words(self) -> str:
        return _("Put aside until %(when)s") % {"when": _shown_time(self.until)}

    def before(self, lead: Contact) -> str | None:
        return as_json(lead.snoozed_until) if is_aside(lead, self._now) else None

    def after(self, lead: Contact) -> str:  # noqa: ARG002
        ahead(datetime.fromisoformat(self.until), self._now)
        return self.until

    def shown(self, value: Any) -> str:
        return _shown_time(value) if value else "–"

    def write(self, steps: Sequence[Step], by: User | None) -> None:  # noqa: ARG002
        now = Value(self._now, output_field=DateTimeField())
        until = datetime.fromisoformat(self.until)
        _rows(steps).update(snoozed_until=until, snoozed_at=Coalesce(F("last_inbound_at"), now))

    def put_back(self, steps: Sequence[Step]) -> None:
        """What was put aside before had not written when it was put aside again: `snoozed_at` holds for both."""
        values = (step.before and datetime.fromisoformat(step.before) for step in steps)
        _set_each(steps, "snoozed_until", values)


def _shown_time(told: str) -> str:
    return date_format(timezone.localtime(datetime.fromisoformat(told)), "j M Y, H:i")


ACTIONS: dict[str, type[Action]] = {
    "status": MoveAll,
    "assign": AssignAll,
    "tag": TagAll,
    "untag": UntagAll,
    "follow-up": FollowUpAll,
    "snooze": SnoozeAll,
}


def action_from(told: dict[str, Any]) -> Action:
    """As it stands in a `BulkChange`."""
    values = {name: value for name, value in told.items() if name != "do"}
    return ACTIONS[told["do"]](**values)
