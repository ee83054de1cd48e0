"""As many messages as a history chunk of five megabytes can hold."""

from __future__ import annotations

import json
import logging

import pytest

from contacts.models import Message
from tests.builders import Desk
from tests.test_rebuild import empty_the_crm
from tests.test_strain import history

pytestmark = pytest.mark.prove


def test_twenty_thousand_messages_in_one_chunk_are_all_there(
    transactional_db: None, caplog: pytest.LogCaptureFixture
) -> None:
    """On tables as a new installation has them: those of former tests, rolled back and vacuumed, PostgreSQL takes for
    empty whatever is in them by now, and plans as for one row.
    """
    empty_the_crm()
    caplog.set_level(logging.ERROR)
    body = json.dumps(history(100, 270, "Hola")).encode()
    assert 4_500_000 < len(body) < 8_000_000
    assert Desk.open().post(body, "").json["status"] == "processed"
    assert Message.objects.count() == 27_000
