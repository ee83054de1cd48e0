"""Bring the live tables to what a shadow says (contacts.swapping), where the two differ.

Ids stay, and so does what people typed: only facts are written here, and whose messages are; contacts.people and
contacts.refresh derive the rest as ever. A difference was found before the workspace was locked, so each statement
looks again at the rows as they are now.
"""

from __future__ import annotations

from contacts.statements.compare_shadow import (
    AUTOMATION,
    IDENTITIES,
    LINKS,
    MESSAGES,
    PROFILES,
    RECEIPTS,
    SESSIONS,
    TOLD_WHEN,
    Compared,
)
from contacts.statements.seed_shadow import columns

# Of each table what the shadow cannot know: ids, pointers, and what only the live row says of itself.
_OWN = {
    "id",
    "workspace_id",
    "created_at",
    "is_sealed",
    "contact_id",
    "conversation_id",
    "home_id",
    "is_shared",
}
_KEYS = {
    "message": ("phone_number_id", "kapso_message_id"),
    "receipt": ("phone_number_id", "kapso_message_id"),
    "session": ("phone_number_id", "kapso_conversation_id"),
    "identity": ("workspace_id", "kind", "value"),
    "automation": ("kapso_conversation_id", "execution_id", "kind", "served_numbers", "source"),
}
_REFERENCES = {"link": ("a_id", "b_id"), "profile": ("identity_id",)}


def _written(compared: Compared) -> list[str]:
    references = _REFERENCES.get(compared.what, ())
    return [name for name in columns(compared.model) if name not in _OWN and name not in references]


def update(compared: Compared) -> str:
    """A sealed row knows more than the shadow: also what no stored delivery tells."""
    names = _written(compared)
    new = ", ".join(f"s.{name}" for name in names)
    return f"""
        UPDATE public.{compared.table} t SET {", ".join(f"{name} = s.{name}" for name in names)}
        FROM {{shadow}}.difference d JOIN {{shadow}}.{compared.table} s ON s.id = d.shadow_id
        WHERE d.what = '{compared.what}' AND t.id = d.live_id AND NOT t.is_sealed
          AND ({", ".join(f"t.{name}" for name in names)}) IS DISTINCT FROM ({new})
    """


def insert(compared: Compared) -> str:
    """Rows that refer to identities find them by what those are; `found` tells the difference its live row."""
    references = _REFERENCES.get(compared.what, ())
    has_workspace = "workspace_id" in columns(compared.model)
    names = [*(["workspace_id"] if has_workspace else []), *_written(compared), "is_sealed"]
    joins = "".join(
        f" JOIN {{shadow}}.contacts_identity {name}_s ON {name}_s.id = s.{name}"
        f" JOIN public.contacts_identity {name}_l ON {name}_l.workspace_id = {name}_s.workspace_id"
        f" AND {name}_l.kind = {name}_s.kind AND {name}_l.value = {name}_s.value"
        for name in references
    )
    into = ", ".join([*names, *references])
    values = ", ".join([*(f"s.{name}" for name in names), *(f"{name}_l.id" for name in references)])
    return f"""
        INSERT INTO public.{compared.table} ({into})
        SELECT {values}
        FROM {{shadow}}.difference d JOIN {{shadow}}.{compared.table} s ON s.id = d.shadow_id{joins}
        WHERE d.what = '{compared.what}' AND d.live_id IS NULL
        ON CONFLICT DO NOTHING
    """


def find(compared: Compared) -> str:
    """After the insert: which live row a difference is about."""
    keys = _KEYS[compared.what]
    return f"""
        UPDATE {{shadow}}.difference d SET live_id = t.id
        FROM {{shadow}}.{compared.table} s
        JOIN public.{compared.table} t ON {" AND ".join(f"t.{key} = s.{key}" for key in keys)}
        WHERE d.what = '{compared.what}' AND d.live_id IS NULL AND s.id = d.shadow_id
    """


def delete(compared: Compared) -> str:
    """Facts that nothing tells; a delivery that came since they were found missing may."""
    keys = _KEYS.get(compared.what)
    still = "true"
    if keys:
        still = (
            f"NOT EXISTS (SELECT FROM {{shadow}}.{compared.table} s WHERE "
            f"{' AND '.join(f's.{key} = t.{key}' for key in keys)})"
        )
    else:
        still = (
            f"NOT EXISTS (SELECT FROM {{shadow}}.{compared.table} s{_same_identities(compared.what)} WHERE "
            + " AND ".join(
                f"{key.format(row='s')} = {key.format(row='t')}" for key in _FACT_KEYS[compared.what]
            )
            + ")"
        )
    return f"""
        DELETE FROM public.{compared.table} t USING {{shadow}}.difference d
        WHERE d.what = '{compared.what}' AND d.shadow_id IS NULL AND t.id = d.live_id AND NOT t.is_sealed AND {still}
    """


_FACT_KEYS = {
    "link": ("{row}.kind", TOLD_WHEN),
    "profile": ("{row}.field", "{row}.value", "{row}.source"),
}


