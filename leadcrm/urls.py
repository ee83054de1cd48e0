"""The whole site: Kapso's webhook, and the admin where the team works."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from api.admin.tokens import token_urls
from contacts.admin import behind, reports, start
from contacts.admin.notifications import notification_urls
from contacts.admin.preferences import preferences
from kapso_sync import pages
from kapso_sync.people_views import people_urls
from kapso_sync.views import receive_webhook
from kapso_sync.why_views import why_urls
from leadcrm import accounts, health, joining
from leadcrm.welcome import welcome_urls

handler400 = "api.views.outside.bad_request"
handler500 = "api.views.outside.server_error"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("webhooks/kapso/", receive_webhook, name="kapso-webhook"),
    path(
        "admin/", include([*people_urls(), *why_urls(), *notification_urls(), *welcome_urls(), *token_urls()])
    ),
    path("api/", include("api.urls")),
    path("metrics", health.metrics, name="metrics"),
    path("admin/numbers-health/", admin.site.admin_view(pages.numbers_health), name="numbers-health"),
    path("admin/drift/", admin.site.admin_view(pages.drift), name="drift"),
    path("admin/today/<slug:what>/", admin.site.admin_view(start.today_view), name="today"),
    path("admin/reports/", admin.site.admin_view(reports.reports_view), name="reports"),
    path("admin/reports/behind/", admin.site.admin_view(behind.behind_view), name="reports-behind"),
    path("admin/preferences/", admin.site.admin_view(preferences), name="preferences"),
    # unfold's login page links to `admin_password_reset` where there is one; the others are Django's own names.
    path("admin/forgotten-password/", accounts.ForgottenPassword.as_view(), name="admin_password_reset"),
    path("admin/forgotten-password/mailed/", accounts.Mailed.as_view(), name="password_reset_done"),
    path(
        "admin/new-password/<uidb64>/<token>/", accounts.NewPassword.as_view(), name="password_reset_confirm"
    ),
    path("admin/new-password/set/", accounts.PasswordSet.as_view(), name="password_reset_complete"),
    path("join/<str:secret>/", joining.join, name="join"),
    path("admin/", admin.site.urls),
]
