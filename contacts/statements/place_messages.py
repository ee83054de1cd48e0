"""Statement 2: whose each touched message is, and what is missing for it (contacts.writing.Placement)."""

from __future__ import annotations

# A message is looked at with all that was ever told of it: an earlier event may have named its user id.
# Not a constant: an index on phones alone would do as well, as far as PostgreSQL knows while there are few rows, and
# it would be read from one end to the other.
_PHONE = "(SELECT 'phone')"

# Not EXISTS: PostgreSQL may take that for a reason to read all links there are, once and for the whole batch.
_IS_LINKED = """COALESCE(
    (SELECT l.id FROM contacts_identitylink l WHERE l.a_id = {0} AND l.kind IN ('changed', 'manual') LIMIT 1),
    (SELECT l.id FROM contacts_identitylink l WHERE l.b_id = {0} AND l.kind IN ('changed', 'manual') LIMIT 1)) IS NOT NULL"""

PLACE_MESSAGES = f"""
WITH ask AS MATERIALIZED (
    SELECT row.* FROM jsonb_to_recordset(%s::jsonb) AS row (
        idx int, workspace_id bigint, number_id bigint, wamid text, direction text, phone text, user_id text,
        session text, at timestamptz, phone_rank text, user_rank text, session_rank text, is_told boolean, makes_person boolean)
), named AS (
    SELECT workspace_id, phone, user_id FROM ask WHERE COALESCE(phone, user_id) IS NOT NULL
    UNION
    -- By its session alone; once the session has a thread, nobody waits for that person any more.
    SELECT ask.workspace_id, s.phone, s.user_id FROM ask JOIN contacts_kapsosession s
        ON s.phone_number_id = ask.number_id AND s.kapso_conversation_id = ask.session AND s.conversation_id IS NULL
    WHERE ask.session <> '' AND COALESCE(ask.phone, ask.user_id) IS NULL
), at_number AS (
    SELECT named.workspace_id, n.id AS number_id, named.phone, named.user_id
    FROM named JOIN contacts_phonenumber n USING (workspace_id)
), merged AS (
    SELECT 'ask' AS what, ask.idx, COALESCE(m.workspace_id, ask.workspace_id) AS workspace_id, ask.number_id,
           m.id AS message_id,
           ask.is_told OR m.id IS NOT NULL AS is_message,
           ask.makes_person OR COALESCE(m.message_type <> 'system' OR m.told ? 'person', false) AS makes_person,
           CASE WHEN ask.phone_rank > COALESCE(m.told->>'phone', '') COLLATE "C" THEN ask.phone
                ELSE COALESCE(m.phone, CASE WHEN m.id IS NULL THEN ask.phone END) END AS phone,
           CASE WHEN ask.user_rank > COALESCE(m.told->>'user_id', '') COLLATE "C" THEN ask.user_id
                ELSE COALESCE(m.user_id, CASE WHEN m.id IS NULL THEN ask.user_id END) END AS user_id,
           CASE WHEN ask.session_rank > COALESCE(m.told->>'session', '') COLLATE "C" THEN ask.session
                ELSE COALESCE(m.kapso_conversation_id, ask.session) END AS session,
           -- As WRITE_MESSAGES will have it: its `_fate`.
           COALESCE(r.sent_at, LEAST(m.earliest_at, ask.at, r.accepted_at, r.failed_at, r.delivered_at, r.read_at,
                                     r.played_at)) AS at,
           m.contact_id, m.conversation_id,
           -- Whom it named as evidence: a mere system line was none.
           CASE WHEN m.message_type <> 'system' OR m.told ? 'person' THEN m.phone END AS old_phone,
           CASE WHEN m.message_type <> 'system' OR m.told ? 'person' THEN m.user_id END AS old_user,
           m.sent_at AS old_at
    FROM ask
    LEFT JOIN contacts_message m
        ON ask.wamid <> '' AND m.phone_number_id = ask.number_id AND m.kapso_message_id = ask.wamid
    LEFT JOIN contacts_messagereceipt r
        ON ask.wamid <> '' AND r.phone_number_id = ask.number_id AND r.kapso_message_id = ask.wamid
        AND 'outbound' IN (ask.direction, m.direction)
    UNION ALL
    SELECT 'waiting', row_number() OVER (ORDER BY m.id)::int, m.workspace_id, m.phone_number_id, m.id,
           true, m.message_type <> 'system' OR m.told ? 'person', m.phone, m.user_id, m.kapso_conversation_id, m.sent_at,
           m.contact_id, m.conversation_id, m.phone, m.user_id, m.sent_at
    FROM (
        -- Whatever waits for a person waits for them at every number of the workspace.
        SELECT m.id FROM at_number ask JOIN contacts_message m
            ON m.phone_number_id = ask.number_id AND m.workspace_id = ask.workspace_id
        WHERE m.contact_id IS NULL AND (m.phone = ask.phone OR m.user_id = ask.user_id)
        UNION
        -- Messages that name nobody are their session's, and it may have turned out to be somebody else's.
        SELECT m.id FROM (
            SELECT number_id, session FROM ask WHERE session <> ''
            UNION
            SELECT ask.number_id, s.kapso_conversation_id FROM at_number ask JOIN contacts_kapsosession s
                ON s.phone_number_id = ask.number_id AND s.phone = ask.phone AND s.conversation_id IS NULL
            UNION
            SELECT ask.number_id, s.kapso_conversation_id FROM at_number ask JOIN contacts_kapsosession s
                ON s.phone_number_id = ask.number_id AND s.user_id = ask.user_id AND s.conversation_id IS NULL
        ) AS told JOIN contacts_message m
            ON m.phone_number_id = told.number_id AND m.kapso_conversation_id = told.session
        WHERE m.kapso_conversation_id <> '' AND m.phone IS NULL AND m.user_id IS NULL
    ) AS waiting
    JOIN contacts_message m USING (id)
    WHERE NOT EXISTS (SELECT FROM ask WHERE ask.number_id = m.phone_number_id AND ask.wamid = m.kapso_message_id)
), placed AS (
    SELECT merged.*, node.id AS node, node.home_id AS home, p.id AS phone_identity, u.id AS user_identity,
           CASE WHEN node.id IS NOT NULL THEN node.contact_id
                ELSE COALESCE(merged.contact_id, thread.contact_id) END AS lead,
           p.contact_id IS NOT NULL OR {_IS_LINKED.format("p.id")} AS phone_is_known,
           p.is_shared,
           CASE WHEN p.id IS NOT NULL AND u.id IS NOT NULL AND merged.makes_person
                THEN contacts_holder(p.id, merged.at) END AS holder
    FROM merged
    LEFT JOIN contacts_identity u
        ON u.workspace_id = merged.workspace_id AND u.kind = 'user' AND u.value = merged.user_id
    LEFT JOIN contacts_identity p
        ON p.workspace_id = merged.workspace_id AND p.kind = {_PHONE} AND p.value = merged.phone
        -- Somebody said that the two are not one person: then the phone says nothing beside the user id.
        AND (SELECT l.id FROM contacts_identitylink l
             WHERE l.a_id = p.id AND l.kind = 'apart' AND l.b_id = u.id LIMIT 1) IS NULL
    LEFT JOIN contacts_identity node ON node.id = contacts_node(
        merged.workspace_id, merged.number_id, merged.phone, merged.user_id, merged.session, merged.at)
    LEFT JOIN contacts_kapsosession s
        -- A number may have been given to another workspace since: its old threads stay where they were.
        ON node.id IS NULL AND s.workspace_id = merged.workspace_id AND s.phone_number_id = merged.number_id AND s.kapso_conversation_id = merged.session
    LEFT JOIN contacts_conversation thread
        ON thread.id = s.conversation_id AND thread.workspace_id = merged.workspace_id
)
SELECT what, idx, workspace_id, number_id, message_id, is_message, makes_person, phone, user_id, at, node,
       lead AS contact_id,
       COALESCE(thread_id, CASE WHEN lead = placed.contact_id THEN placed.conversation_id END) AS conversation_id,
       -- The lead and thread that a message is to leave: what was told of it since names somebody else.
       CASE WHEN node IS NOT NULL AND lead IS DISTINCT FROM placed.contact_id THEN placed.contact_id END
           AS former_contact_id,
       placed.conversation_id AS former_conversation_id,
       phone_identity, user_identity,
       -- News: a phone seen with a user id who did not hold it at that time, or shared evidence that moved.
       CASE WHEN holder IS NULL THEN false
            WHEN (old_phone, old_user) = (phone, user_id) THEN is_shared AND old_at <> at
            WHEN old_phone IS NOT NULL AND old_user IS NOT NULL THEN true
            WHEN holder = phone_identity THEN phone_is_known
            ELSE holder <> user_identity END AS is_news,
       holder IS NOT NULL AND holder = phone_identity AS is_unheld,
       -- Also who had a row once: it may have to come back.
       node IS NOT NULL AND lead IS NULL AND (home IS NOT NULL OR {_IS_LINKED.format("node")}) AS is_entangled,
       -- Drawn here so that WRITE_MESSAGES can insert leads, threads and messages that point to each other.
       CASE WHEN node IS NOT NULL AND lead IS NULL THEN nextval('contacts_contact_id_seq') END AS spare_contact_id,
       CASE WHEN thread_id IS NULL THEN nextval('contacts_conversation_id_seq') END AS spare_conversation_id
FROM placed CROSS JOIN LATERAL (
    SELECT (SELECT c.id FROM contacts_conversation c
            WHERE c.contact_id = lead AND c.phone_number_id = number_id) AS thread_id
) AS here
"""
