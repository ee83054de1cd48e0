"""The fields of a lead that people type into, those of the workspace included: what each takes, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from contacts.changing import Refused
from contacts.models import Contact, CustomField, LeadChange

LONGEST = 500
HIGHEST_SCORE = 1_000_000

_BUILT_IN = {
    "name": (LeadChange.Kind.NAME, gettext_lazy("Name")),
    "email": (LeadChange.Kind.EMAIL, gettext_lazy("E-mail")),
    "lead_score": (LeadChange.Kind.SCORE, gettext_lazy("Score")),
}
_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of one workspace. Its values are those that JSON knows; None where the field is empty."""

    name: str
    label: Any
    kind: LeadChange.Kind
    input: forms.Field
    custom: CustomField | None = None

    def of(self, lead: Contact) -> Any:
        return lead.metadata.get(self.name) if self.custom else getattr(lead, self.name)

    def clean(self, typed: str) -> Any:
        """The value that somebody typed. Raises `Refused` where the field takes no such thing."""
        try:
            value = self.input.clean(typed)
        except ValidationError as error:
            raise Refused(f"{self.label}: {' '.join(error.messages)}") from error
        if self.custom is None:
            return value
        return _as_json(self.custom, value)

    def clean_json(self, value: Any) -> Any:
        """The value that a program gave as JSON. Raises `FieldRefused` where the field takes no such thing."""
        takes, said = _takes(self)
        if value is not None and (
            not isinstance(value, takes) or isinstance(value, bool) is not (takes is bool)
        ):
            raise FieldRefused(self, f"“{self.label}” takes {said}.")
        try:
            return self.clean("" if value is None else _as_typed(value))
        except Refused as refusal:
            raise FieldRefused(self, str(refusal)) from refusal

    def is_same(self, value: Any, seen: str) -> bool:
        """Whether a page that showed `seen` showed this value, in whatever words."""
        try:
            return bool(self.clean(seen) == value)
        except Refused:
            return self.shown(value) == seen.strip()

    def shown(self, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, bool):
            return _("Yes") if value else _("No")
        if self.custom and self.custom.kind == CustomField.Kind.DATE and isinstance(value, str):
            return _date(value)
        return str(value)


class FieldRefused(Refused):
    """One of several fields takes no such value; `name` says which, `is_custom` whether the workspace added it."""

    def __init__(self, field: Field | str, why: str) -> None:
        super().__init__(why)
        self.name = field if isinstance(field, str) else field.name
        self.is_custom = isinstance(field, str) or field.custom is not None


def fields_of(lead: Contact, values: dict[str, Any]) -> list[tuple[Field, Any]]:
    """Of built-in fields by name, and of the workspace's under `metadata` by key; one query. Raises `FieldRefused`."""
    found = [(_field(name), value) for name, value in values.items() if name in _BUILT_IN]
    wanted = values.get("metadata") or {}
    inside = CustomField.objects.filter(workspace=lead.workspace_id, key__in=list(wanted))
    known = {custom.key: custom for custom in inside}
    for key, value in wanted.items():
        if key not in known:
            raise FieldRefused(key, _("There is no field “%(name)s” here.") % {"name": key[:50]})
        found.append((_custom(known[key]), value))
    return found


def field_of(lead: Contact, name: str) -> Field:
    """The field of that name, or custom field of that key in the lead's workspace. Raises `Refused`."""
    if name in _BUILT_IN:
        return _field(name)
    custom = CustomField.objects.filter(workspace=lead.workspace_id, key=name[:50]).first()
    if custom is None or custom.key != name:
        raise Refused(_("There is no field “%(name)s” here.") % {"name": name[:50]})
    return _custom(custom)


def _field(name: str) -> Field:
    kind, label = _BUILT_IN[name]
    return Field(name, label, kind, _built_in(name))


def _custom(custom: CustomField) -> Field:
    return Field(custom.key, custom.label, LeadChange.Kind.FIELD, input_of(custom), custom)


def _takes(field: Field) -> tuple[Any, str]:
    """What JSON has for it, and how that is called: said to programs, in English."""
    kind = field.custom.kind if field.custom else None
    if kind == CustomField.Kind.YES_NO:
        return bool, "true or false"
    if kind == CustomField.Kind.NUMBER:
        return (int, float), "a number"
    return (int, "a whole number") if field.name == "lead_score" and kind is None else (str, "text")


def _as_typed(value: Any) -> str:
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)


def _built_in(name: str) -> forms.Field:
    if name == "name":
        return forms.CharField(max_length=255, required=False)
    if name == "email":
        return forms.EmailField(max_length=254, required=False)
    return forms.IntegerField(min_value=-HIGHEST_SCORE, max_value=HIGHEST_SCORE)


def input_of(custom: CustomField) -> forms.Field:
    """What a form shows for it."""
    kind = CustomField.Kind
    if custom.kind == kind.NUMBER:
        return forms.DecimalField(max_digits=15, required=False, localize=True, label=custom.label)
    if custom.kind == kind.DATE:
        return forms.DateField(required=False, label=custom.label)
    if custom.kind == kind.CHOICE:
        choices = [("", "–"), *((choice, choice) for choice in custom.choices)]
        return forms.ChoiceField(choices=choices, required=False, label=custom.label)
    if custom.kind == kind.YES_NO:
        yes_no = [("", "–"), ("yes", gettext_lazy("Yes")), ("no", gettext_lazy("No"))]
        return _YesNoField(choices=yes_no, required=False, label=custom.label)
    return forms.CharField(max_length=LONGEST, required=False, label=custom.label)


class _YesNoField(forms.ChoiceField):
    def to_python(self, value: Any) -> str:
        """The words of a checkbox and of JSON count, too."""
        word = str(value).strip().lower()
        return "yes" if word in _YES else "no" if word in _NO else super().to_python(value)


def _as_json(custom: CustomField, value: Any) -> Any:
    if value in (None, ""):
        return None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, date):
        return value.isoformat()
    return value == "yes" if custom.kind == CustomField.Kind.YES_NO else value


def _date(value: str) -> str:
    try:
        return date_format(date.fromisoformat(value), "j M Y")
    except ValueError:
        return value
