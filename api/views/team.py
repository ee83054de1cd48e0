"""Workspaces with their numbers, members, tags and fields; and who the token stands for."""

from __future__ import annotations

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import NewTag
from api.filters import Narrowed
from api.operations import operation
from api.parameters import Id, OneOf, YesNo
from api.problems import forbidden, invalid_fields
from api.serializers.team import (
    CustomFieldSerializer,
    MemberSerializer,
    NumberSerializer,
    TagSerializer,
    WorkspaceSerializer,
)
from api.views.rows import Listed, Retrieved
from contacts import arranging, work
from contacts.models import CustomField, Membership, PhoneNumber, Role, Tag, Workspace


class InWorkspace(Narrowed):
    workspace = Id("workspace", "Of this workspace.")


class NumberFilters(InWorkspace):
    is_active = YesNo("is_active", "Webhooks for it are applied, or only stored.")


class MemberFilters(InWorkspace):
    role = OneOf("role", "With this role.", [role for role in Role.values if role != Role.VIEWER])


class WorkspaceViews(Listed, Retrieved):
    resource, one, many = "workspaces", "a workspace", "workspaces"
    about = "The workspaces of the token's user."
    serializer_class = WorkspaceSerializer

    def visible(self) -> QuerySet[Workspace]:
        return Workspace.objects.filter(pk__in=self.workspaces)


class NumberViews(Listed, Retrieved):
    resource, one, many = "numbers", "a number", "numbers"
    about = "WhatsApp numbers of your workspaces. Their secrets are nowhere to be read."
    serializer_class = NumberSerializer
    filterset_class = NumberFilters

    def visible(self) -> QuerySet[PhoneNumber]:
        """Secrets stay where they are: nobody here has to decrypt them."""
        return PhoneNumber.objects.filter(workspace__in=self.workspaces).defer("webhook_secret")


class MemberViews(Listed):
    resource, one, many = "members", "a member", "members"
    about = "Who may own contacts: the members who work them. `user` is what `assign` takes."
    serializer_class = MemberSerializer
    filterset_class = MemberFilters

    def visible(self) -> QuerySet[Membership]:
        return work.may_own(self.workspaces).select_related("user")


class CustomFieldViews(Listed, Retrieved):
    resource, one, many = "custom_fields", "a custom field", "custom fields"
    about = (
        "Fields that a workspace adds to its contacts. Their values are in a contact's `metadata`, by `key`."
    )
    serializer_class = CustomFieldSerializer
    filterset_class = InWorkspace

    def visible(self) -> QuerySet[CustomField]:
        return CustomField.objects.filter(workspace__in=self.workspaces)


class TagViews(Listed):
    resource, one, many = "tags", "a tag", "tags"
    about = "Tags that a workspace suggests."
    serializer_class = TagSerializer
    filterset_class = InWorkspace

    def visible(self) -> QuerySet[Tag]:
        return Tag.objects.filter(workspace__in=self.workspaces)

    @operation("Suggest a tag", takes=NewTag, gives=TagSerializer, status=201)
    def create(self, request: Request) -> Response:
        """For owners of the workspace. Contacts can have a tag that is not suggested."""
        asked = self.body(NewTag)
        if asked["workspace"] not in self.rights.places:
            raise invalid_fields({"workspace": "There is no such workspace."})
        self.check_may_arrange(asked["workspace"])
        tag = arranging.add_tag(asked["workspace"], " ".join(asked["name"].split()))
        return self.answer(tag, 201)

    @operation("Delete a tag", status=204, matches=False)
    def destroy(self, request: Request, pk: str) -> Response:
        """For owners of the workspace. Contacts lose it, too: it stays in their histories."""
        tag = self.row(pk)
        self.check_may_arrange(tag.workspace_id)
        arranging.delete_tag(tag, by=self.user)
        return Response(status=204)

    def check_may_arrange(self, workspace_id: int) -> None:
        if not self.rights.may_arrange(workspace_id):
            raise forbidden("Only owners of the workspace arrange its tags.")
