"""Which person a command is about: a lead by its id, or a workspace with a phone or user id."""

from __future__ import annotations

import argparse
import re
from typing import Any

from django.core.management import CommandError
from django.core.management.base import CommandParser

from contacts import showing
from contacts.erasing import Named, Person
from contacts.models import Contact, Identity, Workspace


def add_person_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "lead", nargs="?", type=_lead_id, metavar="LEAD", help="the lead's id, as in the address of its page"
    )
    parser.add_argument(
        "--workspace", metavar="SLUG", help="the workspace, together with --phone or --user-id"
    )
    parser.add_argument("--phone", help="with the country's code, in any format")
    parser.add_argument("--user-id", help="the business-scoped user id that WhatsApp gave them")


def _lead_id(value: str) -> int:
    if value.isascii() and value.isdecimal() and 0 < len(value) < 19:
        return int(value)
    raise argparse.ArgumentTypeError(
        f"{value!r} is no lead's id: a whole number, as in the address of its page."
    )


def chosen_person(options: dict[str, Any]) -> Person:
    """Raises CommandError where that is nobody."""
    others = [options[name] for name in ("workspace", "phone", "user_id")]
    if options["lead"] is not None:
        if any(other is not None for other in others):
            raise CommandError(
                "Say who in one way: the id of a lead, or --workspace with --phone or --user-id."
            )
        return _by_lead(options["lead"])
    named = _named(options)
    if not options["workspace"] or not named or "" in others:
        raise CommandError("Say who: the id of a lead, or --workspace with --phone or --user-id.")
    workspace = Workspace.objects.filter(slug=options["workspace"]).first()
    if workspace is None:
        slugs = ", ".join(Workspace.objects.values_list("slug", flat=True)) or "none"
        raise CommandError(f"There is no workspace {options['workspace']!r}. There are: {slugs}.")
    return _by_identity(workspace, named)


def who(person: Person) -> str:
    """The person as their page is titled, and where: what somebody has to recognise before anything is erased."""
    workspace = Workspace.objects.get(pk=person.workspace_id).name
    lead = Contact.objects.filter(pk=person.lead_id).first() if person.lead_id else None
    if lead is None:
        return f"{', '.join(value for _, value in person.named)} in {workspace}"
    names = dict.fromkeys(filter(None, (lead.name, lead.kapso_name, showing.phone(lead.phone))))
    return f"lead {lead.pk}, {', '.join(names) or lead.shown_name}, in {workspace}"


def _by_lead(lead_id: int) -> Person:
    lead = Contact.objects.filter(pk=lead_id).first()
    while lead and lead.merged_into:
        lead = lead.merged_into
    if lead is None:
        raise CommandError(
            f"There is no lead {lead_id}. Somebody without a lead is found by --workspace and --phone."
        )
    return Person.of(lead.workspace_id, lead.pk)


def _named(options: dict[str, Any]) -> list[Named]:
    named = []
    if options["phone"]:
        phone = re.sub(r"[^0-9]", "", options["phone"]).removeprefix("00")
        if not 7 <= len(phone) <= 15:
            raise CommandError(f"{options['phone']!r} is no phone: write it with the country's code.")
        named.append(("phone", phone))
    if options["user_id"]:
        named.append(("user", options["user_id"]))
    return named


def _by_identity(workspace: Workspace, named: list[Named]) -> Person:
    leads = {
        identity.contact_id
        for kind, value in named
        for identity in Identity.objects.filter(workspace=workspace, kind=kind, value=value)
        if identity.contact_id
    }
    if len(leads) > 1:
        raise CommandError(f"These are {len(leads)} leads: {', '.join(map(str, sorted(leads)))}. Name one.")
    return Person.of(workspace.pk, leads.pop()) if leads else Person.of(workspace.pk, None, named)
