"""Statement 5, where a batch has an edit or a revoke or a message that one acts on: what messages say (contacts.refresh)."""

from __future__ import annotations


def _same_side(one: str, other: str) -> str:
    return (
        f"({one}.direction = {other}.direction OR {one}.told ? 'inbound' AND {other}.told ? 'inbound' "
        f"OR {one}.told ? 'outbound' AND {other}.told ? 'outbound')"
    )


EDIT_MESSAGES = f"""
WITH message AS MATERIALIZED (
    -- The messages written, those that an edit or revoke among them acts on, the edits of a revoked one, and what a
    -- revoked edit has edited.
    SELECT m.id, m.phone_number_id, m.kapso_message_id, m.direction, m.target_kapso_id, m.message_type
    FROM jsonb_array_elements(%s::jsonb) AS row
    JOIN contacts_message m ON m.phone_number_id = (row->>0)::bigint AND m.kapso_message_id = row->>1
), affected AS (
    SELECT id FROM message
    UNION SELECT t.id FROM message m JOIN contacts_message t
        ON t.phone_number_id = m.phone_number_id AND t.kapso_message_id = m.target_kapso_id
        WHERE m.message_type IN ('edit', 'revoke')
    UNION SELECT e.id FROM message m JOIN contacts_message e
        ON e.phone_number_id = m.phone_number_id AND e.target_kapso_id = m.target_kapso_id AND e.target_kapso_id <> ''
        WHERE m.message_type = 'revoke' AND e.message_type = 'edit'
    UNION SELECT t.id FROM message m JOIN contacts_message e
        ON e.phone_number_id = m.phone_number_id AND e.kapso_message_id = m.target_kapso_id AND m.target_kapso_id <> ''
        JOIN contacts_message t ON t.phone_number_id = e.phone_number_id AND t.kapso_message_id = e.target_kapso_id
        WHERE m.message_type = 'revoke' AND e.message_type = 'edit'
), acted AS (
    -- Only the side that wrote a message can edit or revoke it. Once revoked it stays so (CONTRACT.md 10.4), also
    -- where tellings disagree on the side: what a revoke has cleared could not come back.
    SELECT m.id, edit.content AS edited, edit.sent_at AS edited_at, revoke.sent_at AS revoked_at
    FROM affected JOIN contacts_message m USING (id)
    LEFT JOIN LATERAL (
        SELECT e.content, e.sent_at FROM contacts_message e
        WHERE e.phone_number_id = m.phone_number_id AND e.target_kapso_id = m.kapso_message_id
          AND e.target_kapso_id <> '' AND e.message_type = 'edit' AND e.direction = m.direction AND e.id <> m.id
          AND NOT EXISTS (
              SELECT FROM contacts_message r
              WHERE r.phone_number_id = e.phone_number_id AND r.target_kapso_id = e.kapso_message_id
                AND r.target_kapso_id <> '' AND r.message_type = 'revoke' AND {_same_side("r", "e")} AND r.id <> e.id)
        ORDER BY e.sent_at DESC, e.kapso_message_id COLLATE "C" DESC LIMIT 1
    ) edit ON true
    LEFT JOIN LATERAL (
        SELECT min(r.sent_at) AS sent_at FROM contacts_message r
        WHERE r.phone_number_id = m.phone_number_id AND r.target_kapso_id <> ''
          AND r.target_kapso_id IN (m.kapso_message_id, CASE WHEN m.message_type = 'edit' THEN m.target_kapso_id END)
          AND r.message_type = 'revoke' AND {_same_side("r", "m")} AND r.id <> m.id
    ) revoke ON true
)
UPDATE contacts_message m SET
    content = CASE WHEN acted.revoked_at IS NOT NULL THEN ''
                   ELSE COALESCE(acted.edited, m.content_before_edit, m.content) END,
    content_before_edit = CASE WHEN acted.revoked_at IS NULL AND acted.edited IS NOT NULL
                               THEN COALESCE(m.content_before_edit, m.content) END,
    payload = CASE WHEN acted.revoked_at IS NOT NULL THEN '{{}}' ELSE m.payload END,
    transcript = CASE WHEN acted.revoked_at IS NOT NULL THEN '' ELSE m.transcript END,
    media_url = CASE WHEN acted.revoked_at IS NOT NULL THEN '' ELSE m.media_url END,
    edited_at = acted.edited_at, revoked_at = acted.revoked_at
FROM acted
WHERE m.id = acted.id
  AND (acted.revoked_at IS NOT NULL AND (m.content <> '' OR m.payload <> '{{}}' OR m.transcript <> '' OR m.media_url <> '')
       OR (m.edited_at, m.revoked_at) IS DISTINCT FROM (acted.edited_at, acted.revoked_at)
       OR acted.revoked_at IS NULL AND acted.edited IS DISTINCT FROM m.content AND acted.edited IS NOT NULL)
"""
