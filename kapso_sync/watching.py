"""Whether a number is heard: its deliveries, Kapso's pause rule, silence, and what was lost on the way.

All of it is read when somebody looks; nothing here calls Kapso. Times are aware.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, get_args

from django.db.models import QuerySet, Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from contacts import showing
from contacts.models import PhoneNumber
from kapso_sync import sightings
from kapso_sync.attention import Alert
from kapso_sync.counting import REFUSED
from kapso_sync.models import Tally, WebhookDelivery
from kapso_sync.sightings import WEEK, WINDOW, Gap

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

# The colour of a label: "" is that of nothing in particular.
Level = Literal["danger", "warning", "success", ""]

MOST_NUMBERS = 200  # on a page
LATELY = timedelta(hours=24)

# Kapso switches a webhook off at these (CONTRACT.md 3.6); AT_RISK is ours, to be told before.
PAUSED_FROM, PAUSED_FAILURES, PAUSED_RATE = 40, 10, 0.85
UNSIGNED = 401
RISKY_FAILURES, RISKY_RATE = 5, 0.5

# With 5 expected, none at all comes by chance less than once in a hundred times.
EXPECTED = 5.0
SHORTEST_SILENCE = timedelta(minutes=15)
# Without two weeks to compare with: longer than twice the longest pause so far, nights included.
SHORTEST_YOUNG_SILENCE = timedelta(hours=3)
YOUNGEST = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Problem:
    """`text` says what is wrong, `to_do` what helps."""

    label: str
    level: Level
    text: str
    to_do: str


@dataclass(slots=True)
class Answers:
    """What Kapso saw of us in its window of 15 minutes.

    Not what was not signed (401): anybody may post a body that names a number, so it proves nothing of what Kapso saw.
    """

    by_status: Mapping[int, int] = field(default_factory=dict)

    @property
    def unsigned(self) -> int:
        return self.by_status.get(UNSIGNED, 0)

    @property
    def total(self) -> int:
        return sum(self.by_status.values()) - self.unsigned

    @property
    def failed(self) -> int:
        accepted = sum(count for status, count in self.by_status.items() if 200 <= status < 300)
        return self.total - accepted

    @property
    def rate(self) -> float:
        return self.failed / self.total if self.total else 0.0

    @property
    def would_be_switched_off(self) -> bool:
        return self.total >= PAUSED_FROM and self.failed >= PAUSED_FAILURES and self.rate >= PAUSED_RATE

    @property
    def is_at_risk(self) -> bool:
        return self.failed >= RISKY_FAILURES and self.rate >= RISKY_RATE


@dataclass(slots=True)
class Picture:
    """One number, as its deliveries show it."""

    number: PhoneNumber
    last_at: datetime | None = None
    # Of the last 24 hours, by outcome.
    lately: Counter[str] = field(default_factory=Counter)
    answers: Answers = field(default_factory=Answers)
    silence: str = ""
    gaps: Sequence[Gap] = ()

    @property
    def last_seen(self) -> str:
        return showing.relative_time(self.last_at)

    @property
    def lately_in_words(self) -> str:
        """12 processed, 1 failed"""
        said = [f"{count} {label.lower()}" for _status, label, count in self.outcomes]
        return ", ".join(said) or _("Nothing came")

    @property
    def outcomes(self) -> list[tuple[str, str, int]]:
        """Status, what it is called, and how many there were lately."""
        known = ((str(value), str(label)) for value, label in WebhookDelivery.Status.choices)
        return [(status, label, self.lately[status]) for status, label in known if self.lately.get(status)]

    @property
    def problems(self) -> list[Problem]:
        found = [_connection(self.number), _pause(self.answers), _silence(self.silence), _gap(self.gaps)]
        return [problem for problem in found if problem]

    @property
    def level(self) -> Level:
        levels = {problem.level for problem in self.problems}
        calm: Level = "success" if self.last_at else ""
        return "danger" if "danger" in levels else "warning" if "warning" in levels else calm

    @property
    def label(self) -> str:
        problems = sorted(self.problems, key=lambda problem: problem.level != "danger")
        return problems[0].label if problems else _("All is well") if self.last_at else _("Nothing yet")


def pictures(numbers: Iterable[PhoneNumber], now: datetime | None = None) -> list[Picture]:
    """A picture of each number, with the same few statements for any number of them."""
    now = now or timezone.now()
    found = [Picture(number) for number in numbers]
    names = [picture.number.phone_number_id for picture in found]
    times = sightings.first_and_last(names)
    lately = sightings.outcomes_since(names, now - LATELY)
    answers = sightings.answers_since(names, now - WINDOW)
    active = {p.number.phone_number_id: times[p.number.phone_number_id] for p in found if _is_heard(p, times)}
    silences = _silences(active, now)
    gaps = sightings.gaps([picture.number.pk for picture in found], now)
    for picture in found:
        name = picture.number.phone_number_id
        picture.last_at = times[name][1] if name in times else None
        picture.lately = lately.get(name, Counter())
        picture.answers = Answers(answers.get(name, {}))
        picture.silence = silences.get(name, "")
        picture.gaps = gaps.get(picture.number.pk, ())
    return found


def pictures_for(user: User | AnonymousUser) -> list[Picture]:
    """Of the numbers of the user's workspaces, those with a problem first."""
    return _worst_first(PhoneNumber.objects.for_user(user))


