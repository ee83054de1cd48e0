"""How a delivery is stored with its outcome, what is kept of earlier attempts, and when it is tried again.

All by the database's clock, so that servers whose clocks differ agree on what is due.
"""

from __future__ import annotations

# Seconds until a failed delivery is tried again by itself, by how often it failed in a row: a busy moment passes
# within the first, a restart or a full disk within the next few, and the last leave a team a day to mend the code.
# After that it waits for a human. No jitter: retries are claimed in batches of bounded size, so a thousand that are
# due at once are no stampede.
PAUSES = (10, 60, 300, 1_800, 7_200, 21_600, 86_400)
# The first pause after a lock time-out or a deadlock: nothing is wrong but the moment.
BUSY_PAUSE = 2

# So often whoever tried it may be killed meanwhile: it may be what kills them, by the memory that it takes. Then it waits
# for a human, too.
MOST_DEATHS = 3
NOBODY_CAME_BACK = "Whoever tried this was ended before anything came of it: killed, out of memory, or cut off from the database."

# `received` for that long, it was left behind: by a crash, or by an import that did not finish.
LEFT_AFTER = "interval '1 minute'"

# That the body is not cleared, in words by which `delivery_body_to_clear` is of no use: where most were cleared it is a
# small index, as far as PostgreSQL knows, until it has all of the day's deliveries, and each webhook would read them.
_RETRYABLE = "COALESCE(d.body_cleared_at, '-infinity') = '-infinity'"

# Each by an index of its own; `d` is the delivery.
IS_DUE = f"d.next_retry_at <= now() AND {_RETRYABLE}"
IS_LEFT = f"""d.status = 'received' AND d.next_retry_at IS NULL AND d.received_at < now() - {LEFT_AFTER}
    AND {_RETRYABLE}"""
# The number that it waited for at its newest attempt is here and active now, however it was registered.
IS_AWAITED = f"""d.waits_for && ARRAY(SELECT n.phone_number_id::text FROM contacts_phonenumber n WHERE n.is_active)
    AND d.next_retry_at IS NULL AND {_RETRYABLE}"""  # noqa: S608 - constants of this file

# A copy that may be the next try of what failed speaks for the numbers of both signatures: each was good for this body.
# Of anything else the first signature decides.
#
# Also says whether anything is to be retried, so that no request has to ask. That a number was registered is seen by
# its own first webhook: to ask for all numbers each time would cost more.
STORE = f"""
INSERT INTO kapso_sync_webhookdelivery AS known (
    received_at, idempotency_key, event, phone_number_id, workspace_id, headers, body, body_sha256, served_numbers,
    status, error, attempts, processed_at, code_version, failures, next_retry_at, waits_for)
SELECT row.received_at, row.idempotency_key, row.event, row.phone_number_id, row.workspace_id, row.headers, row.body,
    row.body_sha256, row.served_numbers, row.status, row.error, 1, row.processed_at, row.code_version,
    CASE WHEN row.status = 'failed' THEN 1 ELSE 0 END,
    CASE WHEN row.status = 'failed' THEN now() + make_interval(secs => {PAUSES[0]}) END, row.waits_for
FROM ROWS FROM (
    jsonb_to_recordset(%s::jsonb) AS (
        received_at timestamptz, idempotency_key text, event text, phone_number_id text, workspace_id bigint,
        headers jsonb, body_sha256 text, served_numbers text[], status text, error text, processed_at timestamptz,
        code_version text, waits_for text[]),
    unnest(%s::bytea[])
) AS row (
    received_at, idempotency_key, event, phone_number_id, workspace_id, headers, body_sha256, served_numbers, status,
    error, processed_at, code_version, waits_for, body)
ON CONFLICT (phone_number_id, body_sha256, idempotency_key) DO UPDATE SET duplicates = known.duplicates + 1,
    served_numbers = CASE
        WHEN known.status NOT IN ('received', 'failed') OR known.served_numbers IS NULL THEN known.served_numbers
        WHEN EXCLUDED.served_numbers IS NOT NULL
        THEN ARRAY(SELECT unnest(known.served_numbers) UNION SELECT unnest(EXCLUDED.served_numbers) ORDER BY 1)
    END
RETURNING phone_number_id, body_sha256, idempotency_key, id, xmax = 0, status, attempts, received_at, served_numbers,
    LEAST(received_at, (
        SELECT min(twin.received_at) FROM kapso_sync_webhookdelivery twin
        WHERE twin.phone_number_id = known.phone_number_id AND twin.body_sha256 = known.body_sha256)),
    EXISTS (SELECT FROM kapso_sync_webhookdelivery d WHERE {IS_DUE})
    OR EXISTS (SELECT FROM kapso_sync_webhookdelivery d WHERE {IS_LEFT})
    OR known.status = 'processed' AND EXISTS (
        SELECT FROM kapso_sync_webhookdelivery d
        WHERE d.waits_for @> ARRAY[known.phone_number_id]::text[] AND d.next_retry_at IS NULL AND {_RETRYABLE})
"""  # noqa: S608 - constants of this file

