"""The whole site: Kapso's webhook, and the admin where the team works."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from kapso_sync.people_views import people_urls
from kapso_sync.views import KapsoWebhookView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("webhooks/kapso/", KapsoWebhookView.as_view(), name="kapso-webhook"),
    path("admin/", include(people_urls())),
    path("admin/", admin.site.urls),
]
