"""What a rebuild left behind that nobody goes on with is dropped: it holds what people wrote."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.management import call_command

from contacts.models import Workspace
from contacts.shadow import Shadow
from kapso_sync.forgotten import drop_forgotten_shadows
from kapso_sync.rebuilding import REBUILD_LOCK, Rebuild
from kapso_sync.tasks import drop_shadows
from tests.builders import LIMA, Desk, message
from tests.test_webhook import another_connection


@pytest.fixture
def desk(transactional_db: None) -> Desk:
    return Desk.open()


@pytest.fixture
def shadow(desk: Desk) -> Iterator[Shadow]:
    """As an interrupted rebuild leaves it."""
    desk.told(message("a", text="my secret"))
    rebuild = Rebuild(desk.numbers[LIMA].workspace)
    rebuild.begin()
    rebuild.build()
    yield rebuild.shadow
    rebuild.shadow.drop()


def a_week_passes(shadow: Shadow) -> None:
    shadow.run("UPDATE {shadow}.state SET begun_at = begun_at - interval '8 days'")


def test_what_was_interrupted_lately_is_kept_to_go_on_with(shadow: Shadow) -> None:
    assert (drop_forgotten_shadows(), shadow.exists) == (0, True)


def test_what_was_begun_a_week_ago_goes(shadow: Shadow) -> None:
    a_week_passes(shadow)
    assert (drop_forgotten_shadows(), shadow.exists) == (1, False)


def test_what_code_began_that_did_not_note_when_goes(shadow: Shadow) -> None:
    shadow.run("ALTER TABLE {shadow}.state DROP begun_at")
    assert (drop_forgotten_shadows(), shadow.exists) == (1, False)


def test_the_shadow_of_a_deleted_workspace_goes(desk: Desk) -> None:
    workspace = Workspace.objects.create(name="Cusco", slug="cusco")
    rebuild = Rebuild(workspace)
    rebuild.begin()
    shadow = rebuild.shadow
    workspace.delete()
    assert (drop_forgotten_shadows(), shadow.exists) == (1, False)


def test_one_that_somebody_works_on_stays(desk: Desk, shadow: Shadow) -> None:
    a_week_passes(shadow)
    with another_connection() as other:
        other.execute("SELECT pg_advisory_lock(%s, %s)", [REBUILD_LOCK, desk.numbers[LIMA].workspace_id])
        assert (drop_forgotten_shadows(), shadow.exists) == (0, True)
        other.execute("SELECT pg_advisory_unlock_all()")
        assert (drop_forgotten_shadows(), shadow.exists) == (1, False)


@pytest.mark.parametrize("command", ["verify_crm", "rebuild_crm"])
def test_without_a_worker_the_next_rebuild_of_any_workspace_does_it(shadow: Shadow, command: str) -> None:
    a_week_passes(shadow)
    call_command(command, workspace="saopaulo")
    assert not shadow.exists


def test_a_worker_does_it_every_night(shadow: Shadow) -> None:
    a_week_passes(shadow)
    drop_shadows(timestamp=0)
    assert (drop_shadows.queueing_lock, shadow.exists) == ("drop_shadows", False)
