from rest_framework.routers import SimpleRouter

from api.views import contacts, deliveries, talk, team, work

router = SimpleRouter(use_regex_path=True)
for prefix, views in {
    "contacts": contacts.ContactViews,
    "conversations": talk.ConversationViews,
    "messages": talk.MessageViews,
    "notes": work.NoteViews,
    "follow-ups": work.FollowUpViews,
    "status-changes": work.StatusChangeViews,
    "merges": work.MergeViews,
    "workspaces": team.WorkspaceViews,
    "numbers": team.NumberViews,
    "members": team.MemberViews,
    "tags": team.TagViews,
    "custom-fields": team.CustomFieldViews,
    "deliveries": deliveries.DeliveryViews,
}.items():
    router.register(prefix, views, basename=prefix)
urlpatterns = router.urls
