"""A field that a workspace adds to its leads."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from contacts.admin.unfolded import Select, Textarea, TextInput
from contacts.models import CustomField

MOST_FIELDS = 50
MOST_CHOICES = 100
LONGEST_CHOICE = 100


class FieldForm(forms.ModelForm):  # type: ignore[type-arg]
    """What kind it is stays as it was made: the leads' values are of that kind."""

    choices = forms.CharField(
        label=_("Choices"),
        required=False,
        help_text=_("One on each line, in the order in which they are offered."),
        widget=Textarea({"rows": 4}),
    )

    class Meta:
        model = CustomField
        fields = ("label", "kind")
        labels = {"label": _("Name of the field"), "kind": _("Kind")}
        widgets = {"label": TextInput(), "kind": Select()}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["choices"] = "\n".join(self.instance.choices)
        if self.instance.pk:
            del self.fields["kind"]
            if self.instance.kind != CustomField.Kind.CHOICE:
                del self.fields["choices"]

    def clean_label(self) -> str:
        return " ".join(self.cleaned_data["label"].split())

    def clean_choices(self) -> list[str]:
        lines = (" ".join(line.split()) for line in self.cleaned_data["choices"].splitlines())
        choices = list(dict.fromkeys(filter(None, lines)))
        if len(choices) > MOST_CHOICES:
            raise ValidationError(_("These are more than %(most)s choices."), params={"most": MOST_CHOICES})
        if any(len(choice) > LONGEST_CHOICE for choice in choices):
            raise ValidationError(
                _("A choice has at most %(most)s characters."), params={"most": LONGEST_CHOICE}
            )
        return choices

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        kind = cleaned.get("kind") or self.instance.kind
        if kind != CustomField.Kind.CHOICE:
            cleaned["choices"] = []
        elif len(cleaned.get("choices", "  ")) < 2:
            self.add_error("choices", _("Enter at least two choices."))
        self.instance.choices = cleaned.get("choices", [])
        return cleaned
