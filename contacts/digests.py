"""Notifications by e-mail, to those who want them: at once, or once in their morning.

At most once: a claim marks the notifications as mailed and commits before anything is sent, so two workers never send
the same, and a worker that dies in between leaves a mail unsent rather than sent twice; the page still has what it
would have said. Only where it is certain that nothing was sent (no connection, a refusal by the mail server) the claim
is given back, and tried again after a pause that doubles.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import ngettext

from contacts import told
from contacts.mailing import NotSent, post
from contacts.models import Membership, Notification, Preferences
from contacts.notifying import zone_of
from contacts.rights import Rights

logger = logging.getLogger(__name__)

Digest = Preferences.Digest

# In the morning of whoever wants one a day; a worker that was down makes up for it until noon.
MORNING, NOON = 8, 12
# What is older is no news by mail: the page has it.
NEWS = timedelta(days=3)
# In one mail; the rest is counted, and in the page.
MOST_TOLD = 50
# Of people in one turn: the next is a minute away.
MOST_MAILS = 500
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=2), timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Claim:
    """Notifications that are nobody else's to mail, and how the person was before."""

    preferences: Preferences
    notifications: Sequence[Notification]
    digested_before: datetime | None


def send_due(now: datetime) -> int:
    """Mail everybody what is to be told them by now; returns how many mails left. Nothing where no server is named."""
    if not settings.CAN_MAIL:
        return 0
    due = [one.pk for one in _wanting(now) if is_time(one, now)]
    return sum(_send_to(pk, now) for pk in due[:MOST_MAILS])


def is_time(preferences: Preferences, now: datetime) -> bool:
    """At once is always; a daily digest has its morning, in the person's own zone, and once in it."""
    if preferences.digest == Digest.AT_ONCE:
        return True
    local = timezone.localtime(now, _zone(preferences))
    morning = local.replace(hour=MORNING, minute=0, second=0, microsecond=0)
    before = preferences.digested_at
    return MORNING <= local.hour < NOON and (before is None or before < morning)


def _wanting(now: datetime) -> QuerySet[Preferences]:
    """Those with an address who may have something to get."""
    at_once = Q(digest=Digest.AT_ONCE, user__in=_news(now).values("user"))
    daily = Q(digest=Digest.DAILY) & (Q(digested_at=None) | Q(digested_at__lt=now - timedelta(hours=12)))
    waits = Q(mail_not_before__gt=now)
    people = _people().filter(at_once | daily, user__is_active=True)
    return people.exclude(waits | Q(user__email="")).order_by("pk")


def _news(now: datetime) -> QuerySet[Notification]:
    """What was not read in the page meanwhile."""
    return Notification.objects.filter(mailed_at=None, read_at=None, at__gt=now - NEWS)


def _people() -> QuerySet[Preferences]:
    """With the zone of a workspace of theirs, for those who chose none."""
    places = Membership.objects.filter(user=OuterRef("user")).order_by("workspace")
    place = Subquery(places.values("workspace__time_zone")[:1])
    return Preferences.objects.select_related("user").annotate(place_zone=place)


def _zone(preferences: Preferences) -> ZoneInfo:
    return zone_of(preferences.time_zone or vars(preferences)["place_zone"] or "")


def _send_to(pk: int, now: datetime) -> bool:
    claim = _claim(pk, now)
    if claim is None:
        return False
    try:
        return _mail(claim)
    except NotSent as error:
        logger.warning("a mail to user %s could not be sent: %s", claim.preferences.user_id, error)
        _give_back(claim, now)
        return False


@transaction.atomic
def _claim(pk: int, now: datetime) -> Claim | None:
    """Mark what is to be mailed as mailed, unless another one is at it or was. A morning without news is past, too."""
    rows = _people().select_for_update(skip_locked=True, of=("self",), no_key=True)
    preferences = rows.filter(pk=pk).first()
    if preferences is None or preferences.digest == Digest.OFF or not is_time(preferences, now):
        return None
    before = preferences.digested_at
    Preferences.objects.filter(pk=pk).update(digested_at=now)
    news = told.newest(preferences.user).filter(mailed_at=None, read_at=None, at__gt=now - NEWS)
    notifications = list(news.order_by("-at", "-id"))
    Notification.objects.filter(pk__in=[one.pk for one in notifications]).update(mailed_at=now)
    return Claim(preferences, notifications, before) if notifications else None


@transaction.atomic
def _give_back(claim: Claim, now: datetime) -> None:
    failures = claim.preferences.mail_failures
    pause = min(FIRST_PAUSE * 2 ** min(failures, 10), LONGEST_PAUSE)
    Notification.objects.filter(pk__in=[one.pk for one in claim.notifications]).update(mailed_at=None)
    Preferences.objects.filter(pk=claim.preferences.pk).update(
        digested_at=claim.digested_before, mail_failures=F("mail_failures") + 1, mail_not_before=now + pause
    )


def _mail(claim: Claim) -> bool:
    """True if it left; False where there is nothing to say, or where nobody knows whether it left."""
    user = claim.preferences.user
    with (
        translation.override(claim.preferences.language or settings.LANGUAGE_CODE),
        timezone.override(_zone(claim.preferences)),
    ):
        read = told.read_out(claim.notifications[:MOST_TOLD], Rights.of(user))
        rows = [one for one in read if not one.is_past]
        if not rows:
            return False
        message = _written(user.email, rows, more=len(claim.notifications) - len(read))
    sent = post(message)
    if sent and claim.preferences.mail_failures:
        Preferences.objects.filter(pk=claim.preferences.pk).update(mail_failures=0, mail_not_before=None)
    return sent


def _written(address: str, rows: Sequence[told.Told], *, more: int) -> EmailMultiAlternatives:
    """Subject and headers are our own words: no name of anybody gets into them."""
    try:
        validate_email(address)
    except ValidationError as error:
        raise NotSent("the address is none") from error
    count = len(rows) + more
    subject = ngettext("%d thing to know in leadcrm", "%d things to know in leadcrm", count) % count
    context = {
        "rows": [(unlinked(row.headline), unlinked(row.text), _address(row)) for row in rows],
        "more": more,
        "all": settings.SITE_URL + reverse("notifications"),
        "preferences": settings.SITE_URL + reverse("preferences"),
        "subject": subject,
    }
    plain = render_to_string("contacts/digest.txt", context)
    headers = {"Auto-Submitted": "auto-generated", "List-Unsubscribe": f"<{context['preferences']}>"}
    message = EmailMultiAlternatives(subject, plain, to=[address], headers=headers)
    message.attach_alternative(render_to_string("contacts/digest.html", context), "text/html")
    return message


def _address(row: told.Told) -> str:
    """By way of the notification, so that whoever follows it has read it."""
    return settings.SITE_URL + reverse("notification", args=[row.notification.pk])


def unlinked(text: str) -> str:
    """Where words of others are quoted, nothing in them is made a link by a mail program: `example.com` says nothing
    that we vouch for. A zero-width space stands in it."""
    return _QUOTED.sub(lambda quote: _LINKING.sub("\\1\u200b", quote[0]), text)


_QUOTED = re.compile("\u2068[^\u2069]*\u2069")
_LINKING = re.compile(r"([.:@/])(?=[^\s\u2069])")
