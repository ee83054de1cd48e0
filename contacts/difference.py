"""What differs between the live CRM and a shadow of it (contacts.shadow), lead by lead, in words.

Compared are all facts and all that is derived of them, by natural keys: ids and bookkeeping aside, and what people
typed. Differences are collected by PostgreSQL and read a lead at a time, however many there are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from contacts import showing
from contacts.models import Contact, Conversation, KapsoSession, Message
from contacts.preview import one_line, preview, shorten
from contacts.shadow import Shadow
from contacts.statements import compare_shadow

# Of one lead no more is told.
MOST_LINES = 12

Json = dict[str, Any]


def collect_differences(shadow: Shadow, workspaces: Iterable[int], *, copied: bool) -> None:
    """Fill the shadow's table of differences; `copied` says that it was seeded by copying (`Shadow.seed_around`).

    For a true picture the transaction is REPEATABLE READ, or keeps the sync out (contacts.people.lock_alone).
    """

    shadow.run(compare_shadow.TABLES)
    shadow.analyze()
    for workspace in [] if copied else workspaces:
        shadow.run(compare_shadow.PAIR_BY_EVIDENCE, {"workspace": workspace})
    if copied:
        shadow.run(compare_shadow.PAIR_BY_ID)
        shadow.run(compare_shadow.COLLECT_MERGES)
    shadow.run("ANALYZE {shadow}.pair")
    for workspace in workspaces:
        for compared in compare_shadow.EVERYTHING:
            shadow.run(compare_shadow.collect(compared, copied=copied), {"workspace": workspace})
    shadow.run("ANALYZE {shadow}.difference")


@dataclass(slots=True)
class LeadDifference:
    """What would change about one lead; `lead_id` is None for one that is not here, and for what is nobody's."""

    lead_id: int | None
    name: str
    lines: list[str] = field(default_factory=list)
    more: int = 0  # lines beyond MOST_LINES


@dataclass(slots=True)
class _Row:
    lead_id: int | None
    name: str
    target: str
    what: str
    live_id: int | None
    shadow_id: int | None
    was: Json
    becomes: Json

    @property
    def is_new(self) -> bool:
        return self.live_id is None

    @property
    def is_untold(self) -> bool:
        return self.shadow_id is None

    @property
    def either(self) -> Json:
        return self.becomes or self.was


def read_differences(shadow: Shadow, only: Collection[int] | None = None) -> Iterator[LeadDifference]:
    """One lead after the other, from a server-side cursor of the caller's transaction; `only` of these workspaces."""
    visible = None if only is None else sorted(only)
    with shadow.stream(compare_shadow.READ, {"workspaces": visible}) as found:
        rows = (_row(row) for row in found)
        for (lead_id, name), of_lead in groupby(rows, key=lambda row: (row.lead_id, row.name)):
            yield _told(lead_id, name, of_lead)


def _row(row: tuple[Any, ...]) -> _Row:
    lead_id, name, phone, user_id, target_id, target, what, live_id, shadow_id, was, becomes = row
    shown = " ".join(
        filter(None, (one_line(name or ""), showing.phone(phone) or (user_id if not name else "")))
    )
    into = (
        _("%(name)s (lead %(number)s)") % {"name": one_line(target), "number": target_id}
        if target and target_id and target_id > 0
        else one_line(target or "")
    )
    return _Row(lead_id, shown, into or _("nobody"), what, live_id, shadow_id, _json(was), _json(becomes))


def _json(value: Any) -> Json:
    return (json.loads(value) if isinstance(value, str) else value) or {}


def _told(lead_id: int | None, name: str, rows: Iterable[_Row]) -> LeadDifference:
    is_live = lead_id is not None and lead_id > 0
    shown = name or (_("Lead %s") % lead_id if is_live else _("A new lead") if lead_id else _("Nobody's yet"))
    told = LeadDifference(lead_id if is_live else None, shown)
    added: list[str] = []
    count = 0
    for row in rows:
        if row.what == "message" and row.is_new:
            count += 1
            added += [_message(row.becomes)] if count <= 3 else []
            continue
        for line in LINES[row.what](row):
            if len(told.lines) < MOST_LINES:
                told.lines.append(line)
            else:
                told.more += 1
    if count:
        more = ngettext(
            "%(count)s message more: %(messages)s", "%(count)s messages more: %(messages)s", count
        )
        if count > len(added):
            added.append(_("and %(more)s more") % {"more": count - len(added)})
        told.lines.insert(0, more % {"count": count, "messages": "; ".join(added)})
    return told


def _lead(row: _Row) -> Iterator[str]:
    if row.is_new:
        yield _("a lead is made")
        return
    yield from _changes(row, Contact, "")


def _merged(row: _Row) -> Iterator[str]:
    yield _("merged into %s") % row.target


def _parted(row: _Row) -> Iterator[str]:
    del row
    yield _("a lead of its own again")


def _message_lines(row: _Row) -> Iterator[str]:
    if row.is_untold:
        yield _("no stored delivery tells this message: %s") % _message(row.was)
        return
    if row.was.get("lead") != row.becomes.get("lead"):
        yield _belongs(f"{_message(row.was)}:", row)
    yield from _changes(row, Message, f"{_message(row.was)}: ")


