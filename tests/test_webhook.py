"""The endpoint: what it accepts, stores and answers, and that nothing a sender does is an error of ours."""

from __future__ import annotations

import gzip
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

import contacts.sync
from contacts.events import MessageTold
from contacts.models import Contact, Conversation, KapsoSession, Message, PhoneNumber
from contacts.people import PeopleChanged
from kapso_sync.models import WebhookDelivery
from kapso_sync.replaying import replay_in_batches
from kapso_sync.views import receive_webhook
from tests.builders import (
    ANA,
    ANA_ID,
    BEA,
    LIMA,
    RECEIVED,
    SAOPAULO,
    UNKNOWN,
    Desk,
    Json,
    batch,
    contact_updated,
    media,
    message,
    meta,
    moment,
    reaction,
    sent,
    session_event,
    system_line,
)
from tests.conftest import Cast
from tests.kapso import Kapso, sign

LIMIT = 8 * 1024 * 1024
TOLD = json.dumps(message("a")).encode()
GOOD = sign(TOLD, "project-secret")


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


@pytest.fixture
def real_desk(transactional_db: None) -> Desk:
    """With transactions that really commit, so that a second connection sees them and can be in the way."""
    return Desk.open()


@contextmanager
def another_connection() -> Iterator[psycopg.Connection[Any]]:
    parameters = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    with psycopg.connect(**{name: parameters[name] for name in names if parameters.get(name)}) as other:
        yield other


def nothing_is_stored() -> bool:
    return not (WebhookDelivery.objects.exists() or Contact.objects.exists() or Message.objects.exists())


# Signatures


@pytest.mark.parametrize(
    "signature",
    [GOOD, GOOD.upper(), f"sha256={GOOD}", f"SHA256={GOOD.upper()}", f"  {GOOD} "],
    ids=["hex", "upper case", "prefix", "upper case prefix", "spaces"],
)
def test_a_good_signature_is_accepted(cast: Cast, kapso: Kapso, signature: str) -> None:
    answer = kapso.post(TOLD, event=RECEIVED, signature=signature)
    assert (answer.status, answer.json["status"]) == (200, "processed")
    assert answer.delivery.raw_body == TOLD


BAD = {
    "missing": "",
    "blank": " ",
    "not hex": "z" * 64,
    "63 characters": GOOD[:-1],
    "65 characters": GOOD + "0",
    "twice": GOOD * 2,
    "prefix alone": "sha256=",
    "two prefixes": f"sha256=sha256={GOOD}",
    "one character off": ("0" if GOOD[0] != "0" else "1") + GOOD[1:],
    "of another secret": sign(TOLD, "another-secret"),
    "of an empty secret": sign(TOLD, ""),
    "of another body": sign(TOLD + b" ", "project-secret"),
    "sha1": "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "full-width digits": "".join(chr(ord(c) + 0xFEE0) for c in GOOD).encode().decode("latin-1"),
    "latin letters": "é" * 64,
    "inner space": f"{GOOD[:32]} {GOOD[32:]}",
    "a list": f"{GOOD},{GOOD}",
}


@pytest.mark.parametrize("signature", BAD.values(), ids=BAD)
def test_a_bad_signature_is_refused_and_nothing_is_stored(desk: Desk, signature: str) -> None:
    answer = desk.post(TOLD, X_Webhook_Signature=signature)
    assert (answer.status, nothing_is_stored()) == (401, True)


def test_a_signature_in_latin_1_over_http_is_refused(cast: Cast, kapso: Kapso) -> None:
    answer = kapso.post(TOLD, event=RECEIVED, signature="é" * 64)
    assert (answer.status, WebhookDelivery.objects.count()) == (401, 0)


def test_one_changed_byte_is_refused(desk: Desk) -> None:
    answer = desk.post(TOLD.replace(b"Hola", b"Hole"), X_Webhook_Signature=GOOD)
    assert (answer.status, nothing_is_stored()) == (401, True)


@pytest.mark.parametrize(
    "raw",
    [
        json.dumps(message("a"), indent=3).encode(),
        json.dumps(message("a"), separators=(",", ":")).encode(),
        json.dumps(message("a"), sort_keys=True).encode(),
        json.dumps(message("a", text="¿Cuánto? 💙"), ensure_ascii=False).encode(),
        json.dumps(message("a", text="¿Cuánto? 💙")).encode(),
        b"\r\n " + TOLD + b"\n\n",
    ],
    ids=["indented", "compact", "sorted", "not ASCII", "escaped", "surrounded"],
)
def test_the_bytes_as_sent_are_what_is_signed(cast: Cast, kapso: Kapso, raw: bytes) -> None:
    answer = kapso.post(raw, event=RECEIVED)
    assert (answer.status, answer.json["status"], answer.delivery.raw_body) == (200, "processed", raw)


def test_invalid_json_with_a_bad_signature_is_refused(desk: Desk) -> None:
    assert (desk.post(b"{not json", secret="wrong").status, nothing_is_stored()) == (401, True)


def test_metas_own_signature_header_does_not_serve(desk: Desk) -> None:
    answer = desk.post(TOLD, X_Webhook_Signature="", X_Hub_Signature_256=f"sha256={GOOD}")
    assert (answer.status, nothing_is_stored()) == (401, True)


# Secrets


def test_a_numbers_own_secret_serves_it(desk: Desk) -> None:
    assert desk.post(TOLD, secret="lima-secret").json["status"] == "processed"


def test_either_secret_of_a_rotation_serves_and_a_removed_one_does_not(desk: Desk) -> None:
    number = desk.numbers[LIMA]
    number.webhook_secret = "old, new"
    number.save()
    assert [desk.post(TOLD, secret=secret).status for secret in ("old", "new", "old, new")] == [200, 200, 401]
    number.webhook_secret = "new"
    number.save()
    assert [desk.post(TOLD, secret=secret).status for secret in ("old", "new")] == [401, 200]


def test_either_project_wide_secret_serves(desk: Desk, settings: Any) -> None:
    settings.KAPSO_WEBHOOK_SECRETS = ["one", "two"]
    assert [desk.post(TOLD, secret=secret).status for secret in ("one", "two", "three")] == [200, 200, 401]


def test_without_any_secret_nothing_is_accepted(desk: Desk, settings: Any) -> None:
    settings.KAPSO_WEBHOOK_SECRETS = []
    PhoneNumber.objects.update(webhook_secret="")
    assert [desk.post(TOLD, secret=secret).status for secret in ("", "project-secret")] == [401, 401]


