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
from django.db.models import Model, Q

from api import tokens
from contacts import merging, work
from contacts.models import (
    Contact,
    ContactMerge,
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
MARKER = "Zanzibar"
HOUR = timedelta(hours=1)
WHO = ("owner", "agent", "viewer", "stranger")

# Right by the schema, and refused all the same: what for, tests/schemathesis_checks.py looks at. And what is wrong may be
# told of a contact that was merged (410), as of one that is not there (404): its address is looked at first.
REFUSED = [400, 403, 404, 409, 410, 412, 422]
WRONG = [400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 422]
CONFIG = f"""
[cache]
enabled = false
[checks]
positive_data_acceptance.expected-statuses = {["2xx", *map(str, REFUSED)]}
negative_data_rejection.expected-statuses = {[str(status) for status in WRONG]}
"""

OF_WORKSPACE: dict[str, type[Model]] = {
    "numbers": PhoneNumber, "tags": Tag, "custom-fields": CustomField, "members": Membership, "merges": ContactMerge,
    "deliveries": WebhookDelivery,
}  # fmt: skip
OF_CONTACT: dict[str, type[Model]] = {
    "conversations": Conversation, "messages": Message, "notes": Note, "follow-ups": FollowUp,
    "status-changes": StatusChange,
}  # fmt: skip


def furnish(kapso: Kapso) -> Workspace:
    """Our workspace and another one, each with leads, messages, deliveries and what people do with them."""
    ours, _ = (
        _furnish(kapso, name, number)
        for name, number in (("Lima", "111111111111111"), (MARKER, "222222222222222"))
    )
    return ours


def _furnish(kapso: Kapso, name: str, number: str) -> Workspace:
    workspace = Workspace.objects.create(name=name, slug=name.lower(), agents_see_all=False)
    PhoneNumber.objects.create(
        workspace=workspace, phone_number_id=number, display_phone_number=f"+51 1 555 {number[:4]}"
    )
    boss = _user(f"{name}-boss", workspace, Role.OWNER)
    Tag.objects.create(workspace=workspace, name=f"{name} tag")
    for key, kind in (("city", "text"), ("budget", "number")):  # those of the schema's example
        CustomField.objects.create(workspace=workspace, key=key, label=f"{name} {key}", kind=kind)
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
    *_, older, newer = workspace.contacts.order_by("pk")
    merging.merge(older, newer, by=boss)
    assert WebhookDelivery.objects.filter(workspace=workspace, status="processed").count() == 12
    return workspace


def _user(name: str, workspace: Workspace, role: Role) -> User:
    user = User.objects.create_user(name, f"{name}@crm.test")
    Membership.objects.create(workspace=workspace, user=user, role=role)
    return user


def token_of(who: str, ours: Workspace) -> str:
    """A stranger is nobody's member; the agent has a lead."""
    user = User.objects.create_user(who) if who == "stranger" else _user(who, ours, Role(who))
    if who == "agent":
        work.assign(ours.contacts.filter(owner=None, merged_into=None)[0], user, by=user)
    return tokens.issue(user, "fuzz", scope="write")[1]


def rows() -> dict[str, list[int]]:
    models = OF_WORKSPACE | OF_CONTACT | {"workspaces": Workspace, "contacts": Contact, "users": User}
    return {name: _keys(model) for name, model in models.items()}


def hidden(who: str, ours: Workspace) -> dict[str, list[int]]:
    """What this user must not see, from how it was made and not by the code that is tried: all of the other workspace;
    for the agent, who sees leads of their own and of nobody, also the boss's; for a stranger everything."""
    if who == "stranger":
        return rows() | {"users": _keys(User, ~Q(username=who))}
    seen = Contact.objects.filter(workspace=ours)
    if who == "agent":
        seen = seen.filter(Q(owner=None) | Q(owner__username=who))
    found = {name: _keys(model, ~Q(workspace=ours)) for name, model in OF_WORKSPACE.items()}
    found |= {name: _keys(model, ~Q(contact__in=seen)) for name, model in OF_CONTACT.items()}
    found["contacts"] = _keys(Contact, ~Q(pk__in=seen))
    found["workspaces"] = _keys(Workspace, ~Q(pk=ours.pk))
    found["users"] = _keys(User, ~Q(membership__workspace=ours))
    if who != "owner":
        found["deliveries"] = _keys(WebhookDelivery)
    return found


def _keys(model: type[Model], *which: Q) -> list[int]:
    return list(model._default_manager.filter(*which).values_list("pk", flat=True))


def fuzz(kapso: Kapso, who: str, folder: Path, *options: str) -> None:
    """Raises AssertionError with schemathesis' report where any check fails."""
    ours = furnish(kapso)
    token = token_of(who, ours)
    told = {"marker": MARKER, "rows": rows(), "hidden": hidden(who, ours)}
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG)
    program = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)]
    run = subprocess.run(
        [
            *(*program, "run", f"{kapso.url}/api/schema/", "--url", kapso.url),
            *("--checks", "all", "--continue-on-failure", "--generation-database", "none"),
            *("--header", f"Authorization: Bearer {token}", "--no-color", "--warnings", "off", *options),
        ],
        env=os.environ | {"SCHEMATHESIS_HOOKS": "tests.schemathesis_checks", "FUZZED": json.dumps(told)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-3000:]
