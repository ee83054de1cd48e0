"""Whom replies reach, of some threads: the identity that the customer last wrote from (contacts.replies).

Where a turn names nobody itself, its Kapso session does; where neither does, it is what the lead has now. Numbers get
recycled: a phone that is somebody else's by now is left out.
"""

from __future__ import annotations

REPLY_ADDRESSES = """
WITH named AS (
    SELECT thread.id, thread.workspace_id, thread.contact_id,
           CASE WHEN who.phone IS NULL AND who.user_id IS NULL THEN lead.phone ELSE who.phone END AS phone,
           CASE WHEN who.phone IS NULL AND who.user_id IS NULL THEN lead.business_scoped_user_id
                ELSE who.user_id END AS user_id
    FROM contacts_conversation thread
    JOIN contacts_contact lead ON lead.id = thread.contact_id
    LEFT JOIN LATERAL (
        SELECT m.phone, m.user_id, m.phone_number_id, m.kapso_conversation_id FROM contacts_message m
        WHERE m.contact_id = thread.contact_id AND m.conversation_id = thread.id AND m.direction = 'inbound'
          AND m.is_turn
        ORDER BY m.sent_at DESC, m.id DESC LIMIT 1) turn ON true
    LEFT JOIN contacts_kapsosession session ON turn.phone IS NULL AND turn.user_id IS NULL
        AND session.phone_number_id = turn.phone_number_id
        AND session.kapso_conversation_id = turn.kapso_conversation_id
    CROSS JOIN LATERAL (SELECT COALESCE(turn.phone, session.phone) AS phone,
                               COALESCE(turn.user_id, session.user_id) AS user_id) who
    WHERE thread.id = ANY(%s::bigint[])
)
SELECT named.id, CASE WHEN holder.contact_id <> named.contact_id THEN NULL ELSE named.phone END, named.user_id
FROM named LEFT JOIN contacts_identity holder
    ON holder.workspace_id = named.workspace_id AND holder.kind = 'phone' AND holder.value = named.phone
"""
