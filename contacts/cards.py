"""What a message carries besides its words, for showing: a file, a place, an order, the answers to a form.

The only reader of a message's `payload` besides the preview. What is in there came from strangers: whatever has not
the type that was hoped for counts as missing. Pure: no database, no HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from contacts.preview import file_name, label, one_line, shorten

# A stranger decides how much there is of everything.
MOST = 30
LONGEST = 300

Json = dict[str, Any]


@dataclass(slots=True)
class Card:
    """`title` says what it is (empty: the message's own words do), `facts` are names and values (a name may be empty), `choices` what can be tapped."""

    title: str
    icon: str = ""
    detail: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)
    footer: str = ""
    map_at: str = ""


def card_of(message_type: str, payload: object, content: str) -> Card | None:
    """None for mere words."""
    data = payload if isinstance(payload, dict) else {}
    if message_type in MEDIA:
        return _medium(message_type, data, content)
    make = CARDS.get(message_type)
    card = make(data) if make else None
    if card and not card.title:
        card.title = shorten(one_line(content), LONGEST)
    return card


def notes_on(payload: object) -> Iterator[str]:
    """What WhatsApp says about how a message came: forwarded, or about a product."""
    context = _dig(payload, "context")
    if _dig(context, "frequently_forwarded") is True:
        yield _("Forwarded many times")
    elif _dig(context, "forwarded") is True:
        yield _("Forwarded")
    product = _text(_dig(context, "referred_product", "product_retailer_id"))
    if product:
        yield _("About the product %(product)s") % {"product": product}


def ad_of(referral: object) -> Card | None:
    """The ad or post that somebody tapped before they wrote. Its addresses are a stranger's, so they are no links."""
    if not isinstance(referral, dict):
        return None
    facts = [
        (_("Text"), _text(referral.get("body"))),
        (_("Ad"), _text(referral.get("source_id"))),
        (_("Address"), _text(referral.get("source_url"))),
    ]
    kind = _("Came from a post") if referral.get("source_type") == "post" else _("Came from an ad")
    return Card(
        _text(referral.get("headline")) or kind, "campaign", kind, [fact for fact in facts if fact[1]]
    )


def _medium(message_type: str, data: Json, content: str) -> Card:
    media = data.get("media")
    named = file_name(data) or file_name(media)
    __, label_ = label(message_type, data, content)
    word = _(label_) if label_ else ""
    size = _dig(media, "byte_size")
    told = _text(data.get("mime_type")) or _text(_dig(media, "content_type"))
    known = [word if named else "", _kind_of_file(told, named), _size(size)]
    return Card(shorten(named, 120) or word, ICONS[message_type], " · ".join(filter(None, known)))


def _kind_of_file(mime_type: str, name: str) -> str:
    end = name.rpartition(".")[2] if "." in name else ""
    kind = end or mime_type.partition(";")[0].rpartition("/")[2]
    return kind.upper() if 0 < len(kind) <= 5 and kind.isalnum() else ""


def _size(size: object) -> str:
    try:
        number = int(size) if isinstance(size, int | str) and not isinstance(size, bool) else 0
    except ValueError:
        return ""
    return filesizeformat(number) if 0 < number < 2**40 else ""


def _location(data: Json) -> Card:
    latitude, longitude = _degrees(data.get("latitude"), 90), _degrees(data.get("longitude"), 180)
    at = f"{latitude},{longitude}" if latitude and longitude else ""
    return Card(
        _text(data.get("name")) or _("Place"),
        "location_on",
        _text(data.get("address")),
        [("", at.replace(",", ", "))] if at else [],
        map_at=at,
    )


def _degrees(value: object, limit: int) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return ""
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return ""
    return f"{number:.6f}".rstrip("0").rstrip(".") if abs(number) <= limit else ""


def _contacts(data: Json) -> Card:
    """One person stands for the card; several are listed in it."""
    people = [
        (_text(_dig(person, "name", "formatted_name")) or _("Contact"), _reached_at(person))
        for person in _rows(data.get("contacts"))
    ]
    if len(people) == 1:
        return Card(people[0][0], "person", people[0][1])
    return Card(_("Contacts"), "group", facts=people)


def _reached_at(person: object) -> str:
    phones = [_text(_dig(row, "phone")) or _text(_dig(row, "wa_id")) for row in _rows(_dig(person, "phones"))]
    mails = [_text(_dig(row, "email")) for row in _rows(_dig(person, "emails"))]
    return ", ".join(filter(None, (*phones, *mails, _text(_dig(person, "org", "company")))))


