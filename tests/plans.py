"""How PostgreSQL goes about what the pages ask, over many leads: for tests/test_plans.py and its larger twin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from contacts.models import Contact, Membership, PhoneNumber, Workspace
from tests.api import Program

LEADS = "/admin/contacts/contact/"
TABS = ("all", "awaiting", "follow-up", "closing", "never", "mine", "unassigned", "again")
# Without the number: where there is one, each lead has its thread there, and few leads are best met by reading all.
FILTERS = (
    "status=qualified", "owner=me", "owner=nobody", "tag=vip", "source=ad-5", "window=open",
    "window=closing", "window=closed", "quiet=30", "created=30", "marked=unread", "marked=human", "marked=due",
    "marked=aside",
)  # fmt: skip
SEARCHES = ("uispe 7", "quispe", "qu", "60000 42", "lead72@", "@user_1", "words 93", "words", "zzqqxx")
PAGES = (
    *(f"{LEADS}?view={tab}" for tab in TABS),
    *(f"{LEADS}?{narrowed}" for narrowed in FILTERS),
    *(f"{LEADS}?q={typed}" for typed in SEARCHES),
    f"{LEADS}?p=5",
    f"{LEADS}live/",
    f"{LEADS}{{lead}}/change/",
    f"{LEADS}{{lead}}/messages/",
    "/admin/today/follow-ups/",
    "/admin/today/needs-human/",
)
ANSWERS = (
    "/contacts/", "/contacts/?view=awaiting", "/contacts/?updated_since={now}", "/contacts/?search=uispe 7", "/contacts/{lead}/",
    "/conversations/", "/messages/", "/changes/",
)  # fmt: skip

# One in ten minutes, back from now. Few wait, are put aside, or come from an ad; each wrote once, and most were answered.
LEADS_OF = """
INSERT INTO contacts_contact (workspace_id, name, username, email, lead_status, tags, owner_id, source,
    last_activity_at, last_contact_at, last_inbound_at, unanswered_since, read_at, snoozed_at, snoozed_until, created_at)
SELECT %(workspace)s, (ARRAY['Ana Quispe', 'José Rocha', 'Иван Петров', '美咲 佐藤'])[1 + n %% 4] || ' ' || n,
    CASE WHEN n %% 10 = 3 THEN 'user_' || n ELSE '' END, CASE WHEN n %% 7 = 2 THEN 'lead' || n || '@example.com' ELSE '' END,
    (ARRAY['new', 'qualified', 'contacted', 'converted', 'archived'])[1 + n %% 5],
    CASE WHEN n %% 20 = 0 THEN ARRAY['vip'] ELSE '{}' END, CASE WHEN n %% 3 = 0 THEN %(owner)s END,
    CASE WHEN n %% 8 = 5 THEN 'ad-' || n %% 40 ELSE 'whatsapp' END, at, CASE WHEN n %% 9 > 0 THEN at END,
    at - CASE WHEN n %% 9 > 1 THEN interval '1 minute' ELSE interval '0' END, CASE WHEN n %% 9 = 0 THEN at END,
    CASE WHEN n %% 11 > 0 THEN at END, CASE WHEN n %% 300 = 11 THEN at END,
    CASE WHEN n %% 300 = 11 THEN now() + interval '1 day' END, at
FROM generate_series(1, %(count)s) AS n, LATERAL (SELECT now() - n * interval '10 minutes' AS at) AS spread
"""
# Not by the leads themselves: a trigger would make them one by one.
IDENTITIES = """
INSERT INTO contacts_identity (workspace_id, kind, value, contact_id, home_id)
SELECT workspace_id, 'phone', 51960000000 + id, id, id FROM contacts_contact
"""
THREADS = """
INSERT INTO contacts_conversation (workspace_id, contact_id, phone_number_id, last_message_at, handoff_at)
SELECT workspace_id, id, %(number)s, last_activity_at, CASE WHEN id %% 500 = 7 THEN last_activity_at END FROM contacts_contact
"""
MESSAGES = """
INSERT INTO contacts_message (workspace_id, phone_number_id, conversation_id, contact_id, kapso_message_id, direction,
    content, sent_at, earliest_at, phone)
