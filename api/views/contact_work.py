"""What people do with a contact, an address for each. All of it is in its history, as if done in the admin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import Assignment, MergeWith, NoteText, Nothing, Plan, Reason, Snooze, Tagging, Transition
from api.etags import check_match
from api.operations import operation
from api.problems import Problem, forbidden, invalid_fields
from api.refusals import refusals
from api.serializers.contacts import ContactSerializer, moves
from api.serializers.work import (
    FollowUpSerializer,
    MergeSerializer,
    NoteSerializer,
    follow_up_version,
    note_version,
)
from api.views.rows import Rows
from api.views.work import with_leads
from contacts import merging, work
from contacts.changing import Refused
from contacts.models import Contact, FollowUp, Note

Do = Callable[[Contact, User], object]


class ContactWork(Rows):
    def changed(self, pk: str, do: Do, field: str | None = None) -> Response:
        """Do it to the contact, and answer with it; `field` is what of the body may be refused."""
        lead = self.held(pk)
        with refusals(field):
            do(lead, self.user)
        return self.shown(pk)

    def made(self, serializer: Any, row: Any, version: str) -> Response:
        data = serializer(row, context=self.get_serializer_context() | {"asked": None}).data
        return Response(data, status=201, headers={"ETag": f'"{version}"'})

    @operation("Move to another status", takes=Transition, gives=ContactSerializer)
    @action(detail=True, methods=["post"])
    def transition(self, request: Request, pk: str) -> Response:
        """Where it may go is in `allowed_transitions`; anything else is refused (409), and names what is allowed."""
        asked = self.body(Transition)

        def do(lead: Contact, by: User) -> None:
            if asked["to"] == lead.lead_status:
                raise Problem("transition-refused", f"It is {lead.lead_status} already.", allowed=moves(lead))
            work.move(lead, asked["to"], by=by, reason=asked["reason"])

        return self.changed(pk, do)

    @operation("Take up again", takes=Reason, gives=ContactSerializer)
    @action(detail=True, methods=["post"])
    def reengage(self, request: Request, pk: str) -> Response:
        """An archived or converted contact becomes new, as when somebody who was done with writes again."""
        asked = self.body(Reason)
        return self.changed(pk, lambda lead, by: work.reengage(lead, by=by, reason=asked["reason"]))

    @operation("Give to somebody", takes=Assignment, gives=ContactSerializer)
    @action(detail=True, methods=["post"])
    def assign(self, request: Request, pk: str) -> Response:
        """To a user who may own contacts of its workspace (`/members/`), or to nobody. The new owner is told."""
        asked = self.body(Assignment)

        def do(lead: Contact, by: User) -> None:
            work.assign(lead, _owner(lead, asked["owner"]), by=by, reason=asked["reason"])

        return self.changed(pk, do, field="owner")

    @operation("Add tags", takes=Tagging, gives=ContactSerializer)
    @action(detail=True, methods=["post"])
    def tag(self, request: Request, pk: str) -> Response:
        """Those it has already stay as they are, whatever their case."""
        asked = self.body(Tagging)
        return self.changed(pk, lambda lead, by: work.add_tags(lead, asked["tags"], by=by), field="tags")

    @operation("Take tags away", takes=Tagging, gives=ContactSerializer)
    @action(detail=True, methods=["post"])
    def untag(self, request: Request, pk: str) -> Response:
        """Those it does not have are passed over."""
        asked = self.body(Tagging)
        return self.changed(pk, lambda lead, by: work.remove_tags(lead, asked["tags"], by=by), field="tags")

    @operation("Put aside", takes=Snooze, gives=ContactSerializer)
    @action(detail=True, methods=["post"])
    def snooze(self, request: Request, pk: str) -> Response:
        """Until a time, or until the customer writes, whichever is first."""
        asked = self.body(Snooze)
        return self.changed(pk, lambda lead, by: work.snooze(lead, asked["until"], by=by), field="until")

    @operation("Put aside no longer", takes=Nothing, gives=ContactSerializer)
    @action(detail=True, methods=["post"])
    def wake(self, request: Request, pk: str) -> Response:
        """Nothing happens where it is not put aside."""
        self.body(Nothing)
        return self.changed(pk, lambda lead, by: work.wake(lead, by=by))

    @operation("Take care of a hand-off", takes=Nothing, gives=ContactSerializer)
    @action(detail=True, methods=["post"], url_path="handoff-clear")
    def handoff_clear(self, request: Request, pk: str) -> Response:
        """Of all that automations asked for so far. Nothing happens where they asked for nothing."""
        self.body(Nothing)
        return self.changed(pk, lambda lead, by: work.clear_handoff(lead, by=by))

    @operation("Write a note", takes=NoteText, gives=NoteSerializer, status=201)
    @action(detail=True, methods=["post"])
    def note(self, request: Request, pk: str) -> Response:
        """Colleagues who are mentioned (@name) are told."""
        asked, by, lead = self.body(NoteText), self.user, self.held(pk)
        with refusals("text"):
            note = work.add_note(lead, asked["text"], by=by)
        row = with_leads(Note.objects.all()).get(pk=note.pk)
        return self.made(NoteSerializer, row, note_version(row))

    @operation("Plan a follow-up", takes=Plan, gives=FollowUpSerializer, status=201)
    @action(detail=True, methods=["post"], url_path="follow-up")
    def follow_up(self, request: Request, pk: str) -> Response:
        """A contact has one open follow-up at a time: one that is planned already moves."""
        asked, by, lead = self.body(Plan), self.user, self.held(pk)
        with refusals("due_at"):
            planned = work.plan_follow_up(lead, asked["due_at"], asked["remark"], by=by)
        row = with_leads(FollowUp.objects.all()).get(pk=planned.pk)
        return self.made(FollowUpSerializer, row, follow_up_version(row))

    @operation("Finish its follow-up", takes=Nothing, gives=ContactSerializer)
    @action(detail=True, methods=["post"], url_path="follow-up/done")
    def follow_up_done(self, request: Request, pk: str) -> Response:
        """409 where none is planned."""
        self.body(Nothing)
        return self.changed(pk, lambda lead, by: work.finish_follow_up(lead, by=by))

    @operation("Merge with another", takes=MergeWith, gives=MergeSerializer)
    @action(detail=True, methods=["post"])
    def merge(self, request: Request, pk: str) -> Response:
        """For managers: two contacts that are one person become one. The older one lives on, with what was typed last;
        the other's id leads to it (410). `/merges/{id}/undo/` takes it back."""
        asked = self.body(MergeWith)
        lead = self.row(pk)  # merging locks in an order of its own
        if not self.rights.may_manage(lead.workspace_id):
            raise forbidden("Only managers of the workspace merge contacts.")
        check_match(request, self.version(lead))
        other = self.visible().filter(pk=asked["other"]).first()
        if other is None:
            raise invalid_fields({"other": "There is no such contact."})
        made = merging.merge(lead, other, by=self.user)
        return Response(MergeSerializer(made).data)


def _owner(lead: Contact, pk: int | None) -> User | None:
    """Of somebody who works elsewhere nothing is said, not even that there is such a user."""
    if pk is None:
        return None
    member = work.may_own([lead.workspace_id]).filter(user=pk).select_related("user").first()
    if member is None:
        raise Refused(
            "Nobody with this id may own contacts of this workspace: /api/v1/members/ has those who may."
        )
    return member.user
