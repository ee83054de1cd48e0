"""The pages of an import: upload, columns, check, progress, result. For those who manage the workspace.

What an import is at decides what its page shows. Whatever begins something is a POST to `<import>/begin/<what>/`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from procrastinate.exceptions import AlreadyEnqueued

from contacts import tasks
from contacts.admin.import_forms import Columns, chosen_reading
from contacts.admin.import_rows import rows_of, rows_page
from contacts.admin.tenancy import allow, rights_of, user_of
from contacts.lead_export import Busy
from contacts.lead_import import running, undoing, uploading
from contacts.lead_import.reading import MOST_BYTES, MOST_ROWS
from contacts.lead_import.words import Wrong, shown
from contacts.models import Import, Workspace

if TYPE_CHECKING:
    from contacts.admin.tenancy import MemberAdmin

PER_PAGE = 25
# For so long a worker has time to begin; then the open page does the work itself, so many seconds at a time.
PATIENCE = timedelta(seconds=4)
SLICE = 1.5

State = Import.State


def urls(leads: MemberAdmin) -> list[URLPattern]:
    view = leads.admin_site.admin_view

    def page(request: HttpRequest, template: str, title: Any, **context: Any) -> HttpResponse:
        known = leads.admin_site.each_context(request) | {"opts": leads.opts, "title": title}
        return TemplateResponse(request, f"contacts/imports/{template}.html", known | context)

    @require_http_methods(["GET", "POST"])
    def index(request: HttpRequest) -> HttpResponse:
        return _index(request, page)

    @require_GET
    def one(request: HttpRequest, pk: int) -> HttpResponse:
        return _one(request, managed(request, pk), page)

    return [
        path("imports/", view(index), name="contacts_contact_imports"),
        path("imports/<int:pk>/", view(one), name="contacts_contact_import"),
        path("imports/<int:pk>/begin/<slug:what>/", view(do), name="contacts_contact_import_do"),
        path("imports/<int:pk>/progress/", view(progress), name="contacts_contact_import_progress"),
        path("imports/<int:pk>/rows.csv", view(rows_file), name="contacts_contact_import_rows"),
    ]


def managed(request: HttpRequest, pk: int) -> Import:
    """404 for somebody who is not in its workspace, 403 for members who do not manage it."""
    rights = rights_of(request)
    mine = Import.objects.filter(workspace__in=list(rights.workspaces)).select_related("workspace", "by")
    made = get_object_or_404(mine, pk=pk)
    allow(rights.may_manage(made.workspace_id))
    return made


def address(made: Import) -> str:
    return reverse("admin:contacts_contact_import", args=[made.pk])


# Uploading


def _index(request: HttpRequest, page: Callable[..., HttpResponse]) -> HttpResponse:
    rights = rights_of(request)
    places = {pk: rights.workspaces[pk] for pk in rights.manages()}
    allow(bool(places))
    error, status = "", 200
    if request.method == "POST":
        try:
            return HttpResponseRedirect(address(_uploaded(request, places)))
        except Wrong as wrong:
            error, status = str(wrong), 422
    imports = Import.objects.filter(workspace__in=list(places)).select_related("workspace", "by")
    response = page(
        request,
        "index",
        _("Import leads"),
        places=list(places.items()),
        several=len(rights.workspaces) > 1,
        imports=Paginator(imports, PER_PAGE).get_page(request.GET.get("page")),
        error=error,
        most_mb=MOST_BYTES // 1024 // 1024,
        most_rows=number_format(MOST_ROWS, use_l10n=True, force_grouping=True),
    )
    response.status_code = status
    return response


def _uploaded(request: HttpRequest, places: dict[int, str]) -> Import:
    asked = request.POST.get("workspace") or (str(next(iter(places))) if len(places) == 1 else "")
    workspace = next((pk for pk in places if str(pk) == asked), None)
    if workspace is None:
        raise Wrong("choose_workspace")
    file = request.FILES.get("file")
    if file is None:
        raise Wrong("choose_file")
    place = Workspace.objects.get(pk=workspace)
    return uploading.begin(place, user_of(request), file.name or "", file.chunks(1024 * 1024))


# The page of one


def _one(request: HttpRequest, made: Import, page: Callable[..., HttpResponse]) -> HttpResponse:
    context: dict[str, Any] = {"made": made, "error": shown(made.error)}
    if made.is_at_work:
        return page(request, "at_work", made.file_name, **context, **_progress(made))
    wants_columns = made.state in (State.UPLOADED, State.FAILED) or "columns" in request.GET
    if wants_columns and made.pieces.exists():
        return page(request, "columns", made.file_name, **context, **Columns(made).shown())
    outcome = request.GET.get("outcome", "")
    return page(
        request,
        "result",
        made.file_name,
        **context,
        **rows_page(made, outcome, request.GET.get("after", "")),
        can_undo=undoing.can_undo(made),
        undo_until=made.finished_at and made.finished_at + undoing.UNDO_WITHIN,
    )


@require_GET
def progress(request: HttpRequest, pk: int) -> HttpResponse:
    """What an open page asks for every second. Where no worker does it, that brings the import forward."""
    made = managed(request, pk)
    if made.is_at_work and (made.by_page or timezone.now() - made.moved_at > PATIENCE):
        running.go_on(seconds=SLICE, only=made.pk, by_page=True)
        made.refresh_from_db()
    response = TemplateResponse(request, "contacts/imports/progress.html", {"made": made} | _progress(made))
    if not made.is_at_work:
        response["HX-Refresh"] = "true"
    return response


def _progress(made: Import) -> dict[str, Any]:
    """Of how much how much is done; while the file is read nobody knows how long it is."""
    is_reading = made.state == State.CHECKING and not made.is_read
    total, done = made.rows, sum(made.count(outcome) for outcome in ("new", "changed", "same", "refused"))
    if made.state == State.UNDOING:
        total = made.count("new") + made.count("changed")
        done = made.count("deleted") + made.count("returned") + made.count("left")
    return {
        "is_reading": is_reading,
        "total": total,
        "done": min(done, total),
        "percent": 100 * min(done, total) // total if total else 0,
    }


@require_GET
def rows_file(request: HttpRequest, pk: int) -> Any:
    made = managed(request, pk)
    try:
        return rows_of(made, request.GET.get("outcome", ""))
    except Busy as busy:
        messages.error(request, str(busy))
        return HttpResponseRedirect(address(made))


# What people begin


@require_POST
def do(request: HttpRequest, pk: int, what: str) -> HttpResponse:
    made = managed(request, pk)
    if what not in DO:
        raise Http404
    try:
        is_done = DO[what](made, request)
    except Wrong as wrong:
        messages.error(request, str(wrong))
    else:
        if not is_done:
            messages.warning(
                request, _("That is not possible any more. This is how far the import has come.")
            )
        if what == "delete" and is_done:
            return HttpResponseRedirect(reverse("admin:contacts_contact_imports"))
    return HttpResponseRedirect(address(made) + ("?columns" if what == "look" else ""))


def _look(made: Import, request: HttpRequest) -> bool:
    return uploading.look_again(made, chosen_reading(made, request.POST))


def _check(made: Import, request: HttpRequest) -> bool:
    return _soon(running.check(made, **Columns(made).chosen(request.POST)))


def _start(made: Import, _request: HttpRequest) -> bool:
    return _soon(running.start(made))


def _undo(made: Import, _request: HttpRequest) -> bool:
    return _soon(running.undo(made))


def _delete(made: Import, request: HttpRequest) -> bool:
    is_gone = running.drop(made)
    if is_gone:
        messages.success(request, _("The file was deleted. No lead was changed."))
    return is_gone


DO: dict[str, Callable[[Import, HttpRequest], bool]] = {
    "look": _look,
    "check": _check,
    "start": _start,
    "undo": _undo,
    "delete": _delete,
}


def _soon(has_begun: bool) -> bool:
    """Tell a worker, if there is one: it need not wait for its next turn."""
    if has_begun:
        with suppress(AlreadyEnqueued), transaction.atomic():
            tasks.go_on_with_imports.defer(timestamp=0)  # type: ignore[call-arg]
    return has_begun