SELECT c.workspace_id, t.phone_number_id, t.id, c.id, 'wamid.' || c.id, 'inbound', 'some words ' || c.id, c.last_inbound_at,
    c.last_inbound_at, (51960000000 + c.id)::text
FROM contacts_contact c JOIN contacts_conversation t ON t.contact_id = c.id
"""
FOLLOW_UPS = """
INSERT INTO contacts_followup (workspace_id, contact_id, due_at, remark)
SELECT workspace_id, id, last_activity_at, 'call' FROM contacts_contact WHERE id %% 200 = 3
"""
BIG = (
    "contacts_contact", "contacts_conversation", "contacts_identity", "contacts_message", "contacts_searchedlead",
    "contacts_searchedmessage",
)  # fmt: skip


class Plans:
    """A workspace with so many leads, and somebody who looks at it in a browser and by a program."""

    def __init__(self, count: int) -> None:
        workspace = Workspace.objects.create(name="Lima", slug="lima")
        number = PhoneNumber.objects.create(workspace=workspace, phone_number_id="1")
        ana = User.objects.create_user("ana", is_staff=True)
        Membership.objects.create(user=ana, workspace=workspace, role="manager")
        at = {"workspace": workspace.pk, "number": number.pk, "owner": ana.pk, "count": count}
        with connection.cursor() as cursor:
            for statement in (LEADS_OF, IDENTITIES, THREADS, MESSAGES, FOLLOW_UPS):
                cursor.execute(statement, at)
            # Made in one transaction, all of it would be news.
            cursor.execute("DELETE FROM contacts_change WHERE id %% 1000 > 0", [])
            cursor.execute("ANALYZE")
        lead = Contact.objects.order_by("pk")[count // 2].pk
        self.named = {
            "number": number.pk,
            "lead": lead,
            "now": f"{datetime.now().astimezone():%Y-%m-%dT%H:%M:%SZ}",
        }
        self.browser = Client()
        self.browser.force_login(ana)
        self.program = Program.of(ana)

    def of_page(self, path: str) -> list[str]:
        """What is read from one end to the other for the sake of a page of the admin."""
        return self._whole(lambda: self.browser.get(path.format(**self.named)))

    def of_answer(self, path: str) -> list[str]:
        """The same of the API."""
        return self._whole(lambda: self.program.get(f"/api/v1{path.format(**self.named)}"))

    def _whole(self, ask: Any) -> list[str]:
        asked: list[tuple[str, Any]] = []

        def listen(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            asked.append((sql, params))
            return execute(sql, params, many, context)

        with connection.execute_wrapper(listen):
            response = ask()
        assert response.status_code == 200, response
        reads = [one for one in asked if one[0].lstrip(" (\n").startswith(("SELECT", "WITH"))]
        return [f"{table}: {sql[:2000]}" for sql, params in reads for table in _scanned(sql, params)]


def _scanned(sql: str, params: Any) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
        (plan,) = cursor.fetchone()
    (top,) = json.loads(plan) if isinstance(plan, str) else plan
    yield from _scans(top["Plan"], is_bounded=False)


# Whoever counts to so many is given the rows of these one by one, and stops.
PASSED_ON = ("Nested Loop", "Hash Join", "Result", "Subquery Scan", "Append")


def _scans(node: dict[str, Any], *, is_bounded: bool) -> Iterator[str]:
    """A scan that ends with the first so many rows is none: that is how it is counted what many leads have."""
    kind = node["Node Type"]
    if kind == "Seq Scan" and node["Relation Name"] in BIG and not is_bounded:
        yield node["Relation Name"]
    ends_early = kind == "Limit" or (is_bounded and kind in PASSED_ON)
    for below in node.get("Plans", ()):
        yield from _scans(below, is_bounded=ends_early)