@pytest.mark.parametrize("secret", ["lima-secret", "saopaulo-secret"])
def test_the_secret_of_one_number_does_not_serve_another(desk: Desk, secret: str) -> None:
    other = SAOPAULO if secret == "lima-secret" else LIMA
    assert (desk.post(message("a", number=other), secret=secret).status, nothing_is_stored()) == (401, True)


def test_an_unknown_number_is_refused_like_a_bad_signature(desk: Desk) -> None:
    unknown = desk.post(message("a", number=UNKNOWN), secret="lima-secret")
    bad = desk.post(TOLD, secret="wrong")
    assert (unknown.status, unknown.text) == (bad.status, bad.text) == (401, bad.text)


def test_a_secret_serves_only_its_numbers_items(desk: Desk) -> None:
    body = batch(message("a"), message("b", number=SAOPAULO))
    answer = desk.post(body, secret="lima-secret")
    assert (answer.status, answer.json["status"]) == (200, "processed")
    assert set(Message.objects.values_list("kapso_message_id", flat=True)) == {"a"}
    assert f"number {SAOPAULO}, which the signing secret does not serve" in answer.delivery.error


def test_replaying_remembers_which_numbers_a_secret_served(desk: Desk) -> None:
    desk.post(batch(message("a"), message("b", number=SAOPAULO)), secret="lima-secret")
    replay_in_batches(WebhookDelivery.objects.all())
    assert Message.objects.count() == 1


@pytest.mark.parametrize(
    "change", [{"conversation": {"id": "s", "phone_number_id": LIMA}}, {"phone_number_id": SAOPAULO}]
)
def test_naming_two_numbers_in_one_message_does_not_get_around_a_secret(desk: Desk, change: Json) -> None:
    desk.post(message("a", number=SAOPAULO) | change, secret="lima-secret")
    assert not Message.objects.filter(phone_number__phone_number_id=SAOPAULO).exists()


def test_a_secret_that_serves_two_numbers_serves_both(desk: Desk) -> None:
    for number in desk.numbers.values():
        number.webhook_secret = "shared"
        number.save()
    desk.post(batch(message("a"), message("b", number=SAOPAULO)), secret="shared")
    assert Message.objects.count() == 2


def test_a_body_that_names_no_number_may_be_signed_with_any_secret(desk: Desk) -> None:
    body = {"event": "workflow.execution.handoff", "whatsapp_conversation_id": "s"}
    assert desk.post(body, "", secret="saopaulo-secret").status == 200
    assert desk.post(body, "", secret="wrong").status == 401


def test_a_secret_that_cannot_be_decrypted_asks_for_another_try(desk: Desk, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = ["another key"]
    answer = desk.post(TOLD, secret="lima-secret")
    assert (answer.status, nothing_is_stored()) == (503, True)
    assert desk.post(TOLD).status == 200, "a project-wide secret still serves"

    settings.ENCRYPTION_KEYS = []
    assert desk.post(TOLD, secret="lima-secret").status == 200


def test_a_rotated_encryption_key_still_opens_secrets(desk: Desk, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = ["first"]
    number = desk.numbers[LIMA]
    number.webhook_secret = "kept"
    number.save()
    settings.ENCRYPTION_KEYS = ["second", "first"]
    assert desk.post(TOLD, secret="kept").status == 200


def test_secrets_are_encrypted_in_the_database(desk: Desk) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT webhook_secret FROM contacts_phonenumber")
        stored = [row[0] for row in cursor.fetchall()]
    assert len(stored) == 2
    assert not any("secret" in secret for secret in stored)
    assert len(set(stored)) == 2


def test_headers_that_may_carry_secrets_are_not_stored(desk: Desk) -> None:
    hidden = {"Authorization": "Bearer t0p", "X_API_Key": "t0p", "X_Our_Token": "t0p", "Cookie": "a=t0p"}
    delivery = desk.post(TOLD, **hidden, User_Agent="Kapso/1").delivery
    assert "t0p" not in json.dumps(delivery.headers)
    assert delivery.headers["user-agent"] == "Kapso/1"


# Methods, headers, sizes


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options", "trace"])
def test_only_post_is_allowed(desk: Desk, method: str) -> None:
    response = getattr(desk.client, method)("/webhooks/kapso/", headers={"X-Webhook-Signature": GOOD})
    assert (response.status_code, nothing_is_stored()) == (405, True)


def test_no_csrf_token_is_needed(db: None) -> None:
    desk = Desk.open()
    desk.client = Client(enforce_csrf_checks=True)
    assert desk.post(TOLD).status == 200


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=utf-8",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "",
    ],
)
def test_the_body_is_judged_not_its_type(cast: Cast, kapso: Kapso, content_type: str) -> None:
    answer = kapso.post(TOLD, event=RECEIVED, Content_Type=content_type)
    assert (answer.status, answer.json["status"]) == (200, "processed")


@pytest.mark.parametrize(("length", "status"), [(0, 200), (LIMIT, 413)])
def test_a_body_in_chunks_is_read_to_its_end(db: None, length: int, status: int) -> None:
    body = TOLD + b" " * length
    headers = {"X-Webhook-Signature": sign(body, "project-secret"), "Transfer-Encoding": "chunked"}
    request = RequestFactory().generic("POST", "/webhooks/kapso/", b"", headers=headers)
    request.META["wsgi.input"] = BytesIO(body)  # as a server hands it out that has put the chunks together
    assert receive_webhook(request).status_code == status


def test_a_body_just_below_the_limit_is_accepted(cast: Cast, kapso: Kapso) -> None:
    raw = json.dumps(message("a", text="x" * (LIMIT - len(TOLD) - 10))).encode()
    answer = kapso.post(raw, event=RECEIVED)
    assert (answer.status, answer.json["status"]) == (200, "processed")
    assert len(Message.objects.get(kapso_message_id="a").content) > LIMIT - 2000


def test_a_body_above_the_limit_is_refused(desk: Desk) -> None:
    assert (desk.post(TOLD + b" " * LIMIT).status, nothing_is_stored()) == (413, True)


def test_a_compressed_body_is_stored_and_ignored(desk: Desk) -> None:
    answer = desk.post(gzip.compress(TOLD), Content_Encoding="gzip")
    assert (answer.status, answer.json["status"]) == (200, "ignored")


@pytest.mark.parametrize("value", ["x" * 5000, "ä\x80", "whatsapp.message.received\t", ",", "null"])
def test_headers_of_any_kind_are_stored(desk: Desk, value: str) -> None:
    told = {"X_Idempotency_Key": value, "X_Webhook_Event": value, "X_Webhook_Payload_Version": value}
    assert desk.post(TOLD, **told, X_Batch_Size=value).status == 200


