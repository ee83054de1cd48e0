"""What Kapso delivered and what came of it; the WhatsApp numbers that it delivers for."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Left, Right
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from contacts import showing
from contacts.admin.tenancy import CappedList, MemberAdmin, SuperuserAdmin, user_of
from contacts.admin.unfolded import DropdownFilter, PasswordInput, labelled
from contacts.encryption import Undecryptable
from contacts.models import PhoneNumber
from contacts.preview import one_line, shorten
from kapso_sync.afterwards import ask_for_retries
from kapso_sync.attention import WaitsFilter, alerts_for, missing_numbers, seen_by, sees_deliveries
from kapso_sync.history import attempts_at, next_step
from kapso_sync.models import WebhookDelivery
from kapso_sync.previewing import preview_chosen, preview_page
from kapso_sync.replaying import BATCH_BYTES, BODY_LENGTH, cannot_be_replayed, replay_in_batches

Status = WebhookDelivery.Status

COLOURS = {
    Status.RECEIVED: "",
    Status.PROCESSED: "success",
    Status.IGNORED: "",
    Status.UNROUTABLE: "warning",
    Status.FAILED: "danger",
}
# CONTRACT.md 7. The column is free text: any other name is found by searching for it.
EVENTS = (
    "whatsapp.message.received",
    "whatsapp.message.sent",
    "whatsapp.message.delivered",
    "whatsapp.message.read",
    "whatsapp.message.failed",
    "whatsapp.conversation.created",
    "whatsapp.conversation.ended",
    "whatsapp.conversation.inactive",
    "contact.updated",
    "workflow.execution.handoff",
    "workflow.execution.failed",
    "whatsapp.phone_number.created",
    "whatsapp.phone_number.deleted",
)
# A request must come to an end: `manage.py replay_webhooks` knows no limit.
MOST_REPLAYED = 2000
# What waited for a number is brought in before the answer if it is no more than that, else step by step after it.
MOST_AT_ONCE = 200
# Of a longer body the page shows the beginning.
LONGEST_BODY = 200_000


def say_outcomes(model_admin: Any, request: HttpRequest, outcomes: Counter[str]) -> None:
    """What really came out, in words and numbers."""
    labels = dict(Status.choices)
    found = ", ".join(f"{count} {str(labels[status]).lower()}" for status, count in outcomes.most_common())
    level = messages.WARNING if {Status.FAILED, Status.UNROUTABLE} & set(outcomes) else messages.SUCCESS
    total = outcomes.total()
    model_admin.message_user(
        request, f"Replayed {total} deliver{'y' if total == 1 else 'ies'}: {found or 'none'}.", level
    )


class DeliveryList(CappedList):
    """Bodies and tracebacks are long, and a list shows neither."""

    def get_queryset(self, *args: Any, **kwargs: Any) -> Any:
        rows = super().get_queryset(*args, **kwargs)
        return rows.defer("body", "headers", "error").annotate(
            error_start=Left("error", 300), error_end=Right("error", 300)
        )


class StatusFilter(DropdownFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[Any, str]]:
        return list(Status.choices)

    def queryset(self, _request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(status=self.value()) if self.value() in Status.values else rows


class EventFilter(DropdownFilter):
    title = "event"
    parameter_name = "event"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[Any, str]]:
        return [(event, event.removeprefix("whatsapp.")) for event in EVENTS]

    def queryset(self, _request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(event=self.value()) if self.value() in EVENTS else rows


class NumberFilter(DropdownFilter):
    title = "number"
    parameter_name = "number"

    def lookups(self, request: HttpRequest, _model_admin: Any) -> list[tuple[Any, str]]:
        numbers = PhoneNumber.objects.for_user(user_of(request)).defer("webhook_secret")
        found = [(number.phone_number_id, str(number)) for number in numbers]
        if user_of(request).is_superuser:
            found += [(number, f"{number} (not registered)") for number, _ in missing_numbers(request)]
        return found

    def queryset(self, _request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        number = self.value()
        if number not in {str(key) for key, _ in self.lookup_choices}:
            return rows
        return rows.filter(Q(phone_number_id=number) | Q(waits_for__contains=[number]))


class ReceivedFilter(DropdownFilter):
    title = "time"
    parameter_name = "within"
    HOURS = {
        "1": "The last hour",
        "24": "The last 24 hours",
        "168": "The last 7 days",
        "720": "The last 30 days",
    }

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[Any, str]]:
        return list(self.HOURS.items())

    def queryset(self, _request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        hours = self.value()
        if hours not in self.HOURS:
            return rows
        return rows.filter(received_at__gte=timezone.now() - timedelta(hours=int(hours)))


@admin.register(WebhookDelivery)
class DeliveryAdmin(MemberAdmin):
    """To look at, and to replay: for the managers of their workspaces."""

    changelist = DeliveryList
    list_display = ("received", "event_shown", "number", "outcome", "problem", "attempts")
    list_display_links = ("received", "event_shown")
    list_filter = (WaitsFilter, StatusFilter, EventFilter, NumberFilter, ReceivedFilter)
    list_before_template = "kapso_sync/deliveries_hint.html"
    ordering = ("-received_at", "-id")
    actions = ("preview", "replay")
    change_form_outer_before_template = "kapso_sync/delivery.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "status",
                    "received_exactly",
                    "event",
                    "number",
                    "workspace",
                    "attempts",
                    "processed_exactly",
                )
            },
        ),
        ("Identity", {"fields": ("idempotency_key", "body_sha256", "duplicates")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(seen_by(request))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return super().has_module_permission(request) and sees_deliveries(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) and sees_deliveries(request)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:  # noqa: ARG002
        return [name for _, options in self.fieldsets for name in options["fields"]]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        ask_for_retries(request)  # a number that is quiet gets no webhook that would see what is due
        context = {"title": "Deliveries", "alerts": alerts_for(request)}
        return super().changelist_view(request, context | (extra_context or {}))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        delivery = kwargs["obj"]
        body = readable_body(delivery)
        context |= {
            "title": delivery.event or "Delivery",
            "body": body[:LONGEST_BODY],
            "body_rest": max(0, len(body) - LONGEST_BODY),
            "problem": telling_line(delivery.error, delivery.error),
            "headers": delivery.headers,
            "attempts": [
                {
                    "row": row,
                    "when": showing.exact_time(row.at),
                    "problem": telling_line(row.error, row.error),
                }
                for row in attempts_at(delivery)
            ],
            "next_step": next_step(delivery),
            "code_version": settings.CODE_VERSION,
            "days_kept": _days_kept(delivery),
        }
        return super().render_change_form(request, context, *args, **kwargs)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.replay_view)
        preview = self.admin_site.admin_view(self.preview_view)
        return [
            path("<int:delivery_id>/replay/", view, name="kapso_sync_webhookdelivery_replay"),
            path("<int:delivery_id>/preview/", preview, name="kapso_sync_webhookdelivery_preview"),
            *super().get_urls(),
        ]

    def replay_view(self, request: HttpRequest, delivery_id: int) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        delivery = get_object_or_404(self.get_queryset(request).only("pk"), pk=delivery_id)
        self.replay(request, self.get_queryset(request).filter(pk=delivery.pk))
        return HttpResponseRedirect(reverse("admin:kapso_sync_webhookdelivery_change", args=[delivery.pk]))

    def preview_view(self, request: HttpRequest, delivery_id: int) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        delivery = get_object_or_404(self.get_queryset(request).only("pk"), pk=delivery_id)
        return preview_page(self, request, [delivery.pk], single=delivery.pk)

    @admin.action(description="Preview replay")
    def preview(self, request: HttpRequest, deliveries: QuerySet[WebhookDelivery]) -> HttpResponse | None:
        """What a replay of these would change, before anything is written; from there it is one click."""
        return preview_chosen(self, request, deliveries)

    @admin.action(description="Replay")
    def replay(self, request: HttpRequest, deliveries: QuerySet[WebhookDelivery]) -> None:
        """The same way as a webhook that arrives; what came of it is counted, not hoped for."""
        cleared = deliveries.without_bodies().count()  # type: ignore[attr-defined]
        chosen = list(deliveries.order_by("id").values_list("pk", flat=True)[: MOST_REPLAYED + 1])
        if len(chosen) > MOST_REPLAYED:
            advice = f"That is too much for one page: choose up to {MOST_REPLAYED}, or run manage.py replay_webhooks."
            self.message_user(request, advice, messages.ERROR)
            return
        if len(chosen) > cleared:
            say_outcomes(self, request, replay_in_batches(WebhookDelivery.objects.filter(pk__in=chosen)))
        if cleared:
            self.message_user(request, cannot_be_replayed(cleared), messages.WARNING)

    @admin.display(description="Received")
    def received(self, delivery: WebhookDelivery) -> str:
        return showing.relative_time(delivery.received_at)

    @admin.display(description="Event")
    def event_shown(self, delivery: WebhookDelivery) -> str:
        return delivery.event.removeprefix("whatsapp.") or "unknown"

    @admin.display(description="Number")
    def number(self, delivery: WebhookDelivery) -> str:
        return delivery.phone_number_id or "none named"

    @labelled(COLOURS, "Outcome")
    def outcome(self, delivery: WebhookDelivery) -> tuple[str, str]:
        return delivery.status, delivery.get_status_display()

    @admin.display(description="Problem")
    def problem(self, delivery: Any) -> SafeString:
        return format_html("<bdi>{}</bdi>", telling_line(delivery.error_start, delivery.error_end))

    @admin.display(description="Received")
    def received_exactly(self, delivery: WebhookDelivery) -> str:
        return showing.exact_time(delivery.received_at)

    @admin.display(description="Last processed")
    def processed_exactly(self, delivery: WebhookDelivery) -> str:
        return showing.exact_time(delivery.processed_at)


def _days_kept(delivery: WebhookDelivery) -> str:
    """How long there was a body, where it was cleared."""
    if delivery.body_cleared_at is None:
        return ""
    days = (delivery.body_cleared_at - delivery.received_at).days
    return f"{days} day{'' if days == 1 else 's'}"


def telling_line(start: str, end: str) -> str:
    """The first line of a reason; of a traceback the last, which says what went wrong."""
    is_traceback = start.lstrip().startswith("Traceback")
    lines = (end if is_traceback else start).strip().split("\n")
    return shorten(one_line(lines[-1 if is_traceback else 0]))


def readable_body(delivery: WebhookDelivery) -> str:
    """Indented JSON where it is JSON; else the text, with replacements for what is none."""
    if delivery.unparseable:
        return delivery.raw_body.decode(errors="replace") or "Empty"
    try:
        text = json.dumps(delivery.payload, ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return delivery.raw_body.decode(errors="replace")
    return text.encode(errors="backslashreplace").decode()


class NumberForm(forms.ModelForm):  # type: ignore[type-arg]
    """The secret goes in and never comes out again."""

    webhook_secret = forms.CharField(
        required=False, label="Webhook secret", widget=PasswordInput(attrs={"autocomplete": "new-password"})
    )

    class Meta:
        model = PhoneNumber
        fields = ("workspace", "display_phone_number", "phone_number_id", "webhook_secret", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stored_secret = self.instance.webhook_secret
        self.initial["webhook_secret"] = ""
        field = self.fields["webhook_secret"]
        field.help_text = self._advice()

    def _advice(self) -> str:
        rotating = "Two, separated by a comma, are accepted while you change it."
        if isinstance(self.stored_secret, Undecryptable):
            return "The stored secret cannot be read with the present ENCRYPTION_KEYS: enter it again."
        if self.stored_secret:
            return f"A secret is stored. Leave this empty to keep it. {rotating}"
        return f"The secret key of this number's webhook in Kapso. {rotating}"

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
        return super().changelist_view(request, {"title": "WhatsApp numbers"} | (extra_context or {}))

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
            text = f"{waiting.count()} webhooks waited for this number: they are being brought in."
            self.message_user(request, text, messages.SUCCESS)
        elif outcomes := replay_in_batches(waiting):
            say_outcomes(self, request, outcomes)

    @admin.display(description="Kapso says")
    def connection(self, number: PhoneNumber) -> str:
        if not number.is_connected:
            return "Removed"
        return "Connected" if number.connected_at else "Nothing yet"
