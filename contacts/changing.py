"""What every change that people make to a lead has in common: a lock, a record, and words when it is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from django.db import OperationalError
from django.utils.translation import gettext as _

from contacts.models import Contact, LeadChange
from contacts.preview import one_line

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Refused(ValueError):  # noqa: N818 - said to people, not raised by a fault
    """It cannot be done; the message says why."""


class Stale(Refused):
    """Somebody else was faster: the message says what the value is by now."""

    @classmethod
    def of(cls, what: Any, now: Any) -> Stale:
        told = {"what": what, "value": now}
        return cls(
            _("Somebody else changed this meanwhile: %(what)s is “%(value)s” now. Nothing was changed.")
            % told
            if now
            else _("Somebody else changed this meanwhile: %(what)s is empty now. Nothing was changed.") % told
        )


def is_busy(error: OperationalError) -> bool:
    """A webhook has the lead and kept us waiting for as long as anybody waits here; or we it, and it us."""
    return getattr(error.__cause__, "sqlstate", None) in ("55P03", "40P01")


def locked(lead: Contact) -> Contact:
    """The lead's row as it is now, ours until the transaction ends. Webhooks lock in the same way."""
    row = Contact.objects.select_for_update(no_key=True, of=("self",)).filter(pk=lead.pk).first()
    if row is None:
        raise Refused(_("This lead is no longer here."))
    if row.merged_into_id:
        raise Refused(_("This lead was merged into another one. Open it again to go on there."))
    return row


def record(row: Contact, kind: LeadChange.Kind, before: Any, after: Any, **more: Any) -> LeadChange:
    return LeadChange.objects.create(
        workspace_id=row.workspace_id, contact_id=row.pk, kind=kind, before=before, after=after, **more
    )


def record_all(row: Contact, changes: Iterable[dict[str, Any]], **more: Any) -> list[LeadChange]:
    """Several of one lead, in one statement."""
    made = [
        LeadChange(workspace_id=row.workspace_id, contact_id=row.pk, **change, **more) for change in changes
    ]
    return LeadChange.objects.bulk_create(made)


def write(lead: Contact, **values: Any) -> None:
    """These columns and no other: a webhook may move the lead's clocks at any time."""
    Contact.objects.filter(pk=lead.pk).update(**values)
    for name, value in values.items():
        setattr(lead, name, value)


def line(text: str, most: int) -> str:
    """One line of what somebody typed. Raises `Refused` if it is too long."""
    text = one_line(storable(text))
    if len(text) > most:
        told = {"beginning": text[:20], "length": len(text), "most": most}
        raise Refused(_("“%(beginning)s…” has %(length)s characters; %(most)s is the most.") % told)
    return text


def storable(text: str) -> str:
    return _UNSTORABLE.sub("\ufffd", text)
