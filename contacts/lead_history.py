"""Who did what with a lead, and when: status, owner, tags, notes, merges and all the rest as one list."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from contacts import reasons
from contacts.models import Contact, LeadChange, LeadStatus
from contacts.preview import one_line, shorten
from contacts.statements import run
from contacts.statements.lead_history import LEAD_HISTORY

# Of each kind; a page must come to an end.
MOST = 100
NOTED = "noted"
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Happening:
    """`by_id` is None where no person did it. `data` is what the row of its kind has."""

    kind: str
    pk: int
    at: datetime
    by_id: int | None
    by_name: str
    data: dict[str, Any]

    @property
    def text(self) -> str:
        """What happened, in one line. It may quote what people and strangers typed."""
        return WORDS[self.kind](self.data) if self.kind in WORDS else _told(self.kind, self.data)

    @property
    def reason(self) -> str:
        return reasons.shown(one_line(self.data.get("reason") or ""))

    @property
    def is_of_many(self) -> bool:
        return self.data.get("bulk") is not None

    @property
    def edited_at(self) -> datetime | None:
        edited_at = self.data.get("edited_at")
        return datetime.fromisoformat(edited_at) if edited_at else None


def history(lead: Contact) -> list[Happening]:
    """The newest first, notes with their whole text among them; one statement."""
    rows = run(LEAD_HISTORY, {"lead": lead.pk, "most": MOST})
    return [
        Happening(kind, pk, at, by_id, by_name, json.loads(data))
        for kind, pk, at, by_id, by_name, data in rows
    ]


def _status(data: dict[str, Any]) -> str:
    labels = dict(LeadStatus.choices)
    return f"{labels.get(data['from'], data['from'])} → {labels.get(data['to'], data['to'])}"


def _note(data: dict[str, Any]) -> str:
    return _("Note: %(text)s") % {"text": _quoted(data["text"])}


def _owner(data: dict[str, Any]) -> str:
    if data["after"] is None:
        return _("Assigned to nobody")
    return _("Assigned to %(name)s") % {"name": data["to"] or _("somebody who is no longer here")}


def _tags(data: dict[str, Any]) -> str:
    before, after = _words(data["before"]), _words(data["after"])
    added = [f"+ {tag}" for tag in after if tag not in before]
    gone = [f"− {tag}" for tag in before if tag not in after]
    return _("Tags: %(changes)s") % {"changes": _quoted(", ".join((*added, *gone)))}


def _follow_up(data: dict[str, Any]) -> str:
    planned = data["after"]
    if not isinstance(planned, dict):
        return _("Follow-up done")
    told = {"when": _when(planned.get("due_at")), "remark": _quoted(planned.get("remark") or "")}
    if told["remark"]:
        return _("Follow-up planned for %(when)s: %(remark)s") % told
    return _("Follow-up planned for %(when)s") % told


def _snooze(data: dict[str, Any]) -> str:
    if data["after"] is None:
        return _("Taken up again")
    return _("Put aside until %(when)s") % {"when": _when(data["after"])}


def _handoff(_data: dict[str, Any]) -> str:
    return _("Took care of what the automation asked for")


def _note_deleted(data: dict[str, Any]) -> str:
    return _("Deleted a note of %(when)s") % {"when": _when(data["before"])}


def _import(data: dict[str, Any]) -> str:
    told = data["after"] if isinstance(data["after"], dict) else {}
    return _("Imported from %(file)s, row %(row)s") % {
        "file": _quoted(str(told.get("file", "?"))),
        "row": told.get("row", "?"),
    }


def _merge(data: dict[str, Any]) -> str:
    return _("Merged with %(name)s") % {"name": _quoted(data["name"] or _("another lead"))}


def _unmerge(data: dict[str, Any]) -> str:
    return _("Undid the merge with %(name)s") % {"name": _quoted(data["name"] or _("another lead"))}


def _told(kind: str, data: dict[str, Any]) -> str:
    """A value that was typed over."""
    field = data.get("label") or data.get("field") or dict(LeadChange.Kind.choices).get(kind, kind)
    told = {"field": field, "before": _plain(data.get("before")), "after": _plain(data.get("after"))}
    if not told["before"]:
        return _("%(field)s: %(after)s") % told
    return _("%(field)s: %(before)s → %(after)s") % (told | {"after": told["after"] or "–"})


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    return _quoted(str(value)) if isinstance(value, str | int | float) else ""


def _quoted(text: str) -> str:
    return shorten(one_line(text), LONGEST)


def _words(value: object) -> list[str]:
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


def _when(told: object) -> str:
    try:
        at = timezone.localtime(datetime.fromisoformat(str(told)))
    except ValueError:
        return "?"
    return date_format(at, "j M Y, H:i")


WORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "status": _status,
    NOTED: _note,
    "merge": _merge,
    "unmerge": _unmerge,
    LeadChange.Kind.OWNER: _owner,
    LeadChange.Kind.TAGS: _tags,
    LeadChange.Kind.FOLLOW_UP: _follow_up,
    LeadChange.Kind.SNOOZE: _snooze,
    LeadChange.Kind.HANDOFF: _handoff,
    LeadChange.Kind.NOTE: _note_deleted,
    LeadChange.Kind.IMPORT: _import,
}
