"""Small payloads of every shape that Kapso sends, and a way to post them without a network in between."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from django.test import Client

from contacts.models import Contact, Message, PhoneNumber, Workspace
from tests.kapso import Answer, sign

Json = dict[str, Any]

LIMA, SAOPAULO, UNKNOWN = "480115511990231", "512340099871245", "999999999999999"
OWN_PHONE = "5115550142"
PROJECT_SECRET = "project-secret"
ANA, BEA = "51911110001", "51911110002"
ANA_ID, BEA_ID = "PE.1000000000000001", "PE.1000000000000002"

RECEIVED, SENT = "whatsapp.message.received", "whatsapp.message.sent"
START = 1781000000  # 2026-06-09T10:13:20Z
_counter = count()


def moment(second: float) -> datetime:
    """The time that many seconds after START."""
    return datetime.fromtimestamp(START + second, UTC)


def message(
    wamid: str,
    at: object = 0,
    *,
    phone: str | None = ANA,
    user_id: str | None = None,
    text: object = "Hola",
    name: str | None = None,
    number: str | None = LIMA,
    session: str | None = None,
    direction: str = "inbound",
    origin: str = "cloud_api",
    statuses: list[Json] | None = None,
    **changes: Any,
) -> Json:
    """A v2 message event. An `at` that is a small number counts from START; `changes` replace keys of the message."""
    inbound = direction == "inbound"
    told: Json = {
        "id": wamid,
        "timestamp": str(START + at) if isinstance(at, int) and abs(at) < 10**8 else at,
        "type": "text",
        "text": {"body": text} if isinstance(text, str) else text,
        "kapso": {"direction": direction, "status": "received" if inbound else "sent", "origin": origin},
    }
    conversation: Json = {"id": session or f"session-{phone or user_id}-{number}", "status": "active"}
    if phone is not None:
        told["from" if inbound else "to"] = phone
    if user_id is not None:
        told["from_user_id" if inbound else "to_user_id"] = user_id
    if number is not None:
        conversation["phone_number_id"] = number
    if name is not None:
        conversation["kapso"] = {"contact_name": name}
    if statuses is not None:
        told["kapso"]["statuses"] = statuses
    body = {"message": told | changes, "conversation": conversation, "is_new_conversation": False}
    return body if number is None else body | {"phone_number_id": number}


def sent(wamid: str, at: object = 0, **fields: Any) -> Json:
    """A v2 message event of an outbound message; its status is told by the event's name."""
    return message(wamid, at, direction="outbound", **fields)


def status(word: str, at: int | None = None, *errors: Json, **fields: Any) -> Json:
    """One entry of statuses[]."""
    told = {"status": word} | fields
    told |= {} if at is None else {"timestamp": str(START + at)}
    return told | ({"errors": list(errors)} if errors else {})


def error(code: object = 131047, details: str = "More than 24 hours") -> Json:
    return {"code": code, "title": "Title", "error_data": {"details": details}}


def media(kind: str, *, content: str = "", has_media: bool = True, **fields: Any) -> Json:
    """The parts of a message that make it one of another type."""
    kapso = {"direction": "inbound", "has_media": has_media, "content": content}
    return {"type": kind, kind: fields, "text": None, "kapso": kapso}


def reaction(wamid: str, at: int, target: str, emoji: str | None, **fields: Any) -> Json:
    told = {"message_id": target} | ({} if emoji is None else {"emoji": emoji})
    return message(wamid, at, type="reaction", reaction=told, **fields)


def session_event(
    session: str, at: int, *, phone: str | None = ANA, status: str | None = None, **changes: Any
) -> Json:
    """A v2 conversation event; its kind is the event's name."""
    conversation: Json = {
        "id": session,
        "phone_number": phone,
        "phone_number_id": LIMA,
        "updated_at": moment(at).isoformat(),
        "kapso": {"contact_name": None, "messages_count": 0, "last_message_id": None},
    }
    conversation |= {} if status is None else {"status": status}
    return {"conversation": conversation | changes, "phone_number_id": LIMA}


def contact_updated(phone: str, name: str, number: str = LIMA, **changes: Any) -> Json:
    told = {"type": "contact.updated", "phone_number_id": number}
    return told | {"contact": {"phone_number": phone, "display_name": name}} | changes


