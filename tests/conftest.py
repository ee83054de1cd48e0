from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_django
from django.conf import settings
from django.db import connection
from django.utils import translation

from contacts.models import Contact, Conversation, Message, PhoneNumber, Workspace
from kapso_sync.tallies import Tallies
from tests.kapso import Kapso

FIXTURES = json.loads((Path(__file__).parent / "fixtures.json").read_text())


@pytest.fixture(scope="session", autouse=True)
def counted_in_memory() -> Iterator[None]:
    """What is counted is written by those tests alone that ask for it: else after some answer, in some thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tallies, "flush_soon", lambda _: None)
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings: None, django_db_blocker: pytest_django.DjangoDbBlocker
) -> None:
    """Nobody's data is in the PostgreSQL of the tests: it need not wait for the disk. (Those that tests kill are their
    own, in folders of their own, and wait.)"""
    if os.environ.get("TEST_DATABASE_URL"):
        return
    with django_db_blocker.unblock(), connection._nodb_cursor() as cursor:
        for name in ("fsync", "full_page_writes"):
            cursor.execute(f"ALTER SYSTEM SET {name} = off")
        cursor.execute("SELECT pg_reload_conf()")


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    """A request leaves behind the language of whoever asked, in the process of all tests."""
    with translation.override(settings.LANGUAGE_CODE):
        yield


@dataclass(slots=True)
class Cast:
    """The workspaces, numbers, leads and messages of fixtures.json, made by the ORM as anybody would."""

    workspaces: dict[str, Workspace]
    numbers: dict[str, PhoneNumber]

    def lead(self, phone: str) -> Contact:
        return Contact.objects.get(phone=phone)


def make_cast() -> Cast:
    cast = Cast({}, {})
    for slug, told in FIXTURES["workspaces"].items():
        cast.workspaces[slug] = Workspace.objects.create(name=slug.title(), slug=slug)
        cast.numbers[slug] = PhoneNumber.objects.create(
            workspace=cast.workspaces[slug],
            phone_number_id=told["phone_number_id"],
            display_phone_number=told["display_phone_number"],
            webhook_secret=f"{slug}-secret",
        )
    make_people(cast)
    return cast


def make_people(cast: Cast) -> None:
    """The leads, threads and messages that somebody typed in."""
    for told in FIXTURES["contacts"]:
        Contact.objects.create(
            workspace=cast.workspaces[told["workspace"]],
            phone=told["phone"],
            business_scoped_user_id=told["bsuid"],
            name=told["name"],
            kapso_name=told["kapso_name"],
        )
    for told in FIXTURES["kapso_conversations"]:
        _thread(cast, told, kapso_conversation_id=told["id"])
    for told in FIXTURES["outbound_messages"]:
        thread = _thread(cast, told)
        Message.objects.create(
            workspace=thread.workspace,
            conversation=thread,
            contact=thread.contact,
            kapso_message_id=told["wamid"],
            direction="outbound",
            content=told["text"],
            status=told["status"],
            sent_at=datetime(2026, 6, 9, 9, 0, tzinfo=UTC),
        )


def _thread(cast: Cast, told: dict[str, Any], **fields: Any) -> Conversation:
    workspace = cast.workspaces[told["workspace"]]
    contact = Contact.objects.get(workspace=workspace, phone=told["phone"])
    return Conversation.objects.get_or_create(
        workspace=workspace, contact=contact, phone_number=cast.numbers[told["workspace"]], defaults=fields
    )[0]


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return make_cast()


@pytest.fixture
def kapso(live_server: Any) -> Kapso:
    return Kapso(live_server.url)
