"""Every example delivery of the corpus, and what `kapso_sync.formats` must read from it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from contacts.events import (
    AutomationTold,
    Event,
    IdentityChanged,
    MessageTold,
    NumberTold,
    Person,
    ProfileTold,
    Receipt,
    ReceiptsTold,
    SessionTold,
)
from kapso_sync.formats import Item, Unparseable, event_name, normalise, numbers_named, parse

PAYLOADS = Path(__file__).parent / "payloads"
CASES = sorted(path.stem for path in PAYLOADS.glob("*.json"))
WORKSPACES = json.loads((PAYLOADS.parent / "fixtures.json").read_text())["workspaces"].values()
OWN_PHONES = {each["phone_number_id"]: each["display_phone_number"] for each in WORKSPACES}
RECEIVED_AT = datetime(2026, 6, 10, tzinfo=UTC)
LIMA = "480115511990231"


def corpus(case: str) -> tuple[bytes, dict[str, str]]:
    told = json.loads((PAYLOADS / f"{case}.json").read_text())
    headers = {name.lower(): value for name, value in told["headers"].items()}
    if "body" in told:
        return json.dumps(told["body"]).encode(), headers
    if "raw_body" in told:
        return told["raw_body"].encode(), headers
    return base64.b64decode(told["raw_body_base64"]), headers


def items_of(payload: object, *, event: str = "", version: str = "") -> list[Item]:
    headers = {"x-webhook-event": event, "x-webhook-payload-version": version}
    return read(payload, {name: value for name, value in headers.items() if value})


def read(payload: object, headers: Mapping[str, str]) -> list[Item]:
    digest = hashlib.sha256(repr(payload).encode(errors="replace")).hexdigest()
    return normalise(payload, headers=headers, received_at=RECEIVED_AT, digest=digest, own_phones=OWN_PHONES)


def only(items: list[Item]) -> Any:
    """The one event of the one item."""
    [item] = items
    assert not item.ignored
    [event] = item.events
    return event


def inbound(**message: Any) -> dict[str, Any]:
    """A v2 message of a customer, with whatever a test wants to be different."""
    told = {"id": "wamid.A", "timestamp": "1781000000", "type": "text", "from": "51987650110"}
    told |= {"text": {"body": "hola"}, "kapso": {"direction": "inbound"}} | message
    return {"phone_number_id": LIMA, "message": told}


def outbound(**message: Any) -> dict[str, Any]:
    told = {"id": "wamid.B", "timestamp": "1781000600", "type": "text", "to": "51987650110"}
    told |= {"text": {"body": "buenas"}, "kapso": {"direction": "outbound"}} | message
    return {"phone_number_id": LIMA, "message": told}


def meta(field: str = "messages", **value: Any) -> dict[str, Any]:
    metadata = {"phone_number_id": LIMA, "display_phone_number": "+51 1 555-0142"}
    change = {"field": field, "value": {"metadata": metadata} | value}
    return {"object": "whatsapp_business_account", "entry": [{"id": "390277188450016", "changes": [change]}]}


def summary(event: Event) -> str:
    told: str = SUMMARIES[type(event)](event)
    return told


def _person(person: Person) -> str:
    ids = [
        person.phone,
        person.user_id,
        person.parent_user_id,
        f"@{person.username}" if person.username else None,
    ]
    return "/".join(filter(None, ids)) + (f" ({person.name})" if person.name else "")


def _receipt(receipt: Receipt) -> str:
    at = int(receipt.at.timestamp()) if receipt.at else "?"
    return f"{receipt.word}@{at}" + (f"!{receipt.error_code}" if receipt.error_message else "")


def _message(event: MessageTold) -> str:
    origin = "" if event.origin == "cloud_api" else f" {event.origin}"
    receipts = "".join(f" {_receipt(receipt)}" for receipt in event.receipts)
    at = f"{int(event.at.timestamp())}{'' if event.timed else '?'}"
    what = f"{event.direction} {event.message_type}{origin} {_person(event.person)} {at}"
    return f"{what}: {event.content[:60]}{receipts}"


def _profile(event: ProfileTold) -> str:
    activity = " active" if event.counts_as_activity else ""
    return f"profile{activity} {_person(event.person)}{event.marketing}{event.address_book_name}"


def _session(event: SessionTold) -> str:
    session = event.session
    return f"session {session.kapso_id[:8]} {session.status} {int(session.at.timestamp())} {_person(event.person)}"


SUMMARIES: dict[type, Any] = {
    MessageTold: _message,
    ReceiptsTold: lambda event: f"receipts {event.wamid[-8:]} {' '.join(map(_receipt, event.receipts))}",
    ProfileTold: _profile,
    SessionTold: _session,
    IdentityChanged: lambda event: f"changed {_person(event.before)} -> {_person(event.after)}",
    AutomationTold: lambda event: f"{event.kind} {event.session_id[:8]}: {event.reason}",
    NumberTold: lambda event: f"number {'connected' if event.connected else 'disconnected'}",
}


@pytest.mark.parametrize("case", CASES)
def test_every_example_is_read_as_expected(case: str) -> None:
    body, headers = corpus(case)
    if case == "malformed-json-truncated":
        with pytest.raises(Unparseable):
            parse(body)
        return
    items = read(parse(body), headers)
    told = [
        f"ignored: {item.ignored}" if item.ignored else " | ".join(map(summary, item.events))
        for item in items
    ]
    assert told == EXPECTED[case]


def test_every_example_has_an_expectation() -> None:
    assert set(EXPECTED) == set(CASES) - {"malformed-json-truncated"}


@pytest.mark.parametrize("case", sorted(set(CASES) - {"malformed-json-truncated"}))
def test_every_item_is_routed_by_a_number_that_the_payload_names(case: str) -> None:
    body, headers = corpus(case)
    payload = parse(body)
    numbers = {event.number for item in read(payload, headers) for event in item.events}
    assert numbers - {""} <= set(numbers_named(payload))


def test_the_event_comes_from_the_header_then_the_body_then_the_shape() -> None:
    assert event_name(inbound(), {"x-webhook-event": "whatsapp.message.read"}) == "whatsapp.message.read"
    assert event_name({"event_type": "contact.updated"}, {}) == "contact.updated"
    assert event_name(inbound(), {}) == "whatsapp.message.received"
    assert (
        event_name(outbound(kapso={"direction": "outbound", "status": "read"}), {}) == "whatsapp.message.read"
    )
    assert event_name({"conversation": {"id": "c"}}, {}) == "whatsapp.conversation"
    assert event_name(meta("history"), {}) == "meta.history"
    assert event_name([], {}) == event_name({}, {}) == event_name(None, {}) == ""


def test_a_hostile_event_name_is_cut_and_clean() -> None:
    assert event_name({"event": "x\x00" * 100}, {}) == ("x\ufffd" * 50)


def test_numbers_are_found_wherever_a_payload_names_them() -> None:
    batch = {
        "data": [
            {"phone_number_id": "1"},
            None,
            {"conversation": {"phone_number_id": 2}},
            {"phone_number_id": "1"},
        ]
    }
    assert numbers_named(batch) == ("1", "2")
    assert numbers_named({"message": {"kapso": {"phone_number_id": "3"}}}) == ("3",)
    assert numbers_named({"whatsapp_config": {"phone_number_id": "4"}}) == ("4",)
    assert numbers_named({"event": "x", "data": {"phone_number_id": "5", "message": {}}}) == ("5",)
    assert numbers_named(meta()) == (LIMA,)


@pytest.mark.parametrize("value", [None, True, "", "12a", "１２", ["1"], {"a": 1}, 1.5, -1, "9" * 65])
def test_a_number_id_of_another_kind_counts_as_missing(value: object) -> None:
    assert numbers_named({"phone_number_id": value, "conversation": {"phone_number_id": "7"}}) == ("7",)


EXPECTED: dict[str, list[str]] = {
    "batch-received-one-bad-item": [
        "ignored: no message in it (event whatsapp.message.received)",
        "ignored: no message in it (event whatsapp.message.received)",
        "inbound text 51987650102 (Luis Paredes) 1781000000: este sí vale",
    ],
    "batch-received-out-of-order-and-duplicate": [
        "inbound text 628119870121 (Sari W 🌺) 1781000020: kedua",
        "inbound text 628119870121 (Sari W 🌺) 1781000010: pertama",
        "inbound text 628119870121 (Sari W 🌺) 1781000020: kedua",
    ],
    "batch-received-single": ["inbound text 51987650101 (Rosa Quispe) 1781000000: solo uno"],
    "batch-received-two": [
        "inbound text 5511987650111 (Camila Rocha) 1781000001: oi",
        "inbound text 5511987650111 (Camila Rocha) 1781000002: tem pão de queijo hoje?",
    ],
    "contact-updated-event-type-contact-waid-display": ["profile active 628119870121 (Sari Batik 🌸)"],
    "contact-updated-event-type-data-waid-profile": ["profile active 51987650102 (Luis Paredes)"],
    "contact-updated-type-contact-phone-display": ["profile active 51987650101 (Rosa Q. (mayorista))"],
    "contact-updated-type-data-phone-profile": ["profile active 5511987650111 (Camila R.)"],
    "contact-updated-unknown-workspace": ["profile active 51987650101 (Otra)"],
    "conversation-created": ["session 0dbee164 active 1781000000 51987650166 (Gina Salas)"],
    "conversation-ended": ["session efdfd618 ended 1781005000 51987650101 (Rosa Quispe)"],
    "conversation-inactive": ["session efdfd618 active 1781000000 51987650101"],
    "malformed-array-body": ["ignored: not a JSON object"],
    "malformed-deep-nesting-300": ["inbound text 51987650101 (Rosa Quispe) 1781000000: anidado"],
    "malformed-empty-object": ["ignored: an empty object"],
    "malformed-wrong-types": ["inbound text 51987650101 1781000000: [text]"],
    "message-delivered": [
        "outbound text 51987650101 1781000604: ¿Te llegó el comprobante? sent@1781000600 delivered@1781000604"
    ],
    "message-failed-131026-first-event": [
        "outbound template 34600000148 1781000600: Template: bienvenida failed@1781000600!131026"
    ],
    "message-failed-131047": [
        "outbound text 12025550143 1781000601: Following up on your quote sent@1781000600 failed@1781000601!131047"
    ],
    "message-read": [
        "outbound text 5511987650111 1781000690: Obrigado pela compra! sent@1781000600 delivered@1781000603 read@1781000690"
    ],
    "message-received-audio-voice-transcript": [
        "inbound audio 51987650101 (Rosa Quispe) 1781000000: Voice message"
    ],
    "message-received-bsuid-and-phone": [
        "inbound text 51987650101/PE.1180022933441177553 (Rosa Quispe) 1781000000: ya hice la transferencia"
    ],
    "message-received-bsuid-only": [
        "inbound text PE.7741029384756610293/@nora.v (Nora) 1781000000: hola! vi su historia en insta"
    ],
    "message-received-button": ["inbound button 573001230155 (Ana Lucía) 1781000000: Sí, me interesa"],
    "message-received-contacts": [
        "inbound contacts 51987650102 (Luis Paredes) 1781000000: Ing. Tomás Vega and 1 more"
    ],
    "message-received-document": [
        "inbound document 12025550143 (Dana Whitfield) 1781000000: Cotización final (2).pdf"
    ],
    "message-received-history-sync": [
        "inbound text history_sync 51987650101 (Rosa Quispe) 1772366400: ¿a qué hora cierran?"
    ],
    "message-received-image-caption": [
        "inbound image 5511987650111 (Camila Rocha) 1781000000: Segue a foto da peça"
    ],
    "message-received-image-no-caption": ["inbound image 628119870121 (Sari W 🌺) 1781000000: Photo"],
    "message-received-interactive-button-reply": [
        "inbound interactive 5511987650111 (Camila Rocha) 1781000000: Confirmar pedido"
    ],
    "message-received-interactive-flow-reply": [
        "inbound interactive 12025550143 (Dana Whitfield) 1781000000: Form: registro_lead"
    ],
    "message-received-interactive-list-reply": [
        "inbound interactive 628119870121 (Sari W 🌺) 1781000000: Ukuran L"
    ],
    "message-received-location": [
        "inbound location 51987650101 (Rosa Quispe) 1781000000: Mercado Surquillo 1, Av. Paseo de la República, Surquillo, L"
    ],
    "message-received-media-not-stored-yet": ["inbound image 51987650101 (Rosa Quispe) 1781000000: Photo"],
    "message-received-mexico-wa-id": [
        "inbound text 5215512340143 (Lupita Ríos) 1781000000: ¿Hacen envíos a CDMX?"
    ],
    "message-received-order": ["inbound order 5521998760149 (Bruno) 1781000000: Order: 3 items — 149.70 BRL"],
    "message-received-parent-bsuid-username": [
        "inbound text 5521998760149/BR.55120938844771/BR.ENT.90210338847120/@bruno.tijuca (Bruno) 1781000000: oi, quero um orçamento"
    ],
    "message-received-reaction": ["inbound reaction 51987650101 (Rosa Quispe) 1781000000: Reacted ❤️"],
    "message-received-reaction-removed": [
        "inbound reaction 51987650101 (Rosa Quispe) 1781000030: Removed a reaction"
    ],
    "message-received-referral-ctwa": [
        "inbound text 51987650188 (Kevin) 1781000000: ¡Hola! Quiero más información."
    ],
    "message-received-referred-product": ["inbound text 34611000147 1781000000: ¿Este lo tienen en 42?"],
    "message-received-sticker": ["inbound sticker 628579870153 (Wayan Sudarma) 1781000000: Sticker"],
    "message-received-system-user-changed-number": ["changed 51987650101 -> 51987650299/PE.99887766554433"],
    "message-received-text": [
        "inbound text 51987650110 (Mateo Huamán) 1781000000: Hola, ¿tienen stock del modelo azul? 💙"
    ],
    "message-received-text-arabic": [
        "inbound text 971501230145 (عمر الخطيب) 1781000000: السلام عليكم، كم سعر التوصيل إلى دبي؟ 👨\u200d👩\u200d👧\u200d👦"
    ],
    "message-received-text-html-injection": [
        'inbound text 51987650119 (<img src=x onerror=alert(1)>) 1781000000: <script>alert("hola")</script> & "comillas" \' {{7*7}} \'; DRO'
    ],
    "message-received-text-huge": [
        "inbound text 51987650102 (Luis Paredes) 1781000000: Buenos días, le cuento toda la historia. Buenos días, le cue"
    ],
    "message-received-text-indonesian": [
        "inbound text 628119870121 (Sari W 🌺) 1781000000: Kak, batik parang ukuran L masih ada?"
    ],
    "message-received-text-lone-surrogate": [
        "inbound text 51987650101 (Rosa Quispe) 1781000000: gracias � amiga"
    ],
    "message-received-text-no-from-formatted-phone": [
        "inbound text 12025550143 (Dana Whitfield) 1781000000: Hi! Is the 9am slot still free on Thursday?"
    ],
    "message-received-text-nul": ["inbound text 51987650101 (Rosa� Quispe) 1781000000: Hola� mundo"],
    "message-received-text-production-like": [
        "inbound text 5511987650111 (Camila Rocha) 1781000000: Bom dia! Vocês entregam em Guarulhos?"
    ],
    "message-received-text-reply-context": [
        "inbound text 5511987650111 (Camila Rocha) 1781000000: Pode ser na sexta então 👍"
    ],
    "message-received-unknown-phone-number-id": [
        "inbound text 51987650133 (Fantasma) 1781000000: mensaje a otro número"
    ],
    "message-received-unknown-type": [
        "inbound event_invite 12025550143 (Dana Whitfield) 1781000000: Event: Open house"
    ],
    "message-received-unsupported": [
        "inbound unsupported 51987650102 (Luis Paredes) 1781000000: Unsupported message error@1781000000!131051"
    ],
    "message-received-video": ["inbound video 51987650102 (Luis Paredes) 1781000000: mira cómo quedó"],
    "message-sent-api-text": [
        "outbound text 51987650101 (Rosa Quispe) 1781000600: Tu pedido sale hoy 🚚 sent@1781000600"
    ],
    "message-sent-business-app": [
        "outbound text business_app 628119870121 (Sari W 🌺) 1781000600: Siap kak, saya cek stok dulu ya 🙏 sent@1781000600"
    ],
    "message-sent-interactive": [
        "outbound interactive 12025550143 (Dana Whitfield) 1781000600: ¿Confirmamos tu cita? sent@1781000600"
    ],
    "message-sent-template": [
        "outbound template 5511987650111 (Camila Rocha) 1781000600: Template: confirmacao_pedido sent@1781000600"
    ],
    "meta-bsuid-empty-wa-id": [
        "inbound text US.70415529930184466217/@nadia.k (Nadia) 1781000000: Do you ship to Alaska?"
    ],
    "meta-history": [
        "outbound text history_sync 51987650101 1772366400: Precio: S/ 45 read@?",
        "inbound text history_sync 51987650101 1772366460: ok gracias",
        "outbound media_placeholder history_sync 51987650101 1772366520: Media delivered@?",
    ],
    "meta-smb-message-echoes": [
        "outbound text business_app 51987650101 1781000000: Ya te confirmo 👌 sent@1781000000"
    ],
    "meta-text-minimal": ["inbound text 51987650144 (Carla Núñez) 1781000000: Hola, vengo de la web"],
    "meta-two-changes": [
        "inbound text 628579870153 (Wayan) 1781000000: halo",
        "inbound text 628119870121 (Sari) 1781000001: jadi ambil dua ya",
        "receipts MjdBNTcA read@1781000005",
    ],
    "meta-two-entries-with-statuses": [
        "inbound text 51987650101 (Rosa Quispe) 1781000000: ¿llegó mi pago?",
        "receipts MENEAA== sent@1781000000",
        "receipts MENEAA== delivered@1781000002",
    ],
    "meta-user-changed-number": ["changed 51987650102 -> 51987650202"],
    "meta-user-id-update": ["changed PE.OLD5550001 -> PE.NEW5550002"],
    "missing-event-header": ["inbound text 51987650101 (Rosa Quispe) 1781000000: sin cabecera de evento"],
    "phone-number-created": ["number connected"],
    "phone-number-deleted": ["number disconnected"],
    "seq-duplicate-01-received": ["inbound text 51987650101 (Rosa Quispe) 1781000000: ¿siguen abiertos?"],
    "seq-duplicate-02-same-key": ["inbound text 51987650101 (Rosa Quispe) 1781000000: ¿siguen abiertos?"],
    "seq-duplicate-03-new-key": ["inbound text 51987650101 (Rosa Quispe) 1781000000: ¿siguen abiertos?"],
    "seq-edit-01-original": ["inbound text 51987650102 (Luis Paredes) 1781000000: Quiero 12 unidadse"],
    "seq-edit-02-edit": ["inbound edit 51987650102 (Luis Paredes) 1781000060: Quiero 12 unidades"],
    "seq-edit-03-revoke": ["inbound revoke 51987650102 (Luis Paredes) 1781000120: Message deleted"],
    "seq-status-failed-01-failed": [
        "outbound text 51987650102 1781000602: Promo de la semana failed@1781000602!131049"
    ],
    "seq-status-failed-02-late-sent": [
        "outbound text 51987650102 1781000600: Promo de la semana sent@1781000600"
    ],
    "seq-status-order-01-read": [
        "outbound text 5511987650111 1781000640: Chega amanhã às 10h sent@1781000600 read@1781000640"
    ],
    "seq-status-order-02-sent": [
        "outbound text 5511987650111 1781000600: Chega amanhã às 10h sent@1781000600"
    ],
    "seq-status-order-03-delivered": [
        "outbound text 5511987650111 1781000605: Chega amanhã às 10h sent@1781000600 delivered@1781000605"
    ],
    "unknown-event": ["ignored: event whatsapp.message.pinned is not used"],
    "v1-config-created": ["number connected"],
    "v1-message-received": ["inbound text 51987650101 (Rosa Quispe) 1781000000: hola desde v1"],
    "v1-message-sent": [
        "outbound text business_app 51987650101 (Rosa Quispe) 1781000000: Ya sale su pedido sent@1781000000"
    ],
    "workflow-failed": ["failed efdfd618: Step 3 exceeded its time limit"],
    "workflow-handoff": ["handoff efdfd618: El cliente pidió hablar con una persona"],
}