# Bodies


HOSTILE = {
    "empty": (b"", "empty"),
    "blank": (b" \n", "empty"),
    "null": (b"null", "not a JSON object"),
    "number": (b"123", "not a JSON object"),
    "text": (b'"x"', "not a JSON object"),
    "true": (b"true", "not a JSON object"),
    "array": (b"[]", "not a JSON object"),
    "array of objects": (b'[{"message":{}}]', "not a JSON object"),
    "empty object": (b"{}", "an empty object"),
    "cut short": (TOLD[:-5], "not JSON"),
    "words": (b"hello", "not JSON"),
    "two objects": (TOLD + TOLD, "not JSON"),
    "not UTF-8": (b'{"a": "\xff\xfe"}', "not UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "byte order mark": (b"\xef\xbb\xbf" + TOLD, "byte order mark"),
    "NaN": (b'{"a": NaN}', "NaN"),
    "Infinity": (b'{"a": -Infinity}', "Infinity"),
    "duplicate keys": (b'{"a": 1, "a": 2}', "same key twice"),
    "50,000 deep": (b"[" * 50_000 + b"]" * 50_000, "deep"),
    "50,000 deep objects": (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "deep"),
    "huge integer": (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
    "NUL bytes": (b"\x00" * 10, "not JSON"),
}


NUMBERS = ["1e999", "-1e999", "1e-999", "0.1e308", "9" * 900, "-0", "1E400"]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_out_of_range_are_data(desk: Desk, number: str) -> None:
    body = message(
        "a",
        type="order",
        order={"n": "N"},
        referral={"n": "N"},
        timestamp="N",
        statuses=[],
        errors=[{"code": "N"}],
    )
    body["message"]["kapso"] |= {
        "statuses": [{"status": "x", "timestamp": "N", "errors": [{"code": "N", "n": "N"}]}]
    }
    body["conversation"] |= {"updated_at": "N", "phone_number": "N"}
    raw = json.dumps(body).replace('"N"', number).encode()
    for direction in (b"inbound", b"outbound"):
        answer = desk.post(raw.replace(b"inbound", direction).replace(b'"a"', b'"%s"' % direction))
        assert (answer.status, answer.json["status"]) == (200, "processed"), answer.delivery.error


@pytest.mark.parametrize(("raw", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_a_body_that_cannot_be_used_is_stored_and_ignored(desk: Desk, raw: bytes, reason: str) -> None:
    answer = desk.post(raw)
    delivery = answer.delivery
    assert (answer.status, answer.json["status"], delivery.status) == (200, "ignored", "ignored")
    assert reason in delivery.error
    assert delivery.raw_body == raw


@pytest.mark.parametrize("name", ["empty", "50,000 deep", "not UTF-8", "array"])
def test_such_a_body_is_ignored_over_http_too(cast: Cast, kapso: Kapso, name: str) -> None:
    answer = kapso.post(HOSTILE[name][0], event=RECEIVED)
    assert (answer.status, answer.json["status"]) == (200, "ignored")


@pytest.mark.parametrize(
    ("sent_text", "kept"),
    [
        ("a\x00b", "a\ufffdb"),
        ("a\ud83db", "a\ufffdb"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("=1+1", "=1+1"),
        ("   ", "   "),
        ("\u202egnp.exe", "\u202egnp.exe"),
        ("💙" * 5000, "💙" * 5000),
        ("'; DROP TABLE contacts_message; --", "'; DROP TABLE contacts_message; --"),
        ("%s %(x)s {0} \\u0000", "%s %(x)s {0} \\u0000"),
    ],
)
def test_hostile_text_is_data(desk: Desk, sent_text: str, kept: str) -> None:
    raw = json.dumps(message("a", text=sent_text)).encode()
    assert desk.post(raw).delivery.raw_body == raw
    assert desk.row("a").content == kept


@pytest.mark.parametrize("key", ["\x00", "\ud800", "a\x00b"])
def test_hostile_keys_are_data(desk: Desk, key: str) -> None:
    body = message("a", type="interactive", interactive={key: key, "type": key, "list": [{key: key}]})
    body[key] = body["conversation"][key] = body["message"]["kapso"][key] = key
    desk.told(body)


WRONG: list[Any] = [None, True, 1, 1.5, "", "x", [], [None], {}, {"a": {}}]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_wrong_types_anywhere_are_no_error(desk: Desk, wrong: Any) -> None:
    bodies: list[Json] = []
    for path in PATHS:
        body = json.loads(
            json.dumps(message("a", name="Ana", statuses=[{"status": "sent"}], context={"id": "x"}))
        )
        part = body
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = wrong
        bodies.append(body)
    answers = [desk.post(body) for body in bodies]
    assert {answer.status for answer in answers} == {200}
    assert "failed" not in {answer.json["status"] for answer in answers}


PATHS: list[tuple[Any, ...]] = [
    ("message",), ("conversation",), ("phone_number_id",), ("message", "id"), ("message", "timestamp"),
    ("message", "type"), ("message", "text"), ("message", "text", "body"), ("message", "from"),
    ("message", "kapso"), ("message", "kapso", "direction"), ("message", "kapso", "status"),
    ("message", "kapso", "origin"), ("message", "kapso", "statuses"), ("message", "kapso", "statuses", 0),
    ("message", "context"), ("message", "context", "id"), ("conversation", "id"), ("conversation", "status"),
    ("conversation", "phone_number_id"), ("conversation", "kapso"), ("conversation", "kapso", "contact_name"),
]  # fmt: skip


# Routing


@pytest.mark.parametrize("number", [int(LIMA), LIMA])
def test_a_number_may_be_text_or_integer(desk: Desk, number: Any) -> None:
    desk.told(message("a") | {"phone_number_id": number})


@pytest.mark.parametrize("number", [[LIMA], {"id": LIMA}, None, True, "", "x", 1.5, " " + LIMA])
def test_the_conversations_number_serves_where_the_other_is_unusable(desk: Desk, number: Any) -> None:
    desk.told(message("a") | {"phone_number_id": number})


@pytest.mark.parametrize("number", [[LIMA], {"id": LIMA}, None, True, "", "x", 1.5, "9" * 65])
def test_without_a_usable_number_it_is_unroutable(desk: Desk, number: Any) -> None:
    body = message("a") | {"phone_number_id": number}
    del body["conversation"]["phone_number_id"]
    assert desk.post(body).json["status"] == "unroutable"
    assert not Message.objects.exists()


def test_an_inactive_number_ignores(desk: Desk) -> None:
    PhoneNumber.objects.filter(phone_number_id=LIMA).update(is_active=False)
    answer = desk.post(TOLD, secret="lima-secret")
    assert (answer.status, answer.json["status"], Message.objects.count()) == (200, "ignored", 0)
    assert "inactive" in answer.delivery.error


def test_an_unknown_number_is_unroutable_until_it_is_registered(desk: Desk) -> None:
    delivery = desk.post(message("a", number=UNKNOWN)).delivery
    assert (delivery.status, delivery.workspace, UNKNOWN in delivery.error) == ("unroutable", None, True)
    workspace = desk.numbers[LIMA].workspace
    PhoneNumber.objects.create(workspace=workspace, phone_number_id=UNKNOWN)

    replay_in_batches(WebhookDelivery.objects.filter(status="unroutable"))
    delivery.refresh_from_db()
    assert (delivery.status, delivery.workspace, delivery.error) == ("processed", workspace, "")
    assert desk.row("a").contact == desk.only_lead


@pytest.mark.parametrize(
    "event", ["whatsapp.message.edited", "whatsapp.something.new", "account.updated", "contact.created"]
)
def test_an_event_that_is_not_known_is_ignored_with_its_name(desk: Desk, event: str) -> None:
    answer = desk.post(TOLD, event)
    assert (answer.status, answer.json["status"], Message.objects.count()) == (200, "ignored", 0)
    assert (answer.delivery.event, event in answer.delivery.error) == (event, True)


@pytest.mark.parametrize(
    ("body", "direction", "event"),
    [
        (message("a"), "inbound", RECEIVED),
        (message("a") | {"event": RECEIVED}, "inbound", RECEIVED),
        (message("a") | {"type": RECEIVED}, "inbound", RECEIVED),
        (sent("a"), "outbound", "whatsapp.message.sent"),
    ],
)
def test_without_the_header_the_body_tells_the_event(
    desk: Desk, body: Json, direction: str, event: str
) -> None:
    delivery = desk.post(body, "").delivery
    assert (delivery.status, delivery.event, desk.row("a").direction) == ("processed", event, direction)


@pytest.mark.parametrize(
    ("told", "event", "direction"),
    [
        ("outbound", RECEIVED, "outbound"),
        ("inbound", "whatsapp.message.sent", "inbound"),
        (None, RECEIVED, "inbound"),
        (None, "whatsapp.message.delivered", "outbound"),
    ],
)
def test_the_body_says_what_a_message_is(desk: Desk, told: str | None, event: str, direction: str) -> None:
    body = message("a", to=ANA)
    body["message"]["kapso"]["direction"] = told
    desk.post(body, event)
    assert (desk.row("a").direction, desk.row("a").contact) == (direction, desk.lead())


def test_a_body_of_neither_message_nor_conversation_is_ignored(desk: Desk) -> None:
    assert desk.post({"phone_number_id": LIMA, "hello": 1}, "").json["status"] == "ignored"


def test_a_handoff_finds_its_thread_by_the_session(desk: Desk) -> None:
    desk.told(message("a", session="s"))
    body = {
        "event": "workflow.execution.handoff",
        "workflow_execution_id": "x",
        "occurred_at": moment(30).isoformat(),
        "whatsapp_conversation_id": "s",
        "handoff": {"reason": "Wants a person"},
    }
    assert desk.post(body, "").json["status"] == "processed"
    thread = Conversation.objects.get()
    assert (thread.handoff_at, thread.handoff_reason) == (moment(30), "Wants a person")


def test_a_handoff_waits_for_its_thread(desk: Desk) -> None:
    body = {"event": "workflow.execution.handoff", "occurred_at": moment(30).isoformat()}
    assert desk.post(body | {"whatsapp_conversation_id": "s"}, "").json["status"] == "ignored"
    desk.told(message("a", session="s"))
    assert Conversation.objects.get().handoff_at == moment(30)


def handoff(**changes: Any) -> Json:
    told = {
        "event": "workflow.execution.handoff",
        "workflow_execution_id": "x",
        "whatsapp_conversation_id": "s",
    }
    return told | {"occurred_at": moment(30).isoformat()} | changes


def test_a_handoff_told_by_somebody_else_first_does_not_suppress_the_true_one(desk: Desk) -> None:
    desk.told(message("a", session="s"))
    desk.post(handoff(), "", secret="saopaulo-secret")
    assert Conversation.objects.get().handoff_at is None
    desk.post(handoff(), "", secret="lima-secret")
    assert Conversation.objects.get().handoff_at == moment(30)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=str)
def test_a_handoff_told_twice_has_one_result_in_either_order(desk: Desk, order: tuple[int, int]) -> None:
    desk.told(message("a", session="s"))
    told = (handoff(), handoff(occurred_at=moment(40).isoformat(), handoff={"reason": "Wants a person"}))
    for index in order:
        desk.post(told[index], "")
    thread = Conversation.objects.get()
    assert (thread.handoff_at, thread.handoff_reason) == (moment(40), "Wants a person")


@pytest.mark.parametrize(
    "event", ["workflow.execution.started", "workflow.execution.completed", "workflow.handoff"]
)
def test_other_workflow_events_are_no_handoff(desk: Desk, event: str) -> None:
    desk.told(message("a", session="s"))
    assert desk.post({"event": event, "whatsapp_conversation_id": "s"}, "").json["status"] == "ignored"
    assert Conversation.objects.get().handoff_at is None


def test_a_handoff_signed_for_one_number_does_not_flag_anothers_thread(desk: Desk) -> None:
    desk.told(message("a", session="s", number=SAOPAULO))
    body = {"event": "workflow.execution.handoff", "whatsapp_conversation_id": "s"}
    desk.post(body, "", secret="lima-secret")
    assert Conversation.objects.get().handoff_at is None


@pytest.mark.parametrize(
    ("event", "connected"),
    [
        ("whatsapp.phone_number.created", True),
        ("whatsapp.config.created", True),
        ("whatsapp.phone_number.deleted", False),
    ],
)
def test_a_numbers_coming_and_going_is_noted(desk: Desk, event: str, connected: bool) -> None:
    assert desk.post({"phone_number_id": LIMA, "project": {"id": "p"}}, event).json["status"] == "processed"
    assert PhoneNumber.objects.get(phone_number_id=LIMA).is_connected is connected
    assert desk.post({"phone_number_id": UNKNOWN}, event).json["status"] == "unroutable"


CONTACT_UPDATED = [
    {name: "contact.updated", "phone_number_id": LIMA, part: {phone: ANA} | called}
    for name in ("type", "event_type")
    for part in ("contact", "data")
    for phone in ("phone_number", "wa_id")
    for called in ({"display_name": "Ana"}, {"profile": {"name": "Ana"}})
]


@pytest.mark.parametrize("body", CONTACT_UPDATED)
def test_contact_updated_in_each_of_its_shapes(desk: Desk, body: Json) -> None:
    desk.told(message("a", name="A."))
    assert desk.post(body, "").json["status"] == "processed"
    assert (desk.lead().kapso_name, desk.lead().name) == ("Ana", "A.")


@pytest.mark.parametrize(
    "body",
    [
        contact_updated(ANA, ""),
        contact_updated(ANA, "  "),
        contact_updated("", "Ana"),
        contact_updated("Ana", "Ana"),
    ],
)
def test_contact_updated_without_a_phone_or_a_name_is_ignored(desk: Desk, body: Json) -> None:
    desk.told(message("a", name="A."))
    assert desk.post(body, "").json["status"] == "ignored"
    assert desk.lead().kapso_name == "A."


def test_contact_updated_for_somebody_unknown_creates_nothing(desk: Desk) -> None:
    delivery = desk.post(contact_updated(ANA, "Ana"), "").delivery
    assert (delivery.status, Contact.objects.count()) == ("ignored", 0)
    assert "once they have written" in delivery.error


def test_v1_is_parsed(desk: Desk) -> None:
    told = {
        "id": "5a8e", "whatsapp_message_id": "a", "message_type": "text", "content": "Hola", "direction": "inbound",
        "status": "received", "timestamp": str(1781000000), "conversation_phone_number": "+" + ANA, "contact_name": "Ana",
    }  # fmt: skip
    body = {"message": told, "conversation": {"id": "s"}, "whatsapp_config": {"phone_number_id": LIMA}}
    desk.told(body)
    assert (desk.row("a").content, desk.lead().kapso_name) == ("Hola", "Ana")


@pytest.mark.parametrize("version", ["v3", "", "2", "v1"])
def test_any_payload_version_is_no_error(desk: Desk, version: str) -> None:
    assert desk.post(TOLD, X_Webhook_Payload_Version=version).json["status"] == "processed"


# Errors of ours


def test_a_sync_that_raises_is_kept_as_failed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts.sync, "refresh", fail)
    answer = desk.post(TOLD)
    delivery = answer.delivery
    assert (answer.status, answer.json["status"], delivery.raw_body) == (200, "failed", TOLD)
    assert "Traceback" in delivery.error
    assert "RuntimeError: a mistake of ours" in delivery.error
    assert (Contact.objects.count(), Message.objects.count(), Conversation.objects.count()) == (0, 0, 0)


def fail(*_: Any, **__: Any) -> None:
    raise RuntimeError("a mistake of ours")


@pytest.mark.parametrize("text", ["NUL \x00", "a lone surrogate \ud83d", "x" * 100_000, "%s {0}"], ids=repr)
def test_an_error_with_any_text_is_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    def fail_with_text(*_: Any, **__: Any) -> None:
        raise ValueError(text)

    monkeypatch.setattr(contacts.sync, "refresh", fail_with_text)
    answer = desk.post(TOLD)
    assert (answer.status, answer.json["status"]) == (200, "failed")
    assert "ValueError" in answer.delivery.error


def test_a_format_that_raises_is_stored_all_the_same(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kapso_sync.formats.normalise", fail)
    answer = desk.post(TOLD)
    assert (answer.status, answer.json["status"], answer.delivery.raw_body) == (200, "failed", TOLD)


@pytest.mark.parametrize("bumps", range(6))
def test_a_batch_that_is_in_the_way_of_others_again_and_again_is_stored(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, bumps: int
) -> None:
    """Deadlocks, and then the news that people changed: however many tries that takes."""
    apply, tries = contacts.sync.apply, iter(range(99))

    def bump(told: Any, **options: Any) -> Any:
        attempt = next(tries)
        if attempt < bumps:
            raise OperationalError("deadlock") from psycopg.errors.DeadlockDetected()
        if attempt == bumps:
            raise PeopleChanged
        return apply(told, **options)

    monkeypatch.setattr(contacts.sync, "apply", bump)
    answer = desk.post(TOLD)
    assert answer.status == 200
    assert answer.delivery.status in ("processed", "failed")


def test_a_failed_delivery_is_processed_after_the_fix(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts.sync, "refresh", fail)
    delivery = desk.post(TOLD).delivery
    monkeypatch.undo()
    replay_in_batches(WebhookDelivery.objects.filter(status="failed"))
    delivery.refresh_from_db()
    assert (delivery.status, delivery.error, delivery.attempts) == ("processed", "", 2)
    assert desk.row("a").contact == desk.only_lead


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A message that the CRM cannot take, whatever comes with it."""

    def put(wamid: str) -> None:
        apply = contacts.sync.apply

        def poisoned(told: Any, **options: Any) -> Any:
            if any(isinstance(event, MessageTold) and event.wamid == wamid for _, event in told):
                raise ValueError("poison")
            return apply(told, **options)

        monkeypatch.setattr(contacts.sync, "apply", poisoned)

    return put


@pytest.mark.parametrize("position", range(8))
def test_a_poisoned_item_does_not_take_the_others_with_it(
    desk: Desk, poison: Callable[[str], None], position: int
) -> None:
    poison(f"m{position}")
    answer = desk.post(
        batch(*(message(f"m{index}", index, phone=f"5191111000{index // 2}") for index in range(8)))
    )
    assert (answer.status, answer.json["status"]) == (200, "failed")
    assert "ValueError: poison" in answer.delivery.error
    applied = set(Message.objects.values_list("kapso_message_id", flat=True))
    assert applied == {f"m{index}" for index in range(8)} - {f"m{position}"}


def test_a_lead_typed_in_with_somebodys_former_number_stops_no_batch(real_desk: Desk) -> None:
    real_desk.told(message("a", 0))
    real_desk.told(system_line("line", 10, ANA, type="user_changed_number", wa_id="51922220001"))
    Contact.objects.create(workspace=real_desk.numbers[LIMA].workspace, phone=ANA)
    real_desk.told(batch(message("b", 100), message("other", 101, phone=BEA)))
    assert real_desk.row("other").contact == real_desk.lead(BEA)


def test_an_item_that_breaks_a_rule_at_commit_does_not_take_the_others_with_it(
    real_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Constraints that are checked at COMMIT are not seen by a savepoint."""
    apply, workspace = contacts.sync.apply, real_desk.numbers[LIMA].workspace

    def twice_the_same_phone(told: Any, **options: Any) -> Any:
        if any(isinstance(event, MessageTold) and event.wamid == "bad" for _, event in told):
            Contact.objects.bulk_create(Contact(workspace=workspace, phone="51944440001") for _ in range(2))
        return apply(told, **options)

    monkeypatch.setattr(contacts.sync, "apply", twice_the_same_phone)
    answer = real_desk.post(batch(message("good", 0), message("bad", 1), message("better", 2, phone=BEA)))
    assert (answer.status, answer.json["status"]) == (200, "failed")
    assert "contact_phone" in answer.delivery.error
    assert set(Message.objects.values_list("kapso_message_id", flat=True)) == {"good", "better"}


def test_a_copy_that_waits_for_the_first_gives_up_in_time(real_desk: Desk) -> None:
    """The first is still being stored by somebody else, and takes its time."""
    delivery = real_desk.post(TOLD, key="k").delivery
    with another_connection() as other:
        other.execute("SELECT 1 FROM kapso_sync_webhookdelivery WHERE id = %s FOR UPDATE", [delivery.pk])
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '300ms'")
        begun = time.monotonic()
        answer = real_desk.post(TOLD, key="k")
        took = time.monotonic() - begun
        other.rollback()
    connection.close()
    assert answer.status == 503, "it could not be stored: Kapso is to send it again"
    assert took < 0.6, "it waited for the lock more than once"


def test_a_lock_held_too_long_is_given_up_and_stored(real_desk: Desk) -> None:
    real_desk.told(message("a"))
    with another_connection() as other:
        other.execute("SELECT 1 FROM contacts_identity FOR UPDATE")
        begun = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '300ms'")
        answer = real_desk.post(message("b", 5))
        took = time.monotonic() - begun
        other.rollback()
    assert (answer.status, answer.json["status"], Message.objects.count()) == (200, "failed", 1)
    assert "lock timeout" in answer.delivery.error
    assert took < 0.8, "it waited for the lock more than once"

    replay_in_batches(WebhookDelivery.objects.filter(status="failed"))
    assert Message.objects.count() == 2
    connection.close()


def test_the_webhook_waits_three_seconds_for_a_lock(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("3s",)


@pytest.mark.parametrize("where", ["_ask_for_numbers", "sync.receive"])
def test_a_database_that_is_down_acknowledges_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def down(*_: Any) -> None:
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(f"kapso_sync.arrivals.{where}", down)
    assert desk.post(TOLD, key="k").status == 503
    monkeypatch.undo()
    assert nothing_is_stored()
    assert desk.post(TOLD, key="k").json["status"] == "processed"


def test_a_connection_that_postgresql_ended_is_made_anew(real_desk: Desk) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    with another_connection() as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    for _ in range(2):
        assert real_desk.post(TOLD, key="k").json["status"] == "processed"
    assert WebhookDelivery.objects.get().duplicates == 1


def test_a_worker_killed_midway_leaves_nothing(real_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    monkeypatch.setattr(contacts.sync, "refresh", die)
    with pytest.raises(Killed):
        real_desk.post(TOLD, key="k")
    monkeypatch.undo()
    assert nothing_is_stored()
    assert real_desk.post(TOLD, key="k").json["status"] == "processed"


# Logs


def test_a_message_is_one_line_without_its_words(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    inbound = desk.post(
        message("w-in", 0, text="very private", name="Ana Torres", user_id=ANA_ID, username="anat")
    )
    desk.post(sent("w-out", 5, text="very private", name="Ana Torres"), "whatsapp.message.sent")
    lines = [
        record.getMessage() for record in caplog.records if record.name.startswith(("kapso_sync", "contacts"))
    ]
    assert len(lines) == 2
    assert "inbound" in lines[0]
    assert "kapso_id=w-in" in lines[0]
    assert f"delivery={inbound.json['delivery']}" in lines[0]
    assert "outbound" in lines[1]
    for private in ("very private", "Ana", "anat", ANA, ANA_ID):
        assert private not in caplog.text


@pytest.mark.parametrize("how", ["refused", "failed", "unroutable", "merged"])
def test_no_other_line_has_private_words_either(
    desk: Desk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    caplog.set_level(logging.INFO)
    body = message("a", 5, text="very private", name="Ana Torres", user_id=ANA_ID)
    if how == "failed":
        monkeypatch.setattr(contacts.sync, "refresh", fail)
    if how == "merged":
        desk.told(message("b", 0), message("c", 0, phone=None, user_id=ANA_ID))
    if how == "unroutable":
        body = message("a", number=UNKNOWN, text="very private", name="Ana Torres")
    desk.post(body, secret="wrong" if how == "refused" else "project-secret")
    for private in ("very private", "Torres", ANA, ANA_ID, "project-secret", "lima-secret"):
        assert private not in caplog.text


# How many statements a webhook takes


def statements(desk: Desk, body: Json, event: str = RECEIVED) -> list[str]:
    """The first words of the SQL of one request, counted by Django's own log in the process that serves it.

    In a real transaction that log has BEGIN and COMMIT as well. It does not know the text of prepared statements.
    """
    with CaptureQueriesContext(connection) as captured:
        answer = desk.post(body, event)
    assert answer.json["status"] == "processed"
    return [(query["sql"] or "PREPARED").split(maxsplit=1)[0] for query in captured.captured_queries]


def test_one_message_takes_at_most_eight_statements(real_desk: Desk) -> None:
    new = statements(real_desk, message("a", user_id=ANA_ID, name="Ana"))
    known = statements(real_desk, message("b", 5, user_id=ANA_ID, name="Anita"))
    by_phone = statements(real_desk, message("c", 6))
    by_id = statements(real_desk, message("d", 7, phone=None, user_id=ANA_ID))
    answer = statements(real_desk, sent("e", 8), "whatsapp.message.sent")
    receipt = statements(real_desk, sent("e", 8), "whatsapp.message.read")
    every = (new, known, by_phone, by_id, answer, receipt)
    assert (new[1], new[-1]) == ("BEGIN", "COMMIT"), "transaction control is counted"
    assert max(map(len, every)) <= 8, every


def test_learning_a_user_id_takes_a_fixed_number_more(real_desk: Desk) -> None:
    """It changes who is who: the batch is applied again, alone, and people are derived anew."""
    phones = [f"519222200{index:02}" for index in range(20)]
    real_desk.told(batch(*(message(f"{phone}-a", 0, phone=phone) for phone in phones)))
    told = [message(f"{phone}-b", 5, phone=phone, user_id=f"PE.{phone}") for phone in phones]
    assert len(statements(real_desk, batch(*told[1:]))) == len(statements(real_desk, told[0])) <= 25


def test_a_hundred_messages_of_ten_people_take_as_many_statements_as_one(real_desk: Desk) -> None:
    one = statements(real_desk, message("a", user_id=ANA_ID, name="Ana"))
    people = [(f"519222200{index:02}", f"PE.{index}") for index in range(10)]
    items = [
        message(
            f"m{index}",
            index,
            phone=people[index % 10][0],
            user_id=people[index % 10][1],
            name=f"Name {index}",
        )
        for index in range(100)
    ]
    assert statements(real_desk, batch(*items)) == one
    assert (Message.objects.count(), Contact.objects.count()) == (101, 11)


def test_edits_take_one_statement_more_however_many_they_are(real_desk: Desk) -> None:
    def edit(number: int) -> Json:
        told = {"original_message_id": f"m{number}", "message": {"type": "text", "text": {"body": "edited"}}}
        return message(f"e{number}", 20 + number, type="edit", edit=told)

    real_desk.told(*(message(f"m{number}", number) for number in range(11)))
    plain = statements(real_desk, message("a", 15))
    one, ten = (statements(real_desk, batch(*map(edit, some))) for some in (range(1), range(1, 11)))
    assert len(one) == len(ten) == len(plain) + 1
    assert Message.objects.filter(kapso_message_id__startswith="m", content="edited").count() == 11


# What an inbound message becomes


def test_a_first_message_makes_everything_at_once(desk: Desk) -> None:
    desk.told(message("a", 5, name="Ana", session="s"))
    lead, thread, row = desk.only_lead, Conversation.objects.get(), desk.row("a")
    assert (lead.lead_status, lead.source, lead.phone, lead.kapso_name) == ("new", "whatsapp", ANA, "Ana")
    assert (thread.contact, thread.kapso_conversation_id, thread.status) == (lead, "s", "active")
    assert (row.contact, row.conversation, row.status, row.content) == (lead, thread, "received", "Hola")


@pytest.mark.parametrize(
    ("changes", "content"),
    [
        (media("image", caption="Mira", content="Mira Image attached (1 MB) https://x"), "Mira"),
        (media("image", content="Image attached (1 MB) https://x"), "Photo"),
        (media("video", content="https://x"), "Video"),
        (media("document", filename="../../etc/passwd\n", content="https://x"), "passwd"),
        (media("audio", voice=True, content="https://x"), "Voice message"),
        (media("sticker", content="https://x"), "Sticker"),
        (media("image", caption="Mira", has_media=False, content="https://x"), "Mira"),
        (media("location", latitude=-12.05, longitude=-77.04, has_media=False), "-12.05, -77.04"),
        (media("location", name="Plaza", latitude=1, longitude=2, has_media=False), "Plaza"),
        (media("poll", has_media=False, content="Which one?"), "Which one?"),
        (media("hologram", content="https://x"), "[hologram]"),
        (media("button", text="Sí", payload="yes", has_media=False), "Sí"),
        (media("interactive", type="button_reply", button_reply={"title": "Sí"}, has_media=False), "Sí"),
        (media("interactive", type="list_reply", list_reply={"title": "M"}, has_media=False), "M"),
        ({"text": {"body": 17}}, "[text]"),
        ({"text": ["Hola"]}, "[text]"),
        ({"type": "unsupported", "text": None, "errors": [{"code": 131051}]}, "Unsupported message"),
        ({"type": "contacts", "text": None, "contacts": [{"name": {"formatted_name": "Luz"}}]}, "Luz"),
        ({"type": "order", "text": None, "order": {}}, "Order"),
    ],
)
def test_any_type_has_readable_text(desk: Desk, changes: Json, content: str) -> None:
    desk.told(message("a", **changes))
    row = desk.row("a")
    assert (row.content, row.contact) == (content, desk.lead())


def test_a_text_that_says_to_have_media_survives(desk: Desk) -> None:
    body = message("a")
    body["message"]["kapso"] |= {"has_media": True, "content": "Hola https://x"}
    desk.told(body)
    assert desk.row("a").content == "Hola"


@pytest.mark.parametrize(
    "url", [None, 17, "http://localhost/x", "https://app.kapso.ai/x", "javascript:alert(1)", "x" * 5000]
)
def test_a_media_address_of_any_kind_loses_no_message(desk: Desk, url: Any) -> None:
    changes = media("image", caption="Mira")
    changes["kapso"]["media_url"] = url
    desk.told(message("a", **changes))
    assert desk.row("a").content == "Mira"


def test_a_transcript_may_come_later(desk: Desk) -> None:
    changes = media("audio", voice=True)
    desk.told(message("a", **changes))
    changes["kapso"]["transcript"] = {"text": "quiero dos"}
    desk.told(message("a", **changes))
    assert (desk.row("a").transcript, desk.row("a").content) == ("quiero dos", "Voice message")


def test_answers_to_a_form_are_kept(desk: Desk) -> None:
    reply = {"name": "order", "body": "Sent", "response_json": '{"size": "M"}'}
    desk.told(message("a", **media("interactive", type="nfm_reply", nfm_reply=reply, has_media=False)))
    assert (desk.row("a").content, desk.row("a").payload["response"]) == ("Form: order", {"size": "M"})


def test_a_text_whose_status_is_reaction_is_a_text(desk: Desk) -> None:
    body = message("a")
    body["message"]["kapso"]["status"] = "reaction"
    desk.told(body)
    assert (desk.row("a").message_type, desk.lead().last_inbound_at) == ("text", moment(0))


@pytest.mark.parametrize(
    ("context", "reply_to"),
    [
        ({"id": "known"}, "known"),
        ({"id": "unknown"}, "unknown"),
        ({"id": "a"}, "a"),
        ({"id": ""}, ""),
        (None, ""),
        ("x", ""),
    ],
)
def test_what_a_message_replies_to_is_kept(desk: Desk, context: Any, reply_to: str) -> None:
    desk.told(sent("known", 0), message("a", 5, context=context))
    assert desk.row("a").reply_to_kapso_id == reply_to


@pytest.mark.parametrize("emoji", ["", None])
def test_a_reaction_changes_one_slot_and_is_no_text_of_kapsos(desk: Desk, emoji: str | None) -> None:
    body = reaction("r1", 5, "out", "👍")
    body["message"]["kapso"]["content"] = "Reacted 👍 to: Hola"
    desk.told(sent("out", 0), body, body, reaction("r2", 6, "out", "❤️"), reaction("r3", 7, "out", emoji))
    rows = Message.objects.filter(target_kapso_id="out").order_by("sent_at")
    assert [row.message_type for row in rows] == ["reaction"] * 3
    assert not any("Hola" in row.content for row in rows)


def test_a_reaction_of_somebody_new_makes_their_lead(desk: Desk) -> None:
    desk.told(reaction("r1", 5, "unknown", "👍"))
    assert (desk.row("r1").contact, desk.lead().last_inbound_at) == (desk.only_lead, None)


AD = {"source_type": "ad", "source_id": "77", "headline": "Oferta", "ctwa_clid": "c"}


@pytest.mark.parametrize("late", [False, True])
def test_the_first_ad_is_the_first_touch_in_any_order(desk: Desk, late: bool) -> None:
    told = [message("a", 0, referral=AD), message("b", 5, referral=AD | {"source_id": "88"}), message("c", 9)]
    desk.told(*(told[::-1] if late else told))
    lead = desk.lead()
    assert lead.first_touch is not None
    assert lead.last_touch is not None
    assert (lead.first_touch["source_id"], lead.last_touch["source_id"]) == ("77", "88")
    assert lead.source == "Oferta (ad 77)"


def test_an_outbound_link_attributes_nothing(desk: Desk) -> None:
    desk.told(sent("a", 0, referral=AD))
    assert (desk.lead().source, desk.lead().first_touch) == ("whatsapp", None)


def test_imported_history_is_silent(desk: Desk) -> None:
    desk.told(message("now", 50))
    lead = desk.lead()
    Contact.objects.update(lead_status="qualified")
    desk.told(message("then", -5000, origin="history_sync"))
    lead.refresh_from_db()
    assert (lead.lead_status, lead.last_activity_at, desk.row("then").origin) == (
        "qualified",
        moment(50),
        "history_sync",
    )


@pytest.mark.parametrize("status", ["archived", "converted"])
def test_writing_again_changes_no_status(desk: Desk, status: str) -> None:
    desk.told(message("a"))
    Contact.objects.update(lead_status=status)
    desk.told(message("b", 50))
    assert (desk.lead().lead_status, desk.lead().last_inbound_at) == (status, moment(50))


@pytest.mark.parametrize("hint", [True, False, None, "x"])
def test_is_new_conversation_is_no_more_than_a_hint(desk: Desk, hint: Any) -> None:
    desk.told(message("a") | {"is_new_conversation": hint}, message("b", 5) | {"is_new_conversation": hint})
    assert (Conversation.objects.count(), Contact.objects.count()) == (1, 1)


# Conversations


def kinds(kind: str) -> str:
    return f"whatsapp.conversation.{kind}"


def test_a_session_without_a_message_is_kept_without_a_lead(desk: Desk) -> None:
    assert desk.post(session_event("s", 0, status="active"), kinds("created")).json["status"] == "processed"
    assert (Contact.objects.count(), Conversation.objects.count()) == (0, 0)
    assert KapsoSession.objects.get().conversation is None


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0)], ids=str)
def test_a_session_leads_to_its_thread_whichever_comes_first(desk: Desk, order: tuple[int, ...]) -> None:
    for index in order:
        body = message("a", 5, session="s") if index else session_event("s", 0, status="active")
        desk.post(body, RECEIVED if index else kinds("created"))
    assert KapsoSession.objects.get().conversation == Conversation.objects.get()
    assert Conversation.objects.get().kapso_conversation_id == "s"


def test_sessions_rotate_and_the_thread_stays(desk: Desk) -> None:
    desk.told(message("a", 0, session="s1"), message("b", 50, session="s2"), message("c", 20, session="s1"))
    thread = Conversation.objects.get()
    assert thread.kapso_conversation_id == "s2"
    assert set(thread.sessions.values_list("kapso_conversation_id", flat=True)) == {"s1", "s2"}
    assert thread.messages.count() == 3


def test_an_end_before_its_beginning(desk: Desk) -> None:
    desk.post(session_event("s", 50, status="ended"), kinds("ended"))
    desk.post(session_event("s", 0, status="active"), kinds("created"))
    desk.told(message("a", 5, session="s"))
    session = KapsoSession.objects.get()
    assert (session.status, session.ended_at, Conversation.objects.get().status) == (
        "ended",
        moment(50),
        "ended",
    )


def test_the_event_tells_the_status_where_the_body_does_not(desk: Desk) -> None:
    desk.post(session_event("s", 50), kinds("ended"))
    assert KapsoSession.objects.get().status == "ended"


def test_a_message_after_the_end_makes_it_active_again(desk: Desk) -> None:
    desk.told(message("a", 0, session="s"))
    desk.post(session_event("s", 50, status="ended"), kinds("ended"))
    assert Conversation.objects.get().status == "ended"
    desk.told(message("b", 60, session="s"))
    assert Conversation.objects.get().status == "active"


def test_ended_twice_keeps_the_first_time(desk: Desk) -> None:
    for at in (70, 50, 60):
        desk.post(session_event("s", at, status="ended"), kinds("ended"))
    assert KapsoSession.objects.get().ended_at == moment(50)


def test_an_older_status_of_a_session_is_not_applied(desk: Desk) -> None:
    desk.told(message("a", 0, session="s"))
    desk.post(session_event("s", 60, status="active"), kinds("inactive"))
    desk.post(session_event("s", 50, status="ended"), kinds("ended"))
    assert Conversation.objects.get().status == "active"


def test_an_inactive_session_changes_nothing(desk: Desk) -> None:
    desk.told(message("a", 0, session="s"))
    body = session_event("s", 50) | {
        "since_message": {"whatsapp_message_id": "a"},
        "inactivity": {"minutes": 60},
    }
    assert desk.post(body, kinds("inactive")).json["status"] == "processed"
    assert (Conversation.objects.get().status, desk.lead().last_activity_at) == ("active", moment(0))


@pytest.mark.parametrize("conversation", [None, {}, {"id": ""}, {"id": None}, {"id": 17}, "s", []])
def test_without_a_session_person_and_number_tell_the_thread(desk: Desk, conversation: Any) -> None:
    desk.told(message("a", 0), message("b", 5) | {"conversation": conversation})
    assert Conversation.objects.get().messages.count() == 2


def test_a_handover_to_metas_agent_is_ignored(desk: Desk) -> None:
    answer = desk.post(meta({"handover": [{}]}, field="meta_business_agent"), "")
    assert (answer.status, answer.json["status"]) == (200, "ignored")


def test_other_kinds_of_webhook_are_ignored(desk: Desk) -> None:
    assert desk.post({"phone_number_id": LIMA}, "meta_business_agent.handover").json["status"] == "ignored"
