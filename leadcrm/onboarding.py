"""The first steps of an installation: what is done, what is next, and whether Kapso is heard.

All of it is read from the tables, so each step can be left and taken up again, by anybody and anywhere. The pages are
leadcrm.welcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import Exists, Max, OuterRef, QuerySet, Sum
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from contacts import showing
from contacts.models import PhoneNumber, Workspace
from kapso_sync import counting
from kapso_sync.models import AnswerCount, Tally, WebhookDelivery
from kapso_sync.tallies import ANSWERS_KEPT, tallies

Status = WebhookDelivery.Status

# The reasons under which kapso_sync.views refuses what is not signed by us, as they are counted.
UNSIGNED = "There is no X-Webhook-Signature."
WRONGLY_SIGNED = "The signature matches no secret of this number, nor a project-wide one."


@dataclass(frozen=True, slots=True)
class Step:
    key: str
    title: str
    url: str
    is_done: bool
    is_next: bool


@dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong, in plain words, and what helps."""

    text: str
    to_do: str


def is_over() -> bool:
    """Whether a number of ours was ever heard: then everything before it was done as well."""
    return _heard_numbers().exists()


def steps() -> list[Step]:
    """In their order. What follows on a step that is not done has no page yet."""
    over = is_over()
    number = PhoneNumber.objects.order_by("-pk").first()
    has_workspace = number is not None or Workspace.objects.exists()
    done = {
        "workspace": has_workspace,
        "number": number is not None,
        "webhook": over or bool(number and number.webhook_secret),
        "waiting": over,
    }
    titles = {
        "workspace": _("Create a workspace"),
        "number": _("Add your WhatsApp number"),
        "webhook": _("Connect the webhook in Kapso"),
        "waiting": _("Hear the first event"),
    }
    following = next((key for key in done if not done[key]), "")
    return [
        Step(
            key,
            titles[key],
            page_of(key, number) if has_workspace or key == following else "",
            is_done,
            key == following,
        )
        for key, is_done in done.items()
    ]


def page_of(key: str, number: PhoneNumber | None) -> str:
    """Where a step is taken; "" where it needs a number and there is none."""
    if key in ("workspace", "number"):
        return reverse(f"welcome-{key}")
    return reverse(f"welcome-{key}", args=[number.pk]) if number else ""


def heard(number: PhoneNumber) -> WebhookDelivery | None:
    """The newest signed event of the number. Nothing unsigned is ever stored."""
    signed = WebhookDelivery.objects.filter(phone_number_id=number.phone_number_id)
    return signed.only("received_at", "event", "status").order_by("-received_at").first()


def troubles(number: PhoneNumber, now: datetime) -> list[Trouble]:
    """Why nothing signed was heard of the number, as far as our own counts tell: of what is refused nothing is kept."""
    tallies.flush()
    wrong, unsigned = _refusals(WRONGLY_SIGNED, now), _refusals(UNSIGNED, now)
    found = [
        None if unsigned and not wrong else _refused(number, now),
        _unsigned(unsigned),
        _of_nobody(wrong, unsigned, now),
        _of_another(number),
    ]
    return [trouble for trouble in found if trouble]


def _heard_numbers() -> QuerySet[PhoneNumber]:
    signed = WebhookDelivery.objects.filter(phone_number_id=OuterRef("phone_number_id"))
    return PhoneNumber.objects.filter(Exists(signed))


def _refused(number: PhoneNumber, now: datetime) -> Trouble | None:
    """Requests that name this very number."""
    answers = AnswerCount.objects.filter(
        phone_number_id=number.phone_number_id, http_status=401, minute__gt=now - ANSWERS_KEPT
    )
    count, last = answers.aggregate(Sum("count"), Max("minute")).values()
    if not count:
        return None
    text = ngettext(
        "One request for this number was refused, %(ago)s: it is not signed with a secret that is stored here.",
        "%(count)d requests for this number were refused, the last one %(ago)s: they are not signed with a secret"
        " that is stored here.",
        count,
    ) % {"count": count, "ago": showing.ago(last, now)}
    to_do = _(
        "In Kapso, at this number's webhook, compare the secret key with the one that you stored here. If in doubt,"
        " generate one here and enter it there. Nothing of a refused request is kept."
    )
    return Trouble(text, to_do)


def _unsigned(count: int) -> Trouble | None:
    if not count:
        return None
    text = ngettext(
        "Today one request came without a signature (the header X-Webhook-Signature).",
        "Today %(count)d requests came without a signature (the header X-Webhook-Signature).",
        count,
    ) % {"count": count}
    to_do = _(
        "The webhook in Kapso must be of the kind Kapso, not Meta, and have a secret key. If there is a proxy in front"
        " of leadcrm, it must pass the header on."
    )
    return Trouble(text, to_do)


def _of_nobody(wrong: int, unsigned: int, now: datetime) -> Trouble | None:
    """Wrongly signed ones that name no number of ours: all that were refused but for those of our numbers."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    ours = PhoneNumber.objects.values("phone_number_id")
    answers = AnswerCount.objects.filter(phone_number_id__in=ours, http_status=401, minute__gte=today)
    known = answers.aggregate(count=Sum("count", default=0))["count"]
    count = wrong + unsigned - known
    if wrong == 0 or count <= 0:
        return None
    text = ngettext(
        "Today one request was refused that names no number of this installation.",
        "Today %(count)d requests were refused that name no number of this installation.",
        count,
    ) % {"count": count}
    to_do = _("Compare the phone number ID that you entered with the one that Kapso shows for the number.")
    return Trouble(text, to_do)


def _of_another(number: PhoneNumber) -> Trouble | None:
    """Rightly signed, by a secret of the whole project, but for a number that is not here."""
    others = WebhookDelivery.objects.filter(status=Status.UNROUTABLE).exclude(
        phone_number_id=number.phone_number_id
    )
    named = others.order_by("-pk").values_list("phone_number_id", flat=True).first()
    if not named:
        return None
    text = _("Kapso sends signed events for the phone number ID %(id)s, which is not registered here.")
    to_do = _("If that is your number, correct its ID. What came is kept and will be brought in.")
    return Trouble(text % {"id": named}, to_do)


def _refusals(reason: str, now: datetime) -> int:
    today = now.astimezone(UTC).date()
    counted = Tally.objects.filter(day=today, source=counting.REFUSED, reason=f"401 {reason}")
    total: int = counted.aggregate(count=Sum("count", default=0))["count"]
    return total
