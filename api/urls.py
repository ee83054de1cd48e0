"""Addresses below /api/. Whatever is none of them is answered as the API answers, too."""

from __future__ import annotations

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from api.views.changes import ChangesView
from api.views.nowhere import Nowhere
from api.views.schema import DocsView, SchemaView

router = SimpleRouter()

urlpatterns = [
    path("v1/changes/", ChangesView.as_view(), name="api-changes"),
    path("v1/", include(router.urls)),
    path("schema/", SchemaView.as_view(), name="api-schema"),
    path("docs/", DocsView.as_view(url_name="api-schema"), name="api-docs"),
    re_path("^", Nowhere.as_view()),
]
