"""Statement 4: the derived values of what a batch touched (contacts.refresh)."""

from __future__ import annotations

_COLUMNS = (
    "phone", "business_scoped_user_id", "parent_user_id", "username", "name", "chosen_name", "kapso_name", "source",
    "first_touch", "last_touch", "marketing_opt_out", "last_activity_at", "last_contact_at", "last_inbound_at",
    "unanswered_since",
)  # fmt: skip
_SET = ", ".join(f"{column} = derived.{column}" for column in _COLUMNS)
_OLD = ", ".join(f"c.{column}" for column in _COLUMNS)
_NEW = ", ".join(f"derived.{column}" for column in _COLUMNS)


def _fact(name: str, alias: str, order: str) -> str:
    """The first of a lead's facts of this name, as a column of `said`: all of them are picked in one pass."""
    time = order.split()[0].rstrip(",")
    return (
        f"(array_agg(f.value ORDER BY {order}) FILTER (WHERE f.field = '{name}' AND {time} IS NOT NULL))[1] "
        f"AS {alias}_{name}"
    )


def _newest_fact(name: str) -> str:
    return _fact(name, "newest", 'f.last_at DESC, f.value COLLATE "C" DESC')


def _earliest_fact(name: str) -> str:
    return _fact(name, "earliest", 'f.first_at, f.value COLLATE "C"')


_SEEN_WITHOUT_A_TIME = (
    "(SELECT max(f.last_at) FROM contacts_profilefact f WHERE f.identity_id = i.id AND f.field = 'seen')"
)


def _newest_heard(column: str) -> str:
    """Of a thread's newest session. All threads' in one pass, too."""
    return (
        f'(array_agg({column} ORDER BY last_at DESC NULLS LAST, kapso_conversation_id COLLATE "C" DESC) '
        f"FILTER (WHERE session_id IS NOT NULL))[1] AS {column}"
    )


_NEWEST_HANDOFF = """(array_agg(reason ORDER BY at DESC, execution_id COLLATE "C" DESC, reason COLLATE "C" DESC)
                FILTER (WHERE at IS NOT NULL))[1] AS handoff_reason"""


def _newest_identity(kind: str, column: str) -> str:
    return (
        f"(SELECT i.value FROM contacts_identity i WHERE i.contact_id = c.id AND i.kind = (SELECT '{kind}') "
        # Somebody may have typed one of its old ones into another lead: there it stays.
        f"AND (SELECT count(*) FROM contacts_contact o WHERE o.workspace_id = c.workspace_id "
        f"AND o.{column} = i.value AND o.id <> c.id AND o.id NOT IN (SELECT id FROM lead)) = 0 "
        f'ORDER BY GREATEST(i.last_seen_at, {_SEEN_WITHOUT_A_TIME}) DESC NULLS LAST, i.value COLLATE "C" DESC LIMIT 1)'
    )


def _waiting_sessions(kind: str, names_them: str) -> str:
    """Those without a thread that name one of `mine`. OFFSET 0: each looked up by its index, or while there are few of
    them PostgreSQL would compare all with all."""
    return (
        "SELECT s.id FROM mine CROSS JOIN LATERAL (SELECT s.id FROM contacts_kapsosession s WHERE s.phone_number_id = "
        f"mine.phone_number_id AND {names_them} AND s.conversation_id IS NULL OFFSET 0) s WHERE mine.kind = '{kind}'"
    )


def _newest_turn(direction: str, whose: str) -> str:
    return (
        f"(SELECT m.sent_at FROM contacts_message m WHERE {whose} AND m.direction = '{direction}' AND m.is_turn "
        "ORDER BY m.sent_at DESC LIMIT 1)"
    )


_FIRST_UNANSWERED = (
    f"(SELECT m.sent_at FROM contacts_message m WHERE m.contact_id = c.id AND m.direction = 'inbound' AND m.is_turn "
    f"AND m.sent_at > COALESCE({_newest_turn('outbound', 'm.contact_id = c.id')}, '-infinity') "
    "ORDER BY m.sent_at LIMIT 1)"
)


