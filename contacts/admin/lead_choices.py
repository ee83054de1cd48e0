"""What the filters of the list offer: people, tags, sources and numbers of the user's workspaces."""

from __future__ import annotations

from django.db import connections
from django.http import HttpRequest

from contacts.admin.tenancy import rights_of
from contacts.models import Contact

# No select has more than a hundred options, those included that every one has.
MOST_OPTIONS = 95
# Words that leads have, such as sources, are gathered from so many of the newest leads of each workspace.
RECENT = 200

NEWEST_OF_EACH = """
SELECT newest.id FROM unnest(%s::bigint[]) AS mine(workspace_id) CROSS JOIN LATERAL (
    SELECT c.id FROM contacts_contact c WHERE c.workspace_id = mine.workspace_id AND c.merged_into_id IS NULL
    ORDER BY c.last_activity_at DESC NULLS LAST, c.id DESC LIMIT %s) AS newest
"""

# Of the recent leads only those that the user sees (Rights.leads).
EVERY_CHOICE = """
WITH recent AS MATERIALIZED (
    SELECT lead.tags, lead.source FROM unnest(%(mine)s::bigint[]) AS mine(workspace_id) CROSS JOIN LATERAL (
        SELECT c.tags, c.source, c.owner_id FROM contacts_contact c
        WHERE c.workspace_id = mine.workspace_id AND c.merged_into_id IS NULL
        ORDER BY c.last_activity_at DESC NULLS LAST, c.id DESC LIMIT %(recent)s) AS lead
    WHERE mine.workspace_id = ANY(%(sees_all)s::bigint[]) OR lead.owner_id IS NULL OR lead.owner_id = %(me)s
)
(SELECT 'owner', u.id::text, COALESCE(NULLIF(trim(u.first_name || ' ' || u.last_name), ''), u.username) FROM auth_user u
    WHERE u.id IN (SELECT user_id FROM contacts_membership WHERE workspace_id = ANY(%(mine)s::bigint[])) LIMIT %(most)s)
UNION ALL
(SELECT 'tag', name, name FROM contacts_tag WHERE workspace_id = ANY(%(mine)s::bigint[]) LIMIT %(most)s)
UNION ALL
(SELECT DISTINCT 'tag', tag, tag FROM recent, unnest(recent.tags) AS tag LIMIT %(most)s)
UNION ALL
(SELECT DISTINCT 'source', source, source FROM recent LIMIT %(most)s)
UNION ALL
(SELECT 'number', id::text, COALESCE(NULLIF(display_phone_number, ''), phone_number_id) FROM contacts_phonenumber
    WHERE workspace_id = ANY(%(mine)s::bigint[]) LIMIT %(most)s)
"""

Options = list[tuple[str, str]]


def choices_of(request: HttpRequest) -> dict[str, Options]:
    """What there is to choose from in the user's workspaces, by the filter's parameter: one query for all."""
    kept = vars(request)
    if "leadcrm_choices" not in kept:
        found: dict[str, dict[str, str]] = {"owner": {}, "tag": {}, "source": {}, "number": {}}
        for kind, value, label in _every_choice(request):
            found[kind].setdefault(value, label)
        kept["leadcrm_choices"] = {kind: _shown(options) for kind, options in found.items()}
    choices: dict[str, Options] = kept["leadcrm_choices"]
    return choices


def _shown(options: dict[str, str]) -> Options:
    return sorted(options.items(), key=lambda option: option[1].casefold())[:MOST_OPTIONS]


def _every_choice(request: HttpRequest) -> list[tuple[str, str, str]]:
    rights = rights_of(request)
    sees_all = [pk for pk, place in rights.places.items() if place.sees_all]
    asked = {
        "mine": list(rights.places), "sees_all": sees_all, "me": rights.user_id, "recent": RECENT, "most": 3 * MOST_OPTIONS,
    }  # fmt: skip
    with connections[Contact.objects.db].cursor() as cursor:
        cursor.execute(EVERY_CHOICE, asked)
        found: list[tuple[str, str, str]] = cursor.fetchall()
    return found
