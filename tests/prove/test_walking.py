"""100,000 contacts, 50 who change them, and one who pages through all of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from contacts.models import Workspace
from tests.api import Program
from tests.test_walking import CONTACTS, program, workspace
from tests.walking import many_contacts, stirred, walk

__all__ = ["program", "workspace"]  # the fixtures


@pytest.mark.prove
@pytest.mark.alone
def test_each_of_100_000_comes_exactly_once_by_id_and_none_is_missed_by_activity(
    workspace: Workspace, program: Program, settings: Any
) -> None:
    settings.API_REQUESTS_PER_MINUTE = 10**6
    contacts = many_contacts(workspace, 100_000)
    with stirred(contacts, writers=50, pause=0.05):
        by_id = Counter(row["id"] for row in walk(program, CONTACTS, ordering="id", limit=200, fields="id"))
        by_activity = {row["id"] for row in walk(program, CONTACTS, limit=200, fields="id")}
    assert by_id == Counter(contacts)
    assert by_activity == set(contacts)
