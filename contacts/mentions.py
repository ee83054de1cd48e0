"""Whom a note names: @username of people who work in the workspace and see the lead."""

from __future__ import annotations

import re

from django.contrib.auth.models import User
from django.db.models import Q

from contacts.models import Membership, Note, Role

# What a username is made of; an e-mail address names nobody.
_NAMED = re.compile(r"(?<![\w.@+-])@([\w.@+-]{1,150})")
MOST = 20


def mentioned(note: Note) -> list[User]:
    """Everybody whom the note names, but for its author; nobody who could not open the lead."""
    named = Q(pk__in=[])
    for name in _names(note.text):
        named |= Q(user__username__iexact=name)
    members = Membership.objects.filter(named, workspace=note.workspace_id, user__is_active=True)
    if note.contact.owner_id is not None:
        sees_all = Q(workspace__agents_see_all=True) | Q(role__in=set(Role) - {Role.AGENT})
        members = members.filter(sees_all | Q(user=note.contact.owner_id))
    found = members.exclude(user=note.by_id).select_related("user").order_by("user")
    return [member.user for member in found[:MOST]]


def _names(text: str) -> list[str]:
    """The full stop after a name may belong to the sentence."""
    words = dict.fromkeys(_NAMED.findall(text))
    return list(dict.fromkeys(name for word in words for name in (word, word.rstrip(".@+-")) if name))[
        : 2 * MOST
    ]
