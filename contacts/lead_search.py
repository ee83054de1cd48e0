"""Finding leads by what somebody typed: names, phones in any format, usernames, user ids, e-mails, messages.

What leads are called and what they wrote stand in tables of their own, plain and indexed (contacts.models.found). Each
pass of the search reads an index, and so many rows at most: what finds more is common, and is searched as such.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, TypeAlias

from django.contrib.postgres.fields import ArrayField
from django.db import connections
from django.db.models import BigIntegerField, QuerySet, Value
from django.db.models.expressions import RawSQL

from contacts.lead_views import IsOneOf
from contacts.models import Contact
from contacts.phone_forms import forms, parts_to_find

# Whatever is typed beyond this finds nobody more.
LONGEST, MOST_WORDS = 200, 8
# A shorter fragment has no trigram: it is looked for where words begin.
WHOLE = 3
# So many leads are taken one by one; a name that more have is looked for in names alone.
MOST_NAMED = 3000
# Of words that more messages have, the first so many are found, and whoever among so many leads, those active last, said
# them in so many of their newest messages.
MOST_SAID, LEADS_READ, MESSAGES_READ = 1000, 500, 30


# Its statement and the parameters.
Pass: TypeAlias = tuple[str, list[Any]]


def matching(leads: QuerySet[Any], typed: str, workspaces: Iterable[int]) -> QuerySet[Any]:
    """The leads that somebody may have meant. The form of what was typed decides where it is looked for."""
    return search(leads, typed, workspaces)[0]


def search(leads: QuerySet[Any], typed: str, workspaces: Iterable[int]) -> tuple[QuerySet[Any], bool]:
    """The same, and whether so many are called so that only the newest of them are found soon."""
    term = " ".join(typed.replace("\x00", " ").split())[:LONGEST]
    if not term:
        return leads, False
    inside = list(workspaces)
    named, parameters = _named(term, AND)
    passes = [(FIRST.format(named), [inside, *parameters, MOST_NAMED + 1])]
    if not term.startswith("@"):
        passes += _known_by(term, inside), *_said(term, inside)
    by_name, *others = _found(passes)
    if len(by_name) > MOST_NAMED:
        named, parameters = _named(term, AND_RARELY_NOT)
        every = RawSQL(named, [inside, *parameters])  # noqa: S611 - constants, with parameters
        return leads.filter(pk__in=every), True
    if len(others) == 2 and len(others[1]) > MOST_SAID:
        others += _found([_said_lately(term, inside)])
    ids = Value(list({*by_name, *chain(*others)} - {None}), output_field=ArrayField(BigIntegerField()))
    return leads.filter(IsOneOf("pk", ids)), False


def _named(term: str, also: str) -> Pass:
    """Every word somewhere in the names, the e-mail or the phone; or a phone as people write it."""
    words = [_fragment(word) for word in sorted(term.split()[:MOST_WORDS], key=len, reverse=True)]
    every = LIKE + "".join(also.format(LIKE) for _ in words[1:])
    phones = _phones(term)
    any_phone = "".join(" OR words LIKE contacts_like(%s, '')" for _ in phones)
    parameters = [value for word in words for value in word] + phones
    return f"{NAMED} AND ({every}{any_phone})", parameters


def _fragment(word: str) -> tuple[str, str]:
    """A word, and what stands before it: nothing, or the space of a beginning."""
    begins = len(word.removeprefix("@").removeprefix("+")) < WHOLE or word.startswith("@")
    return word, " " if begins else ""


def _phones(term: str) -> list[str]:
    """Three digits or more, however they are grouped; a letter makes it something else."""
    digits = re.sub(r"\D", "", term).lstrip("0")
    if len(digits) < WHOLE or not digits.isascii() or re.search(r"[^\W\d_]", term):
        return []
    return list(dict.fromkeys(parts_to_find(digits)))


def _known_by(term: str, workspaces: list[int]) -> Pass:
    """A former phone, or a user id, also a former one: whole, for part of it says nothing."""
    former = [form for digits in _phones(term)[:1] for form in forms(digits)]
    return KNOWN_BY, [workspaces, former, term, workspaces, term]


def _said(term: str, workspaces: list[int]) -> list[Pass]:
    """Its words stand in one of the messages, of the last one the beginning."""
    return [(SAID, [workspaces, term, MOST_SAID + 1])] if len(term) >= WHOLE else []


def _said_lately(term: str, workspaces: list[int]) -> Pass:
    return SAID_LATELY, [workspaces, LEADS_READ, LEADS_READ, MESSAGES_READ, term]


def _found(passes: Sequence[Pass]) -> list[list[int | None]]:
    """The ids of leads that each pass finds. One statement."""
    parts = (f"SELECT {n}, found.* FROM ({sql}) AS found(id)" for n, (sql, _) in enumerate(passes))  # noqa: S608 - ours
    found: list[list[int | None]] = [[] for _ in passes]
    with connections[Contact.objects.db].cursor() as cursor:  # where the leads are read that they are of
        cursor.execute(" UNION ALL ".join(parts), [value for _, values in passes for value in values])
        for which, lead in cursor.fetchall():
            found[which].append(lead)
    return found


LIKE = "words LIKE contacts_like(%s, %s)"
AND = " AND {}"
# Words of one name come together. PostgreSQL takes them for independent, and those who have all of them for so few that
# it would read them all; of the many that they are known to be, the newest are soon found.
AND_RARELY_NOT = " AND CASE WHEN {} THEN true END"

# Whatever is to be bounded is planned without its bound: else a scan from one end might seem to do for the first few.
NAMED = "SELECT contact_id FROM contacts_searchedlead WHERE workspace_id = ANY(%s::bigint[])"
FIRST = "WITH every AS MATERIALIZED ({}) SELECT * FROM every LIMIT %s"

KNOWN_BY = """
SELECT contact_id FROM contacts_identity
WHERE workspace_id = ANY(%s::bigint[]) AND contact_id IS NOT NULL
    AND (kind = 'phone' AND value = ANY(%s) OR kind = 'user' AND value = %s)
UNION ALL
SELECT id FROM contacts_contact WHERE workspace_id = ANY(%s::bigint[]) AND business_scoped_user_id = %s
"""

SAID = """
WITH every AS MATERIALIZED (
    SELECT message_id FROM contacts_searchedmessage
    WHERE workspace_id = ANY(%s::bigint[]) AND words @@ contacts_query(%s)
), few AS MATERIALIZED (
    SELECT message_id FROM every LIMIT %s
)
SELECT (SELECT contact_id FROM contacts_message m WHERE m.id = few.message_id) FROM few
"""

SAID_LATELY = """
SELECT newest.id FROM (
    SELECT lead.* FROM unnest(%s::bigint[]) AS mine(workspace_id) CROSS JOIN LATERAL (
        SELECT c.id, c.last_activity_at FROM contacts_contact c
        WHERE c.workspace_id = mine.workspace_id AND c.merged_into_id IS NULL
        ORDER BY c.last_activity_at DESC NULLS LAST, c.id DESC LIMIT %s
    ) AS lead ORDER BY lead.last_activity_at DESC NULLS LAST LIMIT %s
) AS newest WHERE EXISTS (
    SELECT FROM (
        SELECT m.id FROM contacts_message m WHERE m.contact_id = newest.id ORDER BY m.sent_at DESC, m.id DESC LIMIT %s
    ) AS said JOIN contacts_searchedmessage s ON s.message_id = said.id WHERE s.words @@ contacts_query(%s)
)
"""