def _same_identities(what: str) -> str:
    return "".join(
        f" JOIN {{shadow}}.contacts_identity {name}_s ON {name}_s.id = s.{name}"
        f" JOIN public.contacts_identity {name}_l ON {name}_l.id = t.{name}"
        f" AND {name}_l.kind = {name}_s.kind AND {name}_l.value = {name}_s.value"
        for name in _REFERENCES[what]
    )


# A message is never dropped. One that no stored delivery tells is sealed, with all that hangs on it.
KEEP_MESSAGES = """
UPDATE public.contacts_message m SET is_sealed = true
FROM {shadow}.difference d
WHERE d.what = 'message' AND d.shadow_id IS NULL AND m.id = d.live_id AND NOT m.is_sealed AND NOT EXISTS (
    SELECT FROM {shadow}.contacts_message s
    WHERE s.phone_number_id = m.phone_number_id AND s.kapso_message_id = m.kapso_message_id)
RETURNING m.id
"""
KEPT_IDENTITIES = """
UPDATE public.contacts_identity i SET is_sealed = true
FROM public.contacts_message m
WHERE m.id = ANY(%s) AND i.workspace_id = m.workspace_id
  AND (i.kind = 'phone' AND i.value = m.phone OR i.kind = 'user' AND i.value = m.user_id OR i.home_id = m.contact_id)
RETURNING i.id
"""
# Each with the ids of the identities and then of the messages that are kept.
KEPT_FACTS = (
    """
    UPDATE public.contacts_profilefact f SET is_sealed = true
    FROM {shadow}.difference d
    WHERE d.what = 'profile' AND d.shadow_id IS NULL AND f.id = d.live_id AND f.identity_id = ANY(%(identities)s)
    """,
    """
    UPDATE public.contacts_identitylink l SET is_sealed = true
    FROM {shadow}.difference d
    WHERE d.what = 'link' AND d.shadow_id IS NULL AND l.id = d.live_id
      AND l.a_id = ANY(%(identities)s) AND l.b_id = ANY(%(identities)s)
    """,
    """
    UPDATE public.contacts_messagereceipt r SET is_sealed = true
    FROM public.contacts_message m
    WHERE m.id = ANY(%(messages)s) AND r.phone_number_id = m.phone_number_id AND r.kapso_message_id = m.kapso_message_id
    """,
    """
    UPDATE public.contacts_kapsosession s SET is_sealed = true
    FROM public.contacts_message m
    WHERE m.id = ANY(%(messages)s) AND m.kapso_conversation_id <> ''
      AND s.phone_number_id = m.phone_number_id AND s.kapso_conversation_id = m.kapso_conversation_id
    """,
)

# An identity comes back with the lead that it had: the row that the evidence points to, else the one that shows it.
HOMES = """
UPDATE public.contacts_identity i SET home_id = home.id, contact_id = COALESCE(i.contact_id, home.id)
FROM {shadow}.difference d
JOIN {shadow}.contacts_identity s ON s.id = d.shadow_id
LEFT JOIN {shadow}.pair ON pair.shadow_id = s.contact_id
JOIN LATERAL (
    SELECT c.id FROM public.contacts_contact c
    WHERE c.id = pair.live_id
       OR pair.live_id IS NULL AND c.merged_into_id IS NULL AND c.workspace_id = s.workspace_id
          AND (s.kind = 'phone' AND c.phone = s.value OR s.kind = 'user' AND c.business_scoped_user_id = s.value)
    LIMIT 1
) AS home ON true
WHERE d.what = 'identity' AND i.id = d.live_id AND i.home_id IS NULL AND s.home_id IS NOT NULL
"""

# Deliveries that came since the differences were found may have said whose a message is.
BELONGS_NOW = """
UPDATE {shadow}.difference d SET belongs_to = COALESCE(pair.live_id, -s.contact_id)
FROM {shadow}.contacts_message s LEFT JOIN {shadow}.pair ON pair.shadow_id = s.contact_id
WHERE d.what = 'message' AND s.id = d.shadow_id
"""
MAKE_THREADS = """
INSERT INTO public.contacts_conversation (workspace_id, contact_id, phone_number_id)
SELECT DISTINCT m.workspace_id, d.belongs_to, m.phone_number_id
FROM {shadow}.difference d JOIN public.contacts_message m ON m.id = d.live_id
WHERE d.what = 'message' AND d.shadow_id IS NOT NULL AND d.belongs_to > 0
ON CONFLICT (contact_id, phone_number_id) DO NOTHING
"""
# Under the lead that the shadow says; one that is not here yet is made where people are derived, and finds them.
PLACE_MESSAGES = """
WITH placed AS (
    SELECT m.id, m.conversation_id AS was, t.contact_id, t.id AS thread_id
    FROM {shadow}.difference d
    JOIN public.contacts_message m ON m.id = d.live_id
    LEFT JOIN public.contacts_conversation t
        ON t.contact_id = d.belongs_to AND t.phone_number_id = m.phone_number_id
    WHERE d.what = 'message' AND d.shadow_id IS NOT NULL
)
UPDATE public.contacts_message m SET contact_id = placed.contact_id, conversation_id = placed.thread_id
FROM placed
WHERE m.id = placed.id
  AND (m.contact_id, m.conversation_id) IS DISTINCT FROM (placed.contact_id, placed.thread_id)
RETURNING placed.was
"""

