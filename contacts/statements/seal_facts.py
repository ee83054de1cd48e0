"""What some events told, marked as told by no stored delivery any more (contacts.sealing)."""

from __future__ import annotations

# The caller keeps every sync out of these workspaces: no order of locks has to be kept here.
SEAL_FACTS = """
WITH told AS MATERIALIZED (
    SELECT %s::jsonb AS facts
), message AS MATERIALIZED (
    SELECT m.id, p.id AS phone_id, u.id AS user_id
    FROM told CROSS JOIN jsonb_array_elements(facts->'messages') AS row
    JOIN contacts_message m ON m.phone_number_id = (row->>0)::bigint AND m.kapso_message_id = row->>1
    LEFT JOIN contacts_identity p ON p.workspace_id = m.workspace_id AND p.kind = 'phone' AND p.value = m.phone
    LEFT JOIN contacts_identity u ON u.workspace_id = m.workspace_id AND u.kind = 'user' AND u.value = m.user_id
), identity AS MATERIALIZED (
    SELECT i.id, i.workspace_id, i.kind, i.value FROM told CROSS JOIN jsonb_array_elements(facts->'identities') AS row
    JOIN contacts_identity i ON i.workspace_id = (row->>0)::bigint AND i.kind = row->>1 AND i.value = row->>2
), link AS (
    SELECT l.id FROM told CROSS JOIN jsonb_array_elements(facts->'links') AS row
    JOIN identity a ON a.workspace_id = (row->>1)::bigint AND a.kind = row->>2 AND a.value = row->>3
    JOIN identity b ON b.workspace_id = a.workspace_id AND b.kind = row->>4 AND b.value = row->>5
    JOIN contacts_identitylink l
        ON l.a_id = a.id AND l.kind = row->>0 AND l.at = (row->>6)::timestamptz AND l.b_id = b.id
        AND l.source = ''
    UNION
    SELECT l.id FROM told CROSS JOIN jsonb_array_elements(facts->'untimed_links') AS row
    JOIN identity a ON a.workspace_id = (row->>1)::bigint AND a.kind = row->>2 AND a.value = row->>3
    JOIN identity b ON b.workspace_id = a.workspace_id AND b.kind = row->>4 AND b.value = row->>5
    JOIN contacts_identitylink l ON l.a_id = a.id AND l.kind = row->>0 AND l.b_id = b.id AND l.source = row->>7
    UNION
    SELECT l.id FROM message JOIN contacts_identitylink l
        ON l.a_id = message.phone_id AND l.kind = 'named' AND l.b_id = message.user_id
), sealed_identity AS (
    UPDATE contacts_identity SET is_sealed = true WHERE NOT is_sealed AND id IN (
        SELECT id FROM identity UNION SELECT phone_id FROM message UNION SELECT user_id FROM message)
), sealed_link AS (
    UPDATE contacts_identitylink SET is_sealed = true WHERE NOT is_sealed AND id IN (SELECT id FROM link)
), sealed_fact AS (
    -- By the table and not by `identity`, which has no index: that would read all of the batch for each of its people.
    UPDATE contacts_profilefact f SET is_sealed = true
    FROM told CROSS JOIN jsonb_array_elements(facts->'profiles') AS row
    JOIN contacts_identity i ON i.workspace_id = (row->>0)::bigint AND i.kind = row->>1 AND i.value = row->>2
    WHERE NOT f.is_sealed AND f.identity_id = i.id AND f.field = row->>3 AND f.value = row->>4 AND f.source = row->>5
), sealed_receipt AS (
    UPDATE contacts_messagereceipt r SET is_sealed = true
    FROM told CROSS JOIN jsonb_to_recordset(facts->'receipts') AS row (number_id bigint, key text)
    WHERE NOT r.is_sealed AND r.phone_number_id = row.number_id AND r.kapso_message_id = row.key
), sealed_session AS (
    UPDATE contacts_kapsosession s SET is_sealed = true
    FROM told CROSS JOIN jsonb_to_recordset(facts->'sessions') AS row (number_id bigint, key text)
    WHERE NOT s.is_sealed AND s.phone_number_id = row.number_id AND s.kapso_conversation_id = row.key
)
UPDATE contacts_message SET is_sealed = true WHERE NOT is_sealed AND id IN (SELECT id FROM message)
"""

SEAL_AUTOMATION = """
UPDATE contacts_automationevent a SET is_sealed = true
FROM jsonb_array_elements(%s::jsonb) AS row
WHERE NOT a.is_sealed AND a.kapso_conversation_id = row->>0 AND a.execution_id = row->>1 AND a.kind = row->>2
  AND a.served_numbers = ARRAY(SELECT jsonb_array_elements_text(row->3))::varchar[]
  AND a.source = row->>4
"""
