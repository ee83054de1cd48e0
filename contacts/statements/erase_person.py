"""Whatever belongs to one person, to be erased (contacts.erasing)."""

from __future__ import annotations

# The lead itself and every row that was merged into it, over any number of merges.
LOAD_ROWS = """
WITH RECURSIVE row (id) AS (
    SELECT %(lead)s::bigint
    UNION SELECT c.id FROM row JOIN contacts_contact c ON c.merged_into_id = row.id
)
SELECT id FROM row ORDER BY id
"""

# Their identities (`named` are such that no lead is known for). Of a phone that was also somebody else's, the time in which it was theirs: from `since` (empty:
# from the beginning) to `until` (empty: to this day). Who held a phone when is told by the evidence of contacts_holder.
LOAD_IDENTITIES = """
WITH mine AS (
    SELECT id, kind, value, true AS is_current FROM contacts_identity
    WHERE contact_id = ANY(%(rows)s) OR contact_id IS NULL AND id = ANY(%(named)s)
    UNION
    SELECT p.id, p.kind, p.value, false FROM contacts_identity u
    JOIN contacts_identitylink l ON l.b_id = u.id AND l.kind IN ('seen', 'named')
    JOIN contacts_identity p ON p.id = l.a_id AND p.contact_id <> ALL(%(rows)s)
    WHERE u.contact_id = ANY(%(rows)s)
), evidence AS (
    SELECT mine.id, m.sent_at AS at, u.contact_id = ANY(%(rows)s) AS is_theirs
    FROM mine JOIN contacts_message m ON m.workspace_id = %(workspace)s AND m.phone = mine.value
        AND m.user_id IS NOT NULL AND (m.message_type <> 'system' OR m.told ? 'person')
    JOIN contacts_identity u ON u.workspace_id = m.workspace_id AND u.kind = 'user' AND u.value = m.user_id
    WHERE mine.kind = 'phone' AND u.contact_id IS NOT NULL
    UNION ALL
    SELECT mine.id, l.at, u.contact_id = ANY(%(rows)s)
    FROM mine JOIN contacts_identitylink l ON l.a_id = mine.id AND l.kind = 'seen'
    JOIN contacts_identity u ON u.id = l.b_id
    WHERE mine.kind = 'phone' AND u.contact_id IS NOT NULL
), newest AS (
    SELECT id, max(at) FILTER (WHERE is_theirs) AS at, bool_or(NOT is_theirs) AS is_shared FROM evidence GROUP BY id
), former AS (
    SELECT newest.id, max(evidence.at) AS at FROM newest JOIN evidence USING (id)
    WHERE NOT evidence.is_theirs AND evidence.at < newest.at GROUP BY newest.id
)
SELECT mine.id, mine.kind, mine.value, COALESCE(newest.is_shared, false), mine.is_current,
       CASE WHEN former.id IS NOT NULL THEN (
           SELECT min(e.at) FROM evidence e WHERE e.id = mine.id AND e.is_theirs AND e.at > former.at) END AS since,
       (SELECT min(e.at) - interval '1 microsecond' FROM evidence e
        WHERE e.id = mine.id AND NOT e.is_theirs AND e.at > newest.at) AS until
FROM mine LEFT JOIN newest ON newest.id = mine.id LEFT JOIN former ON former.id = mine.id
ORDER BY mine.id
"""

LOAD_SESSIONS = """
SELECT s.id, s.kapso_conversation_id FROM contacts_kapsosession s JOIN contacts_conversation c ON c.id = s.conversation_id
WHERE c.contact_id = ANY(%(rows)s)
UNION
SELECT s.id, s.kapso_conversation_id FROM contacts_kapsosession s
WHERE s.workspace_id = %(workspace)s AND s.conversation_id IS NULL
  AND (s.phone = ANY(%(phones)s) OR s.user_id = ANY(%(users)s))
"""

