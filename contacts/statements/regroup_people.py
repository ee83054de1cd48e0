"""The further statements when the evidence of who is one person has changed (contacts.people)."""

from __future__ import annotations

# Over-approximates: every identity that any link reaches, and whoever shares a lead with one. The rule is applied
# to these in Python.
LOAD_IDENTITIES = """
WITH RECURSIVE around (id) AS (
    (SELECT unnest(%s::bigint[]) UNION SELECT id FROM contacts_identity WHERE contact_id = ANY(%s::bigint[]))
    UNION
    SELECT next.id FROM around CROSS JOIN LATERAL (
        SELECT b_id AS id FROM contacts_identitylink WHERE a_id = around.id
        UNION SELECT a_id FROM contacts_identitylink WHERE b_id = around.id
        UNION SELECT mate.id FROM contacts_identity me JOIN contacts_identity mate ON mate.contact_id = me.contact_id
              WHERE me.id = around.id
    ) AS next
)
SELECT i.id, i.kind, i.value, i.home_id, NOT COALESCE(home.made_by_sync, true), i.first_seen_at, i.contact_id
FROM around JOIN contacts_identity i USING (id) LEFT JOIN contacts_contact home ON home.id = i.home_id
"""

# Of the thousands of messages that name a busy phone only those matter at which it changes hands.
LOAD_LINKS = """
WITH phone AS (
    SELECT id, workspace_id, value FROM contacts_identity WHERE id = ANY(%(identities)s::bigint[]) AND kind = 'phone'
), apart AS MATERIALIZED (
    SELECT a_id, b_id FROM contacts_identitylink WHERE kind = 'apart' AND a_id = ANY(%(identities)s::bigint[])
), seen AS (
    SELECT phone.id AS a_id, u.id AS b_id, m.sent_at AS at, m.user_id AS value
    FROM phone
    JOIN contacts_message m ON m.workspace_id = phone.workspace_id AND m.phone = phone.value
        AND m.user_id IS NOT NULL AND (m.message_type <> 'system' OR m.told ? 'person')
    JOIN contacts_identity u ON u.workspace_id = phone.workspace_id AND u.kind = 'user' AND u.value = m.user_id
    UNION ALL
    SELECT l.a_id, l.b_id, l.at, u.value FROM contacts_identitylink l JOIN contacts_identity u ON u.id = l.b_id
    WHERE l.kind = 'seen' AND l.a_id = ANY(%(identities)s::bigint[])
), handed_over AS (
    SELECT *, lag(b_id) OVER (PARTITION BY a_id ORDER BY at, value COLLATE "C") AS previous FROM seen
    WHERE (a_id, b_id) NOT IN (SELECT a_id, b_id FROM apart)
)
SELECT 'seen', a_id, b_id, at, value FROM handed_over WHERE previous IS DISTINCT FROM b_id
UNION ALL
SELECT kind, a_id, b_id, at, '' FROM contacts_identitylink
WHERE kind IN ('changed', 'manual', 'apart') AND a_id = ANY(%(identities)s::bigint[])
ORDER BY 4, 5
"""

# The messages around: those of the leads involved, and those that wait and name one of the identities.
_AROUND = """
    SELECT m.id, m.contact_id, m.conversation_id, m.phone_number_id, m.workspace_id,
           m.message_type <> 'system' OR m.told ? 'person' AS makes_person,
           contacts_node(m.workspace_id, m.phone_number_id, m.phone, m.user_id, m.kapso_conversation_id, m.sent_at) AS node
    FROM contacts_message m
    WHERE m.contact_id = ANY({rows}::bigint[])
    UNION ALL
    SELECT m.id, m.contact_id, m.conversation_id, m.phone_number_id, m.workspace_id,
           m.message_type <> 'system' OR m.told ? 'person', node
    FROM contacts_message m, LATERAL contacts_node(
        m.workspace_id, m.phone_number_id, m.phone, m.user_id, m.kapso_conversation_id, m.sent_at) AS node
    WHERE m.contact_id IS NULL AND node = ANY({identities}::bigint[])
      AND m.workspace_id IN (SELECT workspace_id FROM contacts_identity WHERE id = ANY({identities}::bigint[]))
"""

WRITERS = f"""
WITH around AS ({_AROUND.format(rows="%(rows)s", identities="%(identities)s")})
SELECT node, nextval('contacts_contact_id_seq'), rows
FROM (SELECT node, array_agg(DISTINCT contact_id) FILTER (WHERE contact_id IS NOT NULL) AS rows FROM around
      WHERE node IS NOT NULL AND makes_person GROUP BY node) AS writer
"""

SAVE = """
WITH batch AS MATERIALIZED (
    SELECT %s::jsonb AS j
), new_lead AS (
    INSERT INTO contacts_contact (id, workspace_id, made_by_sync)
    SELECT (row->>0)::bigint, i.workspace_id, true
    FROM batch, jsonb_array_elements(j->'new') AS row JOIN contacts_identity i ON i.id = (row->>1)::bigint
), identity AS (
    UPDATE contacts_identity i
    SET contact_id = (row->>1)::bigint, is_shared = (row->>2)::boolean,
        -- A new lead is made where no row was theirs: the one that an identity was once made for is another's.
        home_id = COALESCE((SELECT (n->>0)::bigint FROM batch, jsonb_array_elements(j->'new') AS n
                            WHERE n->>1 = row->>0),
                           CASE WHEN home.told IS NULL THEN i.home_id ELSE (home.told->>1)::bigint END)
    FROM batch CROSS JOIN jsonb_array_elements(j->'identities') AS row
    LEFT JOIN LATERAL (
        SELECT h AS told FROM jsonb_array_elements(j->'homes') AS h WHERE h->>0 = row->>0
    ) AS home ON true
    WHERE i.id = (row->>0)::bigint
), row AS (
    SELECT (row->>0)::bigint AS id, (row->>1)::bigint AS survivor FROM batch, jsonb_array_elements(j->'rows') AS row
), former AS (
    SELECT c.id, c.merged_into_id FROM row JOIN contacts_contact c USING (id)
), saved AS (
    UPDATE contacts_contact c SET merged_into_id = row.survivor,
        -- Only the living lead is found by its phone; what a merged one knew stays in its identities.
        phone = CASE WHEN row.survivor IS NULL THEN c.phone END,
        business_scoped_user_id = CASE WHEN row.survivor IS NULL THEN c.business_scoped_user_id END
    FROM row WHERE c.id = row.id AND c.merged_into_id IS DISTINCT FROM row.survivor
    RETURNING c.id, c.merged_into_id
)
SELECT id, former.merged_into_id, saved.merged_into_id FROM saved JOIN former USING (id)
"""