def batch(*items: Any, **changes: Any) -> Json:
    """Kapso's batch: the business number is named by the items alone."""
    body = {"type": RECEIVED, "batch": True, "data": list(items), "batch_info": {"size": len(items)}}
    return body | changes


def meta(*values: Json, field: str = "messages", number: str = LIMA) -> Json:
    """Meta's own shape, with one change for each value."""
    metadata = {"phone_number_id": number, "display_phone_number": OWN_PHONE}
    changes = [
        {"field": field, "value": {"messaging_product": "whatsapp", "metadata": metadata} | value}
        for value in values
    ]
    return {"object": "whatsapp_business_account", "entry": [{"id": "390277188450016", "changes": changes}]}


def meta_status(wamid: str, word: str, at: int, *errors: Json) -> Json:
    return meta({"statuses": [status(word, at, *errors, id=wamid, recipient_id=ANA)]})


def system_line(wamid: str, at: int, sender: str | None, **system: Any) -> Json:
    """ "User A changed from OLD to NEW": `system` says what changed."""
    told = {"id": wamid, "timestamp": str(START + at), "type": "system", "system": system}
    return meta({"messages": [told | ({} if sender is None else {"from": sender})]})


def user_id_update(at: int, old: str, new: str, phone: str | None = None) -> Json:
    told = {"user_id": {"previous": old, "current": new}, "timestamp": str(START + at)}
    value = {"user_id_update": [told | ({} if phone is None else {"wa_id": phone})]}
    return meta(value, field="user_id_update")


def without_time(told: Json) -> Json:
    """A body in Meta's shape without any of its times."""
    timeless: Json = json.loads(re.sub(r'"timestamp": "[^"]*"', '"timestamp": null', json.dumps(told)))
    return timeless


@dataclass(slots=True)
class Desk:
    """Two workspaces with a number each, and signed webhooks posted to them through all of Django but its server."""

    client: Client = field(default_factory=Client)
    numbers: dict[str, PhoneNumber] = field(default_factory=dict)

    @classmethod
    def open(cls) -> Desk:
        desk = cls()
        for slug, number, phone in (("lima", LIMA, OWN_PHONE), ("saopaulo", SAOPAULO, "551150200143")):
            workspace = Workspace.objects.create(name=slug.title(), slug=slug)
            desk.numbers[number] = PhoneNumber.objects.create(
                workspace=workspace,
                phone_number_id=number,
                display_phone_number=phone,
                webhook_secret=f"{slug}-secret",
            )
        return desk

    def post(
        self,
        body: Any,
        event: str = RECEIVED,
        *,
        key: str | None = None,
        secret: str = PROJECT_SECRET,
        **headers: str,
    ) -> Answer:
        """`body` is bytes, or data to serialise once."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        told = {"X-Webhook-Signature": sign(raw, secret), "X-Webhook-Event": event}
        told["X-Idempotency-Key"] = f"desk-{next(_counter)}" if key is None else key
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        response = self.client.post(
            "/webhooks/kapso/",
            raw,
            content_type="application/json",
            headers={name: value for name, value in told.items() if value},
        )
        return Answer(response.status_code, response.content.decode())

    def told(self, *bodies: Json) -> None:
        """Post each, under the event that its message is one of; all must be processed."""
        for body in bodies:
            outbound = body.get("message", {}).get("kapso", {}).get("direction") == "outbound"
            answer = self.post(body, "" if "object" in body else SENT if outbound else RECEIVED)
            assert (answer.status, answer.json["status"]) == (200, "processed"), answer.delivery.error

    def became(self, wamid: str, word: str, at: int = 0, *errors: Json, **fields: Any) -> None:
        """Post whatsapp.message.<word> of a message to ANA."""
        if errors:
            fields["statuses"] = [status(word, at, *errors)]
        answer = self.post(sent(wamid, at, **fields), f"whatsapp.message.{word}")
        assert (answer.status, answer.json["status"]) == (200, "processed")

    def lead(self, phone: str = ANA, number: str = LIMA) -> Contact:
        return Contact.objects.living().get(workspace=self.numbers[number].workspace_id, phone=phone)

    @property
    def only_lead(self) -> Contact:
        return Contact.objects.living().get()

    def row(self, wamid: str) -> Message:
        return Message.objects.get(kapso_message_id=wamid)
