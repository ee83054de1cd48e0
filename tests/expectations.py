"""What a correct CRM holds after each file of the corpus: its `expect` line as rows.

An expectation names the leads, threads, sessions and messages that are new or changed. Whatever it does not name is
exactly as it was in fixtures.json, so that a row too many or a touched stranger fails as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

LIMA, SAOPAULO, JAKARTA = "480115511990231", "512340099871245", "600987123450011"


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


NINE = datetime(2026, 6, 9, 9, 0, tzinfo=UTC)  # when the messages of fixtures.json were sent
ASKED = at(1781000000)  # what customers write in the corpus
SENT = at(1781000600)  # what the team writes in the corpus
MARCH = at(1772366400)  # history
# Of contact.updated, which tells no time of its own.
WHEN_RECEIVED = datetime(9999, 1, 1, tzinfo=UTC)

BLOBS = "https://app.kapso.ai/rails/active_storage/blobs/redirect"
# U+0000 and lone surrogates are neither dropped nor kept.
SAFE = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Lead:
    number: str
    phone: str | None = None
    user_id: str | None = None
    parent_user_id: str = ""
    username: str = ""
    name: str = ""
    kapso_name: str = ""
    lead_status: str = "new"
    source: str = "whatsapp"
    first_touch: Any = None
    last_touch: Any = None
    activity: datetime | None = None
    contacted: datetime | None = None
    inbound: datetime | None = None
    # Identities that lead here beside the current ones.
    aliases: tuple[str, ...] = ()

    def named(self, name: str) -> Lead:
        """A profile name came: WhatsApp's is that, the team's is kept."""
        return replace(self, kapso_name=name, name=self.name or name)

    def wrote(self, name: str = "", when: datetime = ASKED) -> Lead:
        told = self.named(name) if name else self
        return replace(told, activity=when, inbound=when)

    def was_written_to(self, name: str = "", when: datetime = SENT) -> Lead:
        told = self.named(name) if name else self
        return replace(told, activity=when, contacted=when)

    def acted(self, name: str, when: datetime = ASKED) -> Lead:
        """A reaction, an edit, a revoke: activity, and nobody's turn."""
        return replace(self.named(name), activity=when)


