"""What the team does with its leads: notes, follow-ups, and the record of statuses."""

from __future__ import annotations

from rest_framework import serializers

from api.serializers.shown import Shown, version_of
from contacts.models import ContactMerge, FollowUp, Note, StatusChange

# `contact` is the living lead: of what was merged the rows stay where they were made.
_LIVING = "The contact; of one that was merged, the survivor."
_VERSION = "Stands for what people typed, another one when that is another: for `If-Match`. As the header `ETag` has it."


class NoteSerializer(Shown):
    """What somebody wrote down about a contact."""

    contact = serializers.IntegerField(source="lead_id", read_only=True, help_text=_LIVING)
    version = serializers.SerializerMethodField(help_text=_VERSION)

    class Meta:
        model = Note
        fields = ("id", "workspace", "contact", "text", "by", "at", "edited_at", "version")
        read_only_fields = fields

    def get_version(self, note: Note) -> str:
        return note_version(note)


class FollowUpSerializer(Shown):
    """When to turn to a contact, and why. One that is open has no `done_at`."""

    contact = serializers.IntegerField(source="lead_id", read_only=True, help_text=_LIVING)
    version = serializers.SerializerMethodField(help_text=_VERSION)

    class Meta:
        model = FollowUp
        fields = (
            "id", "workspace", "contact", "due_at", "remark", "by", "at", "done_at", "done_by", "version",
        )  # fmt: skip
        read_only_fields = fields

    def get_version(self, planned: FollowUp) -> str:
        return follow_up_version(planned)


class StatusChangeSerializer(Shown):
    """Somebody moved a contact from one status to another."""

    contact = serializers.IntegerField(source="lead_id", read_only=True, help_text=_LIVING)

    class Meta:
        model = StatusChange
        fields = ("id", "workspace", "contact", "from_status", "to_status", "reason", "by", "at")
        read_only_fields = fields


class MergeSerializer(Shown):
    """Two contacts turned out to be one person: `merged` lives on in `survivor`."""

    class Meta:
        model = ContactMerge
        fields = ("id", "workspace", "survivor", "merged", "by", "at", "undone_at", "undone_by")
        read_only_fields = fields


def note_version(note: Note) -> str:
    return version_of(note.text)


def follow_up_version(planned: FollowUp) -> str:
    return version_of(planned.due_at, planned.remark, planned.done_at)
