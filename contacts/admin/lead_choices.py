"""What the filters of the list offer: people, tags, sources and numbers of the user's workspaces."""

from __future__ import annotations

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models.expressions import RawSQL
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

# `recent`: tags and sources of leads. `most`: of each kind.
EVERY_CHOICE = """
WITH mine AS MATERIALIZED (SELECT unnest(%s::bigint[]) AS workspace_id), recent(tags, source) AS MATERIALIZED ({recent})
(SELECT 'owner', u.id::text, COALESCE(NULLIF(trim(u.first_name || ' ' || u.last_name), ''), u.username) FROM auth_user u
    WHERE u.id IN (SELECT user_id FROM contacts_membership JOIN mine USING (workspace_id)) LIMIT {most})
UNION ALL
(SELECT 'tag', name, name FROM contacts_tag JOIN mine USING (workspace_id) LIMIT {most})
UNION ALL
(SELECT DISTINCT 'tag', tag, tag FROM recent, unnest(recent.tags) AS tag LIMIT {most})
UNION ALL
(SELECT DISTINCT 'source', source, source FROM recent LIMIT {most})
UNION ALL
(SELECT 'number', id::text, COALESCE(NULLIF(display_phone_number, ''), phone_number_id)
    FROM contacts_phonenumber JOIN mine USING (workspace_id) LIMIT {most})
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
    mine = list(rights.places)
    newest = RawSQL(NEWEST_OF_EACH, [mine, RECENT])  # noqa: S611 - a constant
    seen = Contact.objects.filter(rights.leads(), pk__in=newest).order_by()
    try:
        recent, values = seen.values_list("tags", "source").query.sql_with_params()
    except EmptyResultSet:  # of nobody's workspaces
        return []
    with connections[seen.db].cursor() as cursor:
        cursor.execute(EVERY_CHOICE.format(recent=recent, most=3 * MOST_OPTIONS), [mine, *values])
        found: list[tuple[str, str, str]] = cursor.fetchall()
    return found
