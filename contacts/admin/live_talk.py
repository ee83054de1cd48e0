"""How an open page of a lead learns of new messages: as the list does (contacts.admin.live_list), it asks every few
seconds, and mostly hears that there are none, for two small queries.
"""

from __future__ import annotations

from typing import Any

from django.db.models.expressions import RawSQL
from django.http import HttpRequest, HttpResponse
from django.utils.cache import add_never_cache_headers

from contacts.admin.live_list import cursor_of_session

# Of the newest messages, reactions and edits included, and of whose the lead is: who may see it can depend on that. A
# row's version is another after every change of it: a tick, an edit. Never empty.
CURSOR = """
md5(concat({lead}.owner_id, ':', (
    SELECT string_agg(newest.id || ' ' || newest.version, ',' ORDER BY newest.id) FROM (
        SELECT m.id, m.xmin || ' ' || m.ctid AS version FROM contacts_message m WHERE m.contact_id = {lead}.id
        ORDER BY m.sent_at DESC, m.id DESC LIMIT 50) AS newest)))
"""
# NULL for a lead that is not there, or of others: then the page's own way answers, by the rights.
NEWS = f"""
(SELECT {CURSOR.format(lead="c")} FROM contacts_contact c WHERE c.id = %s AND c.merged_into_id IS NULL
 AND (auth_user.is_superuser OR EXISTS (
    SELECT FROM contacts_membership m WHERE m.workspace_id = c.workspace_id AND m.user_id = auth_user.id)))
"""  # noqa: S608 - constants


def with_cursor(leads: Any) -> Any:
    """Each with `talk_cursor`: what was newest in its talk when it was read."""
    return leads.annotate(talk_cursor=RawSQL(CURSOR.format(lead="contacts_contact"), []))  # noqa: S611 - a constant


def has_no_news(request: HttpRequest, lead: int) -> HttpResponse | None:
    """The answer (204) to a page that has seen what is newest; None for any other, which gets the messages."""
    seen = request.headers.get("X-Seen")
    news = RawSQL(NEWS, [lead])  # noqa: S611 - a constant, with a parameter
    if not seen or seen != cursor_of_session(request, news):
        return None
    response = HttpResponse(status=204)
    add_never_cache_headers(response)
    return response