@dataclass(frozen=True, slots=True)
class Thread:
    session: str = ""
    status: str = "active"
    newest: datetime | None = None
    inbound: datetime | None = None
    handoff_at: datetime | None = None
    handoff_reason: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A message. Its WAMID and the object of its type come from the file, in the order of the file."""

    lead: str
    content: str
    sent: datetime = ASKED
    direction: str = "inbound"
    type: str = "text"
    status: str = "received"
    origin: str = "cloud_api"
    delivered: datetime | None = None
    read: datetime | None = None
    failed: datetime | None = None
    error_code: int | None = None
    error: str = ""
    reply_to: str = ""
    target: str = ""
    media_url: str = ""
    transcript: str = ""
    referral: Any = None
    edited: datetime | None = None
    revoked: datetime | None = None
    before_edit: str | None = None
    # Beside what the file has under the message's type; None: exactly `payload`.
    adds: Any = field(default_factory=dict)
    payload: Any = None
    # Of a message that is in fixtures.json.
    wamid: str = ""


def out(lead: str, content: str, **columns: Any) -> Row:
    defaults: dict[str, Any] = {"sent": SENT, "direction": "outbound", "status": "sent"}
    return Row(lead, content, **defaults | columns)


@dataclass(frozen=True, slots=True)
class Session:
    number: str
    thread: str | None
    status: str = "active"
    phone: str | None = None
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    leads: dict[str, Lead] = field(default_factory=dict)
    threads: dict[str, Thread] = field(default_factory=dict)
    messages: tuple[Row, ...] = ()
    sessions: dict[str, Session] = field(default_factory=dict)
    status: str = "processed"
    reason: str = ""
    # Each its kind, session, execution, reason and time.
    automation: tuple[tuple[str, str, str, str, datetime], ...] = ()
    disconnected: frozenset[str] = frozenset()
    # Statuses whose message is not here: WAMID -> first times of the words.
    waiting: dict[str, dict[str, datetime]] = field(default_factory=dict)
    # Stored rows, if not one per file.
    deliveries: int | None = None


# fixtures.json, with the clocks that its two messages make.

ROSA_SESSION = "efdfd618-ce18-5465-8b9f-6db3647cc43f"
LUIS_SESSION = "bc50f68d-8ff8-5b56-8191-8e284506de43"
CAMILA_SESSION = "7df53b5f-51e5-57b8-ab0e-e893be129369"
SARI_SESSION = "d9aacaef-cafc-52da-a937-481d0e988123"
DANA_SESSION = "9c3cdd45-4dae-5e88-9bee-480515307a59"
BRUNO_SESSION = "2d8420c6-fafc-5bd9-b8b9-193626112871"

ROSA = Lead(LIMA, "51987650101", name="Rosa Quispe", activity=NINE, contacted=NINE)
LUIS = Lead(LIMA, "51987650102")
TEO = Lead(LIMA, None, "PE.OLD5550001", name="Teo")
CAMILA = Lead(SAOPAULO, "5511987650111")
SARI = Lead(JAKARTA, "628119870121", name="Ibu Sari", activity=NINE, contacted=NINE)
LEADS = {"rosa": ROSA, "luis": LUIS, "teo": TEO, "camila": CAMILA, "sari": SARI}
THREADS = {"rosa": Thread(ROSA_SESSION, newest=NINE), "sari": Thread(newest=NINE)}
ROSA_WAMID = "wamid.HRgLNTE5ODc2NTAxMDEVAgARGBREODBEOEIyOTkxQkExODc2NzU0MQA="
SARI_WAMID = "wamid.HRgMNjI4MTE5ODcwMTIxFQIAERgUMDREMEU2MEREMzNBM0VEMjdBNTcA"
SARIS_MESSAGE = out(
    "sari", "Bisa diambil besok kak", sent=NINE, status="delivered", wamid=SARI_WAMID, payload={}
)
MESSAGES = (
    out("rosa", "Tu pago fue recibido", sent=NINE, wamid=ROSA_WAMID, payload={}),
    SARIS_MESSAGE,
)

DANA = Lead(LIMA, "12025550143")
BRUNO = Lead(SAOPAULO, "5521998760149")


# One person's one message, which is what most files tell.


def inbound(who: str, lead: Lead, session: str, *rows: Row, newest: datetime | None = None) -> Expected:
    when = newest or rows[-1].sent
    thread = Thread(session, newest=when, inbound=lead.inbound)
    told = {session: Session(lead.number, who, phone=lead.phone, user_id=lead.user_id)} if session else {}
    return Expected({who: lead}, {who: thread}, rows, told)


def from_rosa(content: str, name: str = "Rosa Quispe", **columns: Any) -> Expected:
    return inbound("rosa", ROSA.wrote(name), ROSA_SESSION, Row("rosa", content, **columns))


def from_luis(content: str, name: str = "Luis Paredes", **columns: Any) -> Expected:
    return inbound("luis", LUIS.wrote(name), LUIS_SESSION, Row("luis", content, **columns))


def from_camila(content: str, **columns: Any) -> Expected:
    return inbound("camila", CAMILA.wrote("Camila Rocha"), CAMILA_SESSION, Row("camila", content, **columns))


def from_sari(content: str, **columns: Any) -> Expected:
    return inbound("sari", SARI.wrote("Sari W 🌺"), SARI_SESSION, Row("sari", content, **columns))


def from_dana(content: str, **columns: Any) -> Expected:
    return inbound("dana", DANA.wrote("Dana Whitfield"), DANA_SESSION, Row("dana", content, **columns))


def from_somebody(phone: str, name: str, session: str, content: str, **columns: Any) -> Expected:
    number = columns.pop("number", LIMA)
    return inbound("new", Lead(number, phone).wrote(name), session, Row("new", content, **columns))


def outbound(who: str, lead: Lead, session: str, row: Row, **thread: Any) -> Expected:
    told = {session: Session(lead.number, who, phone=lead.phone)} if session else {}
    return Expected({who: lead}, {who: Thread(session, newest=row.sent, **thread)}, (row,), told)


def nothing(reason: str, status: str = "ignored") -> Expected:
    return Expected(status=status, reason=reason)


AD = {
    "source_url": "https://fb.me/4xyzLima",
    "source_id": "120233410077550912",
    "source_type": "ad",
    "headline": "Zapatillas -30%",
    "body": "Solo hasta el domingo",
    "media_type": "image",
    "image_url": "https://scontent.example.net/ad.jpg",
    "ctwa_clid": "AfGd93_lima_x7Qp20ZkR4",
    "welcome_message": {"text": "¡Hola! ¿En qué te ayudamos?"},
}
KEVIN = "3b93af91-7bf1-5a59-8b6a-322292894400"
MORE_THAN_24_HOURS = "Message failed to send because more than 24 hours have passed since the customer last replied to this number."
ECOSYSTEM = "This message was not delivered to maintain healthy ecosystem engagement."
REACTION_TARGET = "wamid.HRgLNTE5ODc2NTAxMDEVAgARGBRBOUE5N0NEQjYyQjBENUZEQzAzMgA="
EDIT_TARGET = "wamid.HRgLNTE5ODc2NTAxMDIVAgASGBQ3QjQ5MjYyOUZGRkZCQjI0REZDNAA="
HTML = """<script>alert("hola")</script> & "comillas" ' {{7*7}} '; DROP TABLE contacts;--"""
ARABIC = "السلام عليكم، كم سعر التوصيل إلى دبي؟ 👨\u200d👩\u200d👧\u200d👦"
HUGE = " ".join(["Buenos días, le cuento toda la historia."] * 1600)
CHANGED = "User {} changed from {} to {}"
NO_NUMBER = "999000111222333"

ORIGINAL = Row("luis", "Quiero 12 unidadse")
EDIT = Row("luis", "Quiero 12 unidades", at(1781000060), type="edit", target=EDIT_TARGET)
REVOKE = Row("luis", "Message deleted", at(1781000120), type="revoke", target=EDIT_TARGET)
PROMO = out(
    "luis", "Promo de la semana", sent=at(1781000602), status="failed", failed=at(1781000602), error_code=131049,
    error=ECOSYSTEM,
)  # fmt: skip
TOMORROW = out("camila", "Chega amanhã às 10h", status="read", read=at(1781000640))


def after_edits(lead: Lead, *rows: Row) -> Expected:
    return inbound("luis", lead, LUIS_SESSION, *rows)


EXPECTED: dict[str, Expected] = {
    "batch-received-one-bad-item": replace(from_luis("este sí vale"), reason="no message in it"),
    "batch-received-out-of-order-and-duplicate": inbound(
        "sari",
        SARI.wrote("Sari W 🌺", at(1781000020)),
        SARI_SESSION,
        Row("sari", "kedua", at(1781000020)),
        Row("sari", "pertama", at(1781000010)),
        newest=at(1781000020),
    ),
    "batch-received-single": from_rosa("solo uno"),
    "batch-received-two": inbound(
        "camila",
        CAMILA.wrote("Camila Rocha", at(1781000002)),
        CAMILA_SESSION,
        Row("camila", "oi", at(1781000001)),
        Row("camila", "tem pão de queijo hoje?", at(1781000002)),
    ),
    "contact-updated-event-type-contact-waid-display": Expected(
        {"sari": SARI.acted("Sari Batik 🌸", WHEN_RECEIVED)}
    ),
    "contact-updated-event-type-data-waid-profile": Expected(
        {"luis": LUIS.acted("Luis Paredes", WHEN_RECEIVED)}
    ),
    "contact-updated-type-contact-phone-display": Expected(
        {"rosa": ROSA.acted("Rosa Q. (mayorista)", WHEN_RECEIVED)}
    ),
    "contact-updated-type-data-phone-profile": Expected({"camila": CAMILA.acted("Camila R.", WHEN_RECEIVED)}),
    "contact-updated-unknown-workspace": nothing(NO_NUMBER, "unroutable"),
    "conversation-created": Expected(
        sessions={"0dbee164-4a62-58da-a12e-d124364aee10": Session(LIMA, None, phone="51987650166")}
    ),
    "conversation-ended": Expected(
        threads={"rosa": Thread(ROSA_SESSION, "ended", newest=NINE)},
        sessions={ROSA_SESSION: Session(LIMA, "rosa", "ended", ROSA.phone)},
    ),
    # No column is promised for the inactivity itself (CONTRACT.md 7.3: an optional task).
    "conversation-inactive": Expected(sessions={ROSA_SESSION: Session(LIMA, "rosa", phone=ROSA.phone)}),
    "malformed-array-body": nothing("not a JSON object"),
    "malformed-deep-nesting-300": from_rosa("anidado"),
    "malformed-empty-object": nothing("empty object"),
    "malformed-json-truncated": nothing("not JSON"),
    "malformed-wrong-types": from_rosa("[text]", name=""),
    "message-delivered": outbound(
        "rosa",
        ROSA.was_written_to(),
        ROSA_SESSION,
        out("rosa", "¿Te llegó el comprobante?", status="delivered", delivered=at(1781000604)),
    ),
    "message-failed-131026-first-event": outbound(
        "new",
        Lead(LIMA, "34600000148", activity=SENT),
        "aed52945-7796-5b45-85a2-e4cb915a4703",
        out(
            "new",
            "Template: bienvenida",
            type="template",
            status="failed",
            failed=SENT,
            error_code=131026,
            error="Message undeliverable",
        ),
    ),
    "message-failed-131047": outbound(
        "dana",
        replace(DANA, activity=SENT),
        DANA_SESSION,
        out(
            "dana",
            "Following up on your quote",
            status="failed",
            failed=at(1781000601),
            error_code=131047,
            error=MORE_THAN_24_HOURS,
        ),
    ),
    "message-read": outbound(
        "camila",
        CAMILA.was_written_to(),
        CAMILA_SESSION,
        out("camila", "Obrigado pela compra!", status="read", delivered=at(1781000603), read=at(1781000690)),
    ),
    "message-received-audio-voice-transcript": from_rosa(
        "Voice message",
        type="audio",
        transcript="necesito dos cajas para el viernes",
        media_url=f"{BLOBS}/99b3db60458d758b9debae971131752d7903b373/voice.ogg",
        adds={"media": {"filename": "voice.ogg", "content_type": "audio/ogg", "byte_size": 38912}},
    ),
    "message-received-bsuid-and-phone": inbound(
        "rosa",
        replace(ROSA.wrote("Rosa Quispe"), user_id="PE.1180022933441177553"),
        ROSA_SESSION,
        Row("rosa", "ya hice la transferencia"),
    ),
    "message-received-bsuid-only": inbound(
        "nora",
        Lead(LIMA, None, "PE.7741029384756610293", username="nora.v").wrote("Nora"),
        "9dd9ec53-f18d-56a6-9b56-ce85df820c25",
        Row("nora", "hola! vi su historia en insta"),
    ),
    "message-received-button": from_somebody(
        "573001230155",
        "Ana Lucía",
        "495bf655-15d0-5213-8a6f-92e416b0c908",
        "Sí, me interesa",
        type="button",
        payload={"payload": "YES_CAMP_7", "text": "Sí, me interesa"},
        reply_to="wamid.HRgMNTczMDAxMjMwMTU1FQIAERgUMkM4ODVEQTUwMTdGREZGNDRCRTcA",
    ),
    "message-received-contacts": from_luis("Ing. Tomás Vega and 1 more", type="contacts"),
    "message-received-document": from_dana(
        "Cotización final (2).pdf",
        type="document",
        media_url=f"{BLOBS}/efba78b90be888ddfda7a5aabc63419c7d99f25b/Cotizacion_final_2.pdf",
        adds={
            "media": {
                "filename": "Cotizacion_final_2.pdf",
                "content_type": "application/pdf",
                "byte_size": 88231,
            }
        },
    ),
    "message-received-history-sync": inbound(
        "rosa",
        replace(ROSA.named("Rosa Quispe"), inbound=MARCH),
        ROSA_SESSION,
        Row("rosa", "¿a qué hora cierran?", MARCH, origin="history_sync"),
        newest=NINE,
    ),
    "message-received-image-caption": from_camila(
        "Segue a foto da peça",
        type="image",
        media_url=f"{BLOBS}/1142b33e04e1bef9f8724b824c54b08899f572a7/peca.jpg",
        payload={
            "id": "1029384756",
            "mime_type": "image/jpeg",
            "sha256": "q0Vx9m0dJ7yq1g4uYl2s5K8b1n6c3v9w0z2x4A6B8C0=",
            "caption": "Segue a foto da peça",
            "media": {"filename": "peca.jpg", "content_type": "image/jpeg", "byte_size": 217088},
        },
    ),
    "message-received-image-no-caption": from_sari(
        "Photo",
        type="image",
        media_url=f"{BLOBS}/a2fb50af0332fec4b5134abca7e446d1f58d5b79/IMG-0042.png",
        adds={"media": {"filename": "IMG-0042.png", "content_type": "image/png", "byte_size": 1153433}},
    ),
    "message-received-interactive-button-reply": from_camila(
        "Confirmar pedido",
        type="interactive",
        payload={
            "type": "button_reply",
            "button_reply": {"id": "confirm_4417", "title": "Confirmar pedido"},
        },
        reply_to="wamid.HRgNNTUxMTk4NzY1MDExMRUCABEYFDc2REM2MjExODc5QkJDNTE4QTc1AA==",
    ),
    "message-received-interactive-flow-reply": from_dana(
        "Form: registro_lead",
        type="interactive",
        adds={
            key: {"flow_token": "lead_9001", "nombre": "Dana", "presupuesto": "1500", "acepta": True}
            for key in ("response", "flow_response")
        },
    ),
    "message-received-interactive-list-reply": from_sari(
        "Ukuran L",
        type="interactive",
        payload={
            "type": "list_reply",
            "list_reply": {"id": "size_l", "title": "Ukuran L", "description": "Lebar dada 54 cm"},
        },
        reply_to="wamid.HRgMNjI4MTE5ODcwMTIxFQIAERgUMTY2MzEwREE1NDYyRjIyODUxN0MA",
    ),
    "message-received-location": from_rosa(
        "Mercado Surquillo 1, Av. Paseo de la República, Surquillo, Lima",
        type="location",
        payload={
            "latitude": -12.1171,
            "longitude": -77.0249,
            "name": "Mercado Surquillo 1",
            "address": "Av. Paseo de la República, Surquillo, Lima",
        },
    ),
    "message-received-media-not-stored-yet": from_rosa(
        "Photo", type="image", media_url="", payload={"id": "2233445566", "mime_type": "image/jpeg"}
    ),
    "message-received-mexico-wa-id": from_somebody(
        "5215512340143", "Lupita Ríos", "56187a11-3653-5e2a-8623-d7530d59dc9b", "¿Hacen envíos a CDMX?"
    ),
    "message-received-order": inbound(
        "bruno",
        BRUNO.wrote("Bruno"),
        BRUNO_SESSION,
        Row("bruno", "Order: 3 items — 149.70 BRL", type="order"),
    ),
    "message-received-parent-bsuid-username": inbound(
        "bruno",
        replace(
            BRUNO.wrote("Bruno"),
            user_id="BR.55120938844771",
            parent_user_id="BR.ENT.90210338847120",
            username="bruno.tijuca",
        ),
        BRUNO_SESSION,
        Row("bruno", "oi, quero um orçamento"),
    ),
    "message-received-reaction": inbound(
        "rosa",
        ROSA.acted("Rosa Quispe"),
        ROSA_SESSION,
        Row("rosa", "Reacted ❤️", type="reaction", target=REACTION_TARGET),
    ),
    "message-received-reaction-removed": inbound(
        "rosa",
        ROSA.acted("Rosa Quispe", at(1781000030)),
        ROSA_SESSION,
        Row("rosa", "Removed a reaction", at(1781000030), type="reaction", target=REACTION_TARGET),
    ),
    "message-received-referral-ctwa": inbound(
        "kevin",
        replace(
            Lead(LIMA, "51987650188").wrote("Kevin"),
            source="Zapatillas -30% (ad 120233410077550912)",
            first_touch=AD,
            last_touch=AD,
        ),
        KEVIN,
        Row("kevin", "¡Hola! Quiero más información.", referral=AD),
    ),
    "message-received-referred-product": from_somebody(
        "34611000147",
        "",
        "b7c66c6f-c027-530c-bb18-3265b00507cb",
        "¿Este lo tienen en 42?",
        adds={
            "context": {
                "referred_product": {"catalog_id": "771204558093311", "product_retailer_id": "SKU-AZUL-42"}
            }
        },
    ),
    "message-received-sticker": from_somebody(
        "628579870153",
        "Wayan Sudarma",
        "58e2b25a-4c91-5ae9-abe8-721e255bfe00",
        "Sticker",
        number=JAKARTA,
        type="sticker",
        media_url=f"{BLOBS}/1f4a04e5543d8760660bb080226040b987b88d47/sticker.webp",
        adds={"media": {"filename": "sticker.webp", "content_type": "image/webp", "byte_size": 20110}},
    ),
    "message-received-system-user-changed-number": Expected(
        {"rosa": replace(ROSA, phone="51987650299", user_id="PE.99887766554433", aliases=("51987650101",))},
        messages=(Row("rosa", CHANGED.format("Rosa Quispe", "51987650101", "51987650299"), type="system"),),
        sessions={ROSA_SESSION: Session(LIMA, "rosa", phone=ROSA.phone)},
    ),
    "message-received-text": from_somebody(
        "51987650110",
        "Mateo Huamán",
        "3c18767a-47f5-5706-beaa-6cf12665f7ba",
        "Hola, ¿tienen stock del modelo azul? 💙",
    ),
    "message-received-text-arabic": from_somebody(
        "971501230145", "عمر الخطيب", "6f334f8c-b1fb-5375-b15c-3e10f4475801", ARABIC
    ),
    "message-received-text-html-injection": from_somebody(
        "51987650119", "<img src=x onerror=alert(1)>", "03420637-4de1-5db6-adc0-307b84cf24c7", HTML
    ),
    "message-received-text-huge": from_luis(HUGE),
    "message-received-text-indonesian": from_sari("Kak, batik parang ukuran L masih ada?"),
    "message-received-text-lone-surrogate": from_rosa(
        f"gracias {SAFE} amiga", payload={"body": f"gracias {SAFE} amiga"}
    ),
    "message-received-text-no-from-formatted-phone": from_dana("Hi! Is the 9am slot still free on Thursday?"),
    "message-received-text-nul": from_rosa(
        f"Hola{SAFE} mundo", name=f"Rosa{SAFE} Quispe", payload={"body": f"Hola{SAFE} mundo"}
    ),
    "message-received-text-production-like": from_camila("Bom dia! Vocês entregam em Guarulhos?"),
    "message-received-text-reply-context": from_camila(
        "Pode ser na sexta então 👍",
        reply_to="wamid.HRgNNTUxMTk4NzY1MDExMRUCABEYFEIwREQ5MDA3RkJDRjgzNDJFNDFGAA==",
    ),
    "message-received-unknown-phone-number-id": nothing(NO_NUMBER, "unroutable"),
    "message-received-unknown-type": from_dana(
        "Event: Open house",
        type="event_invite",
        payload={"title": "Open house", "starts_at": "2026-06-20T18:00:00Z"},
    ),
    "message-received-unsupported": from_luis(
        "Unsupported message",
        type="unsupported",
        error_code=131051,
        error="Message type is currently not supported.",
        adds={
            "errors": [
                {
                    "code": 131051,
                    "title": "Message type unknown",
                    "message": "Message type unknown",
                    "error_data": {"details": "Message type is currently not supported."},
                }
            ]
        },
    ),
    "message-received-video": from_luis(
        "mira cómo quedó",
        type="video",
        media_url=f"{BLOBS}/c524419d5d55a36c7482cea05341b251653fa848/clip.mp4",
        adds={"media": {"filename": "clip.mp4", "content_type": "video/mp4", "byte_size": 3145728}},
    ),
    "message-sent-api-text": outbound(
        "rosa",
        ROSA.was_written_to("Rosa Quispe"),
        ROSA_SESSION,
        out("rosa", "Tu pedido sale hoy 🚚", adds={"callback_data": "crm-msg-0001"}),
    ),
    "message-sent-business-app": outbound(
        "sari",
        SARI.was_written_to("Sari W 🌺"),
        SARI_SESSION,
        out("sari", "Siap kak, saya cek stok dulu ya 🙏", origin="business_app"),
    ),
    "message-sent-interactive": outbound(
        "dana",
        DANA.was_written_to("Dana Whitfield"),
        DANA_SESSION,
        out("dana", "¿Confirmamos tu cita?", type="interactive"),
    ),
    "message-sent-template": outbound(
        "camila",
        CAMILA.was_written_to("Camila Rocha"),
        CAMILA_SESSION,
        out("camila", "Template: confirmacao_pedido", type="template"),
    ),
    "meta-bsuid-empty-wa-id": inbound(
        "nadia",
        Lead(LIMA, None, "US.70415529930184466217", username="nadia.k").wrote("Nadia"),
        "",
        Row("nadia", "Do you ship to Alaska?"),
    ),
    "meta-history": Expected(
        {"rosa": replace(ROSA, inbound=at(1772366460))},
        {"rosa": Thread(ROSA_SESSION, newest=NINE, inbound=at(1772366460))},
        (
            out("rosa", "Precio: S/ 45", sent=MARCH, status="read", origin="history_sync"),
            Row("rosa", "ok gracias", at(1772366460), origin="history_sync"),
            out(
                "rosa",
                "Media",
                sent=at(1772366520),
                status="delivered",
                origin="history_sync",
                type="media_placeholder",
            ),
        ),
    ),
    "meta-smb-message-echoes": Expected(
        {"rosa": ROSA.was_written_to(when=ASKED)},
        {"rosa": Thread(ROSA_SESSION, newest=ASKED)},
        (out("rosa", "Ya te confirmo 👌", sent=ASKED, origin="business_app"),),
    ),
    "meta-text-minimal": from_somebody("51987650144", "Carla Núñez", "", "Hola, vengo de la web"),
    "meta-two-changes": Expected(
        {
            "wayan": Lead(JAKARTA, "628579870153").wrote("Wayan"),
            "sari": SARI.wrote("Sari", at(1781000001)),
        },
        {
            "wayan": Thread(newest=ASKED, inbound=ASKED),
            "sari": Thread(newest=at(1781000001), inbound=at(1781000001)),
        },
        (
            Row("wayan", "halo"),
            Row("sari", "jadi ambil dua ya", at(1781000001)),
            replace(SARIS_MESSAGE, status="read", read=at(1781000005)),
        ),
    ),
    "meta-two-entries-with-statuses": Expected(
        {"rosa": ROSA.wrote("Rosa Quispe")},
        {"rosa": Thread(ROSA_SESSION, newest=ASKED, inbound=ASKED)},
        (Row("rosa", "¿llegó mi pago?"),),
        waiting={
            "wamid.HRgNNTUxMTk4NzY1MDExMRUCABEYFENBMDdCRjc3RDJEOUY1QUEyMENEAA==": {
                "sent": ASKED,
                "delivered": at(1781000002),
            }
        },
    ),
    "meta-user-changed-number": Expected(
        {"luis": replace(LUIS, phone="51987650202", aliases=("51987650102",))},
        {"luis": Thread()},
        (Row("luis", CHANGED.format("Luis Paredes", "51987650102", "51987650202"), type="system"),),
    ),
    "meta-user-id-update": Expected(
        {"teo": replace(TEO, user_id="PE.NEW5550002", aliases=("PE.OLD5550001",))}
    ),
    "missing-event-header": from_rosa("sin cabecera de evento"),
    "phone-number-created": nothing("733100220045001", "unroutable"),
    "phone-number-deleted": Expected(disconnected=frozenset({JAKARTA})),
    "seq-duplicate-01-received": from_rosa("¿siguen abiertos?"),
    "seq-duplicate-02-same-key": replace(from_rosa("¿siguen abiertos?"), deliveries=1),
    "seq-duplicate-03-new-key": replace(from_rosa("¿siguen abiertos?"), deliveries=2),
    "seq-edit-01-original": after_edits(LUIS.wrote("Luis Paredes"), ORIGINAL),
    "seq-edit-02-edit": after_edits(
        replace(LUIS.wrote("Luis Paredes"), activity=EDIT.sent),
        replace(ORIGINAL, content="Quiero 12 unidades", edited=EDIT.sent, before_edit=ORIGINAL.content),
        EDIT,
    ),
    "seq-edit-03-revoke": after_edits(
        replace(LUIS.wrote("Luis Paredes"), activity=REVOKE.sent),
        # Nothing of the text stays, in either row.
        replace(ORIGINAL, content="", payload={}, edited=EDIT.sent, revoked=REVOKE.sent),
        replace(EDIT, content="", payload={}, revoked=REVOKE.sent),
        REVOKE,
    ),
    "seq-status-failed-01-failed": outbound("luis", replace(LUIS, activity=PROMO.sent), LUIS_SESSION, PROMO),
    "seq-status-failed-02-late-sent": outbound(
        "luis", replace(LUIS, activity=SENT), LUIS_SESSION, replace(PROMO, sent=SENT)
    ),
    "seq-status-order-01-read": outbound("camila", CAMILA.was_written_to(), CAMILA_SESSION, TOMORROW),
    "seq-status-order-02-sent": outbound("camila", CAMILA.was_written_to(), CAMILA_SESSION, TOMORROW),
    "seq-status-order-03-delivered": outbound(
        "camila", CAMILA.was_written_to(), CAMILA_SESSION, replace(TOMORROW, delivered=at(1781000605))
    ),
    "unknown-event": nothing("whatsapp.message.pinned"),
    "v1-config-created": Expected(),
    "v1-message-received": from_rosa("hola desde v1", payload={"body": "hola desde v1"}),
    "v1-message-sent": outbound(
        "rosa",
        ROSA.was_written_to("Rosa Quispe", ASKED),
        ROSA_SESSION,
        out(
            "rosa",
            "Ya sale su pedido",
            sent=ASKED,
            origin="business_app",
            payload={"body": "Ya sale su pedido"},
        ),
    ),
    "workflow-failed": Expected(
        automation=(
            (
                "failed",
                ROSA_SESSION,
                "cf96d555-9438-5a6c-8811-b99df6d2ba20",
                "Step 3 exceeded its time limit",
                datetime(2026, 6, 9, 10, 25, 20, tzinfo=UTC),
            ),
        )
    ),
    "workflow-handoff": Expected(
        threads={
            "rosa": Thread(
                ROSA_SESSION,
                newest=NINE,
                handoff_at=datetime(2026, 6, 9, 10, 25, tzinfo=UTC),
                handoff_reason="El cliente pidió hablar con una persona",
            )
        },
        automation=(
            (
                "handoff",
                ROSA_SESSION,
                "7a2594dd-8ee8-5244-9fca-fb7972c0e6a5",
                "El cliente pidió hablar con una persona",
                datetime(2026, 6, 9, 10, 25, tzinfo=UTC),
            ),
        ),
    ),
}
