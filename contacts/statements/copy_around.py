"""What a rehearsal starts from: a copy of all that the sync would look at for what some events name.

Run on a shadow's stage (contacts.shadow), once for each batch: what is here already stays as earlier batches left it.
A person that a batch names for the first time was out of the reach of those before it, so its live rows are as they
would be.
"""

from __future__ import annotations

from contacts.models import (
    AutomationEvent,
    Contact,
    Conversation,
    Identity,
    IdentityLink,
    KapsoSession,
    Message,
    MessageReceipt,
    ProfileFact,
)
from contacts.statements.seed_shadow import copy_of

# What the events name, by the rows that they name; and the closure of it.
TABLES = """
CREATE TABLE near_message (id bigint PRIMARY KEY);
CREATE TABLE near_session (id bigint PRIMARY KEY);
CREATE TABLE near_identity (id bigint PRIMARY KEY);
CREATE TABLE near_lead (id bigint PRIMARY KEY);
"""

# The messages themselves, what acts on them, and what they act on.
NEAR_MESSAGES = """
WITH named AS MATERIALIZED (
    SELECT (row->>0)::bigint AS number_id, row->>1 AS wamid FROM jsonb_array_elements(%(messages)s::jsonb) AS row
), told AS (
    SELECT m.id, m.phone_number_id, m.target_kapso_id FROM named JOIN public.contacts_message m
        ON m.phone_number_id = named.number_id AND m.kapso_message_id = named.wamid
    UNION SELECT m.id, m.phone_number_id, m.target_kapso_id FROM named JOIN public.contacts_message m
        ON m.phone_number_id = named.number_id AND m.target_kapso_id = named.wamid AND m.target_kapso_id <> ''
)
INSERT INTO near_message
SELECT id FROM told
UNION SELECT t.id FROM told JOIN public.contacts_message t
    ON t.phone_number_id = told.phone_number_id AND t.kapso_message_id = told.target_kapso_id
UNION SELECT e.id FROM told JOIN public.contacts_message e
    ON e.phone_number_id = told.phone_number_id AND e.target_kapso_id = told.target_kapso_id
    AND e.target_kapso_id <> ''
ON CONFLICT DO NOTHING
"""

# Sessions by their id alone: a workflow's event names no number.
NEAR_SESSIONS = """
INSERT INTO near_session
SELECT s.id FROM jsonb_array_elements_text(%(sessions)s::jsonb) AS named
JOIN public.contacts_kapsosession s ON s.kapso_conversation_id = named
ON CONFLICT DO NOTHING
"""

# As contacts.people loads them: every identity that any link reaches, and whoever shares a lead with one.
NEAR_IDENTITIES = """
WITH RECURSIVE named AS MATERIALIZED (
    SELECT (row->>0)::bigint AS workspace_id, row->>1 AS kind, row->>2 AS value
    FROM jsonb_array_elements(%(identities)s::jsonb) AS row
    UNION SELECT m.workspace_id, v.kind, v.value FROM near_message JOIN public.contacts_message m USING (id),
        LATERAL (VALUES ('phone', m.phone), ('user', m.user_id)) AS v (kind, value)
    UNION SELECT s.workspace_id, v.kind, v.value FROM near_session JOIN public.contacts_kapsosession s USING (id),
        LATERAL (VALUES ('phone', s.phone), ('user', s.user_id)) AS v (kind, value)
), held AS MATERIALIZED (
    SELECT m.contact_id FROM near_message JOIN public.contacts_message m USING (id)
    UNION SELECT t.contact_id FROM near_session JOIN public.contacts_kapsosession s USING (id)
        JOIN public.contacts_conversation t ON t.id = s.conversation_id
), around (id) AS (
    (SELECT i.id FROM named JOIN public.contacts_identity i USING (workspace_id, kind, value)
     UNION SELECT i.id FROM held JOIN public.contacts_identity i USING (contact_id))
    UNION
    SELECT next.id FROM around CROSS JOIN LATERAL (
        SELECT b_id AS id FROM public.contacts_identitylink WHERE a_id = around.id
        UNION SELECT a_id FROM public.contacts_identitylink WHERE b_id = around.id
        UNION SELECT mate.id FROM public.contacts_identity me
              JOIN public.contacts_identity mate ON mate.contact_id = me.contact_id OR mate.contact_id = me.home_id
                  OR mate.home_id = me.home_id
              WHERE me.id = around.id
    ) AS next
)
INSERT INTO near_identity SELECT id FROM around ON CONFLICT DO NOTHING
"""