# The identities whose people have to be derived, by the lead that they are about: one after the other, because a
# row that nobody has a claim to any more is given to somebody of the same group.
TO_REGROUP = """
WITH moved AS (
    SELECT d.lead_id, d.belongs_to, d.live_id AS identity_id FROM {shadow}.difference d
    LEFT JOIN public.contacts_identity had ON had.id = d.live_id
    WHERE d.what = 'identity' AND (
        d.was IS NULL OR d.shadow_id IS NOT NULL AND d.was->'lead' IS DISTINCT FROM d.becomes->'lead'
        -- One that goes changes who is who only where it brought people together, or a lead was made for it.
        OR d.shadow_id IS NULL AND (had.home_id IS NOT NULL OR EXISTS (
            SELECT FROM public.contacts_identitylink l WHERE had.id IN (l.a_id, l.b_id))))
    UNION ALL
    SELECT d.lead_id, d.belongs_to, i.id FROM {shadow}.difference d
    JOIN public.contacts_identity i ON i.workspace_id = %(workspace)s AND (i.kind, i.value) IN (
        (COALESCE(d.becomes, d.was)->>'k0', COALESCE(d.becomes, d.was)->>'k1'),
        (COALESCE(d.becomes, d.was)->>'k2', COALESCE(d.becomes, d.was)->>'k3'))
    WHERE d.what = 'link'
    UNION ALL
    SELECT d.lead_id, d.belongs_to, i.id FROM {shadow}.difference d
    JOIN public.contacts_message m ON m.id = d.live_id
    JOIN public.contacts_identity i ON i.workspace_id = m.workspace_id
        AND (i.kind, i.value) IN (('phone', m.phone), ('user', m.user_id))
    WHERE d.what = 'message' AND d.belongs_to < 0
)
SELECT array_agg(DISTINCT i.id) FILTER (WHERE i.id IS NOT NULL), array_agg(DISTINCT lead.id) FILTER (WHERE lead.id > 0)
FROM moved
LEFT JOIN public.contacts_identity i ON i.id = moved.identity_id
CROSS JOIN LATERAL (VALUES (moved.lead_id), (moved.belongs_to)) AS lead (id)
GROUP BY COALESCE(moved.belongs_to, moved.lead_id)
ORDER BY COALESCE(moved.belongs_to, moved.lead_id)
"""

TOUCHED_LEADS = """
SELECT DISTINCT c.id FROM {shadow}.difference d, LATERAL (VALUES (d.lead_id), (d.belongs_to)) AS lead (id)
JOIN public.contacts_contact c USING (id)
"""
TOUCHED_SESSIONS = """
SELECT s.phone_number_id, s.kapso_conversation_id
FROM {shadow}.difference d JOIN public.contacts_kapsosession s ON s.id = d.live_id WHERE d.what = 'session'
UNION
SELECT s.phone_number_id, s.kapso_conversation_id
FROM {shadow}.difference d JOIN public.contacts_automationevent a ON a.id = d.live_id
JOIN public.contacts_kapsosession s USING (kapso_conversation_id)
WHERE d.what = 'automation' AND s.workspace_id = %(workspace)s
"""

# Identities first and last: what refers to them is inserted after, and deleted before them.
INSERTED = (IDENTITIES, LINKS, PROFILES, RECEIPTS, SESSIONS, AUTOMATION, MESSAGES)
UPDATED = (IDENTITIES, LINKS, PROFILES, RECEIPTS, SESSIONS, AUTOMATION, MESSAGES)
FOUND = (IDENTITIES, SESSIONS, AUTOMATION, MESSAGES)
DELETED = (LINKS, PROFILES, RECEIPTS, SESSIONS, AUTOMATION, IDENTITIES)

# `named` links to an identity that goes; they are remade by whatever message names it again.
DELETE_NAMED = """
DELETE FROM public.contacts_identitylink l USING {shadow}.difference d
WHERE d.what = 'identity' AND d.shadow_id IS NULL AND d.live_id IN (l.a_id, l.b_id) AND l.kind = 'named'
  AND NOT l.is_sealed AND NOT EXISTS (SELECT FROM public.contacts_identity i WHERE i.id = d.live_id AND i.is_sealed)
"""
INSERT_NAMED = """
INSERT INTO public.contacts_identitylink (workspace_id, kind, a_id, b_id, at)
SELECT a.workspace_id, 'named', a.id, b.id, 'epoch'
FROM {shadow}.difference d
JOIN public.contacts_message m ON m.id = d.live_id
JOIN public.contacts_identity a ON a.workspace_id = m.workspace_id AND a.kind = 'phone' AND a.value = m.phone
JOIN public.contacts_identity b ON b.workspace_id = m.workspace_id AND b.kind = 'user' AND b.value = m.user_id
WHERE d.what = 'message'
ON CONFLICT (a_id, kind, at, b_id, source) DO NOTHING
"""
