"""Everything that is stored about one person, as one JSON document.

The README says how it is laid out. Times are UTC; what is not known is null or empty. It is written piece by piece:
memory does not grow with the number of messages.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import F, Model
from django.utils import timezone

from contacts.erasing import Person
from contacts.models import (
    AutomationEvent,
    Contact,
    ContactMerge,
    Conversation,
    FollowUp,
    Identity,
    KapsoSession,
    LeadChange,
    Message,
    MessageReceipt,
    Note,
    ProfileFact,
    StatusChange,
    Workspace,
)

FORMAT = "leadcrm person 1"
CHUNK = 500

# Bookkeeping of ours that says nothing of the person.
LEFT_OUT = {"workspace", "told", "is_turn", "is_sealed", "made_by_sync", "chosen_name", "merged_into", "rank"}

Row = Mapping[str, Any]


def export(person: Person, **more: Iterable[Row]) -> Iterator[str]:
    """The document in pieces. `more` are further sections, by name: what other parts of leadcrm know."""
    workspace = Workspace.objects.values("name", "slug").get(pk=person.workspace_id)
    yield f'{{"format": {_json(FORMAT)}, "exported_at": {_json(timezone.now())}, "workspace": {_json(workspace)}'
    for name, rows in {**_sections(person), **more}.items():
        yield f",\n{_json(name)}: ["
        for index, row in enumerate(rows):
            yield f"{',' if index else ''}\n{_json(row)}"
        yield "]"
    yield "}\n"


def file_name(person: Person) -> str:
    """Says neither name nor phone: file names end up in logs."""
    return f"lead-{person.lead_id or 'person'}.json"


def _sections(person: Person) -> dict[str, Iterable[Row]]:
    """Leads first, the living one before those that were merged into it; newest last everywhere else."""
    rows = person.rows
    leads = Contact.objects.filter(pk__in=rows).order_by(F("merged_into").asc(nulls_first=True), "pk")
    identities = [held.id for held in person.identities if held.is_theirs_alone]
    merges = ContactMerge.objects.filter(survivor__in=rows, merged__in=rows)
    return {
        "leads": ({"merged_into": lead.merged_into_id, **_columns(lead)} for lead in leads),
        "identities": map(_columns, Identity.objects.filter(pk__in=identities).order_by("pk")),
        "profile": (
            {"of": str(fact.identity), **_columns(fact)}
            for fact in ProfileFact.objects.filter(identity__in=identities)
            .select_related("identity")
            .order_by("first_at", "pk")
        ),
        "status_changes": map(_columns, StatusChange.objects.filter(contact__in=rows).order_by("at", "pk")),
        "notes": map(_columns, Note.objects.filter(contact__in=rows).order_by("at", "pk")),
        "follow_ups": map(_columns, FollowUp.objects.filter(contact__in=rows).order_by("at", "pk")),
        "changes": map(_columns, LeadChange.objects.filter(contact__in=rows).order_by("at", "pk")),
        "merges": map(_columns, merges.order_by("at", "pk")),
        "conversations": map(_columns, Conversation.objects.filter(contact__in=rows).order_by("pk")),
        "sessions": map(_columns, KapsoSession.objects.filter(pk__in=person.sessions).order_by("pk")),
        "automation": map(
            _columns,
            AutomationEvent.objects.filter(pk__in=person.automation).order_by("at", "pk"),
        ),
        "messages": _messages(person),
    }


def _messages(person: Person) -> Iterator[Row]:
    """Each with its delivery statuses and the reactions to it; reactions and edits are messages, too."""
    rows = Message.objects.filter(pk__in=person.messages).in_order().iterator(chunk_size=CHUNK)
    while chunk := list(islice(rows, CHUNK)):
        at = {
            "phone_number__in": {message.phone_number_id for message in chunk},
            "kapso_message_id__in": {message.kapso_message_id for message in chunk},
        }
        statuses = {_key(receipt): receipt for receipt in MessageReceipt.objects.filter(**at)}
        at["target_kapso_id__in"] = at.pop("kapso_message_id__in")
        reactions = defaultdict(list)
        for reaction in Message.objects.filter(message_type="reaction", **at).in_order():
            reactions[reaction.phone_number_id, reaction.target_kapso_id].append(
                {
                    "direction": reaction.direction,
                    "emoji": reaction.payload.get("emoji", ""),
                    "at": reaction.sent_at,
                }
            )
        for message in chunk:
            receipt = statuses.get(_key(message))
            yield {
                **_columns(message),
                "statuses": _columns(receipt) if receipt else None,
                "reactions": reactions.get(_key(message), []),
            }


def _key(row: Message | MessageReceipt) -> tuple[int, str]:
    return row.phone_number_id, row.kapso_message_id


def _columns(row: Model) -> dict[str, Any]:
    """Every column of ours by its name, so that a new one is exported without anybody thinking of it."""
    return {
        field.name: getattr(row, field.attname)
        for field in row._meta.concrete_fields  # noqa: SLF001 - Django's own API
        if field.name not in LEFT_OUT
    }


def _json(value: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False).encode(errors="replace").decode()
