"""How a shadow and the live tables differ (contacts.difference): by natural keys, ids and bookkeeping aside.

`{shadow}` is the shadow's schema. What differs is collected in its table `difference`, which the page, the commands
and the swap read.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Model

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
from contacts.statements.refresh_derived import TOUCH_LABEL
from contacts.statements.seed_shadow import columns

TABLES = """
DROP TABLE IF EXISTS {shadow}.pair, {shadow}.difference;
CREATE TABLE {shadow}.pair (live_id bigint UNIQUE, shadow_id bigint PRIMARY KEY);
CREATE TABLE {shadow}.difference (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, workspace_id bigint, what text, live_id bigint, shadow_id bigint,
    -- The lead in question: a live one, or minus the id of one that is only in the shadow.
    lead_id bigint, belongs_to bigint, was jsonb, becomes jsonb);
"""

# A rehearsal has copied the leads with their ids.
PAIR_BY_ID = """
INSERT INTO {shadow}.pair SELECT c.id, c.id FROM {shadow}.contacts_contact c JOIN public.contacts_contact l USING (id)
"""

# A rebuild has made its own: two leads are the same where they share the most identities, and then messages.
PAIR_BY_EVIDENCE = """
INSERT INTO {shadow}.pair
WITH vote AS (
    SELECT l.contact_id AS live_id, s.contact_id AS shadow_id, 1000 * count(*) AS votes
    FROM public.contacts_identity l JOIN {shadow}.contacts_identity s USING (workspace_id, kind, value)
    WHERE l.workspace_id = %(workspace)s AND l.contact_id IS NOT NULL AND s.contact_id IS NOT NULL
    GROUP BY 1, 2
    UNION ALL
    SELECT l.contact_id, s.contact_id, count(*)
    FROM public.contacts_message l JOIN {shadow}.contacts_message s USING (phone_number_id, kapso_message_id)
    WHERE l.workspace_id = %(workspace)s AND l.contact_id IS NOT NULL AND s.contact_id IS NOT NULL
    GROUP BY 1, 2
    UNION ALL
    SELECT c.id, c.id, 1000000 FROM {shadow}.contacts_contact c
    WHERE NOT c.made_by_sync OR EXISTS (SELECT FROM {shadow}.contacts_identity i WHERE i.contact_id = c.id)
), likeness AS (
    SELECT live_id, shadow_id, sum(votes) AS votes
    FROM vote
    JOIN public.contacts_contact l ON l.id = live_id AND l.merged_into_id IS NULL
    JOIN {shadow}.contacts_contact s ON s.id = shadow_id AND s.merged_into_id IS NULL
    GROUP BY 1, 2
), ranked AS (
    SELECT live_id, shadow_id,
           row_number() OVER (PARTITION BY live_id ORDER BY votes DESC, shadow_id) AS of_live,
           row_number() OVER (PARTITION BY shadow_id ORDER BY votes DESC, live_id) AS of_shadow
    FROM likeness
)
SELECT live_id, shadow_id FROM ranked WHERE of_live = 1 AND of_shadow = 1
"""

_IDENTITY = frozenset({"id", "workspace_id", "is_sealed", "created_at"})


@dataclass(frozen=True, slots=True)
class Compared:
    """A table, and how its rows are known again: `keys` and `lead` are expressions over the row `r` and its `joins`.

    `is_placed`: a row under another lead differs.
    """

    what: str
    model: type[Model]
    keys: tuple[str, ...]
    values: tuple[str, ...]
    lead: str = "NULL::bigint"
    joins: str = ""
    where: str = "r.workspace_id = %(workspace)s"
    is_placed: bool = False
    ours_alone: bool = False  # a live row that the shadow lacks is no difference
    special: tuple[tuple[str, str], ...] = ()  # values that are compared in a way of their own

    @property
    def table(self) -> str:
        return self.model._meta.db_table  # noqa: SLF001


def _values(model: type[Model], *without: str) -> tuple[str, ...]:
    return tuple(f"r.{name}" for name in columns(model, _IDENTITY | set(without)))


_OF_IDENTITY = "JOIN {schema}.contacts_identity i ON i.id = r.identity_id"
_IN_PLACE = "COALESCE(t.contact_id = r.contact_id AND t.phone_number_id = r.phone_number_id, false)"

MESSAGES = Compared(
    what="message",
    model=Message,
    keys=("r.phone_number_id", "r.kapso_message_id"),
    # `told` says how good the tellings were that a row is made of; the row is what counts.
    values=(
        *_values(Message, "phone_number_id", "kapso_message_id", "contact_id", "conversation_id", "told"),
        f"{_IN_PLACE} AS is_in_its_thread",
    ),
    lead="r.contact_id",
    joins="LEFT JOIN {schema}.contacts_conversation t ON t.id = r.conversation_id",
    is_placed=True,
)
IDENTITIES = Compared(
    what="identity",
    model=Identity,
    keys=("r.kind", "r.value"),
    values=("r.first_seen_at", "r.last_seen_at"),
    lead="r.contact_id",
    is_placed=True,
)
# By what a link is told apart from another that says the same: the time it has, or the body that had none.
TOLD_WHEN = "COALESCE(NULLIF({row}.source, ''), {row}.at::text)"
# `named` links only lead to messages that name both: which of them are there depends on the order of arrival.
LINKS = Compared(
    what="link",
    model=IdentityLink,
    keys=("a.kind", "a.value", "b.kind", "b.value", "r.kind", TOLD_WHEN.format(row="r")),
    values=("r.at",),
    lead="a.contact_id",
    joins="JOIN {schema}.contacts_identity a ON a.id = r.a_id JOIN {schema}.contacts_identity b ON b.id = r.b_id",
    where="r.workspace_id = %(workspace)s AND r.kind <> 'named'",
)
PROFILES = Compared(
    what="profile",
    model=ProfileFact,
    keys=("i.kind", "i.value", "r.field", "r.value", "r.source"),
    values=("r.first_at", "r.last_at", "r.counts_as_activity"),
    lead="i.contact_id",
    joins=_OF_IDENTITY,
)
RECEIPTS = Compared(
    what="receipt",
    model=MessageReceipt,
    keys=("r.phone_number_id", "r.kapso_message_id"),
    values=_values(MessageReceipt, "phone_number_id", "kapso_message_id"),
    lead="m.contact_id",
    joins="LEFT JOIN {schema}.contacts_message m USING (phone_number_id, kapso_message_id)",
)
SESSIONS = Compared(
    what="session",
    model=KapsoSession,
    keys=("r.phone_number_id", "r.kapso_conversation_id"),
    values=_values(KapsoSession, "phone_number_id", "kapso_conversation_id", "conversation_id"),
    lead="t.contact_id",
    joins="LEFT JOIN {schema}.contacts_conversation t ON t.id = r.conversation_id",
    is_placed=True,
)
_SESSION_OF_OURS = """EXISTS (
    SELECT FROM {schema}.contacts_kapsosession s
    WHERE s.kapso_conversation_id = r.kapso_conversation_id AND s.workspace_id = %(workspace)s)"""
AUTOMATION = Compared(
    what="automation",
    model=AutomationEvent,
    keys=("r.kapso_conversation_id", "r.execution_id", "r.kind", "r.served_numbers", "r.source"),
    values=("r.reason", "r.at"),
    where=_SESSION_OF_OURS,
)
# A thread without messages is one that somebody made.
THREADS = Compared(
    what="thread",
    model=Conversation,
    keys=("r.phone_number_id",),
    values=_values(Conversation, "phone_number_id", "contact_id"),
    lead="r.contact_id",
    where="r.workspace_id = %(workspace)s "
    "AND EXISTS (SELECT FROM {schema}.contacts_message m WHERE m.contact_id = r.contact_id AND m.conversation_id = r.id)",
    is_placed=True,
    ours_alone=True,
)
# What people typed is theirs: a name that is not the chosen one, a source that no ad gave.
_CHOSEN_NAME = "CASE WHEN r.name IN ('', r.chosen_name) THEN r.name END AS name"
_CHOSEN_SOURCE = f"""CASE WHEN r.source IN ('', 'whatsapp') OR r.source = (
    SELECT left({TOUCH_LABEL}, 255) FROM (SELECT r.first_touch AS touch) AS first) THEN r.source END AS source"""
_DERIVED = (
    "phone", "business_scoped_user_id", "parent_user_id", "username", "kapso_name", "first_touch", "last_touch",
    "marketing_opt_out", "last_activity_at", "last_contact_at", "last_inbound_at", "unanswered_since",
)  # fmt: skip
LEADS = Compared(
    what="lead",
    model=Contact,
    keys=(),
    values=(*(f"r.{name}" for name in _DERIVED), _CHOSEN_NAME, _CHOSEN_SOURCE),
    lead="r.id",
    where="r.workspace_id = %(workspace)s AND r.merged_into_id IS NULL "
    "AND (NOT r.made_by_sync OR EXISTS (SELECT FROM {schema}.contacts_identity i WHERE i.contact_id = r.id))",
    is_placed=True,
    ours_alone=True,
    special=(
        ("name", "live.name IS NOT NULL AND shadow.name IS DISTINCT FROM live.name"),
        ("source", "live.source IS NOT NULL AND shadow.source IS DISTINCT FROM live.source"),
    ),
)

EVERYTHING = (LEADS, IDENTITIES, LINKS, PROFILES, THREADS, SESSIONS, AUTOMATION, MESSAGES, RECEIPTS)


def _name(value: str) -> str:
    return value.rsplit(" AS ", 1)[-1].rsplit(".", 1)[-1]


def _side(compared: Compared, schema: str) -> str:
    keys = [f"{key} AS k{index}" for index, key in enumerate(compared.keys)]
    rows = [*keys, f"{compared.lead} AS lead", *compared.values]
    return (
        f"SELECT r.id, {', '.join(rows)} FROM {schema}.{compared.table} r {compared.joins} WHERE {compared.where}"
    ).replace("{schema}", schema)


def collect(compared: Compared, *, copied: bool) -> str:
    """The statement that adds this table's differences; `copied`: of the live rows only those that were copied."""
    live = _side(compared, "public")
    if copied:
        live += f" AND r.id IN (SELECT id FROM {{shadow}}.{compared.table})"
    names = [_name(value) for value in compared.values]
    special = dict(compared.special)
    differs = [special.get(name, f"live.{name} IS DISTINCT FROM shadow.{name}") for name in names]
    if compared.is_placed:
        differs.append("live.lead IS DISTINCT FROM shadow.lead")
    keys = [f"live.k{index} = shadow.k{index}" for index in range(len(compared.keys))]
    if compared.ours_alone:
        keys.append("live.lead = shadow.lead")
    join = "RIGHT JOIN" if compared.ours_alone else "FULL JOIN"
    return f"""
        INSERT INTO {{shadow}}.difference (workspace_id, what, live_id, shadow_id, lead_id, belongs_to, was, becomes)
        SELECT %(workspace)s, '{compared.what}', live.id, shadow.id, COALESCE(live.lead, shadow.lead), shadow.lead,
               to_jsonb(live), to_jsonb(shadow)
        FROM ({live}) AS live
        {join} (
            SELECT r.*, CASE WHEN r.found IS NOT NULL THEN COALESCE(pair.live_id, -r.found) END AS lead
            FROM ({_side(compared, "{shadow}").replace(" AS lead", " AS found", 1)}) AS r
            LEFT JOIN {{shadow}}.pair ON pair.shadow_id = r.found
        ) AS shadow ON {" AND ".join(keys)}
        WHERE live.id IS NULL OR shadow.id IS NULL OR {" OR ".join(differs) or "false"}
    """


