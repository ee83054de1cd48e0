"""Every delivery of the corpus, posted as it is described, ends in the rows that its `expect` line describes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import permutations
from typing import Any

import pytest
from django.db import connection

from contacts.models import (
    AutomationEvent,
    Contact,
    Conversation,
    KapsoSession,
    Message,
    MessageReceipt,
    PhoneNumber,
    Workspace,
)
from kapso_sync.models import WebhookDelivery
from tests.conftest import FIXTURES, Cast, make_cast
from tests.expectations import (
    EXPECTED,
    LEADS,
    LIMA,
    MESSAGES,
    NINE,
    ROSA_SESSION,
    THREADS,
    WHEN_RECEIVED,
    Expected,
    Lead,
    Row,
    Session,
    Thread,
)
from tests.kapso import PAYLOADS, Kapso, body_of, load
from tests.state import crm_state

CORPUS = sorted(path.stem for path in PAYLOADS.glob("*.json"))
FAMILIES: dict[str, list[str]] = {}
for _name in CORPUS:
    if _match := re.match(r"(seq-.+)-\d\d-", _name):
        FAMILIES.setdefault(_match[1], []).append(_name)

# Signed with the secret of their number's own webhook; the others with the project's.
OWN_SECRET = {
    "batch-received-two": "saopaulo-secret",
    "contact-updated-type-contact-phone-display": "lima-secret",
    "conversation-ended": "lima-secret",
    "message-received-image-no-caption": "jakarta-secret",
    "message-received-text": "lima-secret",
    "message-read": "saopaulo-secret",
    "meta-two-changes": "jakarta-secret",
    "v1-message-received": "lima-secret",
    "workflow-handoff": "lima-secret",
}

WORDS = ("accepted", "sent", "failed", "delivered", "read", "played")


@pytest.fixture
def settled(cast: Cast) -> Cast:
    """The cast, with the clocks that its two messages make: what no file touches then stays exactly so."""
    settle()
    return cast


def settle() -> None:
    written_to = Contact.objects.filter(messages__direction="outbound")
    Contact.objects.filter(pk__in=written_to).update(last_activity_at=NINE, last_contact_at=NINE)
    Conversation.objects.filter(contact__in=written_to).update(last_message_at=NINE)


def posted_before(name: str) -> list[str]:
    """The files of a family are posted in name order on one database."""
    family = next((files for files in FAMILIES.values() if name in files), [])
    return family[: family.index(name)] if family else []


def test_the_table_covers_the_corpus() -> None:
    assert len(CORPUS) == 90
    assert set(EXPECTED) == set(CORPUS)
    assert {family: len(files) for family, files in FAMILIES.items()} == {
        "seq-duplicate": 3,
        "seq-edit": 3,
        "seq-status-failed": 2,
        "seq-status-order": 3,
    }


@pytest.mark.parametrize("name", CORPUS)
def test_a_delivery_ends_in_the_rows_that_it_describes(settled: Cast, kapso: Kapso, name: str) -> None:
    before = posted_before(name)
    for earlier in before:
        kapso.post_file(earlier)
    answer = kapso.post_file(name, secret=OWN_SECRET.get(name))

    expected = EXPECTED[name]
    delivery = answer.delivery
    assert answer.status == 200
    assert delivery.raw_body == body_of(load(name))
    assert (delivery.status, delivery.attempts) == (expected.status, 1)
    assert expected.reason in delivery.error
    assert bool(delivery.error) == bool(expected.reason)
    assert WebhookDelivery.objects.count() == (expected.deliveries or len(before) + 1)
    check_crm(expected, [*before, name], delivery.received_at)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_ends_alike_in_any_order_and_doubled(
    transactional_db: None, kapso: Kapso, family: str
) -> None:
    files = FAMILIES[family]
    in_order = end_of(kapso, files, files)
    for order in list(permutations(files))[1:]:
        assert end_of(kapso, files, order) == in_order, f"posted as {order}"
    doubled = [*reversed(files), *files]
    assert end_of(kapso, files, doubled) == in_order
    new_keys = [f"key {index}" for index in range(len(doubled))]
    assert end_of(kapso, files, doubled, new_keys) == in_order


def end_of(kapso: Kapso, files: Sequence[str], order: Sequence[str], keys: Sequence[str] = ()) -> list[Any]:
    """The CRM after the files of a family were posted in this order, each under its own key or under `keys`."""
    start_again()
    for index, name in enumerate(order):
        assert kapso.post_file(name, **({"key": keys[index]} if keys else {})).status == 200
    assert WebhookDelivery.objects.count() == (len(order) if keys else distinct_deliveries(files))
    check_crm(EXPECTED[files[-1]], files, None)
    return crm_state()


def distinct_deliveries(files: Sequence[str]) -> int:
    return len({(load(name)["headers"]["X-Idempotency-Key"], body_of(load(name))) for name in files})


def empty_tables() -> None:
    """With the same ids each time: `crm_state` shows those of workspaces and numbers."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE contacts_workspace, kapso_sync_webhookdelivery RESTART IDENTITY CASCADE")


