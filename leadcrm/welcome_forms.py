"""The forms of the first steps (leadcrm.welcome)."""

from __future__ import annotations

import secrets
from itertools import count
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from contacts.admin.unfolded import PasswordInput, Select, TextInput
from contacts.encryption import Undecryptable
from contacts.models import Membership, PhoneNumber, Role, Workspace

LONGEST_SECRET = 255
# No select is longer; who has more workspaces adds numbers on the numbers' own page.
MOST_CHOICES = 100


class WorkspaceForm(forms.ModelForm):  # type: ignore[type-arg]
    """A workspace by its name alone: the rest has good defaults."""

    class Meta:
        model = Workspace
        fields = ("name", "time_zone")
        widgets = {
            "name": TextInput(attrs={"autofocus": True, "maxlength": 255}),
            "time_zone": TextInput,
        }
        labels = {"name": gettext_lazy("Name of the team"), "time_zone": gettext_lazy("Time zone")}
        help_texts = {
            "name": gettext_lazy("As your people call it: the shop, the branch, the department."),
            "time_zone": gettext_lazy("For example America/Lima. Business hours and days are counted in it."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_bound:
            self.fields["time_zone"].widget.attrs["data-own-zone"] = True  # filled in by told.js

    def clean_time_zone(self) -> str:
        zone: str = self.cleaned_data["time_zone"].strip()
        if zone not in available_timezones():
            raise ValidationError(
                _("There is no such time zone. Examples: America/Lima, Europe/Madrid, UTC.")
            )
        return zone

    @transaction.atomic
    def create(self, *, by: User) -> Workspace:
        """Whoever creates it owns it."""
        workspace: Workspace = self.save(commit=False)
        workspace.slug = free_slug(workspace.name)
        workspace.save()
        Membership.objects.create(workspace=workspace, user=by, role=Role.OWNER)
        return workspace


def free_slug(name: str) -> str:
    wanted = slugify(name)[:90] or "workspace"
    taken = set(Workspace.objects.filter(slug__startswith=wanted).values_list("slug", flat=True))
    return next(slug for n in count(1) if (slug := wanted if n == 1 else f"{wanted}-{n}") not in taken)


class NumberForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = PhoneNumber
        fields = ("workspace", "phone_number_id", "display_phone_number")
        widgets = {
            "workspace": Select,
            "phone_number_id": TextInput(attrs={"autofocus": True, "inputmode": "numeric", "maxlength": 64}),
            "display_phone_number": TextInput(attrs={"inputmode": "tel", "maxlength": 32}),
        }
        labels = {
            "workspace": gettext_lazy("Workspace"),
            "phone_number_id": gettext_lazy("Phone number ID"),
            "display_phone_number": gettext_lazy("The number itself"),
        }
        help_texts = {
            "phone_number_id": gettext_lazy(
                "Some 15 digits. Kapso shows it in your project under WhatsApp, Phone numbers; it is not the number itself."
            ),
            "display_phone_number": gettext_lazy("As you write it, for example +51 1 555 0142."),
        }
        error_messages = {
            "phone_number_id": {"unique": gettext_lazy("This number is registered here already.")}
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        newest = list(Workspace.objects.order_by("-pk")[:MOST_CHOICES])
        field = self.fields["workspace"]
        field.choices = [(one.pk, one.name) for one in newest]  # type: ignore[attr-defined]
        if newest:
            self.initial["workspace"] = newest[0].pk
        if len(newest) == 1:
            field.widget = forms.HiddenInput()


class SecretForm(forms.Form):
    """The secret goes in, or is made here; what is stored never comes out again.

    `seen` tells which secret the page knew of, without telling it: a page that is sent twice changes nothing twice.
    """

    seen = forms.CharField(widget=forms.HiddenInput, required=False)
    secret = forms.CharField(
        required=False,
        label=gettext_lazy("Secret key"),
        widget=PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, data: Any = None, *, number: PhoneNumber) -> None:
        self.number = number
        super().__init__(data, initial={"seen": fingerprint(number)})

    def clean_seen(self) -> str:
        seen: str = self.cleaned_data["seen"]
        if not constant_time_compare(seen, fingerprint(self.number)):
            raise ValidationError(
                _("Meanwhile another secret was stored. It is not shown again: nothing was changed.")
            )
        return seen

    def clean_secret(self) -> str:
        typed: str = self.cleaned_data["secret"].strip()
        if len(typed) > LONGEST_SECRET or any(char.isspace() or char == "," for char in typed):
            raise ValidationError(_("That is no secret key: it has neither spaces nor commas."))
        if typed.startswith(("http://", "https://")):
            raise ValidationError(
                _("That is an address. Copy the secret key, which stands beside it in Kapso.")
            )
        return typed

    def store(self, secret: str) -> None:
        """The one before is accepted as well until it is removed: what Kapso signs meanwhile is not refused."""
        former = [] if isinstance(self.number.webhook_secret, Undecryptable) else self.number.secrets[:1]
        kept = [secret, *(one for one in former if one != secret)]
        self.number.webhook_secret = ",".join(kept)
        self.number.save(update_fields=["webhook_secret"])


def generated() -> str:
    return secrets.token_urlsafe(32)


def fingerprint(number: PhoneNumber) -> str:
    """Which secret is stored, told to nobody."""
    stored = number.webhook_secret
    if isinstance(stored, Undecryptable):
        return "undecryptable"
    return salted_hmac("leadcrm.welcome", stored).hexdigest()[:20] if stored else ""
