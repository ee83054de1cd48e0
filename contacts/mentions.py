"""Whom a note names: @username of people who work in the workspace and see the lead."""

from __future__ import annotations

import re

from django.contrib.auth.models import User
from django.db.models import Q

from contacts.models import Membership, Note
from contacts.rights import members_who_see

# What a username is made of; an e-mail address names nobody.
_NAMED = re.compile(r"(?<![\w.@+-])@([\w.@+-]{1,150})")
MOST = 20


def mentioned(note: Note) -> list[User]:
    """Everybody whom the note names, but for its author; nobody who could not open the lead."""
    named = Q(pk__in=[])
    for name in _names(note.text):
        named |= Q(user__username__iexact=name)
    lead = note.contact.merged_into or note.contact
    members = Membership.objects.filter(members_who_see(lead), named, user__is_active=True)
    found = members.exclude(user=note.by_id).select_related("user").order_by("user")
    return [member.user for member in found[:MOST]]


def _names(text: str) -> list[str]:
    """The full stop after a name may belong to the sentence."""
    words = dict.fromkeys(_NAMED.findall(text))
    return list(dict.fromkeys(name for word in words for name in (word, word.rstrip(".@+-")) if name))[
        : 2 * MOST
    ]
