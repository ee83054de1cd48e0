"""A shop with forty leads, told to the real endpoint as Kapso would tell it."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.management import CommandError
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from django.utils import timezone

from contacts.models import (
    Contact,
    LeadStatus,
    Membership,
    Message,
    PhoneNumber,
    Role,
    StatusChange,
    Workspace,
)
from kapso_sync.demo.payloads import Number, story
from kapso_sync.demo.posting import Endpoint, NotDelivered
from kapso_sync.demo.stories import Lead, leads
from kapso_sync.management.progress import progress
from kapso_sync.models import WebhookDelivery

# Made up: neither Meta's id nor the number (555-01xx is kept free for fiction) belongs to anybody.
NUMBER_ID = "100000000000042"
DISPLAY_NUMBER = "+1 202 555 0142"

# As Kapso does, the demo posts before the last answer is there.
AT_ONCE = 4

# The shop's team, beside whoever tries it out: nobody logs in as them.
TEAM = {
    Role.MANAGER: [("carla", "Carla", "Ibarra")],
    Role.AGENT: [("diego", "Diego", "Rojas"), ("luisa", "Luísa", "Prado")],
    Role.VIEWER: [("tomas", "Tomás", "Vega")],
}

# How a lead gets to a status, from new.
PATHS = {
    LeadStatus.NEW: [],
    LeadStatus.QUALIFIED: [LeadStatus.QUALIFIED],
    LeadStatus.CONTACTED: [LeadStatus.QUALIFIED, LeadStatus.CONTACTED],
    LeadStatus.CONVERTED: [LeadStatus.QUALIFIED, LeadStatus.CONTACTED, LeadStatus.CONVERTED],
    LeadStatus.ARCHIVED: [LeadStatus.ARCHIVED],
}


class Command(BaseCommand):
    help = "Fill an empty leadcrm with a demo shop, through the webhook of a running server."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--url",
            default=f"http://127.0.0.1:{settings.PORT}",
            help="where leadcrm runs (default: %(default)s)",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        if Workspace.objects.exists():
            self.stdout.write("There are data here already: nothing done.")
            return
        people = leads()
        number = _make_number()
        try:
            self._tell(people, number, Endpoint(options["url"], _secret(number)))
        except NotDelivered as error:
            _unmake(number)
            raise CommandError(str(error)) from error
        _work_on(people, number.workspace)
        messages = Message.objects.count()
        self.stdout.write(f"{number.workspace} is ready: {len(people)} leads and {messages} messages.")

    def _tell(self, people: list[Lead], number: PhoneNumber, endpoint: Endpoint) -> None:
        """Each person's webhooks one after the other, several people at a time."""
        ours = Number(phone_number_id=number.phone_number_id, phone=number.own_phone)
        imports, chapters = story(people, ours, timezone.now())
        pool = ThreadPoolExecutor(AT_ONCE)
        with progress(self.stderr, len(imports) + sum(map(len, chapters))) as bar:
            try:
                bar.advance(endpoint.post_all(imports))
                for told in pool.map(endpoint.post_all, chapters):
                    bar.advance(told)
            finally:
                pool.shutdown(cancel_futures=True)


@transaction.atomic
def _make_number() -> PhoneNumber:
    workspace = Workspace.objects.create(name="Demo Store", slug="demo")
    superusers = get_user_model().objects.filter(is_superuser=True)
    Membership.objects.bulk_create(
        Membership(workspace=workspace, user=user, role=role)
        for user, role in [(user, Role.OWNER) for user in superusers] + _team()
    )
    return PhoneNumber.objects.create(
        workspace=workspace,
        phone_number_id=NUMBER_ID,
        display_phone_number=DISPLAY_NUMBER,
        webhook_secret="" if settings.KAPSO_WEBHOOK_SECRETS else secrets.token_urlsafe(24),
    )


def _team() -> list[tuple[User, Role]]:
    """Without a password, and without those names that somebody has already."""
    users, made = get_user_model().objects, []
    for role, people in TEAM.items():
        for name, first, last in people:
            if not users.filter(username=name).exists():
                user = users.create_user(name, is_staff=True, first_name=first, last_name=last)
                made.append((user, role))
    return made


def _secret(number: PhoneNumber) -> str:
    return number.webhook_secret or settings.KAPSO_WEBHOOK_SECRETS[0]


def _unmake(number: PhoneNumber) -> None:
    """Where nothing arrived, nothing stays: the next try starts afresh."""
    if not WebhookDelivery.objects.exists():
        workspace = number.workspace
        names = [name for people in TEAM.values() for name, _, _ in people]
        team = get_user_model().objects.filter(username__in=names, membership__workspace=workspace)
        team.exclude(is_superuser=True).delete()
        number.delete()
        workspace.delete()


def _work_on(people: list[Lead], workspace: Workspace) -> None:
    """What a team does with its leads, spread over those who may work them."""
    team = list(workspace.members.exclude(membership__role=Role.VIEWER).order_by("pk"))
    for index, lead in enumerate(people):
        known = {"phone": lead.newest_phone} if lead.phone else {"business_scoped_user_id": lead.user_id}
        contact = Contact.objects.living().get(workspace=workspace, **known)
        user = team[index % len(team)] if team else None
        contact.tags = lead.tags
        contact.lead_score = int(lead.traits.get("score", 0))
        contact.owner = user if "owned" in lead.traits else None
        contact.save(update_fields=["tags", "lead_score", "owner"])
        _move(contact, LeadStatus(lead.traits.get("status", LeadStatus.NEW)), by=user)


def _move(contact: Contact, to: LeadStatus, *, by: User | None) -> None:
    """Step by step, at times at which it may have happened: evenly between the first message and the last."""
    first, last = _first_message(contact), contact.last_activity_at or timezone.now()
    path = PATHS[to]
    for number, status in enumerate(path, 1):
        change = contact.change_status(status, by=by)
        at = first + (last - first) * number / (len(path) + 1)
        StatusChange.objects.filter(pk=change.pk).update(at=at)


def _first_message(contact: Contact) -> datetime:
    return contact.messages.in_order().values_list("sent_at", flat=True)[0]
