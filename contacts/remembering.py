"""What a merge remembers: whose typed values win, and what an undo needs to give everything back.

Of the rows of one person each keeps what was typed into it; the living one shows the newest of every field, the tags
of all, and of each key of the metadata the newest. That is derived from the rows' own values alone, so it is the same
whatever the order of merges and undoes. What the living row had of its own stands in the newest `ContactMerge` of it
(`survivor_before`), beside what it `took` instead: whatever differs from that was typed since, and is its own, too.

A fixed number of statements, and only where a lead was merged or came back (contacts.people.regroup).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from contacts.facts import as_json
from contacts.models import Contact, ContactMerge, Conversation, KapsoSession, LeadStatus, Message
from contacts.statements import run
from contacts.statements.merge_marks import CLOSED_AT, MERGE_MARKS

logger = logging.getLogger(__name__)

# Where one value wins. Unlike the others a status or a score that nobody typed still says something.
SINGLE = {"name": "", "email": "", "owner": None, "lead_status": LeadStatus.NEW.value, "lead_score": 0}
NEVER_EMPTY = ("lead_status", "lead_score")
TYPED = (*SINGLE, "tags", "metadata")
_COLUMNS = {"owner": "owner_id"}


class Moved(NamedTuple):
    """A row that is now merged into another lead than before, or into none."""

    row: int
    was: int | None
    survivor: int | None


@dataclass(slots=True)
class Typed:
    """What people typed into one row, and when (`at`: ISO 8601, by field); "" for a name that the sync chose."""

    row: int
    workspace: int
    made_at: datetime
    chosen_name: str
    values: dict[str, Any] = field(default_factory=dict)
    at: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, lead: Contact) -> Typed:
        values = {name: getattr(lead, _COLUMNS.get(name, name)) for name in TYPED}
        if lead.name == lead.chosen_name:
            values["name"] = ""
        return cls(lead.pk, lead.workspace_id, lead.created_at, lead.chosen_name, values, dict(lead.typed_at))

    def as_json(self) -> dict[str, Any]:
        return {**self.values, "chosen_name": self.chosen_name, "typed_at": self.at}

    def has(self, name: str) -> bool:
        return self.values[name] != SINGLE[name] or (name in NEVER_EMPTY and name in self.at)

    def when(self, name: str) -> datetime:
        """A value older than the trigger that keeps the times is as old as its row, as far as anybody knows."""
        return datetime.fromisoformat(self.at[name]) if name in self.at else self.made_at

    def without(self, before: dict[str, Any]) -> Typed:
        """The row's own values, of one that took those of others: `before` is what its merge remembers."""
        took = before.get("took")
        if not took:
            return self
        own = deepcopy(self)
        for name in TYPED:
            if self.at.get(name) == took["typed_at"].get(name):
                own.at.pop(name, None)
                own.at |= {name: before["typed_at"][name]} if name in before["typed_at"] else {}
                if name in SINGLE and self.values[name] == took[name]:
                    own.values[name] = before[name]
                    own.chosen_name = before["chosen_name"] if name == "name" else own.chosen_name
        own.values["tags"] = _tags_since(self.values["tags"], took["tags"], before["tags"])
        own.values["metadata"] = _metadata_since(
            self.values["metadata"], took["metadata"], before["metadata"]
        )
        return own

    def with_those_of(self, others: Sequence[Typed]) -> Typed:
        """What the living row of a person shows, of its own values and those of the rows merged into it."""
        shown = deepcopy(self)
        for name in SINGLE:
            typed = [row for row in (self, *others) if row.has(name)]
            if typed:
                newest = max(typed, key=lambda row: row.when(name))
                shown.values[name] = newest.values[name]
                if newest.row != self.row:
                    shown.at[name] = newest.at.get(name, newest.made_at.isoformat())
        oldest_first = sorted((*others, self), key=lambda row: row.when("metadata"))
        shown.values["metadata"] = {k: v for row in oldest_first for k, v in row.values["metadata"].items()}
        shown.values["tags"] = list(
            dict.fromkeys(tag for row in (self, *others) for tag in row.values["tags"])
        )
        for name in ("tags", "metadata"):
            times = [row.at[name] for row in (self, *others) if name in row.at]
            if times:
                shown.at[name] = max(times, key=datetime.fromisoformat)
        if shown.values["name"] == shown.chosen_name != "" and shown.values["name"] != self.values["name"]:
            shown.chosen_name = ""  # typed: from now on the sync leaves the name alone
        return shown


def _tags_since(now: list[str], took: list[str], before: list[str]) -> list[str]:
    """What was there before, with what was added and without what was removed since."""
    return [tag for tag in before if tag in now or tag not in took] + [
        tag for tag in now if tag not in took and tag not in before
    ]


