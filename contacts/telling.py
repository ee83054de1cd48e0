"""When several events tell one message differently, which one is believed, field by field.

The one written ranking (DESIGN.md section 3, Messages): present over absent; a type that names what it acts on over
any other, and a real one over a placeholder; `business_app` over `cloud_api` over `history_sync`; then the newer event;
then the longer value, because Kapso's form of a message knows more than Meta's of the same second; then the value
itself, so that there is never a tie. An event that cannot say when it happened never beats one that can.

Each row keeps the rank of the telling that each field came from (`Message.told`), so a row and a telling merge without
the other tellings, in any order. The comparison is made here between tellings of one batch, and against the row in
contacts/statements/write_messages.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii
from typing import Any

from contacts.events import MessageTold
from contacts.models.message import ACTS_ON_A_MESSAGE

ORIGIN_RANK = {"history_sync": 1, "cloud_api": 2, "business_app": 3}
PLACEHOLDER_TYPES = {"", "unsupported", "media_placeholder"}

# field -> the columns that are taken together from the best telling of it.
FIELDS = {
    "body": ("message_type", "content", "payload"),
    "media_url": ("media_url",),
    "transcript": ("transcript",),
    "reply_to": ("reply_to",),
    "target": ("target",),
    "referral": ("referral",),
    "phone": ("phone",),
    "user_id": ("user_id",),
    "session": ("session",),
}


def _columns(told: MessageTold) -> dict[str, Any]:
    return {
        "message_type": told.message_type[:64],
        "content": told.content,
        "payload": dict(told.payload),
        "media_url": told.media_url,
        "transcript": told.transcript,
        "reply_to": told.reply_to,
        "target": told.target,
        "referral": dict(told.referral) if told.referral else None,
        "phone": told.person.phone,
        "user_id": told.person.user_id,
        "session": told.session.kapso_id if told.session else "",
    }


def _realness(told: MessageTold) -> int:
    """Who knows what a message acts on knows what it is; and what a revoke has cleared could not come back."""
    if told.message_type in ACTS_ON_A_MESSAGE and told.target:
        return 2
    return int(told.message_type not in PLACEHOLDER_TYPES)


def _as_json(values: tuple[Any, ...]) -> str:
    """One form for equal values. Most are a single text, and an encoder takes longer to make than to use."""
    if len(values) == 1 and isinstance(values[0], str):
        return f"[{encode_basestring_ascii(values[0])}]"
    return _SORTED.encode(values)


_SORTED = json.JSONEncoder(sort_keys=True, default=str)


def _rank(told: MessageTold, field: str, values: tuple[Any, ...], route: str) -> str:
    """Fixed width, so that ranks compare as text, from the most to the least telling part."""
    real = 1 if field != "body" else _realness(told)
    # A body without its type's data has only a label for content ("[text]", "Photo").
    present = field != "body" or not told.is_label
    value = _as_json(values)
    digest = hashlib.sha256(value.encode()).hexdigest()[:8]
    return f"{real:d}{present:d}{route}{min(len(value), 9999999):07d}{digest}"


def _route(told: MessageTold) -> str:
    """The part of a rank that all fields of a telling share: the way it came, and when it happened."""
    millis = int(told.at.timestamp() * 1000) if told.timed else 0
    return f"{ORIGIN_RANK.get(told.origin, 2)}{millis:014d}"


def merge(tellings: Iterable[MessageTold]) -> dict[str, Any]:
    """The tellings of one WAMID as one row's columns, with their ranks in `told`."""
    merged: dict[str, Any] = {"told": {}}
    for told in tellings:
        columns, route = _columns(told), _route(told)
        for field, names in FIELDS.items():
            values = tuple(columns[name] for name in names)
            rank = _rank(told, field, values, route) if any(values) else ""
            if rank > merged["told"].get(field, "") or names[0] not in merged:
                merged.update(zip(names, values, strict=True))
                merged["told"][field] = rank
        # Outbound, once any of them says so: only our side is told of statuses.
        merged["told"][told.direction] = "1"  # also once they have agreed: see REFRESH_DERIVED on revokes
        if told.message_type != "system":
            merged["told"]["person"] = "1"  # somebody wrote it, whatever a better telling calls it
        merged["direction"] = max(told.direction, merged.get("direction", "inbound"))
        merged["earliest_at"] = min(told.at, merged.get("earliest_at", told.at))
        merged["origin"] = max(told.origin, merged.get("origin", ""), key=lambda o: ORIGIN_RANK.get(o, 0))
    merged["told"] = {field: rank for field, rank in merged["told"].items() if rank}
    return merged