# Theirs, and those that wait for somebody and name them. Receipts that came before their message name nobody, but
# Meta puts the phone into the WAMID.
LOAD_MESSAGES = """
SELECT m.id, n.phone_number_id, m.kapso_message_id
FROM contacts_message m JOIN contacts_phonenumber n ON n.id = m.phone_number_id
WHERE m.contact_id = ANY(%(rows)s)
UNION
SELECT m.id, n.phone_number_id, m.kapso_message_id
FROM contacts_message m JOIN contacts_phonenumber n ON n.id = m.phone_number_id
WHERE m.workspace_id = %(workspace)s AND m.contact_id IS NULL
  AND (m.phone = ANY(%(phones)s) OR m.user_id = ANY(%(users)s)
       OR m.phone IS NULL AND m.user_id IS NULL AND m.kapso_conversation_id = ANY(%(sessions)s))
UNION
SELECT NULL, n.phone_number_id, r.kapso_message_id
FROM contacts_messagereceipt r JOIN contacts_phonenumber n ON n.id = r.phone_number_id
WHERE r.workspace_id = %(workspace)s AND r.kapso_message_id LIKE ANY(%(wamids)s)
"""

# The same WAMID at another number is another message.
DROP_RECEIPTS = """
DELETE FROM contacts_messagereceipt r USING contacts_phonenumber n, jsonb_array_elements(%(messages)s::jsonb) AS row
WHERE n.id = r.phone_number_id AND r.workspace_id = %(workspace)s
  AND n.phone_number_id = row->>0 AND r.kapso_message_id = row->>1
"""

WRITE_TOMBSTONES = """
INSERT INTO contacts_tombstone AS known (workspace_id, kind, digest, since, erased_at)
SELECT DISTINCT ON (digest) w.id, row->>0, contacts_digest(w.tombstone_salt, row->>0, row->>1) AS digest,
       (row->>2)::timestamptz, COALESCE((row->>3)::timestamptz, %(at)s)
FROM contacts_workspace w, jsonb_array_elements(%(marks)s::jsonb) AS row
WHERE w.id = %(workspace)s
ON CONFLICT (workspace_id, digest) DO UPDATE SET
    since = CASE WHEN known.since IS NOT NULL THEN LEAST(known.since, EXCLUDED.since) END,
    erased_at = GREATEST(known.erased_at, EXCLUDED.erased_at)
"""

# What was said of a phone while it was theirs, though somebody else holds it now, or did before.
DROP_FACTS_OF_SHARED_PHONES = """
DELETE FROM contacts_profilefact f USING contacts_identity p
WHERE f.identity_id = p.id AND p.id = ANY(%(shared)s)
  AND contacts_holder(p.id, f.first_at) = ANY(%(identities)s) AND contacts_holder(p.id, f.last_at) = ANY(%(identities)s)
"""

# Somebody else's session may have been said to be theirs, without a time: that is kept beside what is newer.
FORGET_IN_SESSIONS = """
UPDATE contacts_kapsosession s SET tellings = (
    SELECT jsonb_agg(told - CASE WHEN told->>'phone' = ANY(%(phones)s) THEN '{phone,phone_at}'::text[] ELSE '{}' END
                          - CASE WHEN told->>'user_id' = ANY(%(users)s) THEN '{user_id,user_id_at}'::text[] ELSE '{}' END
                     ORDER BY told->>'source' COLLATE "C")
    FROM jsonb_array_elements(s.tellings) AS told)
WHERE s.workspace_id = %(workspace)s AND s.tellings IS NOT NULL AND EXISTS (
    SELECT FROM jsonb_array_elements(s.tellings) AS told
    WHERE told->>'phone' = ANY(%(phones)s) OR told->>'user_id' = ANY(%(users)s))
"""

# A workflow names no number, only the session: not what speaks of another workspace's session of the same id.
AUTOMATION = """
FROM contacts_automationevent a
WHERE a.kapso_conversation_id = ANY(%(sessions)s)
  AND (a.served_numbers = '{}' OR a.served_numbers && (
      SELECT array_agg(n.phone_number_id) FROM contacts_phonenumber n WHERE n.workspace_id = %(workspace)s))
  AND NOT EXISTS (SELECT FROM contacts_kapsosession s
                  WHERE s.kapso_conversation_id = a.kapso_conversation_id AND s.workspace_id <> %(workspace)s)
"""
LOAD_AUTOMATION = "SELECT a.id" + AUTOMATION
DROP_AUTOMATION = "DELETE" + AUTOMATION
