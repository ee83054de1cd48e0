"""What stands beside the messages on a lead's page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from contacts import lead_history, showing
from contacts.cards import Card, ad_of
from contacts.lead_rows import COLOURS
from contacts.lead_views import CLOSING, WINDOW, has_written_again, is_aside
from contacts.models import Contact, CustomField, LeadStatus
from contacts.models.contact import ALLOWED_MOVES
from contacts.preview import one_line, shorten
from contacts.replies import addresses_of
from contacts.suggesting import suggestions_for
from contacts.surroundings import MOST_CHOICES, Member, Surroundings, members_like


@dataclass(frozen=True, slots=True)
class Field:
    """One line of the details: what it is called, what it is, and what its form begins with."""

    name: str
    label: str
    kind: str
    shown: str = ""
    value: str = ""
    choices: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Ad:
    when: str
    card: Card


def panels(lead: Contact, surroundings: Surroundings, *, term: str = "") -> dict[str, Any]:
    """Four statements, five where somebody looks like this person."""
    now = timezone.now()
    past = lead_history.history(lead)
    return {
        **_head(lead, surroundings, now),
        **_owner(lead, surroundings, term.strip()[:100]),
        "fields": fields(lead, surroundings.fields),
        "suggested_tags": [tag for tag in surroundings.suggested_tags if tag not in lead.tags],
        "notes": [entry for entry in past if entry.kind == lead_history.NOTED],
        "history": past[: lead_history.MOST],
        "follow_up": surroundings.follow_up,
        "is_due": surroundings.follow_up is not None and surroundings.follow_up.due_at <= now,
        "clocks": clocks(lead),
        "identities": identities(lead, surroundings),
        "ads": ads(lead),
        "replies": replies(surroundings),
        "alike": [
            {"other": other, "name": showing.name_of(other), "reasons": suggestion.reasons}
            for suggestion in suggestions_for(lead)
            for other in (suggestion.other_than(lead),)
        ],
    }


def _head(lead: Contact, surroundings: Surroundings, now: datetime) -> dict[str, Any]:
    """What stands above all: who it is, and what wants doing."""
    status = LeadStatus(lead.lead_status)
    return {
        "phone": showing.phone(lead.phone),
        "status_colour": COLOURS[status],
        "moves": [{"to": to.value, "label": to.label} for to in ALLOWED_MOVES[status]],
        "window": window(lead.last_inbound_at, now),
        "handoffs": surroundings.handoffs,
        "wrote_again": has_written_again(lead),
        "snoozed_until": lead.snoozed_until if is_aside(lead, now) else None,
    }


def window(wrote: datetime | None, now: datetime) -> dict[str, Any] | None:
    """The longest of the lead's threads (DESIGN.md section 4); None where the customer never wrote."""
    if wrote is None:
        return None
    left = wrote + WINDOW - now
    if left <= timedelta(0):
        return {"is_open": False}
    hours, minutes = divmod(int(left.total_seconds()) // 60, 60)
    told = {"hours": hours, "minutes": minutes}
    return {
        "is_open": True,
        "is_closing": left < CLOSING,
        "left": _("%(hours)s h %(minutes)s min") % told if hours else _("%(minutes)s min") % told,
        "until": wrote + WINDOW,
    }


def _owner(lead: Contact, surroundings: Surroundings, term: str) -> dict[str, Any]:
    """Who may own it: a list as long as anybody reads, else those whose name was typed."""
    owner = lead.owner and Member(lead.owner.pk, lead.owner.get_full_name() or lead.owner.get_username())
    are_many = len(surroundings.members) > MOST_CHOICES
    members = surroundings.members
    if are_many:
        members = members_like(lead.workspace_id, term) if term else []
    if owner and owner not in members:
        members = [owner, *members]
    return {"owner": owner, "members": members[: MOST_CHOICES - 1], "are_many": are_many, "term": term}


def fields(lead: Contact, extra: list[CustomField]) -> list[Field]:
    """What people type about a lead, the workspace's own fields last."""
    score = str(lead.lead_score)
    return [
        Field("name", _("Name"), "text", lead.name, lead.name),
        Field("email", _("E-mail"), "email", lead.email, lead.email),
        Field("lead_score", _("Score"), "number", score, score),
        *(_extra_field(field, lead.metadata) for field in extra),
    ]


def _extra_field(field: CustomField, values: object) -> Field:
    value = values.get(field.key) if isinstance(values, dict) else None
    kind = CustomField.Kind
    choices: tuple[tuple[str, str], ...] = ()
    if field.kind == kind.YES_NO:
        choices = (("yes", _("Yes")), ("no", _("No")))
        plain = "" if not isinstance(value, bool) else "yes" if value else "no"
        return Field(field.key, field.label, "choice", dict(choices).get(plain, ""), plain, choices)
    plain = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    if field.kind == kind.CHOICE:
        choices = tuple((choice, choice) for choice in field.choices[:MOST_CHOICES])
    shown = _date(plain) if field.kind == kind.DATE else plain
    return Field(field.key, field.label, str(field.kind), shorten(one_line(shown), 1000), plain, choices)


def _date(value: str) -> str:
    try:
        return date_format(datetime.fromisoformat(value), "j M Y")
    except ValueError:
        return value


def clocks(lead: Contact) -> list[dict[str, Any]]:
    """`key` is the clock's name for the page that says why it is as it is."""
    told = (
        ("last_inbound_at", _("The customer last wrote"), lead.last_inbound_at),
        ("last_contact_at", _("We last wrote"), lead.last_contact_at),
        ("last_activity_at", _("Last activity"), lead.last_activity_at),
    )
    return [
        {"key": key, "label": label, "at": at, "shown": showing.exact_time(at)}
        for key, label, at in told
        if at
    ]


def identities(lead: Contact, surroundings: Surroundings) -> list[dict[str, Any]]:
    """Every phone and user id that the lead ever had, the one seen last first."""
    current = {("phone", lead.phone), ("user", lead.business_scoped_user_id)}
    return [
        {
            "text": showing.phone(known.value) if known.kind == "phone" else known.value,
            "is_current": (known.kind, known.value) in current,
            "first_seen": showing.exact_time(known.first_seen_at),
            "last_seen": showing.exact_time(known.last_seen_at),
        }
        for known in surroundings.identities
    ]


def ads(lead: Contact) -> list[Ad]:
    """The first ad or post that led the person here and, if it is another, the newest."""
    first, last = ad_of(lead.first_touch), ad_of(lead.last_touch)
    if first and last == first:
        return [Ad("", first)]
    told = ((_("First"), first), (_("Newest"), last))
    return [Ad(when, card) for when, card in told if card]


def replies(surroundings: Surroundings) -> list[dict[str, str]]:
    """Whom an answer from each of our numbers reaches."""
    addresses = addresses_of([thread.pk for thread in surroundings.threads])
    return [
        {
            "number": showing.phone(thread.number.lstrip("+"))
            if thread.number.startswith("+")
            else thread.number,
            "to": showing.phone(address.phone)
            or address.user_id
            or _("Nobody: no phone or user ID is known"),
        }
        for thread in surroundings.threads
        if (address := addresses.get(thread.pk))
    ]
