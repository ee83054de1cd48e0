"""Notes, follow-ups, and how contacts moved from status to status; and a merge taken back."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce
from django.shortcuts import get_object_or_404
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import NoteEdit, Nothing, PlanEdit
from api.filters import Narrowed
from api.operations import operation
from api.parameters import Id, OneOf, YesNo, after, before
from api.problems import conflict, forbidden
from api.refusals import refusals
from api.serializers.contacts import ContactSerializer
from api.serializers.work import (
    FollowUpSerializer,
    NoteSerializer,
    StatusChangeSerializer,
    follow_up_version,
    note_version,
)
from api.views.rows import Listed, Retrieved, Rows
from contacts import merging, work
from contacts.lead_standing import with_standing
from contacts.models import Contact, ContactMerge, FollowUp, LeadStatus, Note, StatusChange


def with_leads(rows: QuerySet[Any]) -> QuerySet[Any]:
    """With the living lead of each: a merge leaves them with the row that they were made for."""
    annotated: QuerySet[Any] = rows.annotate(lead_id=Coalesce("contact__merged_into", "contact"))
    return annotated


class OfContact(Narrowed):
    """What all that belongs to a contact can be narrowed to."""

    workspace = Id("workspace", "Of contacts in this workspace.")
    contact = Id(None, "Of this contact, and of all that was merged into it.", method="of_contact")
    by = Id("by", "Made by this user.")

    def of_contact(self, rows: QuerySet[Any], _name: str, value: int) -> QuerySet[Any]:
        return rows.filter(
            contact__in=Contact.objects.filter(Q(pk=value) | Q(merged_into=value)).values("pk")
        )


class NoteFilters(OfContact):
    written_after = after("at", "Written")
    written_before = before("at", "Written")


class FollowUpFilters(OfContact):
    done = YesNo(None, "Done, or still open.", method="is_done")
    due_after = after("due_at", "Due")
    due_before = before("due_at", "Due")

    def is_done(self, rows: QuerySet[Any], _name: str, value: bool) -> QuerySet[Any]:
        return rows.filter(done_at__isnull=not value)


class StatusChangeFilters(OfContact):
    from_status = OneOf("from_status", "From this status.", LeadStatus.values)
    to_status = OneOf("to_status", "To this status.", LeadStatus.values)
    at_after = after("at", "Changed")
    at_before = before("at", "Changed")


class NoteViews(Listed, Retrieved):
    resource, one, many = "notes", "a note", "notes"
    about = "What somebody wrote down about a contact."
    serializer_class = NoteSerializer
    filterset_class = NoteFilters

    def visible(self) -> QuerySet[Note]:
        return Note.objects.filter(self.rights.of_work())

    def dressed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return with_leads(rows)

    def version(self, row: Note) -> str:
        return note_version(row)

    @operation("Change a note", takes=NoteEdit, gives=NoteSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """By who wrote it, and by nobody else."""
        asked, note = self.body(NoteEdit), self.own(pk)
        with refusals("text"):
            work.edit_note(note, asked.get("text", note.text), by=self.user)
        return self.shown(pk)

    @operation("Delete a note", status=204)
    def destroy(self, request: Request, pk: str) -> Response:
        """By who wrote it. The contact's history keeps that there was a note."""
        note = self.own(pk)
        work.delete_note(note, by=self.user)
        return Response(status=204)

    def own(self, pk: str) -> Note:
        note: Note = self.held(pk)
        if note.by_id != self.user.pk:
            raise forbidden("Only who wrote a note can change or delete it.")
        return note


class FollowUpViews(Listed, Retrieved):
    resource, one, many = "follow_ups", "a follow-up", "follow-ups"
    about = "When to turn to a contact next, and why. A contact has one open at a time; done ones stay."
    serializer_class = FollowUpSerializer
    filterset_class = FollowUpFilters

    def visible(self) -> QuerySet[FollowUp]:
        return FollowUp.objects.filter(self.rights.of_work())

    def dressed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return with_leads(rows)

    def version(self, row: FollowUp) -> str:
        return follow_up_version(row)

    @operation("Move a follow-up", takes=PlanEdit, gives=FollowUpSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """One that is open. 409 where it was done meanwhile."""
        asked = self.body(PlanEdit)
        lead_id = self.row(pk).lead_id
        lead = Contact.objects.select_for_update(no_key=True, of=("self",)).get(
            pk=lead_id
        )  # as the services: first
        planned = self.held(pk)
        if planned.done_at:
            raise conflict("This follow-up is done: plan another one with the contact.")
        with refusals("due_at"):
            moved = work.plan_follow_up(
                lead, asked.get("due_at", planned.due_at), asked.get("remark", planned.remark), by=self.user
            )
        return self.shown(moved.pk)


class StatusChangeViews(Listed, Retrieved):
    resource, one, many = "status_changes", "a status change", "status changes"
    about = "Who moved a contact from which status to which, when and why."
    serializer_class = StatusChangeSerializer
    filterset_class = StatusChangeFilters

    def visible(self) -> QuerySet[StatusChange]:
        return StatusChange.objects.filter(self.rights.of_work())

    def dressed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return with_leads(rows)


class MergeViews(Rows):
    resource, one, many = "merges", "a merge", "merges"
    serializer_class = ContactSerializer

    @operation("Take a merge back", takes=Nothing, gives=ContactSerializer, matches=False)
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str) -> Response:
        """For managers. Answers with the contact that is one of its own again; what came since goes where its own
        evidence leads to."""
        self.body(Nothing)
        survivors = Contact.objects.living().filter(self.rights.leads())
        mine = ContactMerge.objects.filter(Q(survivor__in=survivors) | Q(survivor__merged_into__in=survivors))
        merge = get_object_or_404(mine, pk=pk)
        if not self.rights.may_manage(merge.workspace_id):
            raise forbidden("Only managers of the workspace take a merge back.")
        lead = merging.undo(merge, by=self.user)
        return self.answer(with_standing(Contact.objects.all(), self.now).get(pk=lead.pk))
