"""The log of changes: reading it (contacts.news), and dropping what is old (contacts.old_news)."""

from __future__ import annotations

# Ids that are ahead of all are of before the database was restored, elsewhere or to an earlier state: they say nothing.
NOW = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS settled,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS ahead,
       COALESCE((
           SELECT xid FROM contacts_changeskept WHERE xid <= pg_snapshot_xmax(pg_current_snapshot())::text::bigint
       ), 0) AS kept
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

NEWEST = """
SELECT w.id, newest.xid, newest.id
FROM unnest(%(workspaces)s::bigint[]) AS w (id) CROSS JOIN LATERAL (
    SELECT c.xid, c.id FROM contacts_change c
    WHERE c.workspace_id = w.id AND c.xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
    ORDER BY c.xid DESC, c.id DESC LIMIT 1
) AS newest
"""

SAY_WHAT_IS_KEPT = """
WITH kept AS (
    SELECT xid FROM contacts_change WHERE at >= %(before)s ORDER BY xid LIMIT 1
), dropped AS (
    SELECT xid FROM contacts_change
    WHERE at < %(before)s AND xid < LEAST((SELECT xid FROM kept), pg_snapshot_xmin(pg_current_snapshot())::text::bigint)
    ORDER BY xid DESC LIMIT 1
)
INSERT INTO contacts_changeskept AS known (id, xid, since)
SELECT 1, dropped.xid + 1, %(before)s FROM dropped
ON CONFLICT (id) DO UPDATE SET
    since = GREATEST(known.since, EXCLUDED.since),
    xid = CASE WHEN known.xid > pg_snapshot_xmax(pg_current_snapshot())::text::bigint THEN EXCLUDED.xid
               ELSE GREATEST(known.xid, EXCLUDED.xid) END
"""
DROP_OLD = """
DELETE FROM contacts_change WHERE id IN (
    SELECT id FROM contacts_change
    WHERE at < %(before)s AND (
        xid < (SELECT xid FROM contacts_changeskept)
        OR xid > pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
    LIMIT %(size)s)
"""
