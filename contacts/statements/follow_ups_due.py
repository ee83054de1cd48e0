"""Who is to be told of which follow-ups by now (contacts.notifying.follow_ups_due)."""

from __future__ import annotations

# The day is that of whoever is told: the zone of their choice, else the workspace's. `ends` has the end of the day by
# zone. A follow-up that was put off and is due again is another one: its time is part of the key. What was forgotten
# for longer than two months is on the list, but nobody's news.
FOLLOW_UPS_DUE = """
WITH due AS (
    SELECT f.workspace_id, f.contact_id, f.due_at, u.id AS user_id,
           f.id || ' ' || to_char(f.due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI') AS key
    FROM contacts_workspace w
    JOIN contacts_followup f ON f.workspace_id = w.id AND f.done_at IS NULL
        AND f.due_at < %(now)s + interval '26 hours' AND f.due_at > %(now)s - interval '60 days'
    JOIN contacts_contact noted ON noted.id = f.contact_id
    JOIN contacts_contact c ON c.id = COALESCE(noted.merged_into_id, noted.id) AND c.lead_status <> 'archived'
    JOIN auth_user u ON u.id = COALESCE(c.owner_id, f.by_id) AND u.is_active
    LEFT JOIN contacts_preferences p ON p.user_id = u.id
    WHERE (u.is_superuser OR EXISTS (
               SELECT FROM contacts_membership m WHERE m.workspace_id = w.id AND m.user_id = u.id))
      AND f.due_at < COALESCE((%(ends)s::jsonb->>COALESCE(NULLIF(p.time_zone, ''), w.time_zone))::timestamptz,
                              %(end)s::timestamptz)
)
INSERT INTO contacts_notification (workspace_id, user_id, kind, key, contact_id)
SELECT workspace_id, user_id, 'follow_up', key, contact_id FROM due
WHERE NOT EXISTS (SELECT FROM contacts_notification n
                  WHERE n.user_id = due.user_id AND n.kind = 'follow_up' AND n.key = due.key)
ORDER BY user_id, key COLLATE "C"
ON CONFLICT (user_id, kind, key) DO NOTHING
"""