def _metadata_since(now: dict[str, Any], took: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    changed = {key: value for key, value in now.items() if key not in took or took[key] != value}
    removed = took.keys() - now.keys()
    return {key: value for key, value in before.items() if key not in removed} | changed


def remember(
    moved: Iterable[Moved], identities: Iterable[tuple[int | None, str, str]], *, by: User | None
) -> None:
    """Keep what an undo of these merges needs, and show in the leads what was typed, now that rows have moved.

    `identities` are those around, each with the lead that it led to before.
    """
    moved = sorted(moved)
    merged = [move for move in moved if move.was is None and move.survivor is not None]
    living = {move.survivor or move.row for move in moved} | {move.was for move in moved if move.was}
    leads = list(_rows(living).select_for_update(no_key=True))  # somebody may be typing into one of them
    own = _own_values(leads)
    merges = _record(merged, identities, own, by)
    _show(leads, own, merges)
    if merged:
        run(MERGE_MARKS, {"merged": as_json([[move.row, move.survivor] for move in merged])})
    run(CLOSED_AT, {"leads": sorted(living)})
    for move in merged:
        logger.info("lead %s is the same person as lead %s: merged into it", move.row, move.survivor)


def preview(lead: Contact, other: Contact) -> dict[str, Any]:
    """What would show in the lead that is left if these two were merged; writes nothing."""
    survivor, *others = _own_values(_rows({lead.pk, other.pk})).values()
    return survivor.with_those_of(others).values


def _rows(living: Iterable[int]) -> QuerySet[Contact]:
    """These leads and all that is merged into them."""
    return Contact.objects.filter(Q(pk__in=living) | Q(merged_into__in=living)).order_by("pk")


def _own_values(leads: Iterable[Contact]) -> dict[int, Typed]:
    rows = {lead.pk: Typed.of(lead) for lead in leads}
    newest = _newest_merges(rows)
    return {pk: row.without(newest[pk].survivor_before) if pk in newest else row for pk, row in rows.items()}


def _newest_merges(survivors: Iterable[int]) -> dict[int, ContactMerge]:
    merges = ContactMerge.objects.filter(survivor__in=survivors).order_by("survivor", "-at", "-id")
    return {merge.survivor_id: merge for merge in merges.distinct("survivor")}


def _record(
    merged: Sequence[Moved],
    identities: Iterable[tuple[int | None, str, str]],
    own: dict[int, Typed],
    by: User | None,
) -> dict[int, ContactMerge]:
    """A row for each merge. Returns the newest merge of each lead: where its own values stand."""
    known: dict[int | None, list[list[str]]] = defaultdict(list)
    for lead, *identity in identities:
        known[lead].append(identity)
    unnamed = _what_names_nobody([move.row for move in merged])
    ContactMerge.objects.bulk_create(
        ContactMerge(
            workspace_id=own[survivor].workspace,
            survivor_id=survivor,
            merged_id=row,
            survivor_before=own[survivor].as_json(),
            sides={"survivor": known[survivor], "merged": known[row], **unnamed[row]},
            by=by,
        )
        for row, _, survivor in merged
        if survivor is not None
    )
    return _newest_merges(own)


def _what_names_nobody(rows: Sequence[int]) -> dict[int, dict[str, list[int]]]:
    """What no evidence would bring back to these rows: somebody put it there by hand."""
    found: dict[int, dict[str, list[int]]] = {
        row: {"messages": [], "sessions": [], "threads": []} for row in rows
    }
    nameless = {"phone": None, "user_id": None}
    messages = Message.objects.filter(contact__in=rows, **nameless)
    sessions = KapsoSession.objects.filter(conversation__contact__in=rows, **nameless)
    threads = Conversation.objects.filter(contact__in=rows, messages=None)
    for kind, owned in (
        ("messages", messages.values_list("contact_id", "pk")),
        ("sessions", sessions.values_list("conversation__contact_id", "pk")),
        ("threads", threads.values_list("contact_id", "phone_number_id")),
    ):
        for row, pk in owned:
            found[row or 0][kind].append(pk)
    return found


def _show(leads: Sequence[Contact], own: dict[int, Typed], merges: dict[int, ContactMerge]) -> None:
    """Write what the leads show now, and beside it, with their newest merge, what they have of their own."""
    for lead in leads:
        merged = [own[other.pk] for other in leads if other.merged_into_id == lead.pk]
        shown = own[lead.pk].with_those_of(merged)
        if lead.pk in merges:
            merges[lead.pk].survivor_before = own[lead.pk].as_json() | {"took": shown.as_json()}
        for name, value in shown.values.items():
            setattr(lead, _COLUMNS.get(name, name), value)
        if shown.values["name"]:
            lead.chosen_name = shown.chosen_name
        else:
            lead.name = (
                lead.chosen_name
            )  # nobody typed one: the refresh that follows puts the sync's choice here
        lead.typed_at = shown.at | {"given": True}  # the trigger takes these times as they are
    columns = [_COLUMNS.get(name, name) for name in TYPED]
    Contact.objects.bulk_update(leads, [*columns, "chosen_name", "typed_at"])
    ContactMerge.objects.bulk_update(merges.values(), ["survivor_before"])
