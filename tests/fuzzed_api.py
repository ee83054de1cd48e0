"""Schemathesis over the API of a running server, as one of several users, with two workspaces full of everything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User

from api import tokens
from contacts import work
from contacts.models import (
    Contact,
    Conversation,
    CustomField,
    FollowUp,
    Membership,
    Message,
    Note,
    PhoneNumber,
    Role,
    StatusChange,
    Tag,
    Workspace,
)
from kapso_sync.models import WebhookDelivery
from tests.builders import RECEIVED, message, sent
from tests.kapso import Kapso

# Stands in everything of the other workspace: names, texts, tags.
FOREIGN = "Zanzibar"
HOUR = timedelta(hours=1)
WHO = ("owner", "agent", "viewer", "stranger")

# Right by the schema, and refused all the same, as it should be: a cursor of somebody else's, the id of nobody, a date
# in the past, a new lead without a phone or a name, a move that the workflow forbids.
REFUSED = [400, 403, 404, 409, 410, 412, 422]
CONFIG = f"""
[checks]
positive_data_acceptance.expected-statuses = ["2xx", {", ".join(f'"{status}"' for status in REFUSED)}]
"""


def furnish(kapso: Kapso) -> Workspace:
    """Our workspace and another one, each with leads, messages, deliveries and what people do with them."""
    ours, _ = (
        _furnish(kapso, name, number)
        for name, number in (("Lima", "111111111111111"), (FOREIGN, "222222222222222"))
    )
    return ours


def _furnish(kapso: Kapso, name: str, number: str) -> Workspace:
    workspace = Workspace.objects.create(name=name, slug=name.lower(), agents_see_all=False)
    PhoneNumber.objects.create(
        workspace=workspace, phone_number_id=number, display_phone_number=f"+51 1 555 {number[:4]}"
    )
    boss = _user(f"{name}-boss", workspace, Role.OWNER)
    Tag.objects.create(workspace=workspace, name=f"{name} tag")
    CustomField.objects.create(workspace=workspace, key="city", label=f"{name} city", kind="text")
    for person in range(6):
        phone = f"5198{number[:3]}{person:04}"
        told: dict[str, Any] = {
            "phone": phone,
            "number": number,
            "name": f"{name} {person}",
            "text": f"{name} says hello",
        }
        assert kapso.post(message(f"{name}-{person}", person, **told), event=RECEIVED).status == 200
        answer: dict[str, Any] = {"phone": phone, "number": number, "text": f"{name} answers"}
        assert (
            kapso.post(sent(f"{name}-{person}-a", person + 9, **answer), event="whatsapp.message.sent").status
            == 200
        )
    for lead in workspace.contacts.order_by("pk")[:3]:
        work.add_note(lead, f"{name} note", by=boss)
        work.plan_follow_up(lead, datetime.now(UTC) + 30 * HOUR, f"{name} remark", by=boss)
        work.assign(lead, boss, by=boss)
        work.add_tags(lead, [f"{name} tag"], by=boss)
        work.move(lead, "qualified", by=boss)
    assert WebhookDelivery.objects.filter(workspace=workspace, status="processed").count() == 12
    return workspace


def _user(name: str, workspace: Workspace, role: Role) -> User:
    user = User.objects.create_user(name, f"{name}@crm.test")
    Membership.objects.create(workspace=workspace, user=user, role=role)
    return user


def token_of(who: str, ours: Workspace) -> str:
    """A stranger is nobody's member."""
    user = User.objects.create_user(who) if who == "stranger" else _user(who, ours, Role(who))
    return tokens.issue(user, "fuzz", scope="write")[1]


def _ids() -> dict[str, list[int]]:
    models = {
        "contacts": Contact, "conversations": Conversation, "messages": Message, "notes": Note, "follow-ups": FollowUp,
        "status-changes": StatusChange, "workspaces": Workspace, "numbers": PhoneNumber, "tags": Tag,
        "custom-fields": CustomField, "deliveries": WebhookDelivery,
    }  # fmt: skip
    return {name: list(model._default_manager.values_list("pk", flat=True)) for name, model in models.items()}


def fuzz(url: str, token: str, folder: Path, *options: str) -> None:
    """Raises AssertionError with schemathesis' report where any check fails."""
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG)
    run = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "schemathesis.cli",
                "--config-file",
                str(config),
                "run",
                f"{url}/api/schema/",
            ),
            *("--url", url, "--checks", "all", "--continue-on-failure", "--generation-database", "none"),
            *("--header", f"Authorization: Bearer {token}", "--no-color", "--warnings", "off", *options),
        ],
        env=os.environ
        | {"SCHEMATHESIS_HOOKS": "tests.schemathesis_checks", "FOREIGN": FOREIGN, "IDS": json.dumps(_ids())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-3000:]
