"""The settings of a workspace, as its owner types them."""

from __future__ import annotations

from datetime import time
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.dates import WEEKDAYS
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from contacts.admin.unfolded import NumberInput, Select, Switch, TextInput
from contacts.admin.zones import ZoneField
from contacts.models import Workspace

UNITS = {"hours": 1, "days": 24}
A_YEAR = 24 * 366
DAYS = range(7)


class ClockInput(TextInput):
    input_type = "time"

    def format_value(self, value: Any) -> str | None:
        return value.strftime("%H:%M") if isinstance(value, time) else value


def clocks() -> dict[str, forms.TimeField]:
    """From Monday on, when each day begins and ends."""
    said = {"opens": _("opens"), "closes": _("closes")}
    return {
        f"{word}_{day}": forms.TimeField(
            required=False,
            label=format_lazy("{day} {word}", day=WEEKDAYS[day], word=label),
            widget=ClockInput(),
        )
        for day in DAYS
        for word, label in said.items()
    }


class SettingsForm(forms.ModelForm):  # type: ignore[type-arg]
    time_zone = ZoneField(label=_("Time zone"), help_text=_("Of the team: its working hours are told in it."))
    follow_up_every = forms.IntegerField(label=_("Follow up after"), min_value=1, widget=NumberInput())
    follow_up_unit = forms.ChoiceField(
        label=_("Unit"), choices=[("hours", _("hours")), ("days", _("days"))], widget=Select()
    )

    class Meta:
        model = Workspace
        fields = ("name", "slug", "time_zone", "agents_see_all", "assigns_in_turn")
        labels = {
            "name": _("Name"),
            "agents_see_all": _("Agents see all leads"),
            "assigns_in_turn": _("Give new leads to the agents in turn"),
        }
        help_texts = {
            "agents_see_all": _("Off: they see their own leads and those of nobody."),
            "assigns_in_turn": _("Among those who take leads, as the page of the members says."),
        }
        widgets = {"agents_see_all": Switch(), "assigns_in_turn": Switch()}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields |= clocks()
        self.initial.update(self._hours() | self._period())

    def _hours(self) -> dict[str, str]:
        week = self.instance.business_hours or [None] * 7
        return {
            f"{word}_{day}": at
            for day in DAYS
            if week[day]
            for word, at in zip(("opens", "closes"), week[day], strict=True)
        }

    def _period(self) -> dict[str, Any]:
        hours = self.instance.follow_up_hours
        unit = "days" if hours % 24 == 0 else "hours"
        return {"follow_up_every": hours // UNITS[unit], "follow_up_unit": unit}

    def clean_name(self) -> str:
        return " ".join(self.cleaned_data["name"].split())

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for day in DAYS:
            self._check_day(cleaned.get(f"opens_{day}"), cleaned.get(f"closes_{day}"), day)
        if "follow_up_every" in cleaned and "follow_up_unit" in cleaned:
            cleaned["follow_up_hours"] = cleaned["follow_up_every"] * UNITS[cleaned["follow_up_unit"]]
            if cleaned["follow_up_hours"] > A_YEAR:
                self.add_error("follow_up_every", _("A year at most."))
            self.instance.follow_up_hours = cleaned["follow_up_hours"]
        self.instance.business_hours = [self._day(day) for day in DAYS]
        return cleaned

    def _check_day(self, opens: time | None, closes: time | None, day: int) -> None:
        if {f"opens_{day}", f"closes_{day}"} & set(self.errors):
            return
        if (opens is None) != (closes is None):
            missing = f"opens_{day}" if opens is None else f"closes_{day}"
            self.add_error(missing, _("Enter both times, or neither for a day off."))
        elif opens and closes and opens >= closes:
            self.add_error(f"closes_{day}", _("It closes after it opens."))

    def _day(self, day: int) -> list[str] | None:
        opens, closes = (self.cleaned_data.get(f"{word}_{day}") for word in ("opens", "closes"))
        return [opens.strftime("%H:%M"), closes.strftime("%H:%M")] if opens and closes else None


class TagForm(forms.Form):
    name = forms.CharField(label=_("Tag"), max_length=50, widget=TextInput())

    def clean_name(self) -> str:
        name = " ".join(self.cleaned_data["name"].split())
        if "," in name:
            raise ValidationError(_("A tag has no comma: commas stand between tags."))
        return name