def _thread(row: _Row) -> Iterator[str]:
    if not row.is_new:
        yield from _changes(row, Conversation, f"{_('thread')}: ")
    elif row.lead_id and row.lead_id > 0:
        yield _("a thread is made")


def _identity(row: _Row) -> Iterator[str]:
    name = _identity_name(row.either["k0"], row.either["k1"])
    if row.is_new:
        yield _("%s is known") % name
    elif row.is_untold:
        yield _("no stored delivery tells %s") % name
    elif row.was.get("lead") != row.becomes.get("lead"):
        yield _belongs(name, row)
    else:
        yield from _changes(row, None, f"{name}: ")


def _identity_name(kind: str, value: str) -> str:
    return showing.phone(value) if kind == "phone" else _("user ID %s") % value


def _belongs(what: str, row: _Row) -> str:
    return _("%(what)s belongs to %(whom)s") % {"what": what, "whom": row.target}


def _link(row: _Row) -> Iterator[str]:
    one, other = (
        _identity_name(row.either["k0"], row.either["k1"]),
        _identity_name(row.either["k2"], row.either["k3"]),
    )
    if row.is_new:
        yield _("%(one)s and %(other)s are linked") % {"one": one, "other": other}
    elif row.is_untold:
        yield _("no stored delivery links %(one)s and %(other)s") % {"one": one, "other": other}
    else:
        link = _("the link of %(one)s and %(other)s") % {"one": one, "other": other}
        yield from _changes(row, None, f"{link}: ")


def _fact(
    words: Any, name: Callable[[Json], str], model: type[Model] | None = None
) -> Callable[[_Row], Iterator[str]]:
    """Lines for a fact: new, untold, or changed."""

    def lines(row: _Row) -> Iterator[str]:
        shown = f"{words} {name(row.either)}"
        if row.is_new:
            yield _("%s is known") % shown
        elif row.is_untold:
            yield _("no stored delivery tells %s") % shown
        else:
            if row.was.get("lead") != row.becomes.get("lead") and row.what == "session":
                yield _belongs(shown, row)
            yield from _changes(row, model, f"{shown}: ")

    return lines


LINES: dict[str, Callable[[_Row], Iterator[str]]] = {
    "lead": _lead,
    "merged": _merged,
    "parted": _parted,
    "message": _message_lines,
    "thread": _thread,
    "identity": _identity,
    "link": _link,
    "session": _fact(gettext_lazy("session"), lambda row: str(row["k1"]), KapsoSession),
    "automation": _fact(gettext_lazy("automation event"), lambda row: str(row["k1"])),
    "receipt": _fact(gettext_lazy("the status of message"), lambda row: str(row["k1"])),
    "profile": _fact(gettext_lazy("what was said:"), lambda row: f"{row['k2']} {_shown(row['k3'])}"),
}

# Compared and put right, but no news of its own.
SILENT = {
    "is_in_its_thread",
    "lead",
    "found",
    "id",
    "phone_at",
    "user_id_at",
    "status_at",
    "earliest_at",
    "tellings",
}


def _changes(row: _Row, model: type[Model] | None, start: str) -> Iterator[str]:
    changed = [
        name
        for name, value in row.was.items()
        if value != row.becomes.get(name)
        and not (row.what == "lead" and name in ("name", "source") and value is None)
    ]
    told = [name for name in changed if name not in SILENT]
    for name in told:
        told_of = {
            "what": f"{start}{_label(model, name)}",
            "before": _shown(row.was[name]),
            "after": _shown(row.becomes.get(name)),
        }
        yield _("%(what)s %(before)s becomes %(after)s") % told_of
    if not told and changed and row.was.get("lead") == row.becomes.get("lead"):
        names = ", ".join(_label(model, name) for name in changed)
        yield _("%s is put right") % f"{start}{names}"


def _label(model: type[Model] | None, name: str) -> str:
    try:
        return str(model._meta.get_field(name).verbose_name) if model else name.replace("_", " ")  # type: ignore[union-attr] # noqa: SLF001
    except FieldDoesNotExist:
        return name.replace("_", " ")


def _shown(value: Any) -> str:
    if value in (None, "", [], {}):
        return _("(empty)")
    if not isinstance(value, str):
        return shorten(one_line(str(value)))
    try:
        return (
            f"{datetime.fromisoformat(value):%Y-%m-%d %H:%M:%S} UTC"
            if "T" in value
            else f'"{shorten(one_line(value))}"'
        )
    except ValueError:
        return f'"{shorten(one_line(value))}"'


def _message(row: Json) -> str:
    what = preview(row["message_type"], row["content"], is_deleted=bool(row["revoked_at"]))
    told = {"what": what, "time": _shown(row["sent_at"])}
    if row["direction"] == Message.Direction.INBOUND:
        return _('inbound "%(what)s" of %(time)s') % told
    return _('outbound "%(what)s" of %(time)s') % told
