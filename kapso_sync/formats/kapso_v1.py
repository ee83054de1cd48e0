"""Kapso's older payloads, version 1, put into the shape of version 2 (CONTRACT.md 5.2; best effort)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kapso_sync.formats.item import Json
from kapso_sync.formats.reading import dig, moment, table, text, wamid

# docs.kapso.ai, "Payload versions": these stand beside the message's id in v1 and under `kapso` in v2.
MOVED_TO_KAPSO = (
    "direction",
    "status",
    "origin",
    "has_media",
    "statuses",
    "media_url",
    "media_data",
    "transcript",
    "message_type_data",
    "flow_response",
    "flow_name",
    "phone_number_id",
    "whatsapp_conversation_id",
    "contact_name",
)
MEDIA = {"image", "video", "audio", "document", "sticker"}


def is_v1(body: Json, version: str) -> bool:
    return "whatsapp_config" in body or version == "v1" or dig(body, "message", "message_type") is not None


def as_v2(body: Json, received_at: datetime) -> Json:
    """The same body as v2 would tell it; what is in v2's place already stays. `plain` carries the text."""
    message = table(body.get("message"))
    if not message:
        return body
    kind = text(message.get("message_type")) or text(message.get("type"))
    kapso = {key: message[key] for key in MOVED_TO_KAPSO if key in message} | table(message.get("kapso"))
    upgraded = message | {
        # v1's own `id` is Kapso's, not WhatsApp's: good for nothing but to keep the message.
        "id": wamid(message.get("whatsapp_message_id")) or message.get("id"),
        "type": kind,
        "timestamp": message.get(
            "timestamp" if moment(message.get("timestamp"), received_at) else "created_at"
        ),
        "kapso": kapso,
    }
    plain = _plain(message, kapso)
    typed = _typed(kind, message, plain)
    return body | {"message": upgraded | typed, "plain": plain}


def _plain(message: Json, kapso: Json) -> str:
    """v1 tells every text in `content`; for media that is an attachment sentence with a private URL."""
    return "" if kapso.get("has_media") is True else text(message.get("content"))


def _typed(kind: str, message: Json, plain: str) -> dict[str, Any]:
    """v1 has no typed content: a text becomes v2's, a medium is only known by its type."""
    if kind in message:
        return {}
    if kind == "text" and plain:
        return {"text": {"body": plain}}
    return {kind: {}} if kind in MEDIA else {}
