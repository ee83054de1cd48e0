"""The log of changes: reading it (contacts.news), and dropping what is old (contacts.old_news)."""

from __future__ import annotations

NOW = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS settled,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS ahead,
       COALESCE((SELECT xid FROM contacts_changeskept), 0) AS kept
"""

# From each workspace as many as are asked for, and of these the first: so one reads no other workspace's entries.
READ = f"""
SELECT log.settled, log.ahead, log.kept, change.xid, change.id, change.kind, change.row_id
FROM ({NOW}) AS log LEFT JOIN LATERAL (
    SELECT c.* FROM unnest(%(workspaces)s::bigint[]) AS w (id) CROSS JOIN LATERAL (
        SELECT c.xid, c.id, c.kind, c.row_id FROM contacts_change c
        WHERE c.workspace_id = w.id AND (c.xid, c.id) > (%(xid)s, %(entry)s)
          AND c.xid < CASE WHEN %(until)s::bigint IS NULL THEN log.settled ELSE %(until)s::bigint END
          AND c.kind = ANY(%(kinds)s::smallint[])
        ORDER BY c.xid, c.id LIMIT %(most)s
    ) AS c
    ORDER BY c.xid, c.id LIMIT %(most)s
) AS change ON true
ORDER BY change.xid, change.id
"""

SAY_WHAT_IS_KEPT = """
WITH kept AS (
    SELECT xid FROM contacts_change WHERE at >= %(before)s ORDER BY xid LIMIT 1
), dropped AS (
    SELECT xid FROM contacts_change
    WHERE at < %(before)s AND xid < COALESCE((SELECT xid FROM kept), pg_snapshot_xmin(pg_current_snapshot())::text::bigint)
    ORDER BY xid DESC LIMIT 1
)
INSERT INTO contacts_changeskept AS known (id, xid, since)
SELECT 1, dropped.xid + 1, %(before)s FROM dropped
ON CONFLICT (id) DO UPDATE SET
    xid = GREATEST(known.xid, EXCLUDED.xid), since = GREATEST(known.since, EXCLUDED.since)
"""
# Ids ahead of all are of before the database was restored elsewhere: such positions are refused as it is.
DROP_OLD = """
DELETE FROM contacts_change WHERE id IN (
    SELECT id FROM contacts_change
    WHERE xid < (SELECT xid FROM contacts_changeskept)
       OR at < %(before)s AND xid > pg_snapshot_xmax(pg_current_snapshot())::text::bigint
    LIMIT %(size)s)
"""
