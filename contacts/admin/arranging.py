"""A workspace's tags and custom fields, for its owners."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from contacts import arranging
from contacts.admin.owning import back, below, owned, page
from contacts.admin.tenancy import user_of
from contacts.changing import Refused
from contacts.field_form import MOST_FIELDS, FieldForm
from contacts.models import CustomField, Tag
from contacts.workspace_form import TagForm


def _changed(count: int) -> str:
    return ngettext("%(count)s lead changed.", "%(count)s leads changed.", count) % {"count": count}


@require_http_methods(["GET", "POST"])
def tags(request: HttpRequest, pk: int) -> HttpResponse:
    workspace = owned(request, pk)
    known = Tag.objects.filter(workspace=workspace)
    form = TagForm(request.POST or None)
    if form.is_valid():
        try:
            arranging.add_tag(workspace.pk, form.cleaned_data["name"])
        except Refused as refusal:
            form.add_error("name", str(refusal))
        else:
            return back("tags", workspace)
    return page(request, workspace, "tags", _("Tags"), form=form, tags=known[: arranging.MOST_TAGS])


@require_http_methods(["GET", "POST"])
def tag(request: HttpRequest, pk: int, tag_id: int) -> HttpResponse:
    """Rename it, here and wherever leads have it."""
    workspace = owned(request, pk)
    known = get_object_or_404(Tag, workspace=workspace, pk=tag_id)
    form = TagForm(request.POST or None, initial={"name": known.name})
    if form.is_valid():
        count = arranging.rename_tag(known, form.cleaned_data["name"], by=user_of(request))
        messages.success(request, _("The tag was renamed.") + " " + _changed(count))
        return back("tags", workspace)
    return page(request, workspace, "tag", _("Rename a tag"), form=form, tag=known)


@require_http_methods(["GET", "POST"])
def tag_delete(request: HttpRequest, pk: int, tag_id: int) -> HttpResponse:
    workspace = owned(request, pk)
    known = get_object_or_404(Tag, workspace=workspace, pk=tag_id)
    if request.method == "POST":
        count = arranging.delete_tag(known, by=user_of(request))
        messages.success(request, _("The tag was deleted.") + " " + _changed(count))
        return back("tags", workspace)
    count = arranging.leads_with(workspace.pk, tags__contains=[known.name])
    context = {"what": known.name, "count": count, "most": arranging.MOST_COUNTED, "list": "tags"}
    return page(request, workspace, "delete", _("Delete this tag?"), **context)


@require_http_methods(["GET", "POST"])
def fields(request: HttpRequest, pk: int) -> HttpResponse:
    workspace = owned(request, pk)
    known = list(CustomField.objects.filter(workspace=workspace)[: MOST_FIELDS + 1])
    form = FieldForm(request.POST or None)
    if len(known) >= MOST_FIELDS and request.method == "POST":
        messages.error(request, _("These are as many fields as a lead's page can hold."))
    elif form.is_valid():
        wanted = {name: form.cleaned_data[name] for name in ("label", "kind", "choices")}
        arranging.add_field(workspace, **wanted)
        return back("fields", workspace)
    return page(request, workspace, "fields", _("Custom fields"), form=form, fields=known)


@require_http_methods(["GET", "POST"])
def field(request: HttpRequest, pk: int, field_id: int) -> HttpResponse:
    workspace = owned(request, pk)
    known = get_object_or_404(CustomField, workspace=workspace, pk=field_id)
    form = FieldForm(request.POST or None, instance=known)
    if form.is_valid():
        known.save(update_fields=["label", "choices"])
        messages.success(request, _("The field was changed."))
        return back("fields", workspace)
    return page(request, workspace, "field", _("Change a field"), form=form, field=known)


@require_POST
def field_move(request: HttpRequest, pk: int, field_id: int) -> HttpResponse:
    workspace = owned(request, pk)
    known = get_object_or_404(CustomField, workspace=workspace, pk=field_id)
    arranging.move_field(known, up=request.POST.get("to") == "up")
    return back("fields", workspace)


@require_http_methods(["GET", "POST"])
def field_delete(request: HttpRequest, pk: int, field_id: int) -> HttpResponse:
    workspace = owned(request, pk)
    known = get_object_or_404(CustomField, workspace=workspace, pk=field_id)
    if request.method == "POST":
        count = arranging.delete_field(known, by=user_of(request))
        messages.success(request, _("The field was deleted.") + " " + _changed(count))
        return back("fields", workspace)
    count = arranging.leads_with(workspace.pk, metadata__has_key=known.key)
    context = {"what": known.label, "count": count, "most": arranging.MOST_COUNTED, "list": "fields"}
    return page(request, workspace, "delete", _("Delete this field?"), **context)


PAGES = below(
    {
        "tags": ("tags/", tags),
        "tag": ("tags/<int:tag_id>/", tag),
        "tag_delete": ("tags/<int:tag_id>/delete/", tag_delete),
        "fields": ("fields/", fields),
        "field": ("fields/<int:field_id>/", field),
        "field_move": ("fields/<int:field_id>/move/", field_move),
        "field_delete": ("fields/<int:field_id>/delete/", field_delete),
    }
)