# What the row said before becomes a past attempt, unless this is the attempt that stored it. A replay that changes
# nothing leaves none, or every replay of everything would double the table; a failed attempt is always kept. The rows
# are locked first, in order: of two replays of one delivery at once, the second keeps what the first came to.
#
# Where no retry was due any more, somebody has looked and tries it again, perhaps with mended code: the pauses begin
# anew, or one busy moment would put it aside for good again. Of an attempt from which nobody came back, told by whoever
# has claimed the delivery since: it stays theirs, unless it was one too many.
SAVE_OUTCOMES = f"""
WITH told AS MATERIALIZED (
    SELECT told.*, d.attempts AS former_attempts, d.status AS former_status, d.error AS former_error,
        d.processed_at AS former_at, d.received_at, d.code_version AS former_code,
        CASE WHEN told.is_first OR d.next_retry_at IS NULL THEN 1 ELSE d.failures + 1 END AS in_a_row
    FROM jsonb_to_recordset(%s::jsonb) AS told (
        id bigint, is_first bool, is_busy bool, is_dead bool, status text, error text, event text, workspace_id bigint,
        processed_at timestamptz, code_version text, waits_for text[])
    JOIN kapso_sync_webhookdelivery d ON d.id = told.id
    ORDER BY told.id FOR NO KEY UPDATE OF d
), kept AS (
    INSERT INTO kapso_sync_deliveryattempt (delivery_id, number, at, status, error, code_version)
    SELECT id, former_attempts, COALESCE(former_at, received_at), former_status, former_error, former_code
    FROM told
    WHERE former_attempts > 0 AND NOT is_first AND (
        former_status = 'failed' OR (former_status, former_error, former_code) <> (status, error, code_version))
)
UPDATE kapso_sync_webhookdelivery d SET
    status = told.status, error = told.error, event = told.event, workspace_id = told.workspace_id,
    processed_at = told.processed_at, code_version = told.code_version, waits_for = told.waits_for,
    attempts = CASE WHEN told.is_first THEN 1 ELSE told.former_attempts + 1 END,
    failures = CASE WHEN told.status = 'failed' THEN told.in_a_row ELSE 0 END,
    claims = CASE WHEN told.is_dead THEN d.claims ELSE 0 END,
    next_retry_at = CASE
        WHEN told.is_dead THEN CASE WHEN d.claims <= {MOST_DEATHS} THEN d.next_retry_at END
        WHEN told.status = 'failed' THEN now() + make_interval(secs => CASE
        WHEN told.is_busy AND told.in_a_row = 1 THEN {BUSY_PAUSE}
        ELSE (ARRAY{list(PAUSES)})[told.in_a_row] END) END
FROM told
WHERE d.id = told.id
"""  # noqa: S608 - constants of this file

# The body goes, and whatever quotes it (kapso_sync.clearing).
CLEAR = """
UPDATE kapso_sync_webhookdelivery SET
    body = '', body_cleared_at = %(at)s, next_retry_at = NULL, waits_for = NULL,
    headers = (SELECT COALESCE(jsonb_object_agg(key, value), '{}') FROM jsonb_each(headers)
               WHERE key IN ('x-webhook-event', 'x-webhook-payload-version')),
    status = CASE WHEN status = 'processed' THEN status ELSE 'ignored' END,
    error = CASE WHEN status NOT IN ('processed', 'ignored') THEN %(unfinished)s::text
                 WHEN %(reason)s::text IS NOT NULL THEN
                     CASE WHEN status = 'processed' AND waits_for IS NULL THEN '' ELSE %(reason)s END
                 WHEN waits_for IS NOT NULL THEN concat_ws(E'\n', NULLIF(error, ''), %(unfinished)s::text)
                 ELSE error END
WHERE id = ANY(%(keys)s) AND body_cleared_at IS NULL
"""
