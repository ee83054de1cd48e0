"""Contacts, which the admin calls leads: lists, one of them, a new one by hand, and what people type into it."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS
from django.db.models import QuerySet
from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import ContactEdit, NewContact
from api.contact_filters import ContactFilters
from api.contact_walk import ContactWalk
from api.operations import operation
from api.problems import invalid_fields, merged_away
from api.serializers.contacts import ContactSerializer, contact_version
from api.views.contact_export import ContactExport
from api.views.contact_work import ContactWork
from api.views.rows import Listed, Retrieved
from contacts import work
from contacts.lead_form import NewLeadForm
from contacts.lead_standing import with_standing
from contacts.models import Contact


class ContactViews(ContactExport, ContactWork, Listed, Retrieved):
    resource, one, many = "contacts", "a contact", "contacts"
    about = "A contact is one person in one workspace: what the admin calls a lead."
    serializer_class = ContactSerializer
    filterset_class = ContactFilters
    pagination_class = ContactWalk

    def visible(self) -> QuerySet[Contact]:
        return Contact.objects.living().filter(self.rights.leads())

    def dressed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return with_standing(rows, self.now)

    def version(self, row: Contact) -> str:
        return contact_version(row)

    def found(self, rows: QuerySet[Any], pk: Any) -> Any:
        """Of one that was merged, whoever sees the survivor is told where to go on."""
        try:
            return super().found(rows, pk)
        except Http404:
            survivor = self.visible().filter(merged=pk).values_list("pk", flat=True).first()
            if survivor is None:
                raise
            raise merged_away(survivor) from None

    @operation("Add a contact by hand", takes=NewContact, gives=ContactSerializer, status=201)
    def create(self, request: Request) -> Response:
        """The same rules as in the admin: phones with their country code, and nobody who is a contact already."""
        asked = self.body(NewContact)
        workspace = asked["workspace"]
        if workspace not in self.rights.places:
            raise invalid_fields({"workspace": "There is no such workspace."})
        self.check_may_work(workspace)
        form = NewLeadForm(
            asked | {"lead_score": asked.get("lead_score", 0), "tags": ",".join(asked.get("tags", ()))}
        )
        form.rights = self.rights
        if not form.is_valid():
            raise invalid_fields({_named(name): str(errors[0]) for name, errors in form.errors.items()})
        lead = form.add()
        return self.shown(lead.pk, 201)

    @operation("Change what people type", takes=ContactEdit, gives=ContactSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Name, e-mail, score and the workspace's custom fields: all that are named, or none. Each is in its history."""
        asked = self.body(ContactEdit)
        return self.changed(pk, lambda lead, by: work.set_fields(lead, asked, by=by))


def _named(field: str) -> str:
    """What is wrong with all of it is no field's fault."""
    return "" if field == NON_FIELD_ERRORS else field
