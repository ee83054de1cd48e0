"""The field for a time zone: it suggests while one types, for some 500 names are too many for a select."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from contacts.admin.unfolded import TextInput
from contacts.time_zones import ZONES, zone_named


class ZoneInput(TextInput):
    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        suggests = f"{name}-zones"
        attrs = (attrs or {}) | {"list": suggests, "autocomplete": "off", "spellcheck": "false"}
        options = format_html_join("", '<option value="{}">', ((zone,) for zone in sorted(ZONES)))
        field = super().render(name, value, attrs, renderer)
        return format_html('{}<datalist id="{}">{}</datalist>', field, suggests, options)


class ZoneField(forms.CharField):
    widget = ZoneInput

    def clean(self, value: Any) -> str:
        typed: str = super().clean(value)
        if typed and not (found := zone_named(typed)):
            text = _("There is no such time zone. Choose one of the list, for example America/Lima.")
            raise ValidationError(text)
        return found if typed else ""  # type: ignore[return-value]