def start_again() -> None:
    empty_tables()
    make_cast()
    settle()


# What is in the tables, in the words of the table of expectations.


def check_crm(expected: Expected, files: Sequence[str], received_at: datetime | None) -> None:
    leads = LEADS | expected.leads
    assert leads_here(leads, received_at) == leads
    threads = THREADS | expected.threads
    assert threads_here(leads) == threads
    sessions = {ROSA_SESSION: Session(LIMA, "rosa")} | expected.sessions
    assert sessions_here(leads) == sessions
    messages = {row.wamid: row for row in MESSAGES}
    messages |= {row.wamid: row for row in told_rows(expected.messages, files)}
    assert messages_here(leads) == messages
    assert sorted(automation_here()) == sorted(expected.automation)
    assert receipts_without_message() == expected.waiting
    connected = {number.phone_number_id for number in PhoneNumber.objects.all() if number.is_connected}
    registered = {told["phone_number_id"] for told in FIXTURES["workspaces"].values()}
    assert connected == registered - expected.disconnected
    assert PhoneNumber.objects.count() == Workspace.objects.count() == 3


def leads_here(expected: dict[str, Lead], received_at: datetime | None) -> dict[str, Lead]:
    """Every living lead under the name that the table gives it; under its own where the table has none."""
    found = {}
    for contact in Contact.objects.living().select_related("workspace"):
        known = set(contact.identities.values_list("value", flat=True))
        current = {value for value in (contact.phone, contact.business_scoped_user_id) if value}
        assert current <= known
        activity = contact.last_activity_at
        found[name_of(contact, expected)] = Lead(
            number=FIXTURES["workspaces"][contact.workspace.slug]["phone_number_id"],
            phone=contact.phone,
            user_id=contact.business_scoped_user_id,
            parent_user_id=contact.parent_user_id,
            username=contact.username,
            name=contact.name,
            kapso_name=contact.kapso_name or "",
            lead_status=contact.lead_status,
            source=contact.source,
            first_touch=contact.first_touch,
            last_touch=contact.last_touch,
            activity=WHEN_RECEIVED if received_at and activity == received_at else activity,
            contacted=contact.last_contact_at,
            inbound=contact.last_inbound_at,
            aliases=tuple(sorted(known - current)),
        )
    return found


def name_of(contact: Contact | None, leads: dict[str, Lead]) -> str:
    if contact is None:
        return "nobody"
    workspaces = {told["phone_number_id"]: slug for slug, told in FIXTURES["workspaces"].items()}
    for name, lead in leads.items():
        same_person = (lead.phone, lead.user_id) == (contact.phone, contact.business_scoped_user_id)
        if same_person and workspaces[lead.number] == contact.workspace.slug:
            return name
    return f"unexpected {contact.workspace.slug} {contact.phone} {contact.business_scoped_user_id}"


