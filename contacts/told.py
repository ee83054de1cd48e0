"""Notifications as people read them: in the page and in mails.

A lead is named only to whoever may see it by now, and what was written of it is read now: a note that was deleted, or
a lead that has become somebody else's, is not told of any more. Names are strangers' words: in one line, without
what turns a line around, and set apart from ours by Unicode isolates, which work in HTML and in plain text alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from contacts import showing
from contacts.models import FollowUp, Note, Notification
from contacts.preview import one_line, shorten
from contacts.rights import Rights

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from contacts.models import Contact

Kind = Notification.Kind

LONGEST_NAME, LONGEST_TEXT = 60, 200
ICONS = {
    Kind.ASSIGNED: "person_add",
    Kind.MENTION: "alternate_email",
    Kind.FOLLOW_UP: "event",
    Kind.SILENCE: "notifications_off",
}

# Bidirectional controls and separators; and zero-width characters with which a name can pretend to be empty.
_TURNING = re.compile("[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def quoted(text: str, longest: int = LONGEST_TEXT) -> str:
    """Words of others, isolated: whatever is in them, they neither end our sentence nor turn it around."""
    return f"\u2068{shorten(one_line(_TURNING.sub('', text)), longest)}\u2069"


@dataclass(frozen=True, slots=True)
class Told:
    """One notification, as its user may read it: what happened, what was written, and where it leads."""

    notification: Notification
    headline: str
    text: str = ""
    link: str = ""
    # It has passed, or is not for them any more: the page keeps it, a mail would tell nothing.
    is_past: bool = False

    @property
    def icon(self) -> str:
        return ICONS[Kind(self.notification.kind)]

    @property
    def when(self) -> str:
        return showing.relative_time(self.notification.at)


def newest(user: User) -> QuerySet[Notification]:
    rows = Notification.objects.filter(user=user).order_by("-at", "-id")
    return rows.select_related("contact__merged_into", "phone_number", "by", "workspace").defer(
        "phone_number__webhook_secret"
    )


def read_out(notifications: Sequence[Notification], rights: Rights) -> list[Told]:
    """In words, with the same two statements for any number of them."""
    notes = _by_key(Note.objects.all(), notifications, Kind.MENTION)
    follow_ups = _by_key(FollowUp.objects.all(), notifications, Kind.FOLLOW_UP)
    return [_told(one, rights, notes, follow_ups) for one in notifications]


def _by_key(
    rows: QuerySet[Note] | QuerySet[FollowUp], told: Sequence[Notification], kind: Kind
) -> dict[str, object]:
    keys = {one.key.split()[0] for one in told if one.kind == kind}
    return {str(row.pk): row for row in rows.filter(pk__in=keys)} if keys else {}


def _told(one: Notification, rights: Rights, notes: dict[str, object], follow_ups: dict[str, object]) -> Told:
    if one.kind == Kind.SILENCE:
        return _silence(one, rights)
    lead = one.contact and (one.contact.merged_into or one.contact)
    if lead is None or not rights.sees(lead):
        return Told(one, _("This was about a lead that you do not see any more."), is_past=True)
    name, link = quoted(lead.shown_name, LONGEST_NAME), _page_of(lead)
    if one.kind == Kind.MENTION:
        return _mention(one, name, link, notes.get(one.key))
    if one.kind == Kind.FOLLOW_UP:
        return _follow_up(one, name, link, follow_ups.get(one.key.split()[0]))
    return Told(one, _assigned(one, name), link=link, is_past=lead.owner_id != one.user_id)


def _assigned(one: Notification, name: str) -> str:
    if one.by is None:
        return _("%(lead)s is yours now: given to you in turn.") % {"lead": name}
    return _("%(person)s assigned %(lead)s to you.") % {"person": _person(one.by), "lead": name}


def _mention(one: Notification, name: str, link: str, note: object) -> Told:
    person = _person(one.by) if one.by else _("Somebody")
    headline = _("%(person)s mentioned you in a note on %(lead)s.") % {"person": person, "lead": name}
    if isinstance(note, Note):
        return Told(one, headline, quoted(note.text), link)
    return Told(one, headline, _("The note was deleted."), link, is_past=True)


def _follow_up(one: Notification, name: str, link: str, follow_up: object) -> Told:
    if not isinstance(follow_up, FollowUp) or follow_up.done_at:
        return Told(one, _("The follow-up on %(lead)s is done.") % {"lead": name}, "", link, is_past=True)
    headline = _("Follow up on %(lead)s, due %(when)s.") % {"lead": name, "when": _moment(follow_up.due_at)}
    return Told(one, headline, quoted(follow_up.remark) if follow_up.remark else "", link)


def _silence(one: Notification, rights: Rights) -> Told:
    if one.workspace_id not in rights.places or one.phone_number is None:
        return Told(one, _("This was about a number that you do not see any more."), is_past=True)
    headline = _("The number %(number)s fell silent.") % {"number": quoted(str(one.phone_number))}
    return Told(one, headline, quoted(one.text), reverse("numbers-health"))


def _person(user: User) -> str:
    return quoted(user.get_full_name() or user.get_username(), LONGEST_NAME)


def _moment(at: datetime) -> str:
    return date_format(localtime(at), "j M, H:i")


def _page_of(lead: Contact) -> str:
    return reverse("admin:contacts_contact_change", args=[lead.pk])
