"""What the filters of the list offer: people, tags, sources and numbers of the user's workspaces."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db.models import CharField, F, Func, QuerySet, TextField, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, Coalesce, Concat, NullIf, Trim
from django.http import HttpRequest

from contacts.admin.tenancy import rights_of, workspaces_of
from contacts.models import Contact, Membership, PhoneNumber, Tag

# No select has more than a hundred options, those included that every one has.
MOST_OPTIONS = 95
# Words that leads have, such as sources, are gathered from so many of the newest leads of each workspace.
RECENT = 200

NEWEST_OF_EACH = """
SELECT newest.id FROM unnest(%s::bigint[]) AS mine(workspace_id) CROSS JOIN LATERAL (
    SELECT c.id FROM contacts_contact c WHERE c.workspace_id = mine.workspace_id AND c.merged_into_id IS NULL
    ORDER BY c.last_activity_at DESC NULLS LAST, c.id DESC LIMIT %s) AS newest
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


def _every_choice(request: HttpRequest) -> Any:
    mine = list(workspaces_of(request))
    recent = Contact.objects.filter(
        rights_of(request).leads(),
        pk__in=RawSQL(NEWEST_OF_EACH, [mine, RECENT]),  # noqa: S611 - a constant
    )
    full_name = NullIf(Trim(Concat("first_name", Value(" "), "last_name")), Value(""))
    members = Membership.objects.filter(workspace__in=mine).values("user")
    colleagues = User.objects.using(Contact.objects.db).filter(pk__in=members)  # one query is of one database
    people: Any = _choice("owner", colleagues, "pk", Coalesce(full_name, "username"))
    tags = _choice("tag", Tag.objects.filter(workspace__in=mine), "name", F("name"))
    given = recent.annotate(given=Func("tags", function="unnest", output_field=CharField()))
    used = _choice("tag", given, "given", F("given")).distinct()
    sources = _choice("source", recent, "source", F("source")).distinct()
    shown_number = Coalesce(NullIf("display_phone_number", Value("")), "phone_number_id")
    numbers = _choice("number", PhoneNumber.objects.filter(workspace__in=mine), "pk", shown_number)
    several = (part.order_by()[: 3 * MOST_OPTIONS] for part in (tags, used, sources, numbers))
    return people.order_by()[: 3 * MOST_OPTIONS].union(*several, all=True)


def _choice(kind: str, rows: QuerySet[Any], value: str, label: Any) -> Any:
    return rows.annotate(
        of_filter=Value(kind), choice=Cast(value, TextField()), choice_label=Cast(label, TextField())
    ).values_list("of_filter", "choice", "choice_label")