TOUCH_LABEL = """COALESCE(NULLIF(touch->>'headline', '') || ' (' || COALESCE(NULLIF(touch->>'source_type', ''), 'ad')
    || ' ' || COALESCE(touch->>'source_id', '') || ')', COALESCE(NULLIF(touch->>'source_type', ''), 'ad')
    || ' ' || COALESCE(touch->>'source_id', touch->>'source_url', ''))"""

REFRESH_DERIVED = f"""
WITH batch AS MATERIALIZED (
    SELECT %(touched)s::jsonb AS j
), lead AS MATERIALIZED (
    SELECT row::bigint AS id FROM batch, jsonb_array_elements_text(j->'contacts') AS row
    UNION
    -- Who held one of their phones before or after them: what was said of it may be theirs instead.
    SELECT mate.contact_id FROM batch, jsonb_array_elements_text(j->'contacts') AS row
    JOIN contacts_identity u ON u.contact_id = row::bigint AND u.is_shared AND u.kind = 'user'
    JOIN contacts_identitylink held ON held.b_id = u.id AND held.kind IN ('seen', 'named')
    JOIN contacts_identity p ON p.id = held.a_id AND p.is_shared
    JOIN contacts_identitylink also ON also.a_id = p.id AND also.kind IN ('seen', 'named')
    JOIN contacts_identity mate ON mate.id = also.b_id AND mate.contact_id IS NOT NULL
), touched AS MATERIALIZED (
    SELECT c.id, c.contact_id, c.phone_number_id FROM batch, jsonb_array_elements_text(j->'conversations') AS row
    JOIN contacts_conversation c ON c.id = row::bigint
    UNION
    SELECT c.id, c.contact_id, c.phone_number_id FROM lead JOIN contacts_conversation c ON c.contact_id = lead.id
), mine AS (
    -- The identities of these threads' leads, with the phones that were theirs for a time.
    SELECT touched.phone_number_id, i.kind, i.value FROM touched JOIN contacts_identity i USING (contact_id)
    UNION
    SELECT touched.phone_number_id, p.kind, p.value FROM touched JOIN contacts_identity u USING (contact_id)
    JOIN contacts_identitylink l ON l.b_id = u.id AND l.kind IN ('seen', 'named')
    JOIN contacts_identity p ON p.id = l.a_id AND p.is_shared
    WHERE u.is_shared AND u.kind = 'user'
), placed AS MATERIALIZED (
    -- Where the sessions told of belong now, and those that came before anybody knew whose they are.
    SELECT s.id, s.conversation_id AS was,
           COALESCE(t.id, CASE WHEN i.id IS NULL THEN s.conversation_id END) AS thread_id
    FROM (
        SELECT s.id FROM batch, jsonb_array_elements(j->'sessions') AS row
        JOIN contacts_kapsosession s
            ON s.phone_number_id = (row->>0)::bigint AND s.kapso_conversation_id = row->>1
        UNION {_waiting_sessions("user", "s.user_id = mine.value")}
        UNION {_waiting_sessions("phone", "s.phone = mine.value AND s.user_id IS NULL")}
    ) AS told
    JOIN contacts_kapsosession s USING (id)
    LEFT JOIN contacts_identity i ON i.id = contacts_node(
        s.workspace_id, s.phone_number_id, s.phone, s.user_id, s.kapso_conversation_id, s.last_at)
    LEFT JOIN contacts_conversation t ON t.contact_id = i.contact_id AND t.phone_number_id = s.phone_number_id
), moved AS (
    UPDATE contacts_kapsosession s SET conversation_id = placed.thread_id
    FROM placed WHERE s.id = placed.id AND placed.was IS DISTINCT FROM placed.thread_id
), thread AS (
    SELECT id FROM touched UNION SELECT was FROM placed UNION SELECT thread_id FROM placed
), session AS (
    SELECT placed.thread_id, s.* FROM placed JOIN contacts_kapsosession s USING (id)
    UNION ALL
    SELECT s.conversation_id, s.* FROM thread JOIN contacts_kapsosession s ON s.conversation_id = thread.id
    WHERE s.id NOT IN (SELECT id FROM placed)
), heard AS (
    SELECT session.thread_id, session.id AS session_id, session.status, session.kapso_conversation_id, session.last_at,
           handoff.*
    FROM session LEFT JOIN LATERAL (
        SELECT a.at, a.execution_id, a.reason
        FROM contacts_automationevent a JOIN contacts_phonenumber n ON n.id = session.phone_number_id
        WHERE a.kapso_conversation_id = session.kapso_conversation_id AND a.kind = 'handoff'
          AND (a.served_numbers = '{{}}' OR n.phone_number_id = ANY(a.served_numbers))
        ORDER BY a.at DESC, a.execution_id COLLATE "C" DESC, a.reason COLLATE "C" DESC LIMIT 1
    ) handoff ON true
    UNION ALL SELECT id, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM thread  -- also those without any
), summed AS MATERIALIZED (
    -- In one pass, as `said`.
    SELECT thread_id, {_newest_heard("status")}, {_newest_heard("kapso_conversation_id")},
           max(at) AS handoff_at, {_NEWEST_HANDOFF}
    FROM heard GROUP BY thread_id
), derived_thread AS MATERIALIZED (
    SELECT thread.id, COALESCE(summed.kapso_conversation_id, '') AS kapso_id,
           -- Without a session, and without one that went elsewhere, the status is what somebody put there.
           COALESCE(NULLIF(summed.status, ''), CASE WHEN thread.kapso_conversation_id = '' THEN thread.status END,
                    'active') AS status,
           (SELECT m.sent_at FROM contacts_message m
            WHERE m.contact_id = thread.contact_id AND m.conversation_id = thread.id AND m.message_type <> 'system'
            ORDER BY m.sent_at DESC, m.id DESC LIMIT 1) AS last_message_at,
           {_newest_turn("inbound", "m.contact_id = thread.contact_id AND m.conversation_id = thread.id")}
               AS last_inbound_at,
           summed.handoff_at, COALESCE(summed.handoff_reason, '') AS handoff_reason
    FROM summed JOIN contacts_conversation thread ON thread.id = summed.thread_id
), conversation AS (
    UPDATE contacts_conversation c SET
        status = derived.status, kapso_conversation_id = derived.kapso_id,
        last_message_at = derived.last_message_at, last_inbound_at = derived.last_inbound_at,
        handoff_at = derived.handoff_at, handoff_reason = derived.handoff_reason
    FROM derived_thread derived
    WHERE c.id = derived.id
      AND (c.status, c.kapso_conversation_id, c.last_message_at, c.last_inbound_at, c.handoff_at, c.handoff_reason)
          IS DISTINCT FROM (derived.status, derived.kapso_id, derived.last_message_at,
              derived.last_inbound_at, derived.handoff_at, derived.handoff_reason)
), fact AS MATERIALIZED (
    SELECT lead.id AS contact_id, f.field, f.value, f.first_at, f.last_at, f.counts_as_activity
    FROM lead JOIN contacts_identity i ON i.contact_id = lead.id JOIN contacts_profilefact f ON f.identity_id = i.id
    WHERE i.kind = 'user' OR NOT i.is_shared
    UNION ALL
    -- What was said of a phone that several people held in turn goes to whoever held it then.
    SELECT shared.lead_id, f.field, f.value,
           CASE WHEN first.contact_id = shared.lead_id THEN f.first_at END,
           CASE WHEN last.contact_id = shared.lead_id THEN f.last_at END, f.counts_as_activity
    FROM (SELECT DISTINCT lead.id AS lead_id, l.a_id AS phone_id
          FROM lead JOIN contacts_identity u ON u.contact_id = lead.id AND u.kind = 'user' AND u.is_shared
          JOIN contacts_identitylink l ON l.b_id = u.id AND l.kind IN ('seen', 'named')
          JOIN contacts_identity p ON p.id = l.a_id AND p.is_shared) AS shared
    JOIN contacts_profilefact f ON f.identity_id = shared.phone_id
    JOIN contacts_identity first ON first.id = contacts_holder(f.identity_id, f.first_at)
    JOIN contacts_identity last ON last.id = contacts_holder(f.identity_id, f.last_at)
    UNION ALL SELECT id, NULL, NULL, NULL, NULL, false FROM lead  -- also who was said nothing of
), said AS MATERIALIZED (
    -- In one pass: looked for one by one, each lead would read the facts of all.
    SELECT f.contact_id, {", ".join(_newest_fact(name) for name in ("parent", "username", "name", "marketing"))},
           {", ".join(_earliest_fact(name) for name in ("name", "address_book_name"))},
           max(f.last_at) FILTER (WHERE f.counts_as_activity) AS active_at
    FROM fact f GROUP BY f.contact_id
), derived AS MATERIALIZED (  -- or what differs would be computed twice: to compare it, and to write it
    SELECT c.id, {_newest_identity("phone", "phone")} AS phone, {_newest_identity("user", "business_scoped_user_id")} AS business_scoped_user_id,
           COALESCE(said.newest_parent, '') AS parent_user_id,
           COALESCE(said.newest_username, '') AS username,
           CASE WHEN c.name IN ('', c.chosen_name) THEN chosen.name ELSE c.name END AS name,
           -- Once typed it is the team's, also where the provider chooses the same.
           CASE WHEN c.name IN ('', c.chosen_name) THEN chosen.name ELSE c.chosen_name END AS chosen_name,
           COALESCE(said.newest_name, '') AS kapso_name,
           CASE WHEN c.source IN ('', 'whatsapp', former.label) THEN COALESCE(label.label, 'whatsapp')
                ELSE c.source END AS source,
           first_touch.touch AS first_touch, last_touch.touch AS last_touch,
           CASE said.newest_marketing WHEN 'stop' THEN true WHEN 'resume' THEN false END AS marketing_opt_out,
           GREATEST(
               (SELECT m.sent_at FROM contacts_message m WHERE m.contact_id = c.id AND m.message_type <> 'system'
                ORDER BY m.sent_at DESC, m.id DESC LIMIT 1),
               said.active_at
           ) AS last_activity_at,
           {_newest_turn("outbound", "m.contact_id = c.id")} AS last_contact_at,
           {_newest_turn("inbound", "m.contact_id = c.id")} AS last_inbound_at,
           {_FIRST_UNANSWERED} AS unanswered_since
    FROM said JOIN contacts_contact c ON c.id = said.contact_id
    CROSS JOIN LATERAL (
        SELECT COALESCE(said.earliest_name, said.earliest_address_book_name, '') AS name
    ) chosen
    LEFT JOIN LATERAL (
        SELECT m.referral AS touch FROM contacts_message m
        WHERE m.contact_id = c.id AND m.referral IS NOT NULL AND m.direction = 'inbound'
        ORDER BY m.sent_at, m.kapso_message_id COLLATE "C" LIMIT 1
    ) first_touch ON true
    LEFT JOIN LATERAL (
        SELECT m.referral AS touch FROM contacts_message m
        WHERE m.contact_id = c.id AND m.referral IS NOT NULL AND m.direction = 'inbound'
        ORDER BY m.sent_at DESC, m.kapso_message_id COLLATE "C" DESC LIMIT 1
    ) last_touch ON true
    LEFT JOIN LATERAL (
        SELECT left({TOUCH_LABEL}, 255) AS label FROM (SELECT first_touch.touch) t WHERE touch IS NOT NULL
    ) label ON true
    LEFT JOIN LATERAL (
        SELECT left({TOUCH_LABEL}, 255) AS label FROM (SELECT c.first_touch AS touch) t WHERE touch IS NOT NULL
    ) former ON true
), contact AS (
    UPDATE contacts_contact c SET {_SET}
    FROM derived WHERE c.id = derived.id AND ({_OLD}) IS DISTINCT FROM ({_NEW})
)
-- Whether one of the messages is an edit or a revoke, or was one's: most never are, so that has a statement of its own.
SELECT m.id FROM batch, jsonb_array_elements(j->'messages') AS row
JOIN contacts_message m ON m.phone_number_id = (row->>0)::bigint AND m.kapso_message_id = row->>1
WHERE m.message_type IN ('edit', 'revoke') OR m.edited_at IS NOT NULL OR m.revoked_at IS NOT NULL OR EXISTS (
    SELECT FROM contacts_message a
    WHERE a.phone_number_id = m.phone_number_id AND a.target_kapso_id = m.kapso_message_id AND a.target_kapso_id <> ''
      AND a.message_type IN ('edit', 'revoke'))
LIMIT 1
"""
