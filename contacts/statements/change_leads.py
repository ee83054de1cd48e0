"""What an owner changes about all leads of a workspace at once: one statement each, which records every change."""

from __future__ import annotations

# The members of an UPDATE lock the leads in the order of their ids, as everything does that locks several. A merged
# row changes like its survivor, so that an undo does not bring back what is gone, but has no history of its own.
_RECORD = """
INSERT INTO contacts_leadchange (workspace_id, contact_id, kind, field, before, after, reason, by_id)
SELECT workspace_id, id, %(kind)s, %(field)s, before, after, %(reason)s, %(by)s FROM changed WHERE merged_into_id IS NULL
RETURNING 1
"""

REASSIGN = f"""
WITH old AS MATERIALIZED (
    SELECT id FROM contacts_contact WHERE workspace_id = %(workspace)s AND owner_id = %(owner)s ORDER BY id FOR UPDATE
), changed AS (
    UPDATE contacts_contact c SET owner_id = %(to)s FROM old WHERE c.id = old.id
    RETURNING c.workspace_id, c.id, c.merged_into_id,
        to_jsonb(%(owner)s::bigint) AS before, to_jsonb(%(to)s::bigint) AS after
) {_RECORD}
"""

# `new` is null to take the tag away. A lead that has the new tag already keeps it once.
CHANGE_TAG = f"""
WITH old AS MATERIALIZED (
    SELECT id, tags FROM contacts_contact
    WHERE workspace_id = %(workspace)s AND tags @> ARRAY[%(old)s]::varchar[] ORDER BY id FOR UPDATE
), changed AS (
    UPDATE contacts_contact c
    SET tags = CASE
        WHEN %(new)s::varchar IS NULL OR c.tags @> ARRAY[%(new)s]::varchar[] THEN array_remove(c.tags, %(old)s::varchar)
        ELSE array_replace(c.tags, %(old)s::varchar, %(new)s::varchar) END
    FROM old WHERE c.id = old.id
    RETURNING c.workspace_id, c.id, c.merged_into_id, to_jsonb(old.tags) AS before, to_jsonb(c.tags) AS after
) {_RECORD}
"""

FORGET_FIELD = f"""
WITH old AS MATERIALIZED (
    SELECT id, metadata FROM contacts_contact
    WHERE workspace_id = %(workspace)s AND metadata ? %(field)s ORDER BY id FOR UPDATE
), changed AS (
    UPDATE contacts_contact c SET metadata = c.metadata - %(field)s FROM old WHERE c.id = old.id
    RETURNING c.workspace_id, c.id, c.merged_into_id, old.metadata->%(field)s AS before, NULL::jsonb AS after
) {_RECORD}
"""
