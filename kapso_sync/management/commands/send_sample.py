"""One signed message from somebody new, to see a lead appear."""

from __future__ import annotations

import secrets
from typing import Any

from django.conf import settings
from django.core.management import CommandError
from django.core.management.base import BaseCommand, CommandParser
from django.urls import reverse
from django.utils import timezone

from contacts.models import Identity, PhoneNumber
from kapso_sync.demo.payloads import Number
from kapso_sync.demo.posting import Endpoint, NotDelivered
from kapso_sync.demo.sample import NAMES, TEXTS, made_up_phone, sample


class Command(BaseCommand):
    help = "Post a signed text message from a new, made-up person to the first active number."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--url",
            default=f"http://127.0.0.1:{settings.PORT}",
            help="where leadcrm runs (default: %(default)s)",
        )
        parser.add_argument("--name", help="the person's name (default: any)")
        parser.add_argument("--text", help="what they write (default: something that customers ask)")

    def handle(self, *_: Any, **options: Any) -> None:
        number = PhoneNumber.objects.filter(is_active=True).order_by("pk").first()
        if number is None:
            raise CommandError(
                "There is no active WhatsApp number yet: `manage.py demo` makes one to try with."
            )
        name, text = options["name"] or secrets.choice(NAMES), options["text"] or secrets.choice(TEXTS)
        ours = Number(phone_number_id=number.phone_number_id, phone=number.own_phone)
        webhook = sample(name, text, _new_phone(number), ours, now=timezone.now())
        try:
            endpoint = Endpoint(options["url"], _secret(number))
            endpoint.post(webhook)
        except NotDelivered as error:
            raise CommandError(str(error)) from error
        page = endpoint.server + reverse("admin:contacts_contact_changelist")
        self.stdout.write(f"{name} has written: now the first row at {page}")


def _new_phone(number: PhoneNumber) -> str:
    known = set(
        Identity.objects.filter(workspace=number.workspace_id, kind=Identity.Kind.PHONE).values_list(
            "value", flat=True
        )
    )
    return next(phone for phone in iter(made_up_phone, "") if phone not in known)


def _secret(number: PhoneNumber) -> str:
    for secret in (*number.secrets, *settings.KAPSO_WEBHOOK_SECRETS):
        return str(secret)
    raise CommandError(f"Neither {number} nor the project has a webhook secret: set KAPSO_WEBHOOK_SECRET.")
