"""The form of a new lead: what people type, checked in words that they understand."""

from __future__ import annotations

import re
from typing import Any

import phonenumbers
from django import forms
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from contacts.changing import Refused
from contacts.models import Contact, Identity
from contacts.phone_forms import forms as forms_of
from contacts.phone_forms import is_longer_form
from contacts.preview import one_line
from contacts.rights import Rights

HIGHEST_SCORE = 1_000_000


class NewLeadForm(forms.ModelForm):  # type: ignore[type-arg]
    """A lead that somebody adds by hand. `rights` are theirs: whom they do not see is not named to them."""

    rights: Rights | None = None

    class Meta:
        model = Contact
        fields = ("workspace", "phone", "business_scoped_user_id", "name", "email", "lead_score", "tags")
        labels = {
            "workspace": gettext_lazy("Workspace"),
            "phone": gettext_lazy("Phone"),
            "name": gettext_lazy("Name"),
            "email": gettext_lazy("E-mail"),
            "lead_score": gettext_lazy("Score"),
            "tags": gettext_lazy("Tags"),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["phone"].max_length = None
        fields["phone"].validators = []
        fields["phone"].widget.attrs |= {"inputmode": "tel", "maxlength": 40, "autocomplete": "off"}
        fields["phone"].help_text = _(
            "With the country code, for example +49 151 23456789. A name alone will do, too."
        )
        fields["business_scoped_user_id"].label = _("WhatsApp user ID")
        fields["business_scoped_user_id"].help_text = _("Only for somebody who hides their phone from you.")
        fields["lead_score"].widget.attrs |= {"min": -HIGHEST_SCORE, "max": HIGHEST_SCORE}
        fields["lead_score"].help_text = _(
            "A whole number, as your team counts: the higher, the more promising."
        )
        fields["tags"].help_text = _("Separated by commas.")
        fields["tags"].base_field.required = False  # a comma too many is no mistake

    def add(self) -> Contact:
        """The lead that was typed. Raises `Refused` where somebody else was faster."""
        try:
            with transaction.atomic():
                lead: Contact = self.save()
                hold_identities()
        except IntegrityError as error:
            raise Refused(_("This lead was added just now by somebody else.")) from error
        return lead

    def clean_name(self) -> str:
        return one_line(self.cleaned_data["name"])

    def clean_lead_score(self) -> int:
        score: int = self.cleaned_data["lead_score"]
        if abs(score) > HIGHEST_SCORE:
            raise ValidationError(_("The score is at most %(most)s.") % {"most": HIGHEST_SCORE})
        return score

    def clean_tags(self) -> list[str]:
        tags = (tag.strip() for tag in self.cleaned_data["tags"] or [])
        return list(dict.fromkeys(filter(None, tags)))

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
                self.add_error(field, self._taken(other))
        if not self.errors and not any(map(cleaned.get, ("phone", "business_scoped_user_id", "name"))):
            raise ValidationError(_("Enter a phone or a name."))
        return cleaned

    def _taken(self, other: Contact) -> str:
        """Who it is, is told to those alone who may see them."""
        if self.rights is not None and self.rights.sees(other):
            return _("That is %(name)s, who is a lead already.") % {"name": other.shown_name}
        return _("Somebody with this is a lead already, one that you do not see.")


def hold_identities() -> None:
    """That somebody else has this phone or user id is said now, not when all is committed."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS contact_phone, contact_user_id IMMEDIATE")


def phone_digits(typed: str) -> str:
    """The digits as WhatsApp has them. Only with + or 00 in front do we know that the country code is there."""
    if re.search(r"[^\W\d_]", typed):
        raise ValidationError(_("That is not a phone number: it has letters in it."))
    digits = re.sub(r"\D", "", typed)
    if not digits.isascii() or not 5 <= len(digits.removeprefix("00")) <= 15:
        raise ValidationError(_("That is not a phone number: it takes 5 to 15 digits."))
    if digits.startswith("0") and not digits.startswith(
        "00"
    ):  # within some country: which one is not guessed
        raise ValidationError(_("Begin with the country code, for example +49 151 23456789."))
    if not typed.strip().startswith(("+", "00")):
        return digits
    digits = digits.removeprefix("00")
    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException as error:
        raise ValidationError(_("No country has this code. Check the digits after the +.")) from error
    if is_longer_form(digits):
        return digits
    if not phonenumbers.is_possible_number(number):
        raise ValidationError(_("This number is too long or too short for its country."))
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
