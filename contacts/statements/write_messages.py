"""Statement 3: missing leads and threads, and the messages (contacts.writing.write)."""

from __future__ import annotations


def _best(field: str, column: str) -> str:
    """The row's value or the telling's, whichever comes from the better telling (contacts.telling)."""
    return (
        f"{column} = CASE WHEN COALESCE(EXCLUDED.told->>'{field}', '') > COALESCE(known.told->>'{field}', '') "
        f'COLLATE "C" THEN EXCLUDED.{column} ELSE known.{column} END'
    )


_BODY_IS_BETTER = """COALESCE(EXCLUDED.told->>'body', '') > COALESCE(known.told->>'body', '') COLLATE "C" """
_MERGED = ",\n        ".join(
    _best(*pair)
    for pair in (
        ("body", "message_type"),
        ("body", "payload"),
        ("media_url", "media_url"),
        ("transcript", "transcript"),
        ("reply_to", "reply_to_kapso_id"),
        ("target", "target_kapso_id"),
        ("referral", "referral"),
        ("phone", "phone"),
        ("user_id", "user_id"),
        ("session", "kapso_conversation_id"),
    )
)
_TOLD = ", ".join(
    f"'{name}', GREATEST((known.told->>'{name}') COLLATE \"C\", (EXCLUDED.told->>'{name}') COLLATE \"C\")"
    for name in (
        "body", "media_url", "transcript", "reply_to", "target", "referral", "phone", "user_id", "session",
        "inbound", "outbound", "person",
    )
)  # fmt: skip

# The statuses of a message of ours, lowest first: a status only ever moves to the right (CONTRACT.md 11.1).
_STATUSES = "ARRAY['pending', 'sent', 'failed', 'delivered', 'read']"
_STATUS_OF_RANK = (
    "(ARRAY['pending', 'pending', 'sent', 'failed', 'delivered', 'read', 'read'])[1 + COALESCE(r.rank, 0)]"
)
_FATE = "status, sent_at, earliest_at, delivered_at, read_at, failed_at, error_code, error_message"


def _fate(number: str, wamid: str, *, direction: str, earliest: str, known: str = "") -> str:
    """What became of a message: `_FATE` from its receipts, and from what its row says already.

    Only a message of ours has statuses. So this is asked for once all tellings have agreed on whose it is. Of several
    errors the first counts, as a whole; one that names its code counts before one that only says that it failed.
    """

    def kept(column: str) -> str:
        return f"{known}.{column}" if known else "NULL"

    furthest = f"GREATEST(array_position({_STATUSES}, {kept('status')}::text), array_position({_STATUSES}, {_STATUS_OF_RANK}))"
    return f"""
        SELECT CASE WHEN {direction} = 'outbound' THEN ({_STATUSES})[{furthest}]
                    ELSE COALESCE({kept("status")}, 'received') END AS status,
               COALESCE(r.sent_at, first.at) AS sent_at, first.at AS earliest_at,
               LEAST({kept("delivered_at")}, r.delivered_at) AS delivered_at,
               LEAST({kept("read_at")}, r.read_at, r.played_at) AS read_at,
               LEAST({kept("failed_at")}, r.failed_at) AS failed_at,
               CASE WHEN error.key IS NULL THEN {kept("error_code")} ELSE error.code END AS error_code,
               CASE WHEN error.key IS NULL THEN {f"{known}.error_message" if known else "''"}
                    ELSE error.message END AS error_message
        FROM (SELECT {direction} = 'outbound' AS is_ours) AS it
        LEFT JOIN contacts_messagereceipt every
            ON every.phone_number_id = {number} AND every.kapso_message_id = {wamid}
        LEFT JOIN contacts_messagereceipt r ON r.id = every.id AND it.is_ours
        CROSS JOIN LATERAL (
            SELECT LEAST({earliest}, r.accepted_at, r.failed_at, r.delivered_at, r.read_at, r.played_at) AS at
        ) AS first
        LEFT JOIN LATERAL (
            SELECT e.key, (e.value->>'code')::integer AS code, e.value->>'message' AS message
            FROM jsonb_each(every.errors) e WHERE it.is_ours OR e.value->>'word' = 'error'
            ORDER BY e.value->>'code' IS NULL, e.key COLLATE "C" LIMIT 1
        ) AS error ON true"""


_FATE_OF_BOTH = _fate(
    "EXCLUDED.phone_number_id", "EXCLUDED.kapso_message_id",
    direction="GREATEST(known.direction, EXCLUDED.direction)",  # outbound, once anything says so
    earliest="known.earliest_at, EXCLUDED.earliest_at", known="known",
)  # fmt: skip

