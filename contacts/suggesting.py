"""Leads that look like one person: suggested, with the evidence, and never merged without somebody's word."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from django.contrib.auth.models import User
from django.utils.translation import gettext as _

from contacts import phone_forms, showing
from contacts.models import Contact, MergeDismissal
from contacts.statements import run
from contacts.statements.suggest_merges import SUGGEST_MERGES, SUGGEST_MERGES_OF_LEAD

# As many as anybody looks through. What is merged or dismissed makes room for the next.
MOST = 100


@dataclass(slots=True)
class Suggestion:
    """Two living leads of one workspace, the older first, and why they may be one person."""

    leads: tuple[Contact, Contact]
    reasons: list[str] = field(default_factory=list)

    def other_than(self, lead: Contact) -> Contact:
        return self.leads[1] if self.leads[0].pk == lead.pk else self.leads[0]


def suggestions(workspaces: Collection[int]) -> list[Suggestion]:
    """Of these workspaces, those with the newest activity first; at most `MOST`, in three queries."""
    parameters = {"workspaces": sorted(workspaces), "limit": MOST}
    found = _told(run(SUGGEST_MERGES, parameters))
    return sorted(found, key=_activity, reverse=True)


def suggestions_for(lead: Contact) -> list[Suggestion]:
    parameters = {"workspaces": [lead.workspace_id], "lead": lead.pk, "limit": 5}
    return _told(run(SUGGEST_MERGES_OF_LEAD, parameters))


def dismiss(lead: Contact, other: Contact, *, by: User | None) -> MergeDismissal:
    """They look alike and are two people: not suggested again, until somebody takes it back."""
    a, b = sorted((lead.pk, other.pk))
    return MergeDismissal.objects.get_or_create(
        a_id=a, b_id=b, defaults={"workspace_id": lead.workspace_id, "by": by}
    )[0]


def _told(rows: Iterable[tuple[int, int, str, str, str]]) -> list[Suggestion]:
    reasons: dict[tuple[int, int], list[str]] = defaultdict(list)
    for a, b, reason, shared, other in rows:
        reasons[a, b].append(_in_words(reason, shared, other))
    leads = Contact.objects.living().select_related("owner", "workspace")
    known = leads.in_bulk({pk for pair in reasons for pk in pair})
    return [
        Suggestion((known[a], known[b]), told)
        for (a, b), told in reasons.items()
        if a in known and b in known
    ]


def _in_words(reason: str, shared: str, other: str) -> str:
    if reason == "form":
        return _("%(one)s and %(other)s differ only by %(difference)s") % {
            "one": showing.phone(shared),
            "other": showing.phone(other),
            "difference": phone_forms.difference(shared),
        }
    if reason == "held":
        return _("Both wrote from %(phone)s, one after the other: the number may have a new owner") % {
            "phone": showing.phone(shared)
        }
    if reason == "typed":
        return _("Both have the phone %(phone)s") % {"phone": showing.phone(shared)}
    return _("Both have the e-mail %(email)s") % {"email": shared}


def _activity(suggestion: Suggestion) -> float:
    times = [lead.last_activity_at.timestamp() for lead in suggestion.leads if lead.last_activity_at]
    return max(times, default=0)