def threads_here(leads: dict[str, Lead]) -> dict[str, Thread]:
    found = {}
    for thread in Conversation.objects.select_related("contact__workspace", "phone_number"):
        name = name_of(thread.contact, leads)
        assert name not in found
        assert thread.workspace_id == thread.contact.workspace_id == thread.phone_number.workspace_id
        found[name] = Thread(
            session=thread.kapso_conversation_id,
            status=thread.status,
            newest=thread.last_message_at,
            inbound=thread.last_inbound_at,
            handoff_at=thread.handoff_at,
            handoff_reason=thread.handoff_reason,
        )
    return found


def sessions_here(leads: dict[str, Lead]) -> dict[str, Session]:
    found = {}
    for session in KapsoSession.objects.select_related("conversation__contact__workspace", "phone_number"):
        thread = session.conversation
        found[session.kapso_conversation_id] = Session(
            number=session.phone_number.phone_number_id,
            thread=name_of(thread.contact, leads) if thread else None,
            status=session.status,
            phone=session.phone,
            user_id=session.user_id,
        )
    return found


def messages_here(leads: dict[str, Lead]) -> dict[str, Row]:
    found = {}
    for message in Message.objects.select_related("contact__workspace", "conversation", "phone_number"):
        name, wamid = name_of(message.contact, leads), message.kapso_message_id
        assert wamid not in found
        assert message.conversation is not None
        assert message.conversation.contact_id == message.contact_id
        assert message.conversation.phone_number_id == message.phone_number_id
        found[wamid] = Row(
            lead=name,
            content=message.content,
            sent=message.sent_at,
            direction=message.direction,
            type=message.message_type,
            status=message.status,
            origin=message.origin,
            delivered=message.delivered_at,
            read=message.read_at,
            failed=message.failed_at,
            error_code=message.error_code,
            error=message.error_message,
            reply_to=message.reply_to_kapso_id,
            target=message.target_kapso_id,
            media_url=message.media_url,
            transcript=message.transcript,
            referral=message.referral,
            edited=message.edited_at,
            revoked=message.revoked_at,
            before_edit=message.content_before_edit,
            payload=message.payload,
            wamid=wamid,
        )
    return found


def automation_here() -> Iterator[tuple[Any, ...]]:
    for event in AutomationEvent.objects.all():
        yield event.kind, event.kapso_conversation_id, event.execution_id, event.reason, event.at


def receipts_without_message() -> dict[str, dict[str, datetime]]:
    here = Message.objects.values("kapso_message_id")
    return {
        receipt.kapso_message_id: {
            word: when for word in WORDS if (when := getattr(receipt, f"{word}_at")) is not None
        }
        for receipt in MessageReceipt.objects.exclude(kapso_message_id__in=here)
    }


def told_rows(rows: Sequence[Row], files: Sequence[str]) -> Iterator[Row]:
    """The rows of a table entry with the WAMIDs and payloads of the messages in the files, in their order."""
    told: dict[str, Any] = {}
    if not any(not row.wamid for row in rows):
        return
    for name in files:
        for wamid, message in messages_in(json.loads(body_of(load(name)))):
            told.setdefault(wamid, message)
    fresh = iter(told.items())
    for row in rows:
        if row.wamid:
            yield row
            continue
        wamid, message = next(fresh)
        content = message.get(row.type, {})
        whole = {row.type: content} if isinstance(content, list) else content
        payload = row.payload if row.payload is not None else whole | row.adds
        yield replace(row, wamid=wamid, payload=payload, adds={})
    assert not list(fresh), "a message of the files is missing in the table"


def messages_in(told: Any) -> Iterator[tuple[str, Any]]:
    """(WAMID, message) in the order of the body. Statuses have no type."""
    if isinstance(told, list):
        for each in told:
            yield from messages_in(each)
    elif isinstance(told, dict):
        wamid = told.get("whatsapp_message_id") or told.get("id")
        if str(wamid).startswith("wamid.") and ("type" in told or "message_type" in told):
            yield str(wamid), told
        else:
            for each in told.values():
                yield from messages_in(each)
