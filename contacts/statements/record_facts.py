"""Statement 1: insert the facts of a batch, and take its locks (contacts.facts)."""

from __future__ import annotations

# Advisory locks are numbers: this one says "the people of a workspace", the second number says which.
PEOPLE_LOCK = 7_310_001
# And this one "what is said of a Kapso session", by a hash of its id.
SESSION_LOCK = 7_310_002

_SESSION = (
    "phone", "phone_at", "user_id", "user_id_at", "status", "status_at", "last_at", "ended_at",
    "told_at", "told_messages", "told_last_wamid",
)  # fmt: skip
_ELSE = {"status": ", ''", "told_last_wamid": ", ''"}
_TOLD_AT_ONCE = ", ".join(f"COALESCE(row.{name}, untimed.{name}{_ELSE.get(name, '')})" for name in _SESSION)
_ALL_IS_TIMED = "known.tellings IS NULL AND EXCLUDED.tellings IS NULL"


def _newest(name: str) -> str:
    return f"""(
            SELECT v, t FROM (VALUES (known.{name}, known.{name}_at), (EXCLUDED.{name}, EXCLUDED.{name}_at)) x (v, t)
            ORDER BY t DESC NULLS LAST, v COLLATE "C" DESC NULLS LAST LIMIT 1) AS {name}"""


def _tellings(row: str) -> str:
    """Those that the row keeps; of one that keeps none all was told with its time."""
    told = ", ".join(f"'{name}', {row}.{name}" for name in _SESSION)
    return f"COALESCE({row}.tellings, jsonb_build_array(jsonb_build_object('source', '', {told})))"