NEAR_LEADS = """
WITH RECURSIVE lead (id) AS (
    SELECT id FROM (
        SELECT contact_id AS id FROM near_identity JOIN public.contacts_identity USING (id)
        UNION SELECT home_id FROM near_identity JOIN public.contacts_identity USING (id)
        UNION SELECT contact_id FROM near_message JOIN public.contacts_message USING (id)
        UNION SELECT t.contact_id FROM near_session JOIN public.contacts_kapsosession s USING (id)
              JOIN public.contacts_conversation t ON t.id = s.conversation_id
        -- Somebody may have typed a known phone or user id into another lead.
        UNION SELECT c.id FROM near_identity JOIN public.contacts_identity i USING (id)
              JOIN public.contacts_contact c ON c.workspace_id = i.workspace_id
                  AND (i.kind = 'phone' AND c.phone = i.value OR i.kind = 'user' AND c.business_scoped_user_id = i.value)
    ) AS named WHERE id IS NOT NULL
    UNION
    SELECT c.merged_into_id FROM lead JOIN public.contacts_contact c USING (id) WHERE c.merged_into_id IS NOT NULL
)
INSERT INTO near_lead SELECT id FROM lead ON CONFLICT DO NOTHING
"""

_LEAD = "r.contact_id IN (SELECT id FROM near_lead)"
_IDENTITY = "SELECT id FROM near_identity"
_WAITS = f"""r.{{pointer}} IS NULL AND EXISTS (
    SELECT FROM public.contacts_identity i WHERE i.id IN ({_IDENTITY}) AND i.workspace_id = r.workspace_id
      AND (i.kind = 'phone' AND i.value = r.phone OR i.kind = 'user' AND i.value = r.user_id))"""

COPIES = (
    copy_of(Contact, "r.id IN (SELECT id FROM near_lead)"),
    copy_of(Identity, f"r.id IN ({_IDENTITY})"),
    copy_of(IdentityLink, f"r.a_id IN ({_IDENTITY}) OR r.b_id IN ({_IDENTITY})"),
    copy_of(ProfileFact, f"r.identity_id IN ({_IDENTITY})"),
    copy_of(Conversation, _LEAD),
    copy_of(Message, _LEAD),
    copy_of(Message, "r.id IN (SELECT id FROM near_message)"),
    copy_of(Message, _WAITS.format(pointer="contact_id")),
    # Messages that name nobody are whose their session is.
    copy_of(
        Message,
        "r.phone IS NULL AND r.user_id IS NULL AND r.kapso_conversation_id <> '' "
        "AND (r.phone_number_id, r.kapso_conversation_id) IN ("
        "SELECT phone_number_id, kapso_conversation_id FROM near_session JOIN public.contacts_kapsosession USING (id))",
    ),
    copy_of(
        MessageReceipt,
        "(r.phone_number_id, r.kapso_message_id) IN (SELECT phone_number_id, kapso_message_id FROM contacts_message "
        "UNION SELECT (row->>0)::bigint, row->>1 FROM jsonb_array_elements(%(messages)s::jsonb) AS row)",
    ),
    copy_of(KapsoSession, "r.conversation_id IN (SELECT id FROM contacts_conversation)"),
    copy_of(KapsoSession, "r.id IN (SELECT id FROM near_session)"),
    copy_of(KapsoSession, _WAITS.format(pointer="conversation_id")),
    copy_of(
        AutomationEvent,
        "r.kapso_conversation_id IN (SELECT kapso_conversation_id FROM contacts_kapsosession "
        "UNION SELECT jsonb_array_elements_text(%(sessions)s::jsonb))",
    ),
)

AROUND = (NEAR_MESSAGES, NEAR_SESSIONS, NEAR_IDENTITIES, NEAR_LEADS, *COPIES)
