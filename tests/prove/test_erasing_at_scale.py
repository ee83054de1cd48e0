"""Erasing one person out of 100,000 stored deliveries."""

from __future__ import annotations

import json
import resource

import pytest
from django.db import connection

from kapso_sync.erasing import erase_person
from kapso_sync.models import WebhookDelivery
from tests.builders import ANA, LIMA, Desk, message
from tests.whole_database import places_of

COUNT = 100_000


@pytest.mark.prove
@pytest.mark.django_db
def test_one_person_is_erased_out_of_100_000_deliveries_in_bounded_memory() -> None:
    desk = Desk.open()
    desk.told(message("m1", 1))
    _store(desk, json.dumps(message("wamid.%s", 2, phone="5193%s", session="session-%s")))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lead = desk.only_lead
    looked_through: list[int] = []

    outcome = erase_person(lead.workspace_id, lead.pk, on_batch=looked_through.append)

    assert (sum(looked_through), max(looked_through)) == (COUNT + 1, 500)
    assert outcome.bodies == 1 + COUNT // 1000
    assert WebhookDelivery.objects.with_bodies().count() == COUNT - COUNT // 1000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes
    assert places_of(ANA) == []


def _store(desk: Desk, body: str) -> None:
    """Every thousandth speaks of Ana, the others each of somebody else."""
    number = desk.numbers[LIMA]
    with connection.cursor() as cursor:
        cursor.execute(STORE, ["5193%s", ANA, body, number.workspace_id, LIMA, COUNT])


STORE = """
INSERT INTO kapso_sync_webhookdelivery
    (received_at, idempotency_key, event, phone_number_id, workspace_id, headers, body, body_sha256, status)
SELECT now(), 'bulk-' || n, 'whatsapp.message.received', number, workspace, '{"x-webhook-event": "whatsapp.message.received"}',
       convert_to(replace(replace(body, phone, CASE WHEN n %% 1000 = 0 THEN ana ELSE '5193' || lpad(n::text, 7, '0') END),
                          '%%s', n::text), 'UTF8'),
       encode(sha256(n::text::bytea), 'hex'), 'processed'
FROM (SELECT %s AS phone, %s AS ana, %s AS body, %s::bigint AS workspace, %s AS number, generate_series(1, %s) AS n) AS bulk
"""
