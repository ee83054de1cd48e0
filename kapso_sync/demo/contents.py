"""The content of each kind of message, in Meta's shape (CONTRACT.md section 9.3)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from kapso_sync.demo.plot import Said, made_up_id
from kapso_sync.demo.stories import Lead, Line

Json = dict[str, Any]

MIME_TYPES = {
    "image": "image/jpeg",
    "video": "video/mp4",
    "voice": "audio/ogg; codecs=opus",
    "audio": "audio/mpeg",
    "document": "application/pdf",
    "sticker": "image/webp",
}
EXTENSIONS = {"image": "jpg", "video": "mp4", "voice": "ogg", "audio": "mp3", "sticker": "webp"}
# What is written in the stories as one thing and on the wire as another.
TYPES = {
    "voice": "audio",
    "app": "text",
    "failed": "text",
    "reply": "interactive",
    "pick": "interactive",
    "form": "interactive",
    "buttons": "interactive",
    "list": "interactive",
    "link": "interactive",
}


def content_of(told: Said, lead: Lead) -> tuple[str, Any]:
    """The type and its content; None where the type has none."""
    kind = told.line.kind
    make = CONTENTS.get(kind)
    return TYPES.get(kind, kind), make(told, lead) if make else None


def is_media(line: Line) -> bool:
    return line.kind in MIME_TYPES


def stored_media(told: Said) -> Json:
    """Kapso's own copy of a file. There is none: the host is one that can never exist (RFC 2606)."""
    filename = (
        told.line.detail or f"{told.line.kind}-{digest(told.wamid) % 10_000}.{EXTENSIONS.get(told.line.kind)}"
    )
    url = f"https://media.invalid/demo/{digest(told.wamid):x}/{filename.replace(' ', '-')}"
    size = 20_000 + digest(told.wamid) % 900_000
    data = {"url": url, "filename": filename, "content_type": MIME_TYPES[told.line.kind], "byte_size": size}
    return {"media_url": url, "media_data": data}


def digest(text: str) -> int:
    """A number that looks like any other and is always the same."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])


def _text(told: Said, _: Lead) -> Json:
    return {"body": told.line.text}


def _media(told: Said, _: Lead) -> Json:
    line = told.line
    content: Json = {"id": str(digest(told.wamid)), "mime_type": MIME_TYPES[line.kind]}
    if line.kind == "voice":
        return content | {"voice": True}
    if line.kind == "sticker":
        return content | {"animated": False}
    content |= {"filename": line.detail} if line.detail else {}
    return content | ({"caption": line.text} if line.text else {})


def _location(told: Said, _: Lead) -> Json:
    latitude, longitude = map(float, told.line.detail.split(","))
    name, address = told.line.text.split(" | ")
    return {"latitude": latitude, "longitude": longitude, "name": name, "address": address}


def _contacts(told: Said, _: Lead) -> list[Json]:
    name, phone = told.line.text.split(" +")
    named = {"formatted_name": name, "first_name": name.split()[0]}
    return [{"name": named, "phones": [{"phone": f"+{phone}", "wa_id": phone, "type": "CELL"}]}]


def _order(told: Said, lead: Lead) -> Json:
    """`SKU x2 @ 120 ARS; ... | a note`"""
    items, note = told.line.text.split(" | ")
    lines = [_order_line(*item.split()) for item in items.split("; ")]
    return {"catalog_id": str(digest(lead.language)), "text": note, "product_items": lines}


def _order_line(product: str, quantity: str, _: str, price: str, currency: str) -> Json:
    return {
        "product_retailer_id": product,
        "quantity": int(quantity.removeprefix("x")),
        "item_price": float(price),
        "currency": currency,
    }


def _reply(told: Said, lead: Lead) -> Json:
    reply = {"id": made_up_id(lead, told.line.text), "title": told.line.text}
    return {"type": "button_reply", "button_reply": reply}


def _pick(told: Said, lead: Lead) -> Json:
    title, description = told.line.text.split(" | ")
    reply = {"id": made_up_id(lead, title), "title": title, "description": description}
    return {"type": "list_reply", "list_reply": reply}


def _form(told: Said, _: Lead) -> Json:
    """Ours asks, theirs answers: `field: answer; ...`"""
    name, text = told.line.detail, told.line.text
    if told.line.is_outbound:
        return _interactive("flow", text, {"name": "flow", "parameters": {"flow_id": str(digest(name))}})
    answers = dict(answer.split(": ", 1) for answer in text.split("; "))
    reply = {"name": name, "body": "Sent", "response_json": json.dumps(answers, ensure_ascii=False)}
    return {"type": "nfm_reply", "nfm_reply": reply}


def _buttons(told: Said, lead: Lead) -> Json:
    text, *titles = told.line.text.split(" | ")
    replies = [
        {"type": "reply", "reply": {"id": made_up_id(lead, title), "title": title}} for title in titles
    ]
    return _interactive("button", text, {"buttons": replies})


def _list(told: Said, lead: Lead) -> Json:
    text, button, *titles = told.line.text.split(" | ")
    choices = [{"id": made_up_id(lead, title), "title": title} for title in titles]
    return _interactive("list", text, {"button": button, "sections": [{"title": button, "rows": choices}]})


def _link(told: Said, _: Lead) -> Json:
    text, title, url = told.line.text.split(" | ")
    return _interactive(
        "cta_url", text, {"name": "cta_url", "parameters": {"display_text": title, "url": url}}
    )


def _interactive(kind: str, text: str, action: Json) -> Json:
    return {"type": kind, "body": {"text": text}, "action": action}


def _button(told: Said, _: Lead) -> Json:
    return {"text": told.line.text, "payload": told.line.text}


def _template(told: Said, lead: Lead) -> Json:
    return {"name": told.line.detail, "language": {"code": lead.language}, "components": []}


def _reaction(told: Said, _: Lead) -> Json:
    return {"message_id": told.target, "emoji": told.line.text}


def _edit(told: Said, _: Lead) -> Json:
    inner = {"type": "text", "text": {"body": told.line.text}}
    return {"original_message_id": told.target, "message": inner}


def _revoke(told: Said, _: Lead) -> Json:
    return {"original_message_id": told.target}


def _system(_: Said, lead: Lead) -> Json:
    text = f"User {lead.name} changed from {lead.phone} to {lead.newest_phone}"
    return {"type": "user_changed_number", "body": text, "wa_id": lead.newest_phone}


def _unsupported(told: Said, _: Lead) -> Json:
    return {"type": told.line.detail}


CONTENTS: dict[str, Callable[[Said, Lead], Any]] = {
    "text": _text,
    "app": _text,
    "failed": _text,
    "image": _media,
    "video": _media,
    "voice": _media,
    "audio": _media,
    "document": _media,
    "sticker": _media,
    "location": _location,
    "contacts": _contacts,
    "order": _order,
    "reply": _reply,
    "pick": _pick,
    "form": _form,
    "buttons": _buttons,
    "list": _list,
    "link": _link,
    "button": _button,
    "template": _template,
    "reaction": _reaction,
    "edit": _edit,
    "revoke": _revoke,
    "system": _system,
    "unsupported": _unsupported,
}
