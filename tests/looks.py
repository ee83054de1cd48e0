"""A small shop to look at: a day's leads in several scripts, told through the real endpoint, and a team at work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.contrib.auth.models import User
from django.utils import timezone

from contacts import work
from contacts.later import plan_follow_up, snooze
from contacts.models import (
    Contact,
    CustomField,
    FollowUp,
    LeadStatus,
    Membership,
    PhoneNumber,
    Role,
    Workspace,
)
from contacts.notes import add_note
from kapso_sync.demo.payloads import Number, story
from kapso_sync.demo.posting import Endpoint
from kapso_sync.demo.stories import Lead, read

PASSWORD = "a password"
NUMBER = "100000000000042"
OWN_PHONE = "+54 11 5555 0142"

# The team, by the names they log in with.
TEAM = {
    "ana": ("Ana Ferrer", Role.MANAGER),
    "diego": ("Diego Rojas", Role.AGENT),
    "luisa": ("Luísa Prado", Role.AGENT),
}


@dataclass(slots=True)
class Boutique:
    workspace: Workspace
    team: dict[str, User]

    def lead(self, name: str) -> Contact:
        return Contact.objects.living().get(workspace=self.workspace, name__startswith=name)


def open_boutique(url: str) -> Boutique:
    """The shop behind the running server at `url`."""
    workspace = Workspace.objects.create(name="Casa Ferrer", slug="casa-ferrer", time_zone="America/Lima")
    number = PhoneNumber.objects.create(
        workspace=workspace,
        phone_number_id=NUMBER,
        display_phone_number=OWN_PHONE,
        webhook_secret="boutique-secret",
    )
    boutique = Boutique(workspace, _team(workspace))
    people = list(read(Path(__file__).with_suffix(".txt")))
    _tell(people, number, Endpoint(url, number.webhook_secret))
    for told in people:
        _work_on(boutique, told)
    _plan(boutique)
    return boutique


def _team(workspace: Workspace) -> dict[str, User]:
    team = {}
    for name, (full_name, role) in TEAM.items():
        first, last = full_name.split()
        user = User.objects.create_user(
            name, password=PASSWORD, is_staff=True, first_name=first, last_name=last
        )
        Membership.objects.create(workspace=workspace, user=user, role=role)
        team[name] = user
    return team


def _tell(people: list[Lead], number: PhoneNumber, endpoint: Endpoint) -> None:
    ours = Number(phone_number_id=number.phone_number_id, phone=number.own_phone)
    imports, chapters = story(people, ours, timezone.now())
    for chapter in [imports, *chapters]:
        endpoint.post_all(chapter)


def _work_on(boutique: Boutique, told: Lead) -> None:
    lead, ana = boutique.lead(told.name), boutique.team["ana"]
    if told.tags:
        work.add_tags(lead, told.tags, by=ana)
    if owner := told.traits.get("owner"):
        work.assign(lead, boutique.team[owner], by=boutique.team["diego"])
    for status in told.traits.get("path", "").split():
        lead.change_status(LeadStatus(status), by=ana)


def _plan(boutique: Boutique) -> None:
    """Follow-ups of today and of later, a lead put aside, and what the team writes down."""
    ana, diego = boutique.team["ana"], boutique.team["diego"]
    now = timezone.now()
    for name, remark in (("Agus", "Ask whether 60 shirts are still right"), ("María", "Send the price list")):
        planned = plan_follow_up(boutique.lead(name), now + timedelta(hours=1), remark, by=ana)
        FollowUp.objects.filter(pk=planned.pk).update(due_at=now - timedelta(hours=2))
    plan_follow_up(boutique.lead("Valeria"), now + timedelta(days=2), "Did the dress arrive?", by=ana)
    snooze(boutique.lead("Θεοδώρα"), now + timedelta(days=3), by=ana)
    add_note(boutique.lead("Valeria"), "Pays by transfer, @ana will check the account.", by=diego)
    CustomField.objects.create(workspace=boutique.workspace, key="size", label="Size")
    work.set_field(boutique.lead("Valeria"), "size", "M", by=ana)
    work.set_field(boutique.lead("Valeria"), "lead_score", "70", by=ana)
    read_ones = Contact.objects.filter(
        name__in=["Camila Rocha", "Dewi Lestari", "Marcus Reed", "Grace O'Connor"]
    )
    for lead in read_ones:
        work.mark_read(lead)
