"""After leads were merged or came back: what the team has done with them, as far as no trigger keeps it.

What waits for somebody must not be hidden by a merge: of two leads one of which is unread, the other is unread with it.
So it is with a hand-off that nobody took, and with a lead that is not put aside. An undo leaves the merged row what it
had; the survivor keeps what it got: read once more is better than never.
"""

from __future__ import annotations

from contacts.models.contact import CLOSED

_CLOSED = ", ".join(f"'{status.value}'" for status in CLOSED)

# Before the messages and threads of the merged rows move: each row's clocks are still its own.
MERGE_MARKS = """
WITH pair AS (
    SELECT (told->>0)::bigint AS merged, (told->>1)::bigint AS survivor
    FROM jsonb_array_elements(%(merged)s::jsonb) AS told
), side AS (
    SELECT here.survivor, c.read_at, c.snoozed_at, c.snoozed_until, c.handoff_cleared_at AS cleared_at,
           COALESCE(c.last_inbound_at > COALESCE(c.read_at, '-infinity'), false) AS is_unread,
           c.snoozed_until IS NOT NULL AND COALESCE(c.last_inbound_at <= c.snoozed_at, true) AS is_aside,
           COALESCE((SELECT max(t.handoff_at) FROM contacts_conversation t WHERE t.contact_id = c.id)
                    > COALESCE(c.handoff_cleared_at, '-infinity'), false) AS is_asked
    FROM (SELECT survivor, survivor AS id FROM pair UNION SELECT survivor, merged FROM pair) AS here
    JOIN contacts_contact c USING (id)
), mark AS (
    SELECT survivor,
           CASE WHEN bool_or(is_unread)
                THEN NULLIF(min(COALESCE(read_at, '-infinity')) FILTER (WHERE is_unread), '-infinity')
                ELSE max(read_at) END AS read_at,
           CASE WHEN bool_and(is_aside) THEN max(snoozed_at) END AS snoozed_at,
           CASE WHEN bool_and(is_aside) THEN min(snoozed_until) END AS snoozed_until,
           CASE WHEN bool_or(is_asked)
                THEN NULLIF(min(COALESCE(cleared_at, '-infinity')) FILTER (WHERE is_asked), '-infinity')
                ELSE max(cleared_at) END AS cleared_at
    FROM side GROUP BY survivor
)
UPDATE contacts_contact c
SET read_at = mark.read_at, snoozed_at = mark.snoozed_at, snoozed_until = mark.snoozed_until,
    handoff_cleared_at = mark.cleared_at
FROM mark WHERE c.id = mark.survivor
  AND (c.read_at, c.snoozed_at, c.snoozed_until, c.handoff_cleared_at)
      IS DISTINCT FROM (mark.read_at, mark.snoozed_at, mark.snoozed_until, mark.cleared_at)
RETURNING c.id
"""

# Where a lead has its status from elsewhere than its newest change: from a lead merged into it, or from before a change
# that was undone.
CLOSED_AT = f"""
UPDATE contacts_contact c SET closed_at = CASE WHEN c.lead_status IN ({_CLOSED}) THEN (
    SELECT s.at FROM contacts_statuschange s
    WHERE s.contact_id = ANY(ARRAY(
        SELECT c.id UNION ALL SELECT m.id FROM contacts_contact m WHERE m.merged_into_id = c.id))
      AND s.to_status = c.lead_status
      AND NOT EXISTS (SELECT FROM contacts_bulkchange b WHERE b.id = s.bulk_id AND b.undone_at IS NOT NULL)
    ORDER BY s.at DESC, s.id DESC LIMIT 1) END
WHERE c.id = ANY(%(leads)s::bigint[]) AND (c.closed_at IS NOT NULL OR c.lead_status IN ({_CLOSED}))
RETURNING c.id
"""