def pictures_in(workspaces: Sequence[int]) -> list[Picture]:
    """Of the numbers of these workspaces, those with a problem first."""
    return _worst_first(PhoneNumber.objects.filter(workspace__in=workspaces))


def _worst_first(numbers: QuerySet[PhoneNumber]) -> list[Picture]:
    known = numbers.select_related("workspace").defer("webhook_secret")
    found = pictures(known.order_by("workspace__name", "display_phone_number", "pk")[:MOST_NUMBERS])
    return sorted(found, key=lambda picture: get_args(Level).index(picture.level))


def alerts(found: Iterable[Picture], user: User | AnonymousUser) -> list[Alert]:
    """For the first page: what is wrong with these numbers and, for superusers, what we had to refuse today."""
    health = reverse("numbers-health")
    said = [
        Alert(f"{picture.number}: {problem.text}", ((_("What to do"), health),))
        for picture in found
        for problem in picture.problems
    ]
    return said + _refused_today() if user.is_superuser else said


def _refused_today() -> list[Alert]:
    """What Kapso could not deliver to us (EDGE_CASES.md 6 and 14). A 401 is most often nobody that we know."""
    today = timezone.now().date()
    refused = Tally.objects.filter(day=today, source=REFUSED, reason__regex="^(413|503) ")
    return [
        Alert(
            ngettext("Refused today, once: %(reason)s", "Refused today, %(count)s times: %(reason)s", count)
            % {"count": count, "reason": reason},
            ((_("All that is counted"), reverse("drift")),),
        )
        for reason, count in refused.values_list("reason").annotate(Sum("count")).order_by("reason")
    ]


def _is_heard(picture: Picture, times: Mapping[str, object]) -> bool:
    number = picture.number
    return number.phone_number_id in times and number.is_active and number.is_connected


def _silences(times: Mapping[str, tuple[datetime, datetime]], now: datetime) -> dict[str, str]:
    quiet = {name: span for name, span in times.items() if now - span[1] >= SHORTEST_SILENCE}
    grown = {name: span for name, span in quiet.items() if span[1] - span[0] >= 2 * WEEK}
    young = {
        name: span
        for name, span in quiet.items()
        if name not in grown and span[1] - span[0] >= YOUNGEST and now - span[1] >= SHORTEST_YOUNG_SILENCE
    }
    norms = sightings.same_hours_before({name: (last, now - last) for name, (_, last) in grown.items()})
    pauses = sightings.longest_pauses(list(young))
    found = {name: _against_norm(span, norms[name], now) for name, span in grown.items()}
    return found | {name: _against_pause(span[1], pauses[name], now) for name, span in young.items()}


