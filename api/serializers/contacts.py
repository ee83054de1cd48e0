"""A lead, as programs see it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.serializers.shown import Details, Shown, version_of
from contacts.lead_views import WINDOW, is_aside
from contacts.models import Contact, LeadStatus
from contacts.models.contact import ALLOWED_MOVES


class NextFollowUp(serializers.Serializer[Any]):
    """What is planned next for a contact."""

    id = serializers.IntegerField()
    due_at = serializers.DateTimeField()
    remark = serializers.CharField()


class ContactSerializer(Shown):
    """One person in one workspace: what the admin calls a lead."""

    allowed_transitions = serializers.SerializerMethodField(help_text="Where it may go from its status.")
    awaiting_reply = serializers.BooleanField(
        read_only=True, help_text="The customer wrote last, and nobody put it aside."
    )
    needs_follow_up = serializers.BooleanField(
        read_only=True, help_text="Open, and nobody wrote for the workspace's period."
    )
    needs_human = serializers.BooleanField(
        read_only=True, help_text="An automation asked for somebody, and nobody has taken care."
    )
    window_open = serializers.SerializerMethodField(
        help_text="WhatsApp takes free text; else approved templates only."
    )
    window_closes_at = serializers.SerializerMethodField(
        help_text="24 hours after the customer's last message, or when it closed; null if they never wrote."
    )
    snoozed_until = serializers.SerializerMethodField(
        help_text="Put aside until then, or until the customer writes; null if it is not."
    )
    next_follow_up = serializers.SerializerMethodField(help_text="The follow-up that is planned, if any.")
    email = serializers.CharField(read_only=True, help_text="Empty where nobody typed one.")
    first_touch = Details(read_only=True, help_text="The first ad or post that led the person here.")
    last_touch = Details(read_only=True, help_text="The newest ad or post that led the person here.")
    metadata = Details(read_only=True, help_text="The workspace's custom fields, by key.")
    version = serializers.SerializerMethodField(
        help_text="Stands for what people typed, another one when that is another: for `If-Match`. As the header `ETag` has it."
    )

    class Meta:
        model = Contact
        fields = (
            "id", "workspace", "phone", "business_scoped_user_id", "username", "name", "kapso_name", "email",
            "lead_status", "allowed_transitions", "lead_score", "tags", "owner", "source", "metadata", "first_touch",
            "last_touch", "marketing_opt_out", "last_activity_at", "last_contact_at", "last_inbound_at", "read_at",
            "awaiting_reply", "needs_follow_up", "needs_human", "window_open", "window_closes_at", "snoozed_until",
            "next_follow_up", "closed_at", "created_at", "version",
        )  # fmt: skip
        read_only_fields = fields

    @property
    def now(self) -> datetime:
        now: datetime = self.context.get("now") or timezone.now()
        return now

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField(choices=LeadStatus.choices)))
    def get_allowed_transitions(self, lead: Contact) -> list[str]:
        return moves(lead)

    def get_window_open(self, lead: Contact) -> bool:
        return lead.last_inbound_at is not None and lead.last_inbound_at > self.now - WINDOW

    def get_window_closes_at(self, lead: Contact) -> datetime | None:
        return lead.last_inbound_at + WINDOW if lead.last_inbound_at else None

    def get_snoozed_until(self, lead: Contact) -> datetime | None:
        return lead.snoozed_until if is_aside(lead, self.now) else None

    @extend_schema_field(NextFollowUp(allow_null=True))
    def get_next_follow_up(self, lead: Any) -> dict[str, Any] | None:
        planned: dict[str, Any] | None = lead.next_follow_up
        return planned and planned | {"due_at": parse_datetime(planned["due_at"])}

    def get_version(self, lead: Contact) -> str:
        return contact_version(lead)


def moves(lead: Contact) -> list[str]:
    return [status.value for status in ALLOWED_MOVES[LeadStatus(lead.lead_status)]]


def contact_version(lead: Contact) -> str:
    name = "" if lead.name == lead.chosen_name else lead.name  # the sync's choice is nobody's edit
    return version_of(
        name, lead.email, lead.lead_status, lead.lead_score, lead.tags, lead.owner_id, lead.metadata,
        lead.snoozed_until, lead.handoff_cleared_at,
    )  # fmt: skip
