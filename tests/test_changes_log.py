"""The log of changes: each row that was made, changed or deleted is in it, whoever wrote, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from contacts import merging
from contacts.models import Change, Contact, Conversation, FollowUp, Message, Workspace
from contacts.shadow import Shadow
from kapso_sync.erasing import erase_person
from kapso_sync.models import WebhookDelivery
from kapso_sync.rebuilding import rebuilding
from kapso_sync.rehearsing import rehearsal
from kapso_sync.retention import Retention
from tests.builders import ANA, BEA, LIMA, Desk, message, moment

Kind = Change.Kind
Entries = set[tuple[Kind, int]]


@pytest.fixture
def desk(transactional_db: None) -> Desk:
    return Desk.open()


@contextmanager
def logged() -> Iterator[Entries]:
    """The entries that are written meanwhile."""
    last = Change.objects.order_by("-id").values_list("id", flat=True).first() or 0
    entries: Entries = set()
    yield entries
    written = Change.objects.filter(id__gt=last).values_list("kind", "row_id")
    entries.update((Kind(kind), row) for kind, row in written)


def rows(*found: Contact | Conversation | Message) -> Entries:
    kinds: dict[Any, Kind] = {
        Contact: Kind.CONTACT,
        Conversation: Kind.CONVERSATION,
        Message: Kind.MESSAGE,
    }
    return {(kinds[type(row)], row.pk) for row in found}


def test_a_message_of_somebody_new_is_a_lead_a_thread_and_a_message(desk: Desk) -> None:
    with logged() as entries:
        desk.told(message("m1"))
    assert entries == rows(desk.only_lead, Conversation.objects.get(), desk.row("m1"))
    assert set(Change.objects.values_list("workspace", flat=True)) == {desk.only_lead.workspace_id}


def test_what_is_told_again_changes_nothing(desk: Desk) -> None:
    desk.told(message("m1"))
    with logged() as entries:
        desk.told(message("m1"))
    assert entries == set()


def test_a_status_changes_its_message_alone(desk: Desk) -> None:
    desk.told(message("m1"))
    desk.became("m2", "sent", 5)
    with logged() as entries:
        desk.became("m2", "delivered", 6)
    assert entries == rows(desk.row("m2"))


def test_what_is_written_as_it_was_is_no_change(desk: Desk) -> None:
    desk.told(message("m1"))
    with logged() as entries:
        Contact.objects.update(lead_score=F("lead_score"))
    assert entries == set()


def test_that_its_body_is_cleared_changes_no_message(desk: Desk) -> None:
    desk.told(message("m1"))
    with logged() as entries:
        WebhookDelivery.objects.update(received_at=timezone.now() - timedelta(days=400))
        assert Retention.of_today(30).clear() == 1
    assert desk.row("m1").is_sealed
    assert entries == set()
    with logged() as entries:
        Message.objects.update(is_sealed=False, content="x")
    assert entries == rows(desk.row("m1"))


def test_what_is_planned_is_a_change_of_the_lead(desk: Desk) -> None:
    desk.told(message("m1"), message("m2", phone=BEA))
    ana, bea = desk.lead(ANA), desk.lead(BEA)
    with logged() as entries:
        planned = FollowUp.objects.create(workspace=ana.workspace, contact=ana, due_at=moment(9))
    assert entries == rows(ana)
    with logged() as entries:
        FollowUp.objects.update(contact=bea)
    assert entries == rows(ana, bea)
    with logged() as entries:
        Contact.objects.filter(pk=ana.pk).update(merged_into=bea)
    assert entries == rows(ana, bea)
    with logged() as entries:
        FollowUp.objects.update(contact=ana)
    assert entries == rows(ana, bea)
    with logged() as entries:
        planned.delete()
    assert entries == rows(ana, bea)


def test_who_is_asked_for_is_a_change_of_the_lead(desk: Desk) -> None:
    desk.told(message("m1"))
    with logged() as entries:
        Conversation.objects.update(handoff_at=moment(9))
    assert entries == rows(desk.only_lead, Conversation.objects.get())
    with logged() as entries:
        Conversation.objects.update(handoff_reason="again")
    assert entries == rows(Conversation.objects.get())


def test_whoever_writes_is_logged(desk: Desk) -> None:
    desk.told(message("m1"))
    with logged() as entries, connection.cursor() as cursor:
        cursor.execute("UPDATE contacts_message SET content = 'x'")
    assert entries == rows(desk.row("m1"))


def test_what_is_rolled_back_is_not_logged(desk: Desk) -> None:
    desk.told(message("m1"))
    with logged() as entries, transaction.atomic():
        Contact.objects.update(lead_score=5)
        transaction.set_rollback(True)
    assert entries == set()


def test_many_rows_are_all_logged(desk: Desk) -> None:
    workspace = desk.numbers[LIMA].workspace
    with logged() as entries:
        made = Contact.objects.bulk_create([Contact(workspace=workspace, name=f"{n}") for n in range(3000)])
    assert entries == rows(*made)
    with logged() as entries:
        Contact.objects.all().update(email="a@example.com")
    assert entries == rows(*made)
    with logged() as entries:
        Contact.objects.all()._raw_delete(connection.alias)
    assert entries == rows(*made)


def test_what_a_merge_moves_is_logged_and_what_its_undo_gives_back(desk: Desk) -> None:
    desk.told(message("m1"), message("m2", phone=BEA))
    ana, bea = desk.lead(ANA), desk.lead(BEA)
    with logged() as entries:
        merge = merging.merge(ana, bea, by=None)
    assert entries >= rows(ana, bea, desk.row("m2"))
    with logged() as entries:
        merging.undo(merge, by=None)
    assert entries >= rows(ana, bea, desk.row("m2"), *Conversation.objects.all())


def test_a_new_owner_is_news_of_all_the_lead_has_where_agents_see_only_their_own(desk: Desk) -> None:
    desk.told(message("m1"), message("m2", phone=BEA))
    ana, agent = desk.lead(ANA), User.objects.create(username="agent")
    thread = Conversation.objects.get(contact=ana)
    with logged() as entries:
        Contact.objects.filter(pk=ana.pk).update(owner=agent)
    assert entries == rows(ana)

    Workspace.objects.update(agents_see_all=False)
    with logged() as entries:
        Contact.objects.filter(pk=ana.pk).update(owner=None)
    assert entries == rows(ana, thread, desk.row("m1"))
    with logged() as entries:
        Contact.objects.filter(pk=ana.pk).update(lead_score=1)
    assert entries == rows(ana)


def test_a_shadow_logs_nothing_and_what_is_written_from_its_stage_to_live_rows_does(desk: Desk) -> None:
    desk.told(message("m1"))
    shadow, lead = Shadow("shadow_of_a_test"), desk.only_lead
    with logged() as entries, transaction.atomic():
        shadow.create()
        with shadow.stage(), connection.cursor() as cursor:
            cursor.execute("INSERT INTO contacts_contact (workspace_id) VALUES (%s)", [lead.workspace_id])
            cursor.execute("UPDATE contacts_contact SET lead_score = 1")
            cursor.execute("DELETE FROM contacts_contact")
            cursor.execute("UPDATE public.contacts_contact SET lead_score = 2")
        shadow.drop()
    assert entries == rows(lead)


def test_who_is_erased_goes_with_all_they_said(desk: Desk) -> None:
    desk.told(message("m1"), message("m2", phone=BEA))
    theirs = rows(desk.lead(ANA), desk.row("m1"), Conversation.objects.get(contact=desk.lead(ANA)))
    with logged() as entries:
        erase_person(desk.lead(ANA).workspace_id, desk.lead(ANA).pk)
    assert entries == theirs


def test_a_rebuild_logs_what_it_puts_right_and_its_rehearsal_nothing(desk: Desk) -> None:
    desk.told(message("m1"), message("m2", phone=BEA))
    Message.objects.filter(kapso_message_id="m1").update(content="wrong")
    with logged() as entries, rehearsal(WebhookDelivery.objects.all()) as found:
        assert found.outcomes == {"processed": 2}
    assert entries == set()
    with logged() as entries, rebuilding(desk.numbers[LIMA].workspace) as rebuild:
        rebuild.begin()
        rebuild.build()
        with rebuild.compared():
            rebuild.swap()
    assert entries == rows(desk.row("m1"))
    assert desk.row("m1").content == "Hola"
