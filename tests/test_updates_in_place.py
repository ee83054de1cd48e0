"""What changes soon after a row was made is in no index, so that PostgreSQL writes to none of them (HOT updates)."""

from __future__ import annotations

import pytest
from django.db import connection

from contacts.models import Message
from contacts.models.message import NOT_A_TURN
from tests.builders import Desk, message

# Columns that an index has, its condition and expressions included: as PostgreSQL itself finds what an update touches.
INDEXED = """
SELECT DISTINCT a.attname FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam
JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refobjid = i.indrelid
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = d.refobjsubid
WHERE i.indrelid = %s::regclass AND am.amname <> 'brin'
UNION
SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
WHERE i.indrelid = %s::regclass
"""
# What receipts and sightings move.
MOVES = {
    "contacts_message": {"status", "delivered_at", "read_at", "failed_at", "error_code", "told"},
    "contacts_messagereceipt": {"rank", "sent_at", "delivered_at", "read_at", "errors"},
    "contacts_identity": {"first_seen_at", "last_seen_at"},
    "contacts_profilefact": {"first_at", "last_at"},
    "contacts_conversation": {"status", "last_message_at", "last_inbound_at"},
}


@pytest.mark.parametrize("table", MOVES)
def test_no_index_knows_what_a_receipt_or_the_next_message_moves(db: None, table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(INDEXED, [table, table])
        indexed = {name for (name,) in cursor.fetchall()}
    assert indexed
    assert indexed & MOVES[table] == set()


def test_a_turn_is_what_somebody_wrote_and_did_not_fail(db: None) -> None:
    desk = Desk.open()
    desk.told(message("m1"))
    desk.became("m2", "sent", 5)
    desk.became("m3", "failed", 6)
    row = desk.row("m1")
    for kind in NOT_A_TURN:
        row.pk, row.kapso_message_id, row.message_type = None, f"{row.kapso_message_id}-{kind}", kind
        row.save()
    turns = Message.objects.filter(is_turn=True).order_by("sent_at")
    assert [turn.kapso_message_id for turn in turns] == [
        desk.row("m1").kapso_message_id,
        desk.row("m2").kapso_message_id,
    ]
    desk.became("m3", "delivered", 7)  # proof of delivery outranks the failure
    assert desk.row("m3").is_turn
