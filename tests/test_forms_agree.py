"""Kapso's two payload versions and Meta's own form of one message end in the same rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import pytest

from contacts.models import Contact, Conversation, Message
from tests.conftest import Cast, make_cast
from tests.kapso import Kapso
from tests.state import columns, crm_state
from tests.test_corpus import empty_tables

Json = dict[str, Any]

NUMBER, BUSINESS = "480115511990231", "5115550142"
PHONE, USER = "51987650110", "PE.1180022933441177553"
SESSION, WAMID = "3c18767a-47f5-5706-beaa-6cf12665f7ba", "wamid.HRgLNTE5ODc2NTAxMTA="
UNIX = 1781000000
BLOB = "https://app.kapso.ai/rails/active_storage/blobs/redirect/a/peca.jpg"


@dataclass(frozen=True, slots=True)
class Told:
    """One message, whatever the form."""

    type: str = "text"
    content: Json = field(default_factory=lambda: {"body": "Hola, ¿tienen stock? 💙"})
    words: str = "Hola, ¿tienen stock? 💙"
    direction: str = "inbound"
    origin: str = "cloud_api"
    statuses: tuple[tuple[str, int], ...] = ()
    user_id: str = ""
    media: Json | None = None

    @property
    def at(self) -> int:
        """Kapso's message carries the time of the event that tells it: of the newest status, once there is one."""
        return self.statuses[-1][1] if self.statuses else UNIX

    @property
    def event(self) -> str:
        words = {"inbound": "received", "outbound": self.statuses[-1][0] if self.statuses else "sent"}
        return f"whatsapp.message.{words[self.direction]}"

    @property
    def status_objects(self) -> list[Json]:
        return [
            {"id": WAMID, "status": word, "timestamp": str(when), "recipient_id": PHONE}
            for word, when in self.statuses
        ]

    @property
    def ends(self) -> Json:
        if self.direction == "inbound":
            return {"from": PHONE} | ({"from_user_id": self.user_id} if self.user_id else {})
        return {"from": BUSINESS, "to": PHONE}


def iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def v2(told: Told) -> list[tuple[str, Json]]:
    kapso: Json = {
        "direction": told.direction,
        "status": told.event.rpartition(".")[2],
        "origin": told.origin,
        "has_media": told.media is not None,
        "content": told.words,
    }
    if told.media:
        kapso |= {"media_url": told.media["url"], "media_data": told.media}
    if told.statuses:
        kapso["statuses"] = told.status_objects
    message = {"id": WAMID, "timestamp": str(told.at), "type": told.type, told.type: told.content}
    conversation: Json = {
        "id": SESSION,
        "phone_number": f"+{PHONE}",
        "status": "active",
        "last_active_at": iso(told.at),
        "phone_number_id": NUMBER,
        "kapso": {"contact_name": "Mateo"},
    }
    if told.user_id:
        conversation["business_scoped_user_id"] = told.user_id
    body = {"message": message | told.ends | {"kapso": kapso}, "conversation": conversation}
    return [(told.event, body | {"phone_number_id": NUMBER})]


def v1(told: Told) -> list[tuple[str, Json]]:
    """v1 has no list of statuses: one event for each, told with the message."""
    if len(told.statuses) > 1:
        return [post for status in told.statuses for post in v1(replace(told, statuses=(status,)))]
    message: Json = {
        "id": "d4f2a6dd-6e59-5067-b530-30577f588ec4",
        "whatsapp_message_id": WAMID,
        "message_type": told.type,
        "content": told.words,
        "direction": told.direction,
        "status": told.event.rpartition(".")[2],
        "origin": told.origin,
        "has_media": told.media is not None,
        "conversation_phone_number": f"+{PHONE}",
        "contact_name": "Mateo",
        "whatsapp_conversation_id": SESSION,
        "created_at": iso(told.at),
    }
    config = {"id": "90aa7e5c-f321-5f5b-ba1a-8cc7acd2f97f", "phone_number_id": NUMBER}
    conversation = {
        "id": SESSION,
        "phone_number": f"+{PHONE}",
        "status": "active",
        "last_active_at": iso(told.at),
    }
    return [(told.event, {"message": message, "conversation": conversation, "whatsapp_config": config})]


def meta(told: Told) -> list[tuple[str, Json]]:
    """Meta tells statuses apart from their message, and only the app's own messages (echoes) as messages of ours."""
    value: Json = {"metadata": {"display_phone_number": BUSINESS, "phone_number_id": NUMBER}}
    message = {"id": WAMID, "timestamp": str(UNIX), "type": told.type, told.type: told.content} | told.ends
    if told.direction == "outbound":
        bodies = [_change("smb_message_echoes", value | {"message_echoes": [message]})]
        if told.statuses:
            bodies.append(_change("messages", value | {"statuses": told.status_objects}))
        return [("", body) for body in bodies]
    contact = {"wa_id": PHONE, "profile": {"name": "Mateo"}}
    if told.user_id:
        contact["user_id"] = told.user_id
    return [("", _change("messages", value | {"contacts": [contact], "messages": [message]}))]


def _change(name: str, value: Json) -> Json:
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": "1", "changes": [{"field": name, "value": value}]}],
    }


FORMS: dict[str, Callable[[Told], list[tuple[str, Json]]]] = {"v2": v2, "v1": v1, "meta": meta}

