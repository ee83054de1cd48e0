"""How an open list learns of news: it asks every few seconds, and mostly hears that there is none.

That answer takes two small queries, the session included: one statement reads who asks together with a digest of the
leads that were active last, in each of their workspaces. Only when it is another than the page's are rows read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.db.models.expressions import RawSQL
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils.cache import add_never_cache_headers
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_GET

from contacts.localising import localise
from contacts.models import Contact

if TYPE_CHECKING:
    from contacts.admin.tenancy import MemberAdmin

# A page of the list. The row's version is another after every change of it, whoever makes it. `agents_see_all` is not
# asked: that somebody else's lead changed says nothing about it, and the rows that follow are read by the rights.
NEWS = """
(SELECT md5(string_agg(newest.id || ' ' || newest.version, ',' ORDER BY newest.id)) FROM contacts_workspace w
 LEFT JOIN contacts_membership m ON m.workspace_id = w.id AND m.user_id = auth_user.id
 CROSS JOIN LATERAL (
    SELECT c.id, c.xmin || ' ' || c.ctid AS version FROM contacts_contact c
    WHERE c.workspace_id = w.id AND c.merged_into_id IS NULL
    ORDER BY c.last_activity_at DESC NULLS LAST, c.id DESC LIMIT 50) AS newest
 WHERE auth_user.is_superuser OR m.id IS NOT NULL)
"""


def cursor_of(user: User) -> str:
    """What was newest in the user's workspaces when the page was made, there where it gets its rows from."""
    there = User.objects.using(Contact.objects.db).annotate(cursor=_news())
    return there.filter(pk=user.pk).values_list("cursor", flat=True).first() or ""


def urls(leads: MemberAdmin, shown: Callable[[HttpRequest, Any], dict[str, Any]]) -> list[URLPattern]:
    """Below the list's own address."""

    def rows_view(request: HttpRequest) -> HttpResponse:
        try:
            found = leads.get_changelist_instance(request)
        except IncorrectLookupParameters:  # a page that is not there any more
            return HttpResponse(status=204)
        return render(request, "contacts/lead_list.html", {"opts": leads.opts} | shown(request, found))

    whole = leads.admin_site.admin_view(rows_view)

    @require_GET
    def live_view(request: HttpRequest) -> HttpResponse:
        """Nothing (204), or the list as it is now. Whoever is logged out is sent to log in."""
        seen = request.headers.get("X-Seen")
        if seen is None or seen != cursor_of_session(request, _news()):
            localise(request)
            return whole(request)
        response = HttpResponse(status=204)
        add_never_cache_headers(response)
        return response

    live_view.localises_itself = True  # type: ignore[attr-defined]  # that reads the user, which no news needs not
    return [path("live/", live_view, name="contacts_contact_live")]


def cursor_of_session(request: HttpRequest, news: RawSQL) -> str | None:
    """What `news` says now, read together with who asks.

    None for whoever has to show first who they are: the admin's own way decides then.
    """
    users: Any = User.objects
    user = (
        users.annotate(cursor=news)
        .filter(pk=request.session.get(SESSION_KEY), is_active=True, is_staff=True)
        .only("password", "username")
        .first()
    )
    known = request.session.get(HASH_SESSION_KEY, "")
    if user is None or not constant_time_compare(known, user.get_session_auth_hash()):
        return None
    cursor: str | None = user.cursor
    return cursor or ""


def _news() -> RawSQL:
    return RawSQL(NEWS, [])  # noqa: S611 - a constant