WRITE_MESSAGES = f"""
WITH batch AS MATERIALIZED (
    SELECT %s::jsonb AS j
), new_contact AS (
    INSERT INTO contacts_contact (id, workspace_id, made_by_sync)
    SELECT (row->>0)::bigint, (row->>1)::bigint, true FROM batch, jsonb_array_elements(j->'contacts') AS row
), identity AS (
    UPDATE contacts_identity i
    SET contact_id = (row->>1)::bigint,
        -- Where a lead is made for them, it is their home.
        home_id = COALESCE(home_id, CASE WHEN (row->>2)::boolean THEN (row->>1)::bigint END)
    FROM batch, jsonb_array_elements(j->'identities') AS row
    -- Whoever has no lead, in words that let PostgreSQL expect many of them: of few it would read all, for each of these.
    WHERE i.id = (row->>0)::bigint AND NOT COALESCE(i.contact_id, 0) > 0 AND NOT i.is_shared
), named AS (
    INSERT INTO contacts_identitylink (workspace_id, kind, a_id, b_id, at)
    SELECT p.workspace_id, 'named', p.id, (row->>1)::bigint, 'epoch'
    FROM batch, jsonb_array_elements(j->'pairs') AS row JOIN contacts_identity p ON p.id = (row->>0)::bigint
    ON CONFLICT (a_id, kind, at, b_id, source) DO NOTHING
), new_conversation AS (
    INSERT INTO contacts_conversation (id, workspace_id, contact_id, phone_number_id)
    SELECT (row->>0)::bigint, (row->>1)::bigint, (row->>2)::bigint, (row->>3)::bigint
    FROM batch, jsonb_array_elements(j->'conversations') AS row
), told AS (
    INSERT INTO contacts_message AS known (
        workspace_id, phone_number_id, contact_id, conversation_id, kapso_message_id, direction, message_type,
        content, payload, media_url, transcript, origin, {
    _FATE
}, reply_to_kapso_id, target_kapso_id, referral,
        phone, user_id, kapso_conversation_id, told)
    SELECT row.workspace_id, row.number_id, row.contact_id, row.conversation_id, row.wamid, row.direction,
           row.message_type, row.content, row.payload, row.media_url, row.transcript, row.origin,
           {", ".join(f"fate.{column}" for column in _FATE.split(", "))},
           row.reply_to, row.target, row.referral, row.phone, row.user_id, row.session, row.told
    FROM batch, jsonb_to_recordset(j->'messages') AS row (
        workspace_id bigint, number_id bigint, wamid text, contact_id bigint, conversation_id bigint,
        direction text, message_type text, content text, payload jsonb, media_url text, transcript text,
        origin text, earliest_at timestamptz, reply_to text, target text, referral jsonb, phone text,
        user_id text, session text, told jsonb)
    CROSS JOIN LATERAL ({
    _fate("row.number_id", "row.wamid", direction="row.direction", earliest="row.earliest_at")
}
    ) AS fate
    ORDER BY row.number_id, row.wamid COLLATE "C"
    ON CONFLICT (phone_number_id, kapso_message_id) DO UPDATE SET
        contact_id = COALESCE(EXCLUDED.contact_id, known.contact_id),
        conversation_id = COALESCE(EXCLUDED.conversation_id, known.conversation_id),
        content = CASE WHEN {_BODY_IS_BETTER} AND known.content_before_edit IS NULL
                       THEN EXCLUDED.content ELSE known.content END,
        content_before_edit = CASE WHEN {_BODY_IS_BETTER} AND known.content_before_edit IS NOT NULL
                                   THEN EXCLUDED.content ELSE known.content_before_edit END,
        {_MERGED},
        direction = GREATEST(known.direction, EXCLUDED.direction),
        origin = CASE WHEN array_position(ARRAY['history_sync', 'cloud_api', 'business_app'], EXCLUDED.origin::text)
                         > COALESCE(array_position(ARRAY['history_sync', 'cloud_api', 'business_app'], known.origin::text), 0)
                      THEN EXCLUDED.origin ELSE known.origin END,
        ({_FATE}) = ({_FATE_OF_BOTH}
        ),
        told = jsonb_strip_nulls(jsonb_build_object({_TOLD}))
    RETURNING phone_number_id, kapso_message_id, phone, user_id, sent_at
), receipted AS (
    UPDATE contacts_message known SET
        contact_id = COALESCE(row.contact_id, known.contact_id),
        conversation_id = COALESCE(row.conversation_id, known.conversation_id),
        ({_FATE}) = ({
    _fate(
        "known.phone_number_id",
        "known.kapso_message_id",
        direction="known.direction",
        earliest="known.earliest_at",
        known="known",
    )
}
        )
    FROM (
        SELECT m.id, (heard->>2)::bigint AS contact_id, (heard->>3)::bigint AS conversation_id
        FROM batch, jsonb_array_elements(j->'receipted') AS heard
        JOIN contacts_message m ON m.phone_number_id = (heard->>0)::bigint AND m.kapso_message_id = heard->>1
    ) AS row
    WHERE known.id = row.id
), waiting AS (
    UPDATE contacts_message m SET contact_id = (row->>1)::bigint, conversation_id = (row->>2)::bigint
    FROM batch, jsonb_array_elements(j->'waiting') AS row
    WHERE m.id = (row->>0)::bigint
      AND (m.contact_id, m.conversation_id) IS DISTINCT FROM ((row->>1)::bigint, (row->>2)::bigint)
)
-- Writers of a lead wait for each other here. REFRESH_DERIVED, a statement later, then sees all that the one before
-- has written; waiting there, it would overwrite it with what it had computed before.
SELECT c.id, NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::timestamptz FROM (
    SELECT c.id FROM contacts_contact c WHERE c.id IN (
        SELECT row::bigint FROM batch, jsonb_array_elements_text(j->'leads') AS row
        UNION
        SELECT mate.contact_id FROM batch, jsonb_array_elements_text(j->'leads') AS row
        JOIN contacts_identity u ON u.contact_id = row::bigint AND u.is_shared AND u.kind = 'user'
        JOIN contacts_identitylink held ON held.b_id = u.id AND held.kind IN ('seen', 'named')
        JOIN contacts_identity p ON p.id = held.a_id AND p.is_shared
        JOIN contacts_identitylink also ON also.a_id = p.id AND also.kind IN ('seen', 'named')
        JOIN contacts_identity mate ON mate.id = also.b_id)
    ORDER BY c.id FOR NO KEY UPDATE
) AS c
UNION ALL
-- Of whom each message is now known to be, and from when: somebody else may have told of it at the same time, naming
-- another identity or time. Compared by the caller: PostgreSQL would read the whole batch again for each message.
SELECT NULL, told.phone_number_id, told.kapso_message_id, told.phone, told.user_id, told.sent_at FROM told
"""
