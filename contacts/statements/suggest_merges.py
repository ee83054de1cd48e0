"""Pairs of living leads that look alike, each with its reason (contacts.suggesting)."""

from __future__ import annotations

# Every way to look alike gives pairs (a, b) of leads of the workspaces asked about, with what they share. Each stops
# at the limit; `lead` narrows it to the pairs of one lead, by index.
_PAIRS = {
    # One mobile, written in two forms: the longer form looks for the shorter one.
    "form": """
        SELECT long.contact_id AS a, short.contact_id AS b, long.value AS shared, short.value AS other
        FROM contacts_identity long JOIN contacts_identity short
            ON short.workspace_id = long.workspace_id AND short.kind = 'phone'
            AND short.value = contacts_phone_key(long.value)
        WHERE long.workspace_id = ANY(%(workspaces)s::bigint[]) AND long.kind = 'phone'
          AND contacts_phone_key(long.value) <> long.value AND {long_or_short}""",
    # A phone that one user id had before the other.
    "held": """
        SELECT one.contact_id AS a, other.contact_id AS b, p.value AS shared, '' AS other
        FROM contacts_identity p
        JOIN contacts_identitylink l ON l.a_id = p.id AND l.kind IN ('named', 'seen')
        JOIN contacts_identity one ON one.id = l.b_id
        JOIN contacts_identitylink k ON k.a_id = p.id AND k.kind IN ('named', 'seen')
        JOIN contacts_identity other ON other.id = k.b_id
        WHERE p.workspace_id = ANY(%(workspaces)s::bigint[]) AND p.kind = 'phone' AND p.is_shared AND {held}""",
    # A phone that somebody typed into one lead, and that leads to the other.
    "typed": """
        SELECT c.id AS a, p.contact_id AS b, p.value AS shared, '' AS other
        FROM contacts_contact c JOIN contacts_identity p
            ON p.workspace_id = c.workspace_id AND p.kind = 'phone' AND p.value = c.phone
        WHERE c.workspace_id = ANY(%(workspaces)s::bigint[]) AND c.merged_into_id IS NULL AND {typed}""",
    "email": """
        SELECT c.id AS a, d.id AS b, lower(c.email) AS shared, '' AS other
        FROM contacts_contact c JOIN contacts_contact d
            ON d.workspace_id = c.workspace_id AND lower(d.email) = lower(c.email) AND d.email <> ''
            AND d.merged_into_id IS NULL AND d.id > c.id
        WHERE c.workspace_id = ANY(%(workspaces)s::bigint[]) AND c.merged_into_id IS NULL AND c.email <> ''
          AND {email}""",
}

_OF_ONE = {
    "long_or_short": """long.id IN (
            SELECT id FROM contacts_identity WHERE contact_id = %(lead)s
            UNION SELECT twin.id FROM contacts_identity mine JOIN contacts_identity twin
                ON twin.workspace_id = mine.workspace_id AND twin.kind = 'phone'
                AND contacts_phone_key(twin.value) = mine.value
            WHERE mine.contact_id = %(lead)s AND mine.kind = 'phone')""",
    "held": """p.id IN (
            SELECT l.a_id FROM contacts_identity mine JOIN contacts_identitylink l ON l.b_id = mine.id
            WHERE mine.contact_id = %(lead)s) AND one.contact_id = %(lead)s""",
    # Two look-ups: of an OR PostgreSQL would make a scan of all leads.
    "typed": """c.id IN (
            SELECT %(lead)s UNION SELECT twin.id FROM contacts_identity mine JOIN contacts_contact twin
                ON twin.workspace_id = mine.workspace_id AND twin.phone = mine.value
            WHERE mine.contact_id = %(lead)s AND mine.kind = 'phone')""",
    "email": """lower(c.email) = (SELECT lower(email) FROM contacts_contact WHERE id = %(lead)s)
          AND %(lead)s IN (c.id, d.id)""",
}
_OF_ALL = {
    "long_or_short": "true",
    "held": "one.id < other.id",
    "typed": "p.contact_id <> c.id",
    "email": "true",
}


def _statement(narrowed: dict[str, str]) -> str:
    pairs = "\n    UNION ALL\n".join(
        f"    (SELECT '{reason}' AS reason, pair.* FROM ({sql.format(**narrowed)}) AS pair\n"
        f"     WHERE pair.a <> pair.b AND {_IS_OPEN} LIMIT %(limit)s)"
        for reason, sql in _PAIRS.items()
    )
    return f"""
SELECT DISTINCT ON (least(a, b), greatest(a, b), reason, shared)
       least(a, b), greatest(a, b), reason, shared, other
FROM (
{pairs}
) AS alike
ORDER BY least(a, b), greatest(a, b), reason, shared, other
LIMIT %(limit)s
"""


# What somebody dismissed stays so for whoever the two are merged into.
_IS_OPEN = """NOT EXISTS (
         SELECT FROM contacts_contact one
         JOIN contacts_mergedismissal no ON one.id IN (no.a_id, no.b_id)
         JOIN contacts_contact other ON other.id = CASE one.id WHEN no.a_id THEN no.b_id ELSE no.a_id END
         WHERE pair.a IN (one.id, one.merged_into_id) AND pair.b IN (other.id, other.merged_into_id))"""

SUGGEST_MERGES = _statement(_OF_ALL)
SUGGEST_MERGES_OF_LEAD = _statement(_OF_ONE)
