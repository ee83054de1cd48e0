"""What all answers have in common: read only, and no more fields than were asked for (`?fields=`)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers


@extend_schema_field({"type": ["object", "null"], "additionalProperties": True})
class Details(serializers.JSONField):
    """An object whose names are not ours."""


class Shown(serializers.ModelSerializer[Any]):
    """A row as it is answered; `id` is always there."""

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        asked = self.context.get("asked")
        return fields if asked is None else {name: f for name, f in fields.items() if name in asked}

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(cls.Meta.fields)

    class Meta:
        model: Any
        fields: tuple[str, ...]


def version_of(*typed: Any) -> str:
    """Stands for what people typed: the same for the same, so that a new message makes nobody's edit stale."""
    text = json.dumps(typed, cls=DjangoJSONEncoder, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
