"""Where the forms of a lead's page send what people do with it."""

from __future__ import annotations

from django.contrib.admin import ModelAdmin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path

from contacts.models import Contact


def urls(admin: ModelAdmin[Contact]) -> list[URLPattern]:
    return [path("<int:pk>/do/<slug:what>/", admin.admin_site.admin_view(do), name="contacts_contact_do")]


def do(_request: HttpRequest, pk: int, what: str) -> HttpResponse:
    raise Http404(f"{pk} {what}")
