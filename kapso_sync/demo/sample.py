"""A single message from somebody who has never written before."""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime
from typing import Any

from kapso_sync.demo.payloads import Number, Webhook, unix

NAMES = [
    "Alma Torres", "Beatriz Nunes", "Citra Anggraini", "Daniel Okafor", "Elisa Marín", "Felipe Duarte",
    "Gita Pramesti", "Hugo Salinas", "Irene Castro", "Joana Freitas", "Kofi Mensah", "Lina Haddad",
]  # fmt: skip
TEXTS = [
    "Hi! Do you have this in blue?",
    "¡Hola! ¿Hacen envíos a domicilio?",
    "Oi! Ainda dá para encomendar para sábado?",
    "Selamat siang, masih ada stok?",
]


# In each of them 555-0100 to 555-0199 is kept free for fiction.
AREA_CODES = (
    202,
    206,
    212,
    303,
    305,
    312,
    404,
    415,
    503,
    512,
    602,
    617,
    702,
    713,
    801,
    808,
    904,
    916,
    919,
    971,
)


def made_up_phone() -> str:
    return f"1{secrets.choice(AREA_CODES)}55501{secrets.randbelow(100):02}"


def sample(name: str, text: str, phone: str, number: Number, *, now: datetime) -> Webhook:
    person: dict[str, Any] = {"phone_number": f"+{phone}", "kapso": {"contact_name": name}}
    body = {
        "message": {
            "id": f"wamid.{uuid.uuid4().hex}",
            "timestamp": unix(now),
            "type": "text",
            "from": phone,
            "text": {"body": text},
            "kapso": {"direction": "inbound", "status": "received", "origin": "cloud_api", "content": text},
        },
        "conversation": {
            "id": str(uuid.uuid4()),
            "phone_number_id": number.phone_number_id,
            "status": "active",
            "last_active_at": now.isoformat(),
            **person,
        },
        "is_new_conversation": True,
        "phone_number_id": number.phone_number_id,
    }
    return Webhook(at=now, event="whatsapp.message.received", body=body)
