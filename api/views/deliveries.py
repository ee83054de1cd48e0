"""What Kapso delivered: for those who manage a workspace."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from api.filters import Narrowed
from api.pagination import NewestFirst
from api.parameters import Id, OneOf, Pattern, Text, after, before
from api.problems import forbidden
from api.serializers.deliveries import DeliverySerializer, WholeDeliverySerializer
from api.views.rows import Listed, Retrieved
from kapso_sync.models import WebhookDelivery


class DeliveryFilters(Narrowed):
    workspace = Id("workspace", "Of this workspace.")
    status = OneOf("status", "What came of it.", WebhookDelivery.Status.values)
    event = Text("event", "Of this event, such as `whatsapp.message.received`.", 100)
    phone_number_id = Pattern(
        None,
        "For this number (Meta's id of it).",
        "[0-9]{1,64}",
        "Meta's ids are digits.",
        method="for_number",
    )
    received_after = after("received_at", "Received")
    received_before = before("received_at", "Received")

    def for_number(self, rows: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        return rows.filter(Q(phone_number_id=value) | Q(waits_for__contains=[value]))


class DeliveryViews(Listed, Retrieved):
    resource, one, many = "deliveries", "a delivery", "deliveries"
    about = "For managers: what Kapso delivered, and what came of it. Headers, body and error are in the single row."
    serializer_class = DeliverySerializer
    filterset_class = DeliveryFilters
    pagination_class = NewestFirst

    def get_serializer_class(self) -> Any:
        return WholeDeliverySerializer if self.action == "retrieve" else DeliverySerializer

    def visible(self) -> QuerySet[WebhookDelivery]:
        """As `WebhookDelivery.objects.for_user`, of what is known of the request already."""
        if self.user.is_superuser:
            return WebhookDelivery.objects.all()
        if not self.rights.manages():
            raise forbidden("Deliveries are for those who manage a workspace.")
        return WebhookDelivery.objects.filter(workspace__in=self.rights.manages())

    def dressed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows if self.action == "retrieve" else rows.defer("body", "headers", "error")