_PLACED = f"""
    SELECT around.id, around.phone_number_id, around.workspace_id, around.conversation_id,
           CASE WHEN node.id IS NOT NULL THEN node.contact_id
                ELSE COALESCE(had.merged_into_id, had.id) END AS lead
    FROM ({_AROUND.format(rows="%(rows)s", identities="%(identities)s")}) AS around
    LEFT JOIN contacts_identity node ON node.id = around.node
    LEFT JOIN contacts_contact had ON had.id = around.contact_id
"""

MAKE_THREADS = f"""
WITH placed AS ({_PLACED}), made AS (
    INSERT INTO contacts_conversation (workspace_id, contact_id, phone_number_id)
    SELECT workspace_id, lead, phone_number_id FROM placed WHERE lead IS NOT NULL
    UNION
    -- A session that names nobody goes where its thread goes.
    SELECT c.workspace_id, merged.merged_into_id, c.phone_number_id
    FROM contacts_conversation c JOIN contacts_contact merged ON merged.id = c.contact_id
    JOIN contacts_kapsosession s ON s.conversation_id = c.id
    WHERE c.contact_id = ANY(%(rows)s::bigint[]) AND merged.merged_into_id IS NOT NULL
      AND s.phone IS NULL AND s.user_id IS NULL
    ON CONFLICT (contact_id, phone_number_id) DO NOTHING
    RETURNING id
)
SELECT id FROM made
UNION SELECT conversation_id FROM placed WHERE conversation_id IS NOT NULL
UNION SELECT c.id FROM placed JOIN contacts_conversation c ON c.contact_id = lead AND c.phone_number_id = placed.phone_number_id
-- A merged lead keeps no thread, not even one without messages.
UNION SELECT c.id FROM contacts_conversation c JOIN contacts_contact merged ON merged.id = c.contact_id
WHERE c.contact_id = ANY(%(rows)s::bigint[]) AND merged.merged_into_id IS NOT NULL
"""

MOVE_MESSAGES = f"""
UPDATE contacts_message m SET contact_id = placed.lead, conversation_id = thread.id
FROM ({_PLACED}) AS placed
LEFT JOIN contacts_conversation thread
    ON thread.contact_id = placed.lead AND thread.phone_number_id = placed.phone_number_id
WHERE m.id = placed.id
  AND (m.contact_id IS DISTINCT FROM placed.lead OR m.conversation_id IS DISTINCT FROM thread.id)
"""

MOVE_SESSIONS = """
WITH placed AS (
    SELECT s.id, thread.id AS thread_id
    FROM contacts_kapsosession s
    CROSS JOIN LATERAL contacts_node(
        s.workspace_id, s.phone_number_id, s.phone, s.user_id, s.kapso_conversation_id, s.last_at) AS node
    LEFT JOIN contacts_identity i ON i.id = node
    LEFT JOIN contacts_conversation was ON was.id = s.conversation_id
    LEFT JOIN contacts_contact had ON had.id = was.contact_id
    LEFT JOIN contacts_conversation thread
        ON thread.contact_id = CASE WHEN i.id IS NOT NULL THEN i.contact_id
                                    ELSE COALESCE(had.merged_into_id, had.id) END
        AND thread.phone_number_id = s.phone_number_id
    WHERE s.conversation_id = ANY(%(threads)s::bigint[])
       OR (s.conversation_id IS NULL AND node = ANY(%(identities)s::bigint[])
           AND s.workspace_id IN (SELECT workspace_id FROM contacts_identity WHERE id = ANY(%(identities)s::bigint[])))
)
UPDATE contacts_kapsosession s SET conversation_id = placed.thread_id
FROM placed WHERE s.id = placed.id AND s.conversation_id IS DISTINCT FROM placed.thread_id
"""

# As if they had never been: in another order of the same events they would not have been made.
DROP_EMPTIED_THREADS = """
WITH emptied AS (
    SELECT c.id FROM contacts_conversation c
    WHERE c.id = ANY(%s::bigint[]) AND NOT EXISTS (SELECT FROM contacts_message m WHERE m.conversation_id = c.id AND m.contact_id = c.contact_id)
      -- Nor a session that somebody put there and no event names anybody for.
      AND NOT EXISTS (SELECT FROM contacts_kapsosession s
                      WHERE s.conversation_id = c.id AND s.phone IS NULL AND s.user_id IS NULL)
), freed AS (
    UPDATE contacts_kapsosession SET conversation_id = NULL WHERE conversation_id IN (SELECT id FROM emptied)
)
DELETE FROM contacts_conversation WHERE id IN (SELECT id FROM emptied) RETURNING id
"""
