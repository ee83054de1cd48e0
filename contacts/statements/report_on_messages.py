"""What managers are told of a workspace's messages (contacts.reports): what came and went, who was answered how fast.

Read-only. All of it is computed from turns: messages that somebody wrote and that did not fail, in event time. So a
replay, an import of old history or a merge changes a figure to where it should have been, and to nothing else.
"""

from __future__ import annotations

_OF_PERIOD = """m.workspace_id = %(workspace)s AND m.sent_at >= %(since)s AND m.sent_at < %(until)s
        AND m.contact_id IS NOT NULL AND m.is_turn"""

# Leads whose first message is of the period, with its time. Each is looked up by itself: as NOT EXISTS it would be
# compared with all earlier messages of everybody.
_FIRST = """
    SELECT turn.contact_id, turn.sent_at
    FROM (SELECT contact_id, min(sent_at) AS sent_at FROM turn GROUP BY contact_id) AS turn
    WHERE (SELECT m.id FROM contacts_message m
        WHERE m.contact_id = turn.contact_id AND m.sent_at < %(since)s AND m.is_turn LIMIT 1) IS NULL"""

_TURNS = f"""
WITH turn AS MATERIALIZED (
    SELECT m.contact_id, m.direction, m.sent_at FROM contacts_message m WHERE {_OF_PERIOD}
)"""

# `midnights` begin the days and end the last one: a day is what lies between two of them, however long it is.
BY_DAY = f"""{_TURNS}
SELECT width_bucket(turn.sent_at, %(midnights)s::timestamptz[]) - 1, turn.direction, count(*) FROM turn GROUP BY 1, 2
UNION ALL
SELECT width_bucket(first.sent_at, %(midnights)s::timestamptz[]) - 1, 'new', count(*)
FROM ({_FIRST}) AS first GROUP BY 1
"""

NEW_LEADS = f"""{_TURNS}
SELECT first.contact_id FROM ({_FIRST}) AS first ORDER BY first.sent_at DESC, first.contact_id DESC LIMIT %(most)s
"""

# A wait begins with the first message of the customer after ours, and ends with our next one: of the turns only those
# matter that another side wrote than the one before. At one moment the customer's comes first, so that ours answers
# it. What a lead's first message in the period is, the messages before it tell: the rest of a wait that began
# earlier is none of the period's, and who never wrote before has their first response to come.
_WAITS = f"""
WITH side AS MATERIALIZED (
    SELECT turn.contact_id, turn.direction, turn.sent_at, row_number() OVER lead AS nth,
        lead(turn.sent_at) OVER lead AS answered_at
    FROM (SELECT m.contact_id, m.direction, m.sent_at, lag(m.direction) OVER (
            PARTITION BY m.contact_id ORDER BY m.sent_at, m.direction) AS former
        FROM contacts_message m WHERE {_OF_PERIOD}) AS turn
    WHERE turn.former IS DISTINCT FROM turn.direction
    WINDOW lead AS (PARTITION BY turn.contact_id ORDER BY turn.sent_at, turn.direction)
), wait AS MATERIALIZED (
    SELECT side.contact_id, side.sent_at AS began_at, side.answered_at,
        side.nth <= 2 AND earlier.inbound_at IS NULL AS is_first
    FROM side
    LEFT JOIN LATERAL (SELECT
        (SELECT m.sent_at FROM contacts_message m WHERE m.contact_id = side.contact_id AND m.direction = 'inbound'
            AND m.sent_at < %(since)s AND m.is_turn ORDER BY m.sent_at DESC LIMIT 1) AS inbound_at,
        (SELECT m.sent_at FROM contacts_message m WHERE m.contact_id = side.contact_id AND m.direction = 'outbound'
            AND m.sent_at < %(since)s AND m.is_turn ORDER BY m.sent_at DESC LIMIT 1) AS outbound_at
        WHERE side.nth <= 2
    ) AS earlier ON true
    WHERE side.direction = 'inbound' AND side.answered_at IS NOT NULL
        AND (side.nth > 1 OR earlier.inbound_at IS NULL OR earlier.outbound_at >= earlier.inbound_at)
), hours AS (
    SELECT %(opens)s::timestamptz[] AS opens, %(lengths)s::float8[] AS lengths, %(before)s::float8[] AS before
), taken AS MATERIALIZED (
    SELECT wait.*, contact.owner_id, answered.seconds - began.seconds AS seconds
    FROM wait JOIN contacts_contact contact ON contact.id = wait.contact_id
    CROSS JOIN hours
    -- How long it was open until then: the difference of two such is the time between them in business hours.
    CROSS JOIN LATERAL (SELECT width_bucket(wait.began_at, hours.opens) AS i) AS b
    CROSS JOIN LATERAL (SELECT width_bucket(wait.answered_at, hours.opens) AS i) AS a
    CROSS JOIN LATERAL (SELECT COALESCE(hours.before[b.i] + LEAST(hours.lengths[b.i],
        EXTRACT(epoch FROM wait.began_at - hours.opens[b.i])::float8), 0) AS seconds) AS began
    CROSS JOIN LATERAL (SELECT COALESCE(hours.before[a.i] + LEAST(hours.lengths[a.i],
        EXTRACT(epoch FROM wait.answered_at - hours.opens[a.i])::float8), 0) AS seconds) AS answered
)"""

REPLIES = f"""{_WAITS}
SELECT GROUPING(owner_id) = 1, owner_id, count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds),
    count(*) FILTER (WHERE is_first), percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE is_first)
FROM taken GROUP BY GROUPING SETS ((), (owner_id))
"""

# The slowest first. `of_owner`: only those of the leads of `owner`, nobody's if it is null.
SLOWEST = f"""{_WAITS}
SELECT contact_id, began_at, answered_at, seconds FROM taken
WHERE (is_first OR NOT %(only_first)s) AND (NOT %(of_owner)s OR owner_id IS NOT DISTINCT FROM %(owner)s)
ORDER BY seconds DESC, began_at, contact_id LIMIT %(most)s
"""

# No further than the newest so many: of a larger workspace the figures say that they are of those.
LEADS = """
SELECT GROUPING(lead_status), GROUPING(source), GROUPING(owner_id), lead_status, source, owner_id, count(*) FROM (
    SELECT c.lead_status, c.source, c.owner_id FROM contacts_contact c
    WHERE c.workspace_id = %(workspace)s AND c.merged_into_id IS NULL
    ORDER BY c.last_activity_at DESC NULLS LAST, c.id DESC LIMIT %(most)s) AS lead
GROUP BY GROUPING SETS ((lead_status), (source), (owner_id, lead_status), ())
"""
