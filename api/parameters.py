"""What stands in an address after the question mark: strict fields, and django-filter's filters made of them.

A value that is not of its kind is refused with the parameter's name. None is guessed at, and none is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_datetime
from django_filters import Filter
from drf_spectacular.utils import extend_schema_field

from api.cursors import HIGHEST

# PostgreSQL and Python agree on these years, in any time zone.
EARLIEST, LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
NO_NUL = r"^[^\u0000]*$"
ID = {"type": "integer", "format": "int64", "minimum": 1, "maximum": HIGHEST}


class IdField(forms.Field):
    def to_python(self, value: Any) -> int | None:
        if value in self.empty_values:
            return None
        if not re.fullmatch("[0-9]{1,19}", str(value), re.ASCII) or not 1 <= int(value) <= HIGHEST:
            raise ValidationError("That is no id: ids are whole numbers from 1.", "invalid")
        return int(value)


class YesNoField(forms.Field):
    def to_python(self, value: Any) -> bool | None:
        if value in self.empty_values:
            return None
        if value not in ("true", "false"):
            raise ValidationError("Say true or false.", "invalid")
        return bool(value == "true")


class OneOfField(forms.Field):
    def __init__(self, *, words: Iterable[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words = tuple(words)

    def to_python(self, value: Any) -> str | None:
        if value not in self.empty_values and value not in self.words:
            raise ValidationError(f"Choose one of: {', '.join(self.words)}.", "invalid")
        return value or None


class MomentField(forms.Field):
    def to_python(self, value: Any) -> datetime | None:
        return None if value in self.empty_values else moment_of(str(value))


class PatternField(forms.CharField):
    """A text of one form."""

    def __init__(self, *, pattern: str, said: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pattern, self.said = pattern, said

    def validate(self, value: str) -> None:
        super().validate(value)
        if value and not re.fullmatch(self.pattern, value, re.ASCII):
            raise ValidationError(self.said, "invalid")


def moment_of(text: str) -> datetime:
    """RFC 3339. A plus sign that nobody encoded came as a space; beyond all that can be, it is the earliest or latest."""
    said = "That is no time with its zone: write it like 2026-06-09T10:13:20Z."
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+ -]\d\d:\d\d)", text, re.ASCII):
        raise ValidationError(said, "invalid")
    spelled = re.sub(r" (\d\d:\d\d)$", r"+\1", text.upper())
    spelled = re.sub(r"(\.\d{6})\d+", r"\1", spelled)
    try:
        at = parse_datetime(spelled)
    except ValueError:  # the 30th of February
        at = None
    if at is None:
        raise ValidationError(said, "invalid")
    return min(max(at, EARLIEST), LATEST).astimezone(UTC)


class _Parameter(Filter):  # type: ignore[misc]
    """A filter that tells the schema what it takes and what it is for."""

    def __init__(self, column: str | None, about: str, schema: dict[str, Any], **kwargs: Any) -> None:
        lookup = kwargs.pop("lookup_expr", "exact")
        super().__init__(field_name=column, lookup_expr=lookup, label=about, **kwargs)
        extend_schema_field(schema | {"description": about})(self)


class Id(_Parameter):
    field_class = IdField

    def __init__(self, column: str | None, about: str, **kwargs: Any) -> None:
        super().__init__(column, about, ID, **kwargs)


class YesNo(_Parameter):
    field_class = YesNoField

    def __init__(self, column: str | None, about: str, **kwargs: Any) -> None:
        super().__init__(column, about, {"type": "boolean"}, **kwargs)


class OneOf(_Parameter):
    field_class = OneOfField

    def __init__(self, column: str | None, about: str, words: Iterable[str], **kwargs: Any) -> None:
        known = list(words)
        super().__init__(column, about, {"type": "string", "enum": known}, words=known, **kwargs)


class Text(_Parameter):
    field_class = forms.CharField

    def __init__(self, column: str | None, about: str, longest: int, **kwargs: Any) -> None:
        schema = {"type": "string", "minLength": 1, "maxLength": longest, "pattern": NO_NUL}
        super().__init__(column, about, schema, max_length=longest, strip=False, **kwargs)


class Pattern(_Parameter):
    field_class = PatternField

    def __init__(self, column: str | None, about: str, pattern: str, said: str, **kwargs: Any) -> None:
        schema = {"type": "string", "pattern": f"^({pattern})$"}
        super().__init__(column, about, schema, pattern=pattern, said=said, strip=False, **kwargs)


class Moment(_Parameter):
    """From then on (`_after`, itself included), or before then (`_before`)."""

    field_class = MomentField

    def __init__(self, column: str | None, about: str, lookup: str = "gte", **kwargs: Any) -> None:
        schema = {"type": "string", "format": "date-time"}
        super().__init__(column, about, schema, lookup_expr=lookup, **kwargs)


def after(column: str, what: str) -> Moment:
    return Moment(column, f"{what} at this time or later.", "gte")


def before(column: str, what: str) -> Moment:
    return Moment(column, f"{what} earlier than this.", "lt")