def _against_norm(span: tuple[datetime, datetime], counts: Sequence[int], now: datetime) -> str:
    """A week in which it was as quiet, on a holiday say, shows that this happens."""
    first, last = span
    known = counts[: int((last - first) / WEEK)]
    expected = sum(known) / len(known)
    if expected < EXPECTED or not all(known):
        return ""
    text = _("nothing for %(quiet)s, though at these hours about %(expected)d deliveries are usual")
    return text % {"quiet": _long(now - last), "expected": round(expected)}


def _against_pause(last: datetime, longest: timedelta, now: datetime) -> str:
    if now - last <= 2 * longest:
        return ""
    text = _("nothing for %(quiet)s, though it was never quiet for longer than %(longest)s before")
    return text % {"quiet": _long(now - last), "longest": _long(longest)}


def _long(span: timedelta) -> str:
    minutes = span // timedelta(minutes=1)
    if minutes < 60:
        return ngettext("%d minute", "%d minutes", minutes) % minutes
    if minutes < 120:
        return _("an hour")
    if minutes < 48 * 60:
        return ngettext("%d hour", "%d hours", minutes // 60) % (minutes // 60)
    return ngettext("%d day", "%d days", minutes // 1440) % (minutes // 1440)


def _connection(number: PhoneNumber) -> Problem | None:
    if not number.is_active:
        return Problem(_("Set inactive"), "warning", _("webhooks are stored and change nothing until it is active again."),
            _("A superuser sets it active under Numbers; what came meanwhile is then processed by itself."))  # fmt: skip
    if not number.is_connected:
        return Problem(_("Removed in Kapso"), "danger", _("Kapso says that this number was removed."),
            _("Connect it again in Kapso. All that was received stays here."))  # fmt: skip
    return None


def _pause(answers: Answers) -> Problem | None:
    said = _("%(failed)s of %(total)s deliveries of the last 15 minutes were not accepted") % {
        "failed": answers.failed,
        "total": answers.total,
    }
    if answers.would_be_switched_off:
        return Problem(_("Would be switched off"), "danger", _("%(said)s: Kapso switches such a webhook off.") % {"said": said},
            _("Look into the log for what fails and mend it. Then see in Kapso, at this number under Webhooks, whether the"
            " webhook is still active, and switch it on again: it stays off until somebody does. What came meanwhile is"
            " not sent again."))  # fmt: skip
    if answers.is_at_risk:
        return Problem(_("At risk"), "warning", f"{said}.",
            _("From %(most)s deliveries on, of which %(percent)s%% fail, Kapso switches the webhook off. Look into"
            " the log for what fails.") % {"most": PAUSED_FROM, "percent": round(100 * PAUSED_RATE)})  # fmt: skip
    return None


def _silence(silence: str) -> Problem | None:
    if not silence:
        return None
    return Problem(_("Silent"), "danger", f"{silence}.",
        _("See in Kapso, at this number under Webhooks, whether the webhook is still active and its address right: Kapso"
        " switches it off after many failures. Switch it on again, then write to the number from another phone."))  # fmt: skip


def _gap(gaps: Sequence[Gap]) -> Problem | None:
    if not gaps:
        return None
    text = ngettext(
        "Kapso tells of more messages in one conversation than have arrived here.",
        "Kapso tells of more messages in %(count)s conversations than have arrived here.",
        len(gaps),
    )
    return Problem(_("Messages are missing"), "warning",
        text % {"count": len(gaps)},
        _("If it began before the number was connected here, this is as it should be. Otherwise look under Deliveries for"
        " failed ones and replay them; what Kapso itself could not deliver is still in its inbox."))  # fmt: skip
