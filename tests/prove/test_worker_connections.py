"""The worker of background jobs when its database goes away and comes back."""

from __future__ import annotations

import sys

import pytest
from django.db import connection

from tests.builders import Desk, message
from tests.test_worker import comes_true, desk, fail, outcome, running, stop

__all__ = ["desk"]  # the fixture


@pytest.mark.prove
def test_a_worker_outlives_the_loss_of_its_connections(desk: Desk) -> None:
    """PostgreSQL restarted, or a network in between went away."""
    with running([sys.executable, "manage.py", "procrastinate", "worker"]) as worker:
        first = desk.post(message("a")).delivery
        fail(first)
        assert comes_true(lambda: outcome(first)[0] == "processed"), worker.poll()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert cursor.fetchone()[0] >= 2
        second = desk.post(message("b", 1)).delivery
        fail(second)
        assert comes_true(lambda: outcome(second)[0] == "processed"), stop(worker)
