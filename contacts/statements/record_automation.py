"""What workflows said of sessions, as facts (contacts.automation)."""

from __future__ import annotations

from contacts.statements.record_facts import SESSION_LOCK

RECORD_AUTOMATION = f"""
WITH told AS MATERIALIZED (
    SELECT row->>0 AS session, row->>1 AS execution, row->>2 AS kind, row->>3 AS reason,
           (row->>4)::timestamptz AS at, ARRAY(SELECT jsonb_array_elements_text(row->5))::varchar[] AS served,
           row->>6 AS source
    FROM jsonb_array_elements(%s::jsonb) AS row
), locked AS MATERIALIZED (
    -- The session and what is said of it must see each other, whichever comes first (contacts.statements.record_facts).
    SELECT pg_advisory_xact_lock({SESSION_LOCK}, key)
    FROM (SELECT DISTINCT hashtext(session) AS key FROM told ORDER BY 1) AS ordered
)
INSERT INTO contacts_automationevent AS known
    (kapso_conversation_id, execution_id, kind, reason, at, served_numbers, source)
SELECT DISTINCT ON (session, execution, kind, served, source) session, execution, kind, reason, at, served, source
FROM told WHERE (SELECT count(*) FROM locked) > 0
ORDER BY session, execution, kind, served, source, CASE WHEN source = '' THEN at END DESC, at, reason COLLATE "C" DESC
ON CONFLICT (kapso_conversation_id, execution_id, kind, served_numbers, source) DO UPDATE SET
    -- Told twice, the newest counts; of copies of a body without a time of its own, the earliest.
    at = CASE WHEN known.source = '' THEN GREATEST(known.at, EXCLUDED.at) ELSE LEAST(known.at, EXCLUDED.at) END,
    reason = CASE WHEN known.source = ''
                   AND (EXCLUDED.at, EXCLUDED.reason COLLATE "C") > (known.at, known.reason COLLATE "C")
                  THEN EXCLUDED.reason ELSE known.reason END
"""

# After the former has taken the locks: an erasure that it waited for is seen here.
DROP_ERASED_AUTOMATION = """
DELETE FROM contacts_automationevent a
USING contacts_phonenumber n, contacts_workspace w, contacts_tombstone t
WHERE a.kapso_conversation_id = ANY(%s) AND (a.served_numbers = '{}' OR n.phone_number_id = ANY(a.served_numbers))
  AND w.id = n.workspace_id AND w.tombstone_salt <> ''
  AND t.workspace_id = w.id AND t.digest = contacts_digest(w.tombstone_salt, 'session', a.kapso_conversation_id)
  AND a.at <= t.erased_at
RETURNING a.kapso_conversation_id, a.execution_id, a.kind, a.source
"""
