"""A page of changes, as the schema has it. (The rows in it are made by api.feed.)"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from api.serializers.contacts import ContactSerializer
from api.serializers.talk import ConversationSerializer, MessageSerializer

DATA = "As it is now; null if it is deleted."


class _Change(serializers.Serializer[Any]):
    id = serializers.IntegerField(help_text="Of the row.")
    deleted = serializers.BooleanField(
        help_text="It is not there, or you do not see it (any more): drop it, if you have it."
    )


class ContactChange(_Change):
    kind = serializers.ChoiceField(["contact"])
    data = ContactSerializer(allow_null=True, help_text=DATA)  # type: ignore[assignment]  # a field, no property


class ConversationChange(_Change):
    kind = serializers.ChoiceField(["conversation"])
    data = ConversationSerializer(allow_null=True, help_text=DATA)  # type: ignore[assignment]  # a field, no property


class MessageChange(_Change):
    kind = serializers.ChoiceField(["message"])
    data = MessageSerializer(allow_null=True, help_text=DATA)  # type: ignore[assignment]  # a field, no property


CHANGE = PolymorphicProxySerializer(
    component_name="Change",
    serializers={"contact": ContactChange, "conversation": ConversationChange, "message": MessageChange},
    resource_type_field_name="kind",
    many=True,
)


class ChangesPage(serializers.Serializer[Any]):
    """What changed since a cursor."""

    results = serializers.SerializerMethodField(
        help_text="Each row once, the one that changed last at the end."
    )
    next_cursor = serializers.CharField(help_text="From here on, next time.")
    has_more = serializers.BooleanField(help_text="There is more already: ask again at once.")

    @extend_schema_field(CHANGE)
    def get_results(self, page: dict[str, Any]) -> Any:
        return page["results"]
