"""How an open page of a lead learns of new messages: as the list does (contacts.admin.live_list), it asks every few
seconds, and mostly hears that there are none, for two small queries.
"""

from __future__ import annotations

from typing import Any

from django.db.models.expressions import RawSQL
from django.http import HttpRequest, HttpResponse
from django.utils.cache import add_never_cache_headers

from contacts.admin.live_list import cursor_of_session

# Of the newest messages, reactions and edits included. A row's version is another after every change of it: a tick, an
# edit. It says nothing of what they are; the messages that follow are read by the rights.
NEWS = """
SELECT md5(string_agg(newest.id || ' ' || newest.version, ',' ORDER BY newest.id)) FROM (
    SELECT m.id, m.xmin || ' ' || m.ctid AS version FROM contacts_message m WHERE m.contact_id = %s
    ORDER BY m.sent_at DESC, m.id DESC LIMIT 50) AS newest
"""


def with_cursor(leads: Any) -> Any:
    """Each with `talk_cursor`: what was newest in its talk when it was read."""
    news = NEWS.replace("%s", '"contacts_contact"."id"')
    return leads.annotate(talk_cursor=RawSQL(f"({news})", []))  # noqa: S611 - a constant


def has_no_news(request: HttpRequest, lead: int) -> HttpResponse | None:
    """The answer (204) to a page that has seen what is newest; None for any other, which gets the messages."""
    seen = request.headers.get("X-Seen")
    news = RawSQL(f"({NEWS})", [lead])  # noqa: S611 - a constant
    if seen is None or seen != cursor_of_session(request, news):
        return None
    response = HttpResponse(status=204)
    add_never_cache_headers(response)
    return response
