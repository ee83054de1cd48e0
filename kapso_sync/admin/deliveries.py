"""What Kapso delivered and what came of it."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.db.models.functions import Left, Right
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from contacts import showing
from contacts.admin.tenancy import CappedList, MemberAdmin
from contacts.admin.unfolded import labelled
from contacts.preview import one_line, shorten
from kapso_sync.admin.filters import EventFilter, NumberFilter, ReceivedFilter, StatusFilter
from kapso_sync.admin.outcomes import replay_and_say
from kapso_sync.afterwards import ask_for_retries
from kapso_sync.attention import WaitsFilter, alerts_for, seen_by, sees_deliveries
from kapso_sync.history import attempts_at, next_step
from kapso_sync.models import WebhookDelivery
from kapso_sync.previewing import preview_chosen, preview_page
from kapso_sync.replaying import cannot_be_replayed

Status = WebhookDelivery.Status

COLOURS = {
    Status.RECEIVED: "",
    Status.PROCESSED: "success",
    Status.IGNORED: "",
    Status.UNROUTABLE: "warning",
    Status.FAILED: "danger",
}
# A request must come to an end: `manage.py replay_webhooks` knows no limit.
MOST_REPLAYED = 2000
# Of a longer body the page shows the beginning.
LONGEST_BODY = 200_000


class DeliveryList(CappedList):
    """Bodies and tracebacks are long, and a list shows neither."""

    def get_queryset(self, *args: Any, **kwargs: Any) -> Any:
        rows = super().get_queryset(*args, **kwargs)
        return rows.defer("body", "headers", "error").annotate(
            error_start=Left("error", 300), error_end=Right("error", 300)
        )


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
        (_("Identity"), {"fields": ("idempotency_key", "body_sha256", "duplicates")}),
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
        context = {"title": _("Deliveries"), "alerts": alerts_for(request)}
        return super().changelist_view(request, context | (extra_context or {}))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        delivery = kwargs["obj"]
        body = readable_body(delivery)
        context |= {
            "title": delivery.event or _("Delivery"),
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

    @admin.action(description=_("Preview replay"))
    def preview(self, request: HttpRequest, deliveries: QuerySet[WebhookDelivery]) -> HttpResponse | None:
        """What a replay of these would change, before anything is written; from there it is one click."""
        return preview_chosen(self, request, deliveries)

    @admin.action(description=_("Replay"))
    def replay(self, request: HttpRequest, deliveries: QuerySet[WebhookDelivery]) -> None:
        """The same way as a webhook that arrives; what came of it is counted, not hoped for."""
        cleared = deliveries.without_bodies().count()  # type: ignore[attr-defined]
        chosen = list(deliveries.order_by("id").values_list("pk", flat=True)[: MOST_REPLAYED + 1])
        if len(chosen) > MOST_REPLAYED:
            advice = gettext("That is too much for one page: choose up to %(most)s, or run %(command)s.") % {
                "most": MOST_REPLAYED,
                "command": "manage.py replay_webhooks",
            }
            self.message_user(request, advice, messages.ERROR)
            return
        if len(chosen) > cleared:
            replay_and_say(self, request, WebhookDelivery.objects.filter(pk__in=chosen))
        if cleared:
            self.message_user(request, cannot_be_replayed(cleared), messages.WARNING)

    @admin.display(description=_("Received"))
    def received(self, delivery: WebhookDelivery) -> str:
        return showing.relative_time(delivery.received_at)

    @admin.display(description=_("Event"))
    def event_shown(self, delivery: WebhookDelivery) -> str:
        return delivery.event.removeprefix("whatsapp.") or gettext("unknown")

    @admin.display(description=_("Number"))
    def number(self, delivery: WebhookDelivery) -> str:
        return delivery.phone_number_id or gettext("none named")

    @labelled(COLOURS, _("Outcome"))
    def outcome(self, delivery: WebhookDelivery) -> tuple[str, str]:
        return delivery.status, delivery.get_status_display()

    @admin.display(description=_("Problem"))
    def problem(self, delivery: Any) -> SafeString:
        return format_html("<bdi>{}</bdi>", telling_line(delivery.error_start, delivery.error_end))

    @admin.display(description=_("Received"))
    def received_exactly(self, delivery: WebhookDelivery) -> str:
        return showing.exact_time(delivery.received_at)

    @admin.display(description=_("Last processed"))
    def processed_exactly(self, delivery: WebhookDelivery) -> str:
        return showing.exact_time(delivery.processed_at)


def _days_kept(delivery: WebhookDelivery) -> str:
    """How long there was a body, where it was cleared."""
    if delivery.body_cleared_at is None:
        return ""
    days = (delivery.body_cleared_at - delivery.received_at).days
    return ngettext("%d day", "%d days", days) % days


def telling_line(start: str, end: str) -> str:
    """The first line of a reason; of a traceback the last, which says what went wrong."""
    is_traceback = start.lstrip().startswith("Traceback")
    lines = (end if is_traceback else start).strip().split("\n")
    return shorten(one_line(lines[-1 if is_traceback else 0]))


def readable_body(delivery: WebhookDelivery) -> str:
    """Indented JSON where it is JSON; else the text, with replacements for what is none."""
    if delivery.unparseable:
        return delivery.raw_body.decode(errors="replace") or gettext("Empty")
    try:
        text = json.dumps(delivery.payload, ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return delivery.raw_body.decode(errors="replace")
    return text.encode(errors="backslashreplace").decode()
