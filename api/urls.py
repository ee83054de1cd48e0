"""Addresses below /api/. Whatever is none of them is answered as the API answers, too."""

from __future__ import annotations

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from api.views import contacts, deliveries, me, talk, team, work
from api.views.changes import ChangesView
from api.views.nowhere import Nowhere
from api.views.schema import DocsView, SchemaView

router = SimpleRouter()
router.register("contacts", contacts.ContactViews, "contacts")
router.register("conversations", talk.ConversationViews, "conversations")
router.register("messages", talk.MessageViews, "messages")
router.register("notes", work.NoteViews, "notes")
router.register("follow-ups", work.FollowUpViews, "follow-ups")
router.register("status-changes", work.StatusChangeViews, "status-changes")
router.register("merges", work.MergeViews, "merges")
router.register("workspaces", team.WorkspaceViews, "workspaces")
router.register("numbers", team.NumberViews, "numbers")
router.register("members", team.MemberViews, "members")
router.register("tags", team.TagViews, "tags")
router.register("custom-fields", team.CustomFieldViews, "custom-fields")
router.register("deliveries", deliveries.DeliveryViews, "deliveries")

urlpatterns = [
    path("v1/changes/", ChangesView.as_view(), name="api-changes"),
    path("v1/me/", me.MeView.as_view(), name="api-me"),
    path("v1/", include(router.urls)),
    path("schema/", SchemaView.as_view(), name="api-schema"),
    path("docs/", DocsView.as_view(url_name="api-schema"), name="api-docs"),
    re_path("^", Nowhere.as_view()),
]
