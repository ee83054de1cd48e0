"""Workspaces, their numbers and people, and what they arrange for their leads."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.serializers.shown import Shown
from contacts.members import name_of
from contacts.models import CustomField, Membership, PhoneNumber, Role, Tag, Workspace


class WorkspaceSerializer(Shown):
    """A team with its own contacts."""

    role = serializers.SerializerMethodField(help_text="What the token's user is there.")
    business_hours = serializers.SerializerMethodField(
        help_text="From Monday on: opening and closing in the workspace's time zone, null where it is closed."
    )

    class Meta:
        model = Workspace
        fields = (
            "id", "name", "slug", "role", "time_zone", "business_hours", "follow_up_hours", "agents_see_all",
            "created_at",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=Role.choices))
    def get_role(self, workspace: Workspace) -> str:
        return str(self.context["rights"].places[workspace.pk].role)

    @extend_schema_field(
        {
            "type": "array",
            "items": {
                "type": ["array", "null"],
                "items": {"type": "string", "examples": ["09:00"]},
                "minItems": 2,
                "maxItems": 2,
            },
        }
    )
    def get_business_hours(self, workspace: Workspace) -> list[list[str] | None]:
        hours: list[list[str] | None] = workspace.business_hours
        return hours


class NumberSerializer(Shown):
    """A WhatsApp number of the workspace. Its secret is nobody's to read."""

    is_connected = serializers.BooleanField(
        read_only=True, help_text="False once Kapso said that the number was removed."
    )

    class Meta:
        model = PhoneNumber
        fields = (
            "id", "workspace", "phone_number_id", "display_phone_number", "is_active", "is_connected", "created_at",
        )  # fmt: skip
        read_only_fields = fields


class MemberSerializer(Shown):
    """Somebody who may own contacts of the workspace."""

    name = serializers.SerializerMethodField()

    class Meta:
        model = Membership
        fields = ("id", "workspace", "user", "name", "role")
        read_only_fields = fields

    def get_name(self, member: Membership) -> str:
        return name_of(member.user)


class TagSerializer(Shown):
    """A tag that the workspace suggests. Contacts have their tags as words, suggested or not."""

    class Meta:
        model = Tag
        fields = ("id", "workspace", "name")
        read_only_fields = fields


class CustomFieldSerializer(Shown):
    """A field that the workspace adds to its contacts: its values stand in `metadata`, by `key`."""

    class Meta:
        model = CustomField
        fields = ("id", "workspace", "key", "label", "kind", "choices", "position")
        read_only_fields = fields


class MyWorkspace(serializers.Serializer[Any]):
    id = serializers.IntegerField(source="pk")
    name = serializers.CharField()
    role = serializers.ChoiceField(choices=Role.choices)


class MyToken(serializers.Serializer[Any]):
    name = serializers.CharField()
    prefix = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())
    expires_at = serializers.DateTimeField(allow_null=True)


class MeSerializer(serializers.Serializer[Any]):
    """Who the token stands for, and what it may do."""

    id = serializers.IntegerField()
    username = serializers.CharField()
    name = serializers.CharField()
    email = serializers.CharField()
    is_superuser = serializers.BooleanField()
    token = MyToken()
    workspaces = MyWorkspace(many=True)
