"""A dry run says what a replay would change, and writes nothing: every row of every table is the same afterwards."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

import contacts.sync
from contacts.models import Contact, Identity, IdentityLink, Message, MessageReceipt, PhoneNumber
from contacts.statements.seed_shadow import shadowed
from kapso_sync.models import WebhookDelivery
from kapso_sync.rehearsing import rehearsal
from tests.builders import ANA, ANA_ID, BEA, LIMA, UNKNOWN, Desk, message, moment, sent, user_id_update
from tests.conftest import Cast
from tests.kapso import Kapso
from tests.state import crm_state


def hashes() -> dict[str, Any]:
    """A hash over all rows of each table there is, in whatever schema."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
        )
        found = {}
        for (table,) in cursor.fetchall():
            cursor.execute(
                f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t"  # noqa: S608
            )
            found[table] = cursor.fetchone()[0]
    return found


def dry_run(*arguments: str) -> str:
    before = hashes()
    out = io.StringIO()
    call_command("replay_webhooks", "--dry-run", *arguments, stdout=out, stderr=io.StringIO())
    assert hashes() == before
    return out.getvalue()


@pytest.fixture
def desk(transactional_db: None) -> Desk:
    return Desk.open()


def test_it_says_what_would_change_and_the_replay_does_it(desk: Desk) -> None:
    desk.told(message("wamid.1", 0, name="Ana"), message("wamid.2", 60), sent("wamid.3", 90))
    Message.objects.filter(kapso_message_id="wamid.2").delete()
    Contact.objects.update(last_activity_at=moment(0), username="someone")

    said = dry_run("--all")
    assert "Ana +51 911 110 001" in said
    assert 'inbound "Hola" of 2026-06-09 10:14:20 UTC' in said
    assert "last activity 2026-06-09 10:13:20 UTC becomes 2026-06-09 10:14:50 UTC" in said
    assert said.endswith("Would replay 3 deliveries: 3 processed. Nothing was written.\n")

    call_command("replay_webhooks", "--all", stdout=io.StringIO())
    assert Message.objects.count() == 3
    assert dry_run("--all").startswith("Nothing would change.\n")


def test_a_lead_that_would_be_made_is_told(desk: Desk) -> None:
    desk.post(message("wamid.1", number=UNKNOWN, name="Ana"))
    PhoneNumber.objects.create(workspace=desk.numbers[LIMA].workspace, phone_number_id=UNKNOWN)
    said = dry_run("--unroutable")
    assert "Ana +51 911 110 001:\n  1 message more" in said
    assert "a lead is made" in said
    assert "Would replay 1 delivery: 1 processed." in said


def test_leads_that_would_be_merged_are_told(desk: Desk) -> None:
    """The proof is taken away again, as if a bug had overlooked it."""
    desk.told(message("wamid.1", phone=None, user_id=ANA_ID, name="Ana"))
    desk.told(message("wamid.2", 5, phone=None, user_id="PE.2", name="Ana again"))
    apart = {lead.name: lead for lead in Contact.objects.all()}
    body = user_id_update(9, ANA_ID, "PE.2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contacts.sync, "apply", lambda *_, **__: 1 / 0)
        desk.post(body, "")
    assert not IdentityLink.objects.filter(kind="changed").exists()

    said = dry_run("--failed")
    assert f"(lead {apart['Ana again'].pk}):\n  merged into Ana (lead {apart['Ana'].pk})" in said
    assert "Would replay 1 delivery: 1 processed." in said


def test_what_cannot_be_applied_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.told(message("wamid.1"))
    monkeypatch.setattr(contacts.sync, "apply", lambda *_, **__: 1 / 0)
    assert dry_run("--all").endswith("Would replay 1 delivery: 1 failed. Nothing was written.\n")


def test_what_retention_emptied_is_counted_and_left_alone(desk: Desk) -> None:
    desk.told(message("wamid.1"), message("wamid.2", 5))
    first = WebhookDelivery.objects.order_by("pk")[0]
    WebhookDelivery.objects.filter(pk=first.pk).update(body=b"", body_cleared_at=timezone.now())
    for dry in (["--dry-run"], []):
        err, out = io.StringIO(), io.StringIO()
        call_command("replay_webhooks", "--all", *dry, stdout=out, stderr=err)
        assert "1 delivery cannot be replayed: the body was cleared." in out.getvalue()
        assert "1 delivery: 1 processed." in out.getvalue()
    assert WebhookDelivery.objects.get(pk=first.pk).status == "processed"


@pytest.mark.parametrize("size", [1, 3, 100])
def test_it_foretells_what_the_replay_does(desk: Desk, size: int) -> None:
    """The copies are made batch by batch, and must not depend on how the batches are cut."""
    desk.told(message("wamid.1", user_id=ANA_ID, name="Ana"), message("wamid.2", 9), sent("wamid.3", 12))
    desk.told(
        message("wamid.4", 20, phone=BEA, name="Bea"), message("wamid.5", 30, user_id=ANA_ID, phone=None)
    )
    desk.became("wamid.3", "read", 40)
    state = crm_state()
    Message.objects.exclude(kapso_message_id="wamid.4").delete()
    MessageReceipt.objects.all().delete()
    with rehearsal(WebhookDelivery.objects.all(), size=size) as told:
        leads = list(told.differences)
    assert [(lead.lead_id, lead.lines[0].split(":")[0]) for lead in leads] == [
        (desk.lead(ANA).pk, "4 messages more")
    ]
    call_command("replay_webhooks", "--all", stdout=io.StringIO())
    assert crm_state() == state


def test_webhooks_do_not_wait_for_it(cast: Cast, kapso: Kapso) -> None:
    """Neither for the rows that it copied nor for the lock under which it derives who is who."""
    first = kapso.post(message("wamid.1", user_id=ANA_ID), event="whatsapp.message.received")
    Identity.objects.filter(value=ANA_ID).update(contact=None)
    with rehearsal(WebhookDelivery.objects.filter(pk=first.delivery.pk)) as told:
        assert told.outcomes.total() == 1
        answer = kapso.post(message("wamid.2", 5, user_id="PE.9"), event="whatsapp.message.received")
        assert answer.json["status"] == "processed"
        list(told.differences)


def test_the_search_path_ends_with_its_transaction(desk: Desk) -> None:
    desk.told(message("wamid.1"))
    dry_run("--all")
    with connection.cursor() as cursor:
        cursor.execute("SHOW search_path")
        assert cursor.fetchone() == ('"$user", public',)


def test_whatever_refers_to_a_shadowed_table_is_shadowed() -> None:
    """Else the sync, at work in a shadow, would write to a live table with ids that mean something else there."""
    inside = set(shadowed())
    pointing = {
        model
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if field.concrete and field.related_model in inside - {PhoneNumber}
    }
    assert pointing <= inside
    assert Contact in inside
