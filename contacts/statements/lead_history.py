"""What people did with a lead, and what was merged into it (contacts.lead_history).

Rows keep the lead that they were made for, so those of all that is merged into it belong to its history. Of each kind
the newest, by index: the statement takes the same whatever there is.
"""

from __future__ import annotations

from contacts.models import LeadChange

_OWNER = LeadChange.Kind.OWNER.value


def _name_of(column: str) -> str:
    """Owners are ids in the rows. Only a number is one: whatever else stands there names nobody."""
    return f"""(SELECT COALESCE(NULLIF(trim(u.first_name || ' ' || u.last_name), ''), u.username) FROM auth_user u
         WHERE c.kind = '{_OWNER}'
           AND u.id = CASE WHEN jsonb_typeof(c.{column}) = 'number' THEN (c.{column})::bigint END)"""


_GONE = """COALESCE(NULLIF(gone.name, ''), NULLIF(gone.kapso_name, ''), '+' || gone.phone, gone.business_scoped_user_id)"""


LEAD_HISTORY = f"""
WITH person AS (
    SELECT id FROM contacts_contact WHERE id = %(lead)s OR merged_into_id = %(lead)s
), change AS (
    SELECT c.* FROM contacts_leadchange c WHERE c.contact_id IN (SELECT id FROM person)
    ORDER BY c.at DESC, c.id DESC LIMIT %(most)s
), told AS (
    (SELECT 'status' AS kind, s.id, s.at, s.by_id,
            jsonb_build_object('from', s.from_status, 'to', s.to_status, 'reason', s.reason) AS data
     FROM contacts_statuschange s WHERE s.contact_id IN (SELECT id FROM person)
     ORDER BY s.at DESC, s.id DESC LIMIT %(most)s)
    UNION ALL
    (SELECT 'noted', n.id, n.at, n.by_id, jsonb_build_object('text', n.text, 'edited_at', n.edited_at)
     FROM contacts_note n WHERE n.contact_id IN (SELECT id FROM person)
     ORDER BY n.at DESC, n.id DESC LIMIT %(most)s)
    UNION ALL
    SELECT c.kind, c.id, c.at, c.by_id, jsonb_build_object(
        'field', c.field, 'before', c.before, 'after', c.after, 'reason', c.reason, 'bulk', c.bulk_id,
        'label', (SELECT f.label FROM contacts_customfield f WHERE f.workspace_id = c.workspace_id AND f.key = c.field),
        'from', {_name_of("before")}, 'to', {_name_of("after")})
    FROM change c
    UNION ALL
    (SELECT 'merge', m.id, m.at, m.by_id, jsonb_build_object(
        'merged', m.merged_id, 'survivor', m.survivor_id, 'can_undo', m.undone_at IS NULL AND gone.merged_into_id IS NOT NULL,
        'name', {_GONE})
     FROM contacts_contactmerge m JOIN contacts_contact gone ON gone.id = m.merged_id
     WHERE m.survivor_id = %(lead)s OR m.merged_id IN (SELECT id FROM person)
     ORDER BY m.at DESC, m.id DESC LIMIT %(most)s)
    UNION ALL
    (SELECT 'unmerge', m.id, m.undone_at, m.undone_by_id, jsonb_build_object(
        'name', {_GONE})
     FROM contacts_contactmerge m JOIN contacts_contact gone ON gone.id = m.merged_id
     WHERE (m.survivor_id = %(lead)s OR m.merged_id IN (SELECT id FROM person)) AND m.undone_at IS NOT NULL
     ORDER BY m.undone_at DESC, m.id DESC LIMIT %(most)s)
)
SELECT told.kind, told.id, told.at, told.by_id,
       COALESCE(NULLIF(trim(who.first_name || ' ' || who.last_name), ''), who.username, '') AS by_name, told.data
FROM told LEFT JOIN auth_user who ON who.id = told.by_id
ORDER BY told.at DESC, told.id DESC
"""
