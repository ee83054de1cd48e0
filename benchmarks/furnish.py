"""Run as leadcrm would be: the workspace, the numbers and the people that the measurements are about."""

from __future__ import annotations

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402

from benchmarks.traffic import NUMBERS  # noqa: E402
from contacts.models import Membership, PhoneNumber, Role, Workspace  # noqa: E402


def furnish() -> None:
    workspace = Workspace.objects.create(name="Bench", slug="bench")
    for number in NUMBERS:
        PhoneNumber.objects.create(workspace=workspace, phone_number_id=number, display_phone_number=number)
    for name in ("ana", "bea", "caio", "davi"):
        Membership.objects.create(
            workspace=workspace, user=User.objects.create_user(name, is_staff=True), role=Role.MANAGER
        )


if __name__ == "__main__":
    furnish()
