"""Leads out of a file (contacts.lead_import). Each statement takes a batch of rows, however many."""

from __future__ import annotations

# Who has, or ever had, these phones and user ids; and up to two who have each of these e-mails: two are several.
# The limits keep the planner from any other order than name by name: it may take the tables for empty, as they were
# when the import began.
MATCH = """
SELECT 'phone', asked.value, held.contact_id FROM unnest(%(phones)s::text[]) AS asked (value) CROSS JOIN LATERAL (
    SELECT i.contact_id FROM contacts_identity i
    WHERE i.workspace_id = %(workspace)s AND i.kind = 'phone' AND i.value = asked.value LIMIT 1) AS held
WHERE held.contact_id IS NOT NULL
UNION ALL
SELECT 'user', asked.value, held.contact_id FROM unnest(%(users)s::text[]) AS asked (value) CROSS JOIN LATERAL (
    SELECT i.contact_id FROM contacts_identity i
    WHERE i.workspace_id = %(workspace)s AND i.kind = 'user' AND i.value = asked.value LIMIT 1) AS held
WHERE held.contact_id IS NOT NULL
UNION ALL
SELECT 'phone', c.phone, COALESCE(c.merged_into_id, c.id) FROM contacts_contact c
WHERE c.workspace_id = %(workspace)s AND c.phone = ANY(%(phones)s::text[])
UNION ALL
SELECT 'email', asked.email, same.id FROM unnest(%(emails)s::text[]) AS asked (email)
CROSS JOIN LATERAL (
    SELECT c.id FROM contacts_contact c
    WHERE c.workspace_id = %(workspace)s AND c.merged_into_id IS NULL AND c.email <> '' AND lower(c.email) = asked.email
    LIMIT 2) AS same
"""

# Whom earlier rows of the file name by these, as far as they were checked; a phone in its shorter form is one of its forms.
EARLIER = """
SELECT 'phone', asked.value, row.person FROM unnest(%(phones)s::text[]) AS asked (value) CROSS JOIN LATERAL (
    SELECT r.person FROM contacts_importrow r
    WHERE r.of_id = %(of)s AND r.phone = asked.value AND r.number < %(before)s ORDER BY r.number DESC LIMIT 1) AS row
UNION ALL
SELECT 'user', asked.value, row.person FROM unnest(%(users)s::text[]) AS asked (value) CROSS JOIN LATERAL (
    SELECT r.person FROM contacts_importrow r
    WHERE r.of_id = %(of)s AND r.user_id = asked.value AND r.number < %(before)s ORDER BY r.number DESC LIMIT 1) AS row
UNION ALL
SELECT 'email', asked.value, row.person FROM unnest(%(emails)s::text[]) AS asked (value) CROSS JOIN LATERAL (
    SELECT DISTINCT r.person FROM contacts_importrow r
    WHERE r.of_id = %(of)s AND r.email = asked.value AND r.number < %(before)s LIMIT 2) AS row
"""

# That the person is not empty is what the index asks for.
AFTER = """
SELECT asked.person, row.after FROM unnest(%(persons)s::text[]) AS asked (person) CROSS JOIN LATERAL (
    SELECT r.after FROM contacts_importrow r
    WHERE r.of_id = %(of)s AND r.person = asked.person AND r.person <> '' AND r.number < %(before)s
    ORDER BY r.number DESC LIMIT 1) AS row
"""

# The first row of the file that named each of these leads.
NAMED_BEFORE = """
SELECT r.contact_id, min(r.number) FROM contacts_importrow r
WHERE r.contact_id = ANY(%(leads)s::bigint[]) AND r.of_id = %(of)s AND r.number < %(before)s GROUP BY r.contact_id
"""

# Locked before, so nobody has changed them since they were read.
CHANGE = """
UPDATE contacts_contact c SET
    phone = row.phone, business_scoped_user_id = row.user_id, name = row.name, chosen_name = row.chosen_name,
    email = row.email, lead_score = row.lead_score, tags = row.tags, owner_id = row.owner, metadata = row.metadata
FROM jsonb_to_recordset(%(leads)s::jsonb) AS row (
    id bigint, phone text, user_id text, name text, chosen_name text, email text, lead_score int, tags varchar[],
    owner int, metadata jsonb)
WHERE c.id = row.id
"""

RECORD_ROWS = """
UPDATE contacts_importrow r SET
    outcome = row.outcome, told = row.told, phone = row.phone, user_id = row.user_id, email = row.email,
    person = COALESCE(row.person, ''), after = row.after, contact_id = row.contact
FROM jsonb_to_recordset(%(rows)s::jsonb) AS row (
    id bigint, outcome text, told jsonb, phone text, user_id text, email text, person text, after jsonb, contact bigint)
WHERE r.id = row.id
"""

# Taking an import back: whoever it made and nobody has had to do with since. What people or messages hang on a lead
# keeps it, as does another lead that was merged into it.
UNTOUCHED = """
SELECT c.id FROM contacts_contact c
WHERE c.id = ANY(%(leads)s::bigint[]) AND c.merged_into_id IS NULL AND NOT c.made_by_sync
  AND c.last_activity_at IS NULL AND c.last_inbound_at IS NULL AND c.last_contact_at IS NULL
  AND NOT EXISTS (SELECT FROM contacts_conversation t WHERE t.contact_id = c.id)
  AND NOT EXISTS (SELECT FROM contacts_message m WHERE m.contact_id = c.id)
  AND NOT EXISTS (SELECT FROM contacts_note n WHERE n.contact_id = c.id)
  AND NOT EXISTS (SELECT FROM contacts_followup f WHERE f.contact_id = c.id)
  AND NOT EXISTS (SELECT FROM contacts_statuschange s WHERE s.contact_id = c.id)
  AND NOT EXISTS (SELECT FROM contacts_leadchange l WHERE l.contact_id = c.id AND l.bulk_id IS DISTINCT FROM %(bulk)s)
  AND NOT EXISTS (SELECT FROM contacts_contactmerge m WHERE c.id IN (m.survivor_id, m.merged_id))
  AND NOT EXISTS (SELECT FROM contacts_contact m WHERE m.merged_into_id = c.id)
  AND NOT EXISTS (
    SELECT FROM contacts_identity i WHERE (i.contact_id = c.id OR i.home_id = c.id) AND (
        i.first_seen_at IS NOT NULL OR i.kind = 'lead' OR i.contact_id <> c.id OR i.home_id <> c.id
        OR EXISTS (SELECT FROM contacts_profilefact f WHERE f.identity_id = i.id)
        OR EXISTS (SELECT FROM contacts_identitylink k WHERE i.id IN (k.a_id, k.b_id) AND (k.kind <> 'seen' OR k.at <> 'epoch'))))
ORDER BY c.id FOR UPDATE
"""
