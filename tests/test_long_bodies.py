"""Whatever reads stored bodies holds no more of them at a time than one batch may: memory has a bound."""

from __future__ import annotations

import pytest
from django.utils import timezone

from contacts.erasing import Person
from kapso_sync import replaying
from kapso_sync.erasing import count_bodies
from kapso_sync.exporting import export_person
from kapso_sync.models import WebhookDelivery
from kapso_sync.rebuilding import rebuilding
from kapso_sync.rehearsing import rehearsal
from kapso_sync.retention import Retention
from tests.builders import ANA, LIMA, Desk, message

# Three of these make a batch; two of those with a text ten times as long do not.
LONG = "x" * 10_000
CUT = [3, 1, 1, 2]


@pytest.fixture
def desk(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk.open()
    for index, text in enumerate(["", "", "", LONG, LONG, "", ""]):
        desk.told(message(f"m{index}", index, text=f"Hola{text}"))
    monkeypatch.setattr(replaying, "BATCH_BYTES", 9_000)
    return desk


def test_a_rehearsal(desk: Desk) -> None:
    cut: list[int] = []
    with rehearsal(WebhookDelivery.objects.all(), on_batch=lambda batch: cut.append(len(batch))) as told:
        assert (list(told.differences), cut) == ([], CUT)


def test_a_rebuild(desk: Desk) -> None:
    cut: list[int] = []
    with rebuilding(desk.numbers[LIMA].workspace) as rebuild:
        rebuild.begin()
        rebuild.build(cut.append)
        with rebuild.compared() as differences:
            assert (list(differences), cut) == ([], CUT)
        rebuild.drop()


def test_whoever_looks_for_one_person(desk: Desk) -> None:
    person = Person.of(desk.only_lead.workspace_id, desk.only_lead.pk)
    cut: list[int] = []
    assert (count_bodies(person, on_batch=cut.append), cut) == (7, CUT)
    cut.clear()
    assert ANA in "".join(export_person(person, on_batch=cut.append))
    assert cut == CUT


def test_retention(desk: Desk) -> None:
    WebhookDelivery.objects.update(received_at=timezone.now().replace(year=2020))
    cut: list[int] = []
    assert (Retention.of_today(30).clear(on_batch=cut.append), cut) == (7, CUT)
