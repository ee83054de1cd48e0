"""Who pages through the contacts while others change them sees each once by id, and misses none by activity."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from contacts.models import Membership, Role, Workspace
from tests.api import Program
from tests.walking import many_contacts, stirred, walk

CONTACTS = "/api/v1/contacts/"


@pytest.fixture
def workspace(transactional_db: None) -> Workspace:
    return Workspace.objects.create(name="Lima", slug="lima")


@pytest.fixture
def program(workspace: Workspace) -> Program:
    user = User.objects.create(username="program")
    Membership.objects.create(workspace=workspace, user=user, role=Role.MANAGER)
    return Program.of(user)


def test_by_id_each_comes_exactly_once(workspace: Workspace, program: Program) -> None:
    contacts = many_contacts(workspace, 600)
    with stirred(contacts, writers=6, pause=0.01):
        assert [
            row["id"] for row in walk(program, CONTACTS, ordering="id", limit=20, fields="id")
        ] == contacts


def test_by_activity_none_is_missed(workspace: Workspace, program: Program) -> None:
    contacts = many_contacts(workspace, 600)
    with stirred(contacts, writers=6, pause=0.01):
        seen = [row["id"] for row in walk(program, CONTACTS, limit=20, fields="id")]
    assert set(seen) == set(contacts)
    # Else nothing moved, and this test shows nothing.
    assert seen != sorted(contacts, reverse=True)
