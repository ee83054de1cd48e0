"""How phones and times are written for people."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import phonenumbers
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

if TYPE_CHECKING:
    from contacts.models import Contact


def phone(digits: str | None) -> str:
    """+49 1512 3456789; the plain digits where no country numbers like that."""
    if not digits:
        return ""
    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return f"+{digits}"
    if not phonenumbers.is_possible_number(number):
        return f"+{digits}"
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def name_of(lead: Contact) -> str:
    """The team's name, else WhatsApp's, the phone, the username, the user id: never empty."""
    return lead.name or lead.kapso_name or phone(lead.phone) or lead.shown_name


def ago(at: datetime, now: datetime) -> str:
    """Roughly how long ago, in the fewest words; a date from a week on."""
    passed = now - at
    if passed < timedelta(minutes=1):
        return (
            _("just now") if passed > -timedelta(minutes=5) else date_format(timezone.localtime(at), "j M Y")
        )
    if passed < timedelta(hours=1):
        return _("%d min ago") % (passed // timedelta(minutes=1))
    if passed < timedelta(days=1):
        return _("%d h ago") % (passed // timedelta(hours=1))
    if passed < timedelta(days=7):
        days = passed // timedelta(days=1)
        return ngettext("%d day ago", "%d days ago", days) % days
    same_year = timezone.localtime(at).year == timezone.localtime(now).year
    return date_format(timezone.localtime(at), "j M" if same_year else "j M Y")


def exact(at: datetime) -> str:
    local = timezone.localtime(at)
    return f"{date_format(local, 'j M Y, H:i')} {local.tzname()}"


def relative_time(at: datetime | None) -> SafeString | str:
    """How long ago; the exact time shows on hover, in the browser's own zone where scripts run (admin.js)."""
    if at is None:
        return ""
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', at.isoformat(), exact(at), ago(at, timezone.now())
    )


def exact_time(at: datetime | None) -> SafeString | str:
    if at is None:
        return ""
    return format_html('<time datetime="{}" data-local="full">{}</time>', at.isoformat(), exact(at))
