"""The form of a lead: what people type, checked in words that they understand."""

from __future__ import annotations

import re
from typing import Any

import phonenumbers
from django import forms
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Q

from contacts.models import Contact, Identity, LeadStatus
from contacts.models.contact import ALLOWED_MOVES
from contacts.phone_forms import forms as forms_of

TYPED = ("name", "lead_status", "owner", "email", "lead_score", "tags")


class MemberField(forms.ModelChoiceField):  # type: ignore[type-arg]
    def label_from_instance(self, obj: Any) -> str:
        return str(obj.get_full_name() or obj.get_username())


class LeadForm(forms.ModelForm):  # type: ignore[type-arg]
    """What was typed counts, not what else the page showed: meanwhile a webhook, or somebody else, may have changed it.

    So each field brings along the value that it had when the page was made.
    """

    class Meta:
        model = Contact
        fields = TYPED

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in TYPED:
            if name in self.fields:
                self.fields[name].show_hidden_initial = True
        if status := self.fields.get("lead_status"):
            current = LeadStatus(self.instance.lead_status)
            page_had = self.data.get(self.add_initial_prefix("lead_status"))
            status.choices = [  # type: ignore[attr-defined]
                (move.value, move.label)
                for move in LeadStatus
                if move in (current, *ALLOWED_MOVES[current], page_had)
            ]
            status.error_messages["invalid_choice"] = self._refusal(current)
        if owner := self.fields.get("owner"):
            owner.queryset = members(self.instance)  # type: ignore[attr-defined]
        if tags := self.fields.get("tags"):
            tags.help_text = "Separated by commas."
            tags.base_field.required = False  # type: ignore[attr-defined]  # a comma too many is no mistake

    def clean_lead_status(self) -> str:
        """Untouched, it is whatever it has become since the page was made."""
        status: str = self.cleaned_data["lead_status"]
        return status if "lead_status" in self.changed_data else self.instance.lead_status

    def clean_tags(self) -> list[str]:
        tags = (tag.strip() for tag in self.cleaned_data["tags"] or [])
        return list(dict.fromkeys(filter(None, tags)))

    @staticmethod
    def _refusal(current: LeadStatus) -> str:
        allowed = ", ".join(move.label for move in ALLOWED_MOVES[current])
        return f"The lead is {current.label} by now. From there it can become: {allowed}."


class NewLeadForm(forms.ModelForm):  # type: ignore[type-arg]
    """A lead that somebody adds by hand."""

    class Meta:
        model = Contact
        fields = ("workspace", "phone", "business_scoped_user_id", "name", "email", "lead_score", "tags")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["phone"].max_length = None  # type: ignore[attr-defined]
        self.fields["phone"].validators = []
        self.fields["phone"].widget.attrs |= {"inputmode": "tel", "maxlength": 40}
        self.fields["phone"].help_text = "With the country code, for example +49 151 23456789."
        self.fields["business_scoped_user_id"].label = "WhatsApp user ID"
        self.fields["business_scoped_user_id"].help_text = "Only for somebody who hides their phone from you."
        self.fields["tags"].help_text = "Separated by commas."
        self.fields["tags"].base_field.required = False  # type: ignore[attr-defined]

    clean_tags = LeadForm.clean_tags

    def clean_phone(self) -> str | None:
        typed = self.cleaned_data["phone"]
        return phone_digits(typed) if typed and typed.strip() else None

    def clean_business_scoped_user_id(self) -> str | None:
        return self.cleaned_data["business_scoped_user_id"] or None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for field, kind in (("phone", Identity.Kind.PHONE), ("business_scoped_user_id", Identity.Kind.USER)):
            if (value := cleaned.get(field)) and (
                other := _holder(cleaned.get("workspace"), kind, field, value)
            ):
                self.add_error(field, f"That is {other.shown_name}, who is a lead already.")
        if not self.errors and not any(map(cleaned.get, ("phone", "business_scoped_user_id", "name"))):
            raise ValidationError("Enter a phone or a name.")
        return cleaned


def members(lead: Contact) -> Any:
    """Who may own the lead: the members of its workspace, and whoever owns it now."""
    users = get_user_model().objects
    inside = users.filter(workspaces=lead.workspace_id, is_active=True).values("pk")
    return users.filter(Q(pk__in=inside) | Q(pk=lead.owner_id)).order_by("first_name", "username")


def phone_digits(typed: str) -> str:
    """The digits as WhatsApp has them. Only with + or 00 in front do we know that the country code is there."""
    digits = re.sub(r"\D", "", typed)
    if not digits.isascii() or not 5 <= len(digits.removeprefix("00")) <= 15:
        raise ValidationError("That is not a phone number: it takes 5 to 15 digits.")
    if digits.startswith("0") and not digits.startswith(
        "00"
    ):  # within some country: which one is not guessed
        raise ValidationError("Begin with the country code, for example +49 151 23456789.")
    if not typed.strip().startswith(("+", "00")):
        return digits
    digits = digits.removeprefix("00")
    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException as error:
        raise ValidationError("No country has this code. Check the digits after the +.") from error
    if not phonenumbers.is_possible_number(number):
        raise ValidationError("This number is too long or too short for its country.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).lstrip("+")


def _holder(workspace: Any, kind: Identity.Kind, field: str, value: str) -> Contact | None:
    """The lead that has this phone, in either form of a mobile, or user id; or once had it."""
    if workspace is None:
        return None
    inside = Contact.objects.filter(workspace=workspace)
    values = forms_of(value) if kind == Identity.Kind.PHONE else [value]
    known = Q(**{f"{field}__in": values}) | Q(identities__kind=kind, identities__value__in=values)
    found = inside.filter(known).select_related("merged_into").first()
    return found and (found.merged_into or found)
