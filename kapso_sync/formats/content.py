"""The readable text of a message: its words or caption, else a label.

Never a Python or JSON repr, and never `kapso.content` for media: there it is caption, size and a private URL in one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation

from kapso_sync.formats.item import Json
from kapso_sync.formats.reading import dig, rows, table, text

CURRENCY = re.compile(r"[A-Za-z]{3}")
CONTROL = re.compile("[\x00-\x1f\x7f]")
LARGEST_AMOUNT = Decimal(10**12)


def readable(message_type: str, message: Json, *, plain: str = "") -> str:
    """`plain` is what v1 tells in place of the typed content: the text itself."""
    if message_type in LABELS:
        return LABELS[message_type]
    kapso, content = table(message.get("kapso")), message.get(message_type)
    if message_type not in CONTENT:
        found = plain or _rendered(kapso)
    elif isinstance(content, dict | list) or message_type == "template":
        found = CONTENT[message_type](content if isinstance(content, dict) else {"list": content}, kapso)
    else:
        found = plain if message_type not in NEVER_PLAIN else ""
    return found or f"[{message_type}]"


def basename(value: object) -> str:
    """The last part of a file name that a stranger chose: for showing, never a path."""
    name = re.split(r"[/\\]", CONTROL.sub("", text(value)))[-1].strip()
    return "" if name in (".", "..") else name


def _filled(value: object) -> str:
    found = text(value)
    return found if found.strip() else ""


def _rendered(kapso: Json) -> str:
    return "" if kapso.get("has_media") is True else _filled(kapso.get("content"))


def _text(content: Json, _: Json) -> str:
    return text(content.get("body"))


def _caption(content: Json, kapso: Json) -> str:
    return _filled(content.get("caption")) or _filled(dig(kapso, "message_type_data", "caption"))


def _captioned(label: str) -> Callable[[Json, Json], str]:
    def caption_or_label(content: Json, kapso: Json) -> str:
        return _caption(content, kapso) or label

    return caption_or_label


def _audio(content: Json, _: Json) -> str:
    return "Voice message" if content.get("voice") is True else "Audio"


def _document(content: Json, kapso: Json) -> str:
    return _caption(content, kapso) or basename(content.get("filename")) or "Document"


def _location(content: Json, _: Json) -> str:
    place = ", ".join(filter(None, (_filled(content.get("name")), _filled(content.get("address")))))
    latitude, longitude = _degrees(content.get("latitude"), 90), _degrees(content.get("longitude"), 180)
    return place or (f"{latitude}, {longitude}" if latitude and longitude else "Location")


def _degrees(value: object, limit: int) -> str:
    number = _number(value)
    if number is None or abs(number) > limit:
        return ""
    return f"{number:.6f}".rstrip("0").rstrip(".")


def _contacts(content: Json, _: Json) -> str:
    cards = [card for card in rows(content.get("list")) if isinstance(card, dict)]
    if not cards:
        return ""
    names = (_filled(dig(card, "name", "formatted_name")).strip() for card in cards)
    first = next(filter(None, names), "Contact")
    return f"{first} and {len(cards) - 1} more" if len(cards) > 1 else first


def _interactive(content: Json, kapso: Json) -> str:
    kind = text(content.get("type"))
    if kind == "nfm_reply":
        form = _filled(dig(content, kind, "name")) or _filled(kapso.get("flow_name"))
        return "Address" if form == "address_message" else f"Form: {form}" if form else "Form"
    label = "Interactive message" if kind in OUTBOUND_INTERACTIVE else "Interactive reply"
    return _filled(dig(content, kind, "title")) or _filled(dig(content, "body", "text")) or label


def _button(content: Json, _: Json) -> str:
    return _filled(content.get("text"))


def _order(content: Json, _: Json) -> str:
    lines = [line for line in rows(content.get("product_items")) if isinstance(line, dict)]
    if not lines:
        return "Order"
    quantities = [_number(line.get("quantity")) for line in lines]
    known = [quantity for quantity in quantities if quantity is not None and quantity == int(quantity) >= 0]
    count = int(sum(known)) if len(known) == len(lines) else len(lines)
    total = _total(lines) if len(known) == len(lines) else ""
    return f"Order: {count} item{'' if count == 1 else 's'}{total}"


def _total(lines: list[Json]) -> str:
    currencies = {text(line.get("currency")).strip().upper() for line in lines}
    prices = [_number(line.get("item_price")) for line in lines]
    currency = currencies.pop()
    if currencies or not CURRENCY.fullmatch(currency) or any(price is None or price < 0 for price in prices):
        return ""
    total = sum((_number(line["item_price"]) or 0) * (_number(line["quantity"]) or 0) for line in lines)
    return f" — {total:.2f} {currency}"


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(text(value)) > 32:
        return None
    try:
        number = Decimal(str(value).strip())
    except (InvalidOperation, ValueError):
        return None
    return number if number.is_finite() and abs(number) < LARGEST_AMOUNT else None


def _template(content: Json, kapso: Json) -> str:
    name = _filled(content.get("name")).strip()
    rendered = _rendered(kapso)
    marker = rendered.strip()
    if rendered and marker != name and not (marker.startswith("[") and marker.endswith("]")):
        return rendered
    return f"Template: {name}" if name else ""


def _reaction(content: Json, _: Json) -> str:
    emoji = _filled(content.get("emoji"))
    return f"Reacted {emoji}" if emoji else "Removed a reaction"


def _edit(content: Json, _: Json) -> str:
    inner = table(content.get("message"))
    kind = text(inner.get("type"))
    return readable(kind, inner) if kind and kind != "edit" else ""


def _system(content: Json, _: Json) -> str:
    return _filled(content.get("body")) or "System message"


# developers.facebook.com/docs/whatsapp/cloud-api/reference/messages, "interactive object"
OUTBOUND_INTERACTIVE = {
    "button",
    "list",
    "cta_url",
    "flow",
    "product",
    "product_list",
    "catalog_message",
    "location_request_message",
}

# What Kapso writes for these is no text of the person's: an attachment sentence, a sentence about a reaction.
NEVER_PLAIN = {"image", "video", "audio", "document", "reaction"}

# Types whose text does not depend on what they carry.
LABELS = {
    "sticker": "Sticker",
    "revoke": "Message deleted",
    "unsupported": "Unsupported message",
    "media_placeholder": "Media",
    "request_welcome": "Opened the chat",
}

# developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components, "messages object"
CONTENT: dict[str, Callable[[Json, Json], str]] = {
    "text": _text,
    "image": _captioned("Photo"),
    "video": _captioned("Video"),
    "audio": _audio,
    "document": _document,
    "location": _location,
    "contacts": _contacts,
    "interactive": _interactive,
    "button": _button,
    "order": _order,
    "template": _template,
    "reaction": _reaction,
    "edit": _edit,
    "system": _system,
}
