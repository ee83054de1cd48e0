"""Run in an installation's environment: its tables, and the two workspaces and numbers that the traffic is for."""

from __future__ import annotations

import django
from django.core.management import call_command

django.setup()

from contacts.models import PhoneNumber, Workspace  # noqa: E402
from tests.builders import LIMA, OWN_PHONE, SAOPAULO  # noqa: E402

OTHER_PHONE = "551150200143"


def furnish() -> None:
    call_command("migrate", interactive=False, verbosity=0)
    for slug, number, phone in (("lima", LIMA, OWN_PHONE), ("saopaulo", SAOPAULO, OTHER_PHONE)):
        workspace = Workspace.objects.create(name=slug.title(), slug=slug)
        PhoneNumber.objects.create(
            workspace=workspace, phone_number_id=number, display_phone_number=phone, webhook_secret=""
        )


if __name__ == "__main__":
    furnish()
