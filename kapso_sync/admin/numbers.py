"""The WhatsApp numbers that Kapso delivers for."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from contacts.admin.tenancy import SuperuserAdmin
from contacts.admin.unfolded import PasswordInput
from contacts.encryption import Undecryptable
from contacts.models import PhoneNumber
from kapso_sync.admin.outcomes import replay_and_say
from kapso_sync.afterwards import ask_for_retries
from kapso_sync.models import WebhookDelivery
from kapso_sync.replaying import BATCH_BYTES, BODY_LENGTH

# What waited for a number is brought in before the answer if it is no more than that, else step by step after it.
MOST_AT_ONCE = 200


class NumberForm(forms.ModelForm):  # type: ignore[type-arg]
    """The secret goes in and never comes out again."""

    webhook_secret = forms.CharField(
        required=False,
        label=gettext_lazy("Webhook secret"),
        widget=PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    class Meta:
        model = PhoneNumber
        fields = ("workspace", "display_phone_number", "phone_number_id", "webhook_secret", "is_active")
        labels = {"workspace": gettext_lazy("Workspace")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stored_secret = self.instance.webhook_secret
        self.initial["webhook_secret"] = ""
        field = self.fields["webhook_secret"]
        field.help_text = self._advice()

    def _advice(self) -> str:
        rotating = _("Two, separated by a comma, are accepted while you change it.")
        if isinstance(self.stored_secret, Undecryptable):
            return _("The stored secret cannot be read with the present ENCRYPTION_KEYS: enter it again.")
        if self.stored_secret:
            return " ".join([_("A secret is stored. Leave this empty to keep it."), rotating])
        return " ".join([_("The secret key of this number's webhook in Kapso."), rotating])

    def clean_webhook_secret(self) -> str:
        typed: str = self.cleaned_data["webhook_secret"]
        return typed or self.stored_secret


@admin.register(PhoneNumber)
class NumberAdmin(SuperuserAdmin):
    form = NumberForm
    list_display = ("__str__", "phone_number_id", "workspace", "is_active", "connection")
    list_select_related = ("workspace",)
    list_before_template = "kapso_sync/numbers_hint.html"
    search_fields = ("display_phone_number", "phone_number_id")
    actions = None
    change_form_outer_before_template = "kapso_sync/number_steps.html"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:  # noqa: ARG002
        """A number stays with its workspace: its threads are there."""
        return ("workspace",) if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {"title": _("WhatsApp numbers")} | (extra_context or {}))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        url = request.build_absolute_uri(reverse("kapso-webhook"))
        context = {"webhook_url": url, "is_public": url.startswith("https://")}
        return super().changeform_view(request, object_id, form_url, context | (extra_context or {}))

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and db_field.name == "workspace":
            field.widget = getattr(field.widget, "widget", field.widget)
        return field

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Only what was changed: a secret that nobody can read any more stays as it is."""
        obj.save(update_fields=form.changed_data if change else None)
        if not change or {"phone_number_id", "is_active"} & set(form.changed_data):
            transaction.on_commit(lambda: self._catch_up(request, obj))

    def _catch_up(self, request: HttpRequest, number: PhoneNumber) -> None:
        """What came for this number while it was not registered here, or not active."""
        if not number.is_active:
            return
        waiting = WebhookDelivery.objects.waiting_for(number).with_bodies()
        if waiting.count() > MOST_AT_ONCE or sum(waiting.values_list(BODY_LENGTH, flat=True)) > BATCH_BYTES:
            ask_for_retries(request)
            text = _("%(count)s webhooks waited for this number: they are being brought in.") % {
                "count": waiting.count()
            }
            self.message_user(request, text, messages.SUCCESS)
        else:
            replay_and_say(self, request, waiting)

    @admin.display(description=gettext_lazy("Kapso says"))
    def connection(self, number: PhoneNumber) -> str:
        if not number.is_connected:
            return _("Removed")
        return _("Connected") if number.was_connected else _("Nothing yet")
