"""Finding leads by what somebody typed: names, phones in any format, usernames, user ids, e-mails, messages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL

from contacts.models import Identity
from contacts.phone_forms import phones_like

# Whatever is typed beyond this finds nobody more.
LONGEST, MOST_WORDS = 200, 8
# Message texts have no index yet: of so many leads, those active last, so many of the newest messages are read.
LEADS_READ, MESSAGES_READ = 1000, 30


def matching(leads: QuerySet[Any], typed: str, workspaces: Iterable[int]) -> QuerySet[Any]:
    """The leads that somebody may have meant. The form of what was typed decides where it is looked for."""
    term = " ".join(typed.replace("\x00", " ").split())[:LONGEST]
    if not term:
        return leads
    inside = list(workspaces)
    if term.startswith("@") and " " not in term:
        return leads.filter(username__icontains=term[1:]) if term[1:] else leads.none()
    if "@" in term and " " not in term:
        return leads.filter(Q(email__icontains=term) | Q(name__icontains=term) | _wrote(term, inside))
    return leads.filter(_named(term) | _phone(term, inside) | _user_id(term, inside) | _wrote(term, inside))


def _named(term: str) -> Q:
    """Every word somewhere in the names or the e-mail."""
    named = Q()
    for word in term.split()[:MOST_WORDS]:
        named &= (
            Q(name__icontains=word)
            | Q(kapso_name__icontains=word)
            | Q(username__icontains=word.removeprefix("@"))
            | Q(email__icontains=word)
        )
    return named


def _phone(term: str, workspaces: list[int]) -> Q:
    """Three digits or more, however they are grouped; a letter makes it something else."""
    digits = re.sub(r"\D", "", term).lstrip("0")
    if len(digits) < 3 or not digits.isascii() or re.search(r"[^\W\d_]", term):
        return Q(pk__in=[])
    return phones_like(digits, workspaces)


def _user_id(term: str, workspaces: list[int]) -> Q:
    """Exactly, also a former one: part of an id says nothing."""
    known = Identity.objects.filter(workspace__in=workspaces, kind=Identity.Kind.USER, value=term)
    return Q(business_scoped_user_id=term) | Q(pk__in=known.values("contact"))


def _wrote(term: str, workspaces: list[int]) -> Q:
    """It stands in one of the messages, as typed."""
    if len(term) < 3:
        return Q(pk__in=[])
    return Q(pk__in=RawSQL(WROTE, [workspaces, LEADS_READ, MESSAGES_READ, term]))  # noqa: S611 - a constant


WROTE = """
SELECT newest.id FROM unnest(%s::bigint[]) AS mine(workspace_id) CROSS JOIN LATERAL (
    SELECT c.id FROM contacts_contact c WHERE c.workspace_id = mine.workspace_id AND c.merged_into_id IS NULL
    ORDER BY c.last_activity_at DESC NULLS LAST, c.id DESC LIMIT %s
) AS newest WHERE EXISTS (
    SELECT FROM (
        SELECT m.content, m.transcript FROM contacts_message m WHERE m.contact_id = newest.id
        ORDER BY m.sent_at DESC, m.id DESC LIMIT %s
    ) AS said, (SELECT lower(%s) AS term) AS typed
    WHERE position(typed.term IN lower(said.content)) > 0 OR position(typed.term IN lower(said.transcript)) > 0
)
"""
