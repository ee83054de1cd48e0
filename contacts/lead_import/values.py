"""What a row says: its cells as values of a lead's fields. An empty cell says nothing.

Pure but for `Context.of`, which reads once what the rows of a batch need to know of their workspace.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any

import phonenumbers
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from contacts.lead_fields import HIGHEST_SCORE, LONGEST
from contacts.lead_import.headers import CUSTOM, TARGETS
from contacts.lead_import.words import Wrong
from contacts.models import CustomField, Import, LeadStatus, PhoneNumber, Tag
from contacts.phone_forms import is_longer_form
from contacts.preview import one_line
from contacts.work import LONGEST_TAG, MOST_TAGS, may_own

_YES = {"yes", "y", "true", "1", "x", "on", "sí", "si", "s", "verdadero", "sim", "verdadeiro", "✓"}
_NO = {"no", "n", "false", "0", "off", "falso", "não", "nao", "-"}
# Words for a status besides its own and its label's.
_STATUSES = {
    LeadStatus.NEW: ("new", "nuevo", "nueva", "novo", "nova"),
    LeadStatus.QUALIFIED: ("qualified", "calificado", "calificada", "cualificado", "qualificado", "qualificada"),
    LeadStatus.CONTACTED: ("contacted", "contactado", "contactada", "contatado", "contatada"),
    LeadStatus.CONVERTED: ("converted", "convertido", "convertida", "won", "ganado", "ganho"),
    LeadStatus.ARCHIVED: ("archived", "archivado", "archivada", "arquivado", "arquivada"),
}  # fmt: skip
_STATUS_OF = {word: status.value for status, words in _STATUSES.items() for word in words}
_SHORTENED = re.compile(r"\d+(?:[.,]\d+)?e\+?\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Context:
    """What a workspace has: its people, fields, tags, numbers, and what was chosen for the file."""

    mapping: tuple[str, ...]
    country: str = ""
    day_first: bool = True
    fields: Mapping[str, CustomField] = field(default_factory=dict)
    # User name or e-mail, in lower case -> ids.
    people: Mapping[str, frozenset[int]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    own_phones: frozenset[str] = frozenset()

    @classmethod
    def of(cls, made: Import) -> Context:
        """Four queries."""
        workspace = made.workspace_id
        people = dict[str, frozenset[int]]()
        for pk, *names in may_own([workspace]).values_list("user", "user__username", "user__email"):
            for name in {name.strip().lower() for name in names if name.strip()}:
                people[name] = people.get(name, frozenset()) | {pk}
        return cls(
            mapping=tuple(made.mapping),
            country=made.country,
            day_first=made.day_first,
            fields={each.key: each for each in CustomField.objects.filter(workspace=workspace)},
            people=people,
            tags={
                name.lower(): name
                for name in Tag.objects.filter(workspace=workspace).values_list("name", flat=True)
            },
            own_phones=frozenset(
                number.own_phone
                for number in PhoneNumber.objects.filter(workspace=workspace)
                if number.own_phone
            ),
        )


def values_of(cells: list[str], context: Context) -> dict[str, Any]:
    """The fields that the row fills; custom ones as `metadata.<key>`. Raises `Wrong` at the first that cannot be."""
    if len(cells) > len(context.mapping):
        raise Wrong("cells", cells=len(cells), columns=len(context.mapping))
    said = dict[str, Any]()
    for target, cell in zip(context.mapping, cells, strict=False):
        if target and cell:
            value = _reader(target, context)(cell)
            if value not in (None, "", []):
                said[target] = value
    return _whole_name(said)


def _reader(target: str, context: Context) -> Any:
    if target.startswith(CUSTOM):
        known = context.fields.get(target.removeprefix(CUSTOM))
        return partial(_custom, field=known, day_first=context.day_first) if known else lambda _cell: None
    readers: dict[str, Any] = {
        "phone": partial(_phone, context=context),
        "email": _email,
        "lead_score": _score,
        "lead_status": _status,
        "tags": partial(_tags, context=context),
        "owner": partial(_owner, context=context),
        "business_scoped_user_id": partial(_text, field=TARGETS["business_scoped_user_id"], most=256),
    }
    return readers.get(target) or partial(_text, field=TARGETS[target], most=255)


def _whole_name(said: dict[str, Any]) -> dict[str, Any]:
    parts = [said.pop(part, "") for part in ("first_name", "last_name")]
    if "name" not in said and (name := " ".join(filter(None, parts))):
        said["name"] = _text(name, field=TARGETS["name"], most=255)
    return said


def _short(value: str) -> str:
    return value if len(value) <= 60 else f"{value[:59]}…"


def _text(cell: str, *, field: Any, most: int) -> str:
    text = one_line(cell)
    if len(text) > most:
        raise Wrong("long", field=str(field), length=len(text), most=most)
    return text


def _email(cell: str) -> str:
    email = cell.strip().removeprefix("mailto:")
    try:
        validate_email(email)
    except ValidationError as error:
        raise Wrong("email", value=_short(cell)) from error
    if len(email) > 254:
        raise Wrong("email", value=_short(cell))
    return email


def _score(cell: str) -> int:
    number = as_number(cell)
    if number is None or number != int(number) or abs(number) > HIGHEST_SCORE:
        raise Wrong("score", value=_short(cell), most=HIGHEST_SCORE)
    return int(number)


def _status(cell: str) -> str:
    status = _STATUS_OF.get(cell.strip().casefold())
    if status is None:
        raise Wrong("status", value=_short(cell), allowed=", ".join(LeadStatus.values))
    return status


def _tags(cell: str, *, context: Context) -> list[str]:
    """Separated by commas or semicolons; spelled as the workspace suggests them."""
    found = dict[str, str]()
    for part in re.split(r"[,;|\n]", cell):
        if tag := _text(part, field=TARGETS["tags"], most=LONGEST_TAG):
            found.setdefault(tag.lower(), context.tags.get(tag.lower(), tag))
    if len(found) > MOST_TAGS:
        raise Wrong("tags", most=MOST_TAGS)
    return list(found.values())


def _owner(cell: str, *, context: Context) -> int:
    found = context.people.get(cell.strip().lower(), frozenset())
    if len(found) != 1:
        raise Wrong("owners" if found else "owner", value=_short(cell))
    return next(iter(found))


# Phones

# Digits of a number without its country code; with it they may be 15.
LONGEST_AT_HOME = 11


def _phone(cell: str, *, context: Context) -> str:
    """Digits with the country code, as WhatsApp has them. Raises `Wrong`."""
    phone = phone_of(cell, context.country)
    if phone in context.own_phones:
        raise Wrong("own_number", value=_short(cell))
    return phone


def phone_of(typed: str, country: str = "") -> str:
    text = re.sub(r"\.0+$", "", typed.strip().removeprefix("tel:"))
    if _SHORTENED.fullmatch(text.replace(" ", "")):
        raise Wrong("shortened", value=_short(typed))
    if re.search(r"[^\W\d_]", text):
        raise Wrong("letters", value=_short(typed))
    digits = re.sub(r"\D", "", text)
    if not digits.isascii() or not 5 <= len(digits.removeprefix("00")) <= 15:
        raise Wrong("digits", value=_short(typed))
    if text.startswith(("+", "00")):
        return _of_the_world(digits.removeprefix("00") if text.startswith("00") else digits, typed)
    return _at_home(digits, country, typed)


def _of_the_world(digits: str, typed: str) -> str:
    number = _parsed(f"+{digits}", None)
    if number is None:
        raise Wrong("unknown_country", value=_short(typed))
    if is_longer_form(digits):
        return digits
    if not phonenumbers.is_possible_number(number):
        raise Wrong("length", value=_short(typed))
    return _as_digits(number)


def _at_home(digits: str, country: str, typed: str) -> str:
    """A number of the chosen country, or one that has its country code, only without a + in front."""
    at_home = _parsed(digits, country) if country else None
    if at_home is not None and phonenumbers.is_valid_number(at_home):
        return _as_digits(at_home)
    abroad = None if digits.startswith("0") else _parsed(f"+{digits}", None)
    if (
        abroad is not None
        and phonenumbers.is_possible_number(abroad)
        and (not country or phonenumbers.is_valid_number(abroad))
    ):
        return _as_digits(abroad)
    if at_home is not None and phonenumbers.is_possible_number(at_home):
        return _as_digits(at_home)
    if is_longer_form(digits):
        return digits
    # Longer than any number at home: of a country whose numbers we may not know all, as in a file that we exported.
    if abroad is not None and phonenumbers.is_possible_number(abroad) and len(digits) > LONGEST_AT_HOME:
        return _as_digits(abroad)
    raise Wrong("length" if country else "no_country", value=_short(typed))


def _parsed(text: str, country: str | None) -> Any:
    try:
        return phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None


def _as_digits(number: Any) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).lstrip("+")


# The workspace's own fields


def _custom(cell: str, *, field: CustomField, day_first: bool) -> Any:
    kind, told = CustomField.Kind, {"field": field.label, "value": _short(cell)}
    if field.kind == kind.NUMBER:
        number = as_number(cell)
        if number is None or abs(number) >= 10**15:
            raise Wrong("number", **told)
        return int(number) if number == int(number) else number
    if field.kind == kind.DATE:
        day = as_date(cell, day_first=day_first)
        if day is None:
            raise Wrong("date", **told)
        return day.isoformat()
    if field.kind == kind.YES_NO:
        word = cell.strip().casefold()
        if word not in _YES | _NO:
            raise Wrong("yes_no", **told)
        return word in _YES
    if field.kind == kind.CHOICE:
        chosen = {choice.casefold(): choice for choice in field.choices}.get(one_line(cell).casefold())
        if chosen is None:
            raise Wrong("choice", **told, allowed=", ".join(field.choices[:20]))
        return chosen
    return _text(cell, field=field.label, most=LONGEST)


# Nobody writes a longer one; what takes time grows faster than its length, and a larger one is infinite.
LONGEST_NUMBER = 60


def as_number(text: str) -> float | None:
    """A number as people write it: `1.234,5` and `1,234.5`. A lone separator before three digits cuts thousands if it is a
    comma, decimals if it is a point."""
    if len(text) > LONGEST_NUMBER:
        return None
    bare = re.sub(r"[\s'’_]", "", text)
    if "," in bare and "." in bare:
        decimal = max(bare.rfind(","), bare.rfind("."))
        bare = re.sub(r"[.,]", "", bare[:decimal]) + "." + bare[decimal + 1 :]
    elif re.fullmatch(r"[+-]?\d{1,3}(?:,\d{3})+|[+-]?\d{1,3}(?:\.\d{3}){2,}", bare):
        bare = re.sub(r"[.,]", "", bare)
    else:
        bare = bare.replace(",", ".")
    return float(bare) if re.fullmatch(r"[+-]?(?:\d+\.?\d*|\.\d+)", bare, re.ASCII) else None


def as_date(text: str, *, day_first: bool) -> date | None:
    bare = re.sub(r"[ T]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?$", "", text.strip())
    try:
        if match := re.fullmatch(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})", bare, re.ASCII):
            return date(int(match[1]), int(match[2]), int(match[3]))
        if match := re.fullmatch(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})", bare, re.ASCII):
            day, month = (match[1], match[2]) if day_first else (match[2], match[1])
            return date(int(match[3]), int(month), int(day))
    except ValueError:
        return None
    return None
