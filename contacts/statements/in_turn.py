"""New leads given out among the agents who are on (contacts.in_turn)."""

from __future__ import annotations

# Nobody's lead, and never anybody's; made by a customer who wrote, and whose first message came as it happened and
# since the workspace does this. A history import, or a replay of what is older, makes no such lead. The provider
# counts in whole seconds, and its clock may be a little behind ours.
_DUE = """
    contacts_contact c JOIN contacts_workspace w ON w.id = c.workspace_id AND w.assigns_in_turn
    CROSS JOIN LATERAL (SELECT w.in_turn_since - interval '1 minute' AS at) AS since
    CROSS JOIN LATERAL (
        SELECT m.sent_at, m.origin FROM contacts_message m WHERE m.contact_id = c.id ORDER BY m.sent_at, m.id LIMIT 1
    ) AS first
    WHERE c.owner_id IS NULL AND c.merged_into_id IS NULL AND c.lead_status = 'new' AND c.made_by_sync
      AND c.created_at >= since.at AND NOT c.typed_at ? 'owner' AND c.last_inbound_at IS NOT NULL
      AND first.sent_at >= since.at AND first.origin <> 'history_sync'
"""
_AGENTS = """
    SELECT a.id, a.workspace_id, a.user_id, a.given_at FROM contacts_membership a
    JOIN auth_user u ON u.id = a.user_id AND u.is_active
    WHERE a.role = 'agent' AND a.takes_leads
"""

# The workspaces in which there is something to give, and somebody to take it.
WHERE_DUE = f"""
SELECT team.id FROM contacts_workspace team
WHERE team.assigns_in_turn AND (%(workspaces)s::bigint[] IS NULL OR team.id = ANY(%(workspaces)s::bigint[]))
  AND EXISTS (SELECT FROM ({_AGENTS}) AS a WHERE a.workspace_id = team.id)
  AND EXISTS (SELECT FROM {_DUE} AND c.workspace_id = team.id)
ORDER BY team.id
"""

# Whoever gives out leads of a workspace does so alone; webhooks, which only refer to the workspace, do not wait.
LOCK = """
SELECT id FROM contacts_workspace WHERE id = ANY(%(workspaces)s::bigint[]) AND assigns_in_turn
ORDER BY id FOR NO KEY UPDATE
"""

# After LOCK, in a statement of its own, which sees what those before us have given. The oldest lead goes to whoever
# waits longest, and so on around. The row decides once more in the end: meanwhile somebody may have taken the lead.
GIVE = f"""
WITH due AS MATERIALIZED (
    SELECT c.id FROM {_DUE} AND c.workspace_id = ANY(%(workspaces)s::bigint[])
    ORDER BY c.id LIMIT %(most)s FOR NO KEY UPDATE OF c
), lead AS (
    SELECT c.id, c.workspace_id, row_number() OVER (PARTITION BY c.workspace_id ORDER BY c.created_at, c.id) - 1 AS nth
    FROM due JOIN contacts_contact c USING (id)
), agent AS (
    SELECT a.id, a.workspace_id, a.user_id, count(*) OVER (PARTITION BY a.workspace_id) AS agents,
           row_number() OVER (PARTITION BY a.workspace_id ORDER BY a.given_at NULLS FIRST, a.id) - 1 AS nth
    FROM ({_AGENTS}) AS a WHERE a.workspace_id = ANY(%(workspaces)s::bigint[])
), given AS (
    UPDATE contacts_contact c SET owner_id = agent.user_id
    FROM lead JOIN agent ON agent.workspace_id = lead.workspace_id AND agent.nth = mod(lead.nth, agent.agents)
    WHERE c.id = lead.id AND c.owner_id IS NULL
    RETURNING c.id, c.workspace_id, c.owner_id, agent.id AS agent_id, lead.nth
), moment AS MATERIALIZED (
    SELECT clock_timestamp() AS at
), turn AS (
    UPDATE contacts_membership a SET given_at = moment.at + last.nth * interval '1 microsecond'
    FROM moment, (SELECT agent_id, max(nth) AS nth FROM given GROUP BY agent_id) AS last WHERE a.id = last.agent_id
)
INSERT INTO contacts_leadchange (workspace_id, contact_id, kind, before, after, reason)
SELECT workspace_id, id, 'owner', NULL, to_jsonb(owner_id), %(reason)s FROM given ORDER BY id
RETURNING contact_id
"""
