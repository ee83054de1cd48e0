"""Deliveries as Kapso sends them (v2), signed, each different: made beforehand, so that sending costs nothing."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

SECRET = "bench-secret"  # noqa: S105 - of servers that live for one run, on loopback
PATH = "/webhooks/kapso/"
NUMBERS = ("480115511990231", "512340099871245")
FIRST = 1_781_000_000  # unix seconds
NEWCOMERS = 5_000_000  # whoever has a higher number is in no data set
# So many exchanges lie between a message of ours and each of its receipts: in order, some moments apart.
LAG = 50
PRICING = {"billable": True, "pricing_model": "PMP", "category": "service", "type": "free_customer_service"}
RECEIPTS = ("sent", "delivered", "read")
PLACES = ("Guarulhos", "Miraflores", "São José", "Хамовники", "القاهرة", "渋谷区")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What to send. Two with different seeds have no key and no message in common, but people."""

    seed: int
    count: int
    people: int = 10_000
    newcomers: bool = True  # every tenth exchange begins with somebody new
    batch: int = 1
    at: int = FIRST  # when it begins; a hundred exchanges a second follow


@dataclass(frozen=True, slots=True)
class Delivery:
    key: str
    event: str
    body: bytes
    wamids: tuple[str, ...]
    phones: tuple[str, ...]

    def request(self) -> bytes:
        """As it goes over the wire."""
        batch = "X-Webhook-Batch: true\r\n" if len(self.wamids) > 1 else ""
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(self.body)}\r\nX-Webhook-Event: {self.event}\r\n{batch}"
            f"X-Webhook-Signature: {signature(self.body)}\r\nX-Idempotency-Key: {self.key}\r\n"
            "X-Webhook-Payload-Version: v2\r\n\r\n"
        )
        return head.encode() + self.body


@dataclass(frozen=True, slots=True)
class Rows:
    """What must be in the tables after some deliveries."""

    deliveries: int
    messages: int
    contacts: int

    @classmethod
    def of(cls, *sent: Sequence[Delivery], to_known: bool = False) -> Rows:
        """What these add to empty tables or, `to_known`, to those of a data set."""
        all_sent = [delivery for some in sent for delivery in some]
        phones = {phone for delivery in all_sent for phone in delivery.phones}
        return cls(
            deliveries=len(all_sent),
            messages=len({wamid for delivery in all_sent for wamid in delivery.wamids}),
            contacts=sum(not to_known or is_newcomer(phone) for phone in phones),
        )

    def __sub__(self, before: Rows) -> Rows:
        return Rows(
            deliveries=self.deliveries - before.deliveries,
            messages=self.messages - before.messages,
            contacts=self.contacts - before.contacts,
        )


def signature(body: bytes) -> str:
    return hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


@lru_cache(maxsize=8)
def deliveries(traffic: Traffic) -> list[Delivery]:
    """Exchanges, side by side: a customer's text, our answer sent, delivered, read. In the order of sending."""
    told = _told(traffic)
    if traffic.batch == 1:
        return [
            _delivery(f"{traffic.seed}-{index}", event, [body])
            for index, (event, body) in zip(range(traffic.count), told, strict=False)
        ]
    inbound = (body for event, body in told if event.endswith("received"))
    return [
        _delivery(
            f"{traffic.seed}-{index}",
            "whatsapp.message.received",
            [next(inbound) for _ in range(traffic.batch)],
        )
        for index in range(traffic.count)
    ]


def _delivery(key: str, event: str, items: list[dict[str, Any]]) -> Delivery:
    body = items[0] if len(items) == 1 else {"type": event, "batch": True, "data": items}
    return Delivery(
        key=key,
        event=event,
        body=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
        wamids=tuple(item["message"]["id"] for item in items),
        phones=tuple(item["conversation"]["phone_number"] for item in items),
    )


def _told(traffic: Traffic) -> Iterator[tuple[str, dict[str, Any]]]:
    index = 0
    while True:
        yield "whatsapp.message.received", _inbound(traffic, index)
        for step, word in enumerate(RECEIPTS, start=1):
            if index >= step * LAG:
                yield f"whatsapp.message.{word}", _outbound(traffic, index - step * LAG, word)
        index += 1


def _person(traffic: Traffic, index: int) -> int:
    """Known people in a scattered order, and at even distances new ones."""
    if traffic.newcomers and index % 10 == 0:
        return NEWCOMERS + traffic.seed * 10_000 + index // 10
    return index * 7919 % traffic.people


def _inbound(traffic: Traffic, index: int) -> dict[str, Any]:
    text = f"Bom dia! Vocês entregam em {PLACES[index % len(PLACES)]}? Pedido {index}"
    kapso = {"direction": "inbound", "status": "received", "processing_status": "pending"}
    return _message(traffic, index, at=traffic.at + index // 100, text=text, who="from", kapso=kapso)


def _outbound(traffic: Traffic, index: int, word: str) -> dict[str, Any]:
    at = traffic.at + index // 100 + 30
    words = RECEIPTS[: RECEIPTS.index(word) + 1]
    kapso = {"direction": "outbound", "status": word, "processing_status": "completed"}
    body = _message(traffic, index, at=at, text=f"Sim! O pedido {index} sai hoje 🚚", who="to", kapso=kapso)
    message = body["message"]
    message["kapso"]["statuses"] = [
        {
            "id": message["id"],
            "status": each,
            "timestamp": str(at + step * 3),
            "recipient_id": message["to"],
            "pricing": PRICING,
        }
        for step, each in enumerate(words)
    ]
    return body


def _message(
    traffic: Traffic, index: int, *, at: int, text: str, who: str, kapso: dict[str, Any]
) -> dict[str, Any]:
    person = _person(traffic, index)
    phone = phone_of(person)
    number = NUMBERS[person % len(NUMBERS)]
    moment = datetime.fromtimestamp(at, UTC).isoformat()
    return {
        "message": {
            "id": f"wamid.bench.{traffic.seed}.{who}.{index:09d}",
            "timestamp": str(at),
            "type": "text",
            who: phone,
            "text": {"body": text},
            "context": None,
            "kapso": {"origin": "cloud_api", "has_media": False, "content": text} | kapso,
        },
        "conversation": {
            "id": str(uuid.UUID(int=person + 1)),
            "phone_number": f"+{phone}",
            "status": "active",
            "last_active_at": moment,
            "created_at": "2026-06-01T09:13:20Z",
            "updated_at": moment,
            "metadata": {},
            "phone_number_id": number,
            "kapso": {
                "contact_name": f"Camila {person}",
                "messages_count": 3,
                "last_message_type": "text",
                "last_message_timestamp": moment,
                "last_message_text": text,
            },
        },
        "is_new_conversation": person >= NEWCOMERS,
        "phone_number_id": number,
    }


def phone_of(person: int) -> str:
    """A Brazilian mobile."""
    return f"5511{960_000_000 + person}"


def is_newcomer(phone: str) -> bool:
    return int(phone[-9:]) >= 960_000_000 + NEWCOMERS
