"""`GET /api/v1/contacts/export/`: a list of contacts as a file, as the admin exports it (contacts.lead_export)."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from rest_framework.decorators import action
from rest_framework.request import Request

from api.answering import RETRY_LATER
from api.contact_filters import ContactFilters
from api.operations import File, operation
from api.problems import Problem, forbidden, invalid_parameter
from api.views.rows import Rows
from contacts import lead_export
from contacts.lead_export import CONTENT_TYPES
from contacts.lead_views import NEWEST_FIRST

AS_FILE = File("type", CONTENT_TYPES, "The kind of file: `xlsx` holds at most 1,048,575 contacts.")


class ContactExport(Rows):
    """For those who manage workspaces, as in the admin: contacts of the others that they see are left out."""

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """What comes is said by `type`: whoever asks for a CSV in `Accept` is right, too."""
        return super().perform_content_negotiation(request, force=force or self.action == "export")

    def parameters(self) -> set[str]:
        if self.action != "export":
            return super().parameters()
        return {"type", *ContactFilters.base_filters}

    @operation("Export contacts as a file", gives=AS_FILE)
    @action(detail=False, methods=["get"])
    def export(self, request: Request) -> StreamingHttpResponse:
        """All that the same filters list, newest activity first, as CSV (UTF-8) or XLSX with a header, streamed: one
        state of all of them, however long it takes. For managers and owners. A text that a spreadsheet would take for
        a formula has an apostrophe in front. A CSV that had to break off ends with a line that says `INCOMPLETE`.
        """
        kind: Any = request.query_params.get("type", "csv")
        if kind not in CONTENT_TYPES:
            raise invalid_parameter("type", f"There are: {', '.join(CONTENT_TYPES)}.")
        managed = self.rights.manages()
        if not managed:
            raise forbidden("Contacts are exported by managers and owners of their workspace.")
        listed = (
            self.filter_queryset(self.get_queryset()).filter(workspace__in=managed).order_by(*NEWEST_FIRST)
        )
        name = lead_export.file_name(managed)
        try:
            return lead_export.response(listed, kind, workspaces=managed, name=name, marked=False)
        except lead_export.TooManyRows as error:
            raise invalid_parameter("type", str(error)) from error
        except lead_export.Busy as error:
            raise Problem("busy", str(error), headers={"Retry-After": RETRY_LATER}) from error