# Two leads turn out to be one, or not to be one any more: only a rehearsal knows both by their ids.
COLLECT_MERGES = """
INSERT INTO {shadow}.difference (workspace_id, what, live_id, shadow_id, lead_id, belongs_to, was, becomes)
SELECT l.workspace_id, CASE WHEN s.merged_into_id IS NULL THEN 'parted' ELSE 'merged' END, l.id, s.id, l.id,
       COALESCE(pair.live_id, -s.merged_into_id), '{}', '{}'
FROM {shadow}.contacts_contact s
JOIN public.contacts_contact l USING (id)
LEFT JOIN {shadow}.pair ON pair.shadow_id = s.merged_into_id
WHERE s.merged_into_id IS DISTINCT FROM l.merged_into_id
"""

# By lead, those without one last; with a name to show.
READ = """
SELECT d.lead_id, COALESCE(NULLIF(c.name, ''), NULLIF(c.kapso_name, ''), c.username, '') AS name, c.phone,
       c.business_scoped_user_id, target.id, COALESCE(NULLIF(target.name, ''), NULLIF(target.kapso_name, ''), target.phone),
       d.what, d.live_id, d.shadow_id, d.was, d.becomes
FROM {shadow}.difference d
LEFT JOIN LATERAL (
    SELECT l.name, l.kapso_name, l.username, l.phone, l.business_scoped_user_id
    FROM public.contacts_contact l WHERE l.id = d.lead_id
    UNION ALL
    SELECT s.name, s.kapso_name, s.username, s.phone, s.business_scoped_user_id
    FROM {shadow}.contacts_contact s WHERE s.id = -d.lead_id
) AS c ON true
LEFT JOIN LATERAL (
    SELECT l.id, l.name, l.kapso_name, l.phone FROM public.contacts_contact l WHERE l.id = d.belongs_to
    UNION ALL
    SELECT -s.id, s.name, s.kapso_name, s.phone FROM {shadow}.contacts_contact s WHERE s.id = -d.belongs_to
) AS target ON d.belongs_to <> d.lead_id
WHERE %(workspaces)s::bigint[] IS NULL OR d.workspace_id = ANY(%(workspaces)s::bigint[])
ORDER BY d.lead_id NULLS LAST, array_position(
    ARRAY['merged', 'parted', 'lead', 'message', 'thread', 'identity', 'link', 'session', 'automation', 'receipt', 'profile'], d.what), d.id
"""
