"""The bodies that the API takes: each value of the type that the schema names, and no field that it does not know."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.core.validators import RegexValidator
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from api.cursors import HIGHEST
from api.parameters import moment_of
from contacts.later import LONGEST_REMARK
from contacts.lead_fields import HIGHEST_SCORE
from contacts.models import LeadStatus
from contacts.notes import LONGEST as LONGEST_NOTE
from contacts.work import LONGEST_REASON, LONGEST_TAG, MOST_TAGS

# As the schema says them, too: so they are for other programs' regular expressions as well.
ANY_TEXT = r"^[^\u0000]*$"
SOME_TEXT = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
TAG = r"^[^,\u0000]*[^,\s\u0000][^,\u0000]*$"


class Body(serializers.Serializer[Any]):
    """What it does not know it refuses, with the way to do it where there is one (`elsewhere`)."""

    elsewhere: Mapping[str, str] = {}

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := [name for name in data if name not in self.fields]):
            said = {name: [self.elsewhere.get(name, "There is no such field here.")] for name in unknown}
            raise ValidationError(said, code="unknown")
        return super().to_internal_value(data)


class StrictBodies(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Says so in the schema."""

    target_class = Body
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> Any:
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)  # noqa: SLF001
        schema["additionalProperties"] = False
        return schema


class Words(serializers.CharField):
    """A text, and no number that could be read as one. Spaces alone are none, unless it may be empty."""

    def __init__(self, *, pattern: str | None = None, said: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if pattern is None:
            pattern = ANY_TEXT if self.allow_blank else SOME_TEXT
            said = (
                "It has a character that no text can have: NUL."
                if self.allow_blank
                else "It may not be blank."
            )
        self.validators.append(RegexValidator(pattern, said))

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class WholeNumber(serializers.IntegerField):
    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, float) and data.is_integer() and abs(data) <= HIGHEST:
            data = int(data)  # JSON knows one kind of number
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return super().to_internal_value(data)


class Id(WholeNumber):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=1, max_value=HIGHEST, **kwargs)


class Moment(serializers.DateTimeField):
    """RFC 3339, with its zone."""

    def to_internal_value(self, data: Any) -> datetime:
        if not isinstance(data, str):
            self.fail("invalid", format="RFC 3339, like 2026-06-09T10:13:20Z")
        try:
            return moment_of(data)
        except DjangoValidationError as error:
            raise ValidationError(error.messages, code="invalid") from error


class OneOf(serializers.ChoiceField):
    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid_choice", input=data)
        return super().to_internal_value(data)


def _reason() -> Words:
    return Words(
        required=False,
        allow_blank=True,
        default="",
        max_length=LONGEST_REASON,
        help_text="Why; the history keeps it.",
    )


def _tags(**more: Any) -> serializers.ListField:
    tag = Words(max_length=LONGEST_TAG, pattern=TAG, said="A tag is not blank, and has no comma.")
    return serializers.ListField(child=tag, max_length=MOST_TAGS, **more)


_NAME: dict[str, Any] = {"required": False, "allow_blank": True, "max_length": 255}
_EMAIL: dict[str, Any] = {"required": False, "allow_blank": True, "max_length": 254}
_SCORE: dict[str, Any] = {"required": False, "min_value": -HIGHEST_SCORE, "max_value": HIGHEST_SCORE}


class NewContact(Body):
    """Somebody whom the team knows without WhatsApp having told it. A phone or a name is needed."""

    workspace = Id(help_text="Where the token's user works contacts.")
    phone = Words(
        required=False, allow_blank=True, max_length=40, help_text="With the country code, in any spelling."
    )
    business_scoped_user_id = Words(
        required=False, allow_blank=True, max_length=256, help_text="For somebody who hides their phone."
    )
    name = Words(**_NAME)
    email = Words(**_EMAIL)
    lead_score = WholeNumber(**_SCORE)
    tags = _tags(required=False)


@extend_schema_field(
    {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}
)
class CustomValues(serializers.DictField):
    """What each takes, its custom field says (contacts.lead_fields)."""


class ContactEdit(Body):
    """What people type. Fields that are not named stay as they are."""

    name = Words(**_NAME)
    email = Words(**_EMAIL)
    lead_score = WholeNumber(**_SCORE)
    metadata = CustomValues(
        child=serializers.JSONField(allow_null=True),
        required=False,
        help_text="Custom fields of the workspace, by key; null empties one. Those not named stay.",
    )

    elsewhere = {
        "lead_status": "A status is not set: it moves, by POST /api/v1/contacts/{id}/transition/.",
        "owner": "Owners are set by POST /api/v1/contacts/{id}/assign/.",
        "tags": "Tags are set by POST /api/v1/contacts/{id}/tag/ and .../untag/.",
        "snoozed_until": "Contacts are put aside by POST /api/v1/contacts/{id}/snooze/.",
        "next_follow_up": "Follow-ups are planned by POST /api/v1/contacts/{id}/follow-up/.",
    }


class Transition(Body):
    """Where the contact goes."""

    to = OneOf(choices=LeadStatus.choices, help_text="One of the contact's `allowed_transitions`.")
    reason = _reason()


class Assignment(Body):
    """Whose the contact becomes."""

    owner = Id(allow_null=True, help_text="A user, as `/members/` has them; null for nobody.")
    reason = _reason()


class Tagging(Body):
    """Tags, in any case."""

    tags = _tags(min_length=1)


class NoteText(Body):
    """The whole text of a note."""

    text = Words(max_length=LONGEST_NOTE, help_text="Mentions of colleagues, like @name, tell them.")


class NoteEdit(Body):
    """The whole text of a note."""

    text = Words(
        required=False, max_length=LONGEST_NOTE, help_text="Mentions of colleagues, like @name, tell them."
    )


class Plan(Body):
    """When to turn to the contact next."""

    due_at = Moment(help_text="In the future, at most five years ahead.")
    remark = Words(required=False, allow_blank=True, default="", max_length=LONGEST_REMARK)


class PlanEdit(Body):
    """What is not named stays."""

    due_at = Moment(required=False)
    remark = Words(required=False, allow_blank=True, max_length=LONGEST_REMARK)


class Snooze(Body):
    """Until when it is put aside."""

    until = Moment(help_text="In the future, at most five years ahead.")


class Reason(Body):
    """Why, if you like."""

    reason = _reason()


class Nothing(Body):
    """No fields: `{}`, or no body at all."""


class MergeWith(Body):
    """The other contact."""

    other = Id(help_text="The contact that is the same person, of the same workspace.")


class NewTag(Body):
    """A tag for all to choose from."""

    workspace = Id(help_text="Where the token's user is an owner.")
    name = Words(max_length=LONGEST_TAG, pattern=TAG, said="A tag is not blank, and has no comma.")