RECORD_FACTS = f"""
WITH told AS MATERIALIZED (
    SELECT %s::jsonb AS facts
), planned AS MATERIALIZED (
    -- For the rest of the transaction: a batch is small beside the tables, so its rows are looked up by index, and no
    -- value in it asks for a plan of its own. The planner cannot know either, and planning takes longer than running.
    -- Joined in the order that they are written in: by another one, which is as good while a table is known as empty, each
    -- row of a batch would be compared with all there are.
    SELECT set_config(name, value, true) FROM (VALUES
        ('enable_seqscan', 'off'), ('enable_bitmapscan', 'off'), ('enable_hashjoin', 'off'),
        ('enable_mergejoin', 'off'), ('enable_material', 'off'), ('plan_cache_mode', 'force_generic_plan'),
        ('join_collapse_limit', '1'), ('from_collapse_limit', '1')
    ) AS setting (name, value)
), locked AS MATERIALIZED (
    -- Merging people takes this lock alone (contacts.people); everything else shares it.
    SELECT pg_advisory_xact_lock_shared({PEOPLE_LOCK}, workspace::int)
    FROM (SELECT workspace FROM told, jsonb_array_elements_text(facts->'workspaces') AS workspace
          ORDER BY workspace::int) AS ordered
    UNION ALL
    -- What a workflow says of a session comes without a number or a person: they would miss each other.
    SELECT pg_advisory_xact_lock_shared({SESSION_LOCK}, key)
    FROM (SELECT DISTINCT hashtext(row->>'key') AS key FROM told, jsonb_array_elements(facts->'sessions') AS row
          ORDER BY 1) AS ordered
), identity AS (
    -- The row lock on a person, in one global order, so that two deliveries never wait for each other.
    INSERT INTO contacts_identity AS known (workspace_id, kind, value, first_seen_at, last_seen_at)
    SELECT (row->>0)::bigint, row->>1, row->>2, (row->>3)::timestamptz, (row->>4)::timestamptz
    FROM told, jsonb_array_elements(facts->'identities') AS row
    WHERE (SELECT count(*) FROM planned) > 0 AND (SELECT count(*) FROM locked) > 0
    ORDER BY (row->>0)::bigint, row->>1, (row->>2) COLLATE "C"
    ON CONFLICT (workspace_id, kind, value) DO UPDATE SET
        first_seen_at = LEAST(known.first_seen_at, EXCLUDED.first_seen_at),
        last_seen_at = GREATEST(known.last_seen_at, EXCLUDED.last_seen_at)
    RETURNING id, workspace_id, kind, value
), link AS (
    INSERT INTO contacts_identitylink (workspace_id, kind, a_id, b_id, at)
    SELECT a.workspace_id, row->>0, a.id, b.id, (row->>6)::timestamptz
    FROM told, jsonb_array_elements(facts->'links') AS row
    JOIN identity a ON a.workspace_id = (row->>1)::bigint AND a.kind = row->>2 AND a.value = row->>3
    JOIN identity b ON b.workspace_id = a.workspace_id AND b.kind = row->>4 AND b.value = row->>5
    ON CONFLICT (a_id, kind, at, b_id, source) DO NOTHING
    RETURNING a_id, b_id
), untimed_link AS (
    -- The same body again is the same evidence; news only if it came earlier.
    INSERT INTO contacts_identitylink AS known (workspace_id, kind, a_id, b_id, at, source)
    SELECT a.workspace_id, row->>0, a.id, b.id, (row->>6)::timestamptz, row->>7
    FROM told, jsonb_array_elements(facts->'untimed_links') AS row
    JOIN identity a ON a.workspace_id = (row->>1)::bigint AND a.kind = row->>2 AND a.value = row->>3
    JOIN identity b ON b.workspace_id = a.workspace_id AND b.kind = row->>4 AND b.value = row->>5
    ON CONFLICT (a_id, kind, b_id, source) WHERE source <> '' DO UPDATE SET at = EXCLUDED.at
    WHERE EXCLUDED.at < known.at
    RETURNING a_id, b_id
), fact AS (
    INSERT INTO contacts_profilefact AS known
        (workspace_id, identity_id, field, value, source, first_at, last_at, counts_as_activity)
    SELECT i.workspace_id, i.id, row->>3, row->>4, row->>5,
           (row->>6)::timestamptz, (row->>7)::timestamptz, (row->>8)::boolean
    FROM told, jsonb_array_elements(facts->'profiles') AS row
    JOIN identity i ON i.workspace_id = (row->>0)::bigint AND i.kind = row->>1 AND i.value = row->>2
    ON CONFLICT (identity_id, field, value, source) DO UPDATE SET
        first_at = LEAST(known.first_at, EXCLUDED.first_at),
        -- Without a time of its own a body counts once, at the earliest time it came.
        last_at = CASE WHEN known.source = '' THEN GREATEST(known.last_at, EXCLUDED.last_at)
                       ELSE LEAST(known.last_at, EXCLUDED.last_at) END,
        counts_as_activity = known.counts_as_activity OR EXCLUDED.counts_as_activity
), receipt AS (
    -- Also the row lock on an outbound WAMID: a message and its early receipt cannot miss each other.
    INSERT INTO contacts_messagereceipt AS known
        (workspace_id, phone_number_id, kapso_message_id, rank, accepted_at, sent_at, failed_at,
         delivered_at, read_at, played_at, errors, other_words)
    SELECT workspace_id, number_id, key, rank, accepted_at, sent_at, failed_at,
           delivered_at, read_at, played_at, errors, other_words
    FROM told, jsonb_to_recordset(facts->'receipts') AS row (
        workspace_id bigint, number_id bigint, key text, rank smallint, accepted_at timestamptz,
        sent_at timestamptz, failed_at timestamptz, delivered_at timestamptz, read_at timestamptz,
        played_at timestamptz, errors jsonb, other_words jsonb)
    WHERE (SELECT count(*) FROM identity) >= 0  -- identities are locked before receipts
    ORDER BY number_id, key COLLATE "C"
    ON CONFLICT (phone_number_id, kapso_message_id) DO UPDATE SET
        rank = GREATEST(known.rank, EXCLUDED.rank),
        accepted_at = LEAST(known.accepted_at, EXCLUDED.accepted_at),
        sent_at = LEAST(known.sent_at, EXCLUDED.sent_at),
        failed_at = LEAST(known.failed_at, EXCLUDED.failed_at),
        delivered_at = LEAST(known.delivered_at, EXCLUDED.delivered_at),
        read_at = LEAST(known.read_at, EXCLUDED.read_at),
        played_at = LEAST(known.played_at, EXCLUDED.played_at),
        errors = known.errors || EXCLUDED.errors,
        other_words = known.other_words || EXCLUDED.other_words
), session AS (
    INSERT INTO contacts_kapsosession AS known
        (workspace_id, phone_number_id, kapso_conversation_id, {", ".join(_SESSION)}, tellings)
    SELECT row.workspace_id, row.number_id, row.key, {_TOLD_AT_ONCE}, untimed.tellings
    FROM told CROSS JOIN jsonb_to_recordset(facts->'sessions') AS row (
        workspace_id bigint, number_id bigint, key text, phone text, phone_at timestamptz, user_id text,
        user_id_at timestamptz, status text, status_at timestamptz, last_at timestamptz, ended_at timestamptz,
        told_at timestamptz, told_messages int, told_last_wamid text, tellings jsonb)
    LEFT JOIN LATERAL contacts_session_told(row.tellings) AS untimed ON true  -- nothing where all has its time
    WHERE (SELECT count(*) FROM identity) >= 0
    ORDER BY row.number_id, row.key COLLATE "C"
    ON CONFLICT (phone_number_id, kapso_conversation_id) DO UPDATE SET ({", ".join(_SESSION)}, tellings) = (
        -- Of two statuses at the same time "ended" wins: it sorts after "active".
        SELECT phone.*, user_id.*, status.*, GREATEST(known.last_at, EXCLUDED.last_at),
               LEAST(known.ended_at, EXCLUDED.ended_at), summary.*, NULL::jsonb
        FROM {_newest("phone")}, {_newest("user_id")}, {_newest("status")}, (
            SELECT t, m, w FROM (VALUES
                (known.told_at, known.told_messages, known.told_last_wamid),
                (EXCLUDED.told_at, EXCLUDED.told_messages, EXCLUDED.told_last_wamid)) x (t, m, w)
            ORDER BY t DESC NULLS LAST, m DESC NULLS LAST, w COLLATE "C" DESC LIMIT 1) AS summary
        WHERE {_ALL_IS_TIMED}
        UNION ALL
        SELECT untimed.* FROM contacts_session_told({_tellings("known")} || {_tellings("EXCLUDED")}) AS untimed
        WHERE NOT ({_ALL_IS_TIMED})
    )
)
SELECT a_id, b_id, NULL::bigint AS nth, NULL::timestamptz AS since, NULL::timestamptz AS until FROM link
UNION ALL SELECT a_id, b_id, NULL, NULL, NULL FROM untimed_link
UNION ALL SELECT NULL, NULL, erased.*
FROM told, contacts_tombstones(facts->'marks', (SELECT count(*) FROM locked)) AS erased
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL
FROM locked WHERE (SELECT count(*) FROM identity) < 0  -- locks even if nobody is named
"""
