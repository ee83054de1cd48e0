from __future__ import annotations

from django.contrib import admin
from django.urls import path

from benchmarks.plain.views import KapsoWebhookView

urlpatterns = [
    path("admin/", admin.site.urls),
    path("webhooks/kapso/", KapsoWebhookView.as_view()),
]