def _order(data: Json) -> Card:
    lines = _rows(data.get("product_items"))
    facts = [
        (
            _text(_dig(line, "product_retailer_id")) or _("Product"),
            " ".join(
                filter(
                    None,
                    (
                        f"{_number(_dig(line, 'quantity'))} ×",
                        _number(_dig(line, "item_price")),
                        _text(_dig(line, "currency")),
                    ),
                )
            ),
        )
        for line in lines
    ]
    return Card("", "shopping_cart", _text(data.get("text")) or _text(data.get("order_text")), facts)


def _interactive(data: Json) -> Card | None:
    kind = _text(data.get("type"))
    if kind == "nfm_reply":
        return Card("", "assignment", _("Answers to a form"), list(_answers(data)))
    if kind.endswith("_reply"):
        return Card(_("Chosen from what was offered"), "touch_app", _text(_dig(data, kind, "description")))
    action = data.get("action")
    buttons = [_button_title(button) for button in _rows(_dig(action, "buttons"))]
    rows = [row for section in _rows(_dig(action, "sections")) for row in _rows(_dig(section, "rows"))]
    opens = _text(_dig(action, "button")) or _text(_dig(action, "parameters", "display_text"))
    opens = opens or _text(_dig(action, "parameters", "flow_cta"))
    titles = [*buttons, opens, *(_text(_dig(row, "title")) for row in rows)]
    return Card(
        _text(_dig(data, "header", "text")) or _("With buttons"),
        "smart_button",
        choices=[title for title in titles if title][:MOST],
        footer=_text(_dig(data, "footer", "text")),
    )


def _answers(data: Json) -> Iterator[tuple[str, str]]:
    answers = data.get("response") or data.get("flow_response")
    for name, value in list(answers.items())[:MOST] if isinstance(answers, dict) else ():
        if name != "flow_token":
            yield _text(name), _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    if isinstance(value, list):
        return ", ".join(filter(None, map(_plain, value[:MOST])))
    if isinstance(value, dict):
        return ", ".join(f"{_text(key)}: {_plain(inner)}" for key, inner in list(value.items())[:MOST])
    return _text(value) or _number(value)


def _button_title(button: object) -> str:
    return _text(_dig(button, "reply", "title")) or _text(_dig(button, "text"))


def _tapped(_data: Json) -> Card:
    return Card(_("A button was tapped"), "touch_app")


def _template(data: Json) -> Card:
    filled, buttons = [], []
    for component in _rows(data.get("components")):
        values = [_filled_in(parameter) for parameter in _rows(_dig(component, "parameters"))]
        kind = _text(_dig(component, "type")).lower()
        if kind == "button":
            buttons += [value for value in values if value]
        elif any(values):
            filled.append((_PARTS.get(kind, lambda: "")(), ", ".join(filter(None, values))))
    name = _text(data.get("name"))
    language = _text(_dig(data, "language", "code")) or _text(data.get("language"))
    return Card(
        name or _("Template"), "article", f"{_('Template')} {language}".strip(), filled, buttons[:MOST]
    )


def _filled_in(parameter: object) -> str:
    return (
        _text(_dig(parameter, "text"))
        or _text(_dig(parameter, "payload"))
        or file_name(_dig(parameter, "document"))
    )


def _unsupported(data: Json) -> Card:
    kind = _text(_dig(data, "unsupported", "type")) or _text(data.get("type"))
    said = _("WhatsApp shows it on the phone only.")
    return Card(_("A message that cannot be shown here"), "block", f"{said} ({kind})" if kind else said)


def _placeholder(_data: Json) -> Card:
    return Card(
        _("Media"), "perm_media", _("From before this number was connected; the file is on the phone only.")
    )


def _dig(value: object, *keys: str) -> object:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _rows(value: object) -> list[Any]:
    return [row for row in value[:MOST] if isinstance(row, dict)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return shorten(one_line(value[: LONGEST * 2]), LONGEST) if isinstance(value, str) else ""


def _number(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return ""
    return shorten(one_line(str(value)[:64]), 32)


ICONS = {"image": "image", "video": "movie", "audio": "mic", "document": "description", "sticker": "mood"}
MEDIA = frozenset(ICONS)

_PARTS: dict[str, Callable[[], str]] = {"header": lambda: _("Header"), "body": lambda: _("Filled in")}

# CONTRACT.md 9.3
CARDS: dict[str, Callable[[Json], Card | None]] = {
    "location": _location,
    "contacts": _contacts,
    "order": _order,
    "interactive": _interactive,
    "button": _tapped,
    "template": _template,
    "unsupported": _unsupported,
    "media_placeholder": _placeholder,
}