MESSAGES = {
    "inbound text": Told(),
    "inbound image with caption": Told(
        "image",
        {"id": "1029384756", "mime_type": "image/jpeg", "caption": "La pieza"},
        "La pieza Image attached (peca.jpg) [Size: 212 KB | Type: image/jpeg] URL: https://example.net/x",
        media={"url": BLOB, "filename": "peca.jpg", "content_type": "image/jpeg", "byte_size": 217088},
    ),
    "echo of the phone app": Told(direction="outbound", origin="business_app"),
    "sent and delivered": Told(
        direction="outbound",
        origin="business_app",
        statuses=(("sent", UNIX), ("delivered", UNIX + 4)),
    ),
    "phone and user id": Told(user_id=USER),
}

# What a form cannot carry, as columns of the lead, the thread and the message.
LACKS: dict[tuple[str, str], set[str]] = {
    # v1 has one `content` string: no media object, no URL; of an image only that it is one.
    ("v1", "inbound image with caption"): {"message.content", "message.payload", "message.media_url"},
    # v1 has no field for a user id.
    ("v1", "phone and user id"): {"lead.business_scoped_user_id", "message.user_id"},
    # Meta's image is an id to fetch: Kapso's URL and file data are Kapso's own.
    ("meta", "inbound image with caption"): {"message.payload", "message.media_url"},
}
# Meta knows nothing of Kapso's sessions; its echoes and statuses name no profile.
META_NEVER = {"thread.kapso_conversation_id", "message.kapso_conversation_id"}
META_OUTBOUND = {"lead.name", "lead.chosen_name", "lead.kapso_name"}
# How good each telling was, and the time until a `sent` status says better: the merge's own, other for each form.
BOOKKEEPING = {"message.told", "message.earliest_at"}


def lacks(form: str, name: str) -> set[str]:
    missing = LACKS.get((form, name), set()) | BOOKKEEPING
    if form == "meta":
        missing = missing | META_NEVER
        if MESSAGES[name].direction == "outbound":
            missing = missing | META_OUTBOUND
    return missing


def post(kapso: Kapso, form: str, name: str) -> None:
    for event, body in FORMS[form](MESSAGES[name]):
        answer = kapso.post(
            body, event=event, **({"X_Webhook_Payload_Version": "v1"} if form == "v1" else {})
        )
        assert (answer.status, answer.delivery.status, answer.delivery.error) == (200, "processed", "")


def rows() -> Json:
    """The columns of the one lead, thread and message that a posting made, by table and name."""
    message = Message.objects.get(kapso_message_id=WAMID)
    thread = Conversation.objects.get(messages=message)
    lead = Contact.objects.get(phone=PHONE)
    assert message.contact_id == thread.contact_id == lead.pk
    tables = {"lead": lead, "thread": thread, "message": message}
    return {f"{table}.{name}": value for table, row in tables.items() for name, value in columns(row).items()}


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("form", ["v1", "meta"])
def test_a_form_ends_in_the_rows_of_v2_apart_from_what_it_lacks(
    transactional_db: None, kapso: Kapso, form: str, name: str
) -> None:
    told = {}
    for each in ("v2", form):
        empty_tables()
        make_cast()
        post(kapso, each, name)
        told[each] = rows()

    other = {column for column, value in told["v2"].items() if told[form][column] != value}

    # Equal, not fewer: what the list names is really told by v2 alone.
    assert other | BOOKKEEPING == lacks(form, name)


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("forms", list(combinations(FORMS, 2)), ids="-".join)
def test_two_forms_of_one_message_are_one_row_with_the_richest_data(
    transactional_db: None, kapso: Kapso, forms: tuple[str, str], name: str
) -> None:
    """EDGE_CASES.md 45 and 46. What either form alone has is there, whichever came first."""
    richer, poorer = sorted(forms, key=lambda form: len(lacks(form, name)))
    empty_tables()
    make_cast()
    post(kapso, richer, name)
    alone = rows()
    ends = []
    for order in (forms, forms[::-1]):
        empty_tables()
        make_cast()
        for form in order:
            post(kapso, form, name)
        assert Message.objects.filter(kapso_message_id=WAMID).count() == 1
        assert Contact.objects.filter(phone=PHONE).count() == 1
        ends.append((rows(), crm_state()))
    assert ends[0] == ends[1]

    both = ends[0][0]
    poor_columns = {column for column in lacks(poorer, name) if column not in BOOKKEEPING}
    told_by_the_richer = {column: alone[column] for column in poor_columns - lacks(richer, name)}
    assert {column: both[column] for column in told_by_the_richer} == told_by_the_richer


def test_v2_carries_it_all(cast: Cast, kapso: Kapso) -> None:
    """What the other forms are measured by is itself as it should be."""
    post(kapso, "v2", "sent and delivered")
    told = rows()

    when = datetime.fromtimestamp(UNIX, UTC)
    assert told["message.content"] == "Hola, ¿tienen stock? 💙"
    assert told["message.origin"] == "business_app"
    assert (told["message.direction"], told["message.status"]) == ("outbound", "delivered")
    assert (told["message.sent_at"], told["lead.last_contact_at"]) == (when, when)
    assert told["message.delivered_at"] == datetime.fromtimestamp(UNIX + 4, UTC)
    assert told["thread.kapso_conversation_id"] == SESSION
    assert (told["lead.name"], told["lead.kapso_name"]) == ("Mateo", "Mateo")
