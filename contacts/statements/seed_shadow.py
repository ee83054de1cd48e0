"""What a shadow starts from (contacts.shadow). Run on its stage: a bare table name is the shadow's, `public.` the live one."""

from __future__ import annotations

from django.apps import apps
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
    PhoneNumber,
    ProfileFact,
)

# Read by the sync and never written, or written by triggers of the live tables alone: these stay the live ones.
SHARED = {
    "Workspace",
    "Membership",
    "Tombstone",
    "Change",
    "ChangesKept",
    "SearchedLead",
    "SearchedMessage",
}


def shadowed() -> list[type[Model]]:
    """Every other table of the CRM, so that nothing that the sync writes can reach a live one."""
    return [model for model in apps.get_app_config("contacts").get_models() if model.__name__ not in SHARED]


def columns(model: type[Model], without: frozenset[str] = frozenset()) -> list[str]:
    return [
        field.column
        for field in model._meta.concrete_fields  # noqa: SLF001
        if field.column and not field.generated and field.column not in without
    ]


def copy_of(model: type[Model], where: str, **instead: str) -> str:
    """Copy live rows with their ids; `instead` computes a column anew."""
    names = columns(model)
    values = ", ".join(instead.get(name, f"r.{name}") for name in names)
    table = model._meta.db_table  # noqa: SLF001
    # The other keys of a lead are deferred: PostgreSQL takes none of them for this.
    known = "(id)" if model is Contact else ""
    return (
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM public.{table} r "
        f"WHERE {where} ON CONFLICT {known} DO NOTHING"
    )


NUMBERS = copy_of(PhoneNumber, "r.workspace_id = %(workspace)s", webhook_secret="''")  # noqa: S106

# Identities that no stored delivery tells (all of), and those that people joined or told apart.
_KEPT_IDENTITY = """
    SELECT i.id, i.contact_id, i.home_id FROM public.contacts_identity i
    WHERE i.workspace_id = %(workspace)s AND (i.is_sealed OR EXISTS (
        SELECT FROM public.contacts_profilefact f WHERE f.identity_id = i.id AND f.is_sealed))
    UNION
    SELECT i.id, i.contact_id, i.home_id FROM public.contacts_identitylink l
    JOIN public.contacts_identity i ON i.id IN (l.a_id, l.b_id)
    WHERE l.workspace_id = %(workspace)s AND (l.is_sealed OR l.kind IN ('manual', 'apart'))
"""
# A lead that the sync made brings its row alone: what is derived of it is derived again, and what people typed stays
# where it is. One that was made by hand is copied as it is.
_BY_HAND = {
    column: f"CASE WHEN r.made_by_sync THEN NULL ELSE r.{column} END"
    for column in columns(Contact)
    if column not in ("id", "workspace_id", "made_by_sync", "merged_into_id", "created_at")
}
_EMPTY = {
    "''": ("parent_user_id", "username", "name", "chosen_name", "email"),
    "'{}'": ("tags", "metadata", "typed_at"),
}
_BY_HAND |= {
    column: _BY_HAND[column].replace("NULL", empty) for empty, names in _EMPTY.items() for column in names
}
_BY_HAND |= {
    "kapso_name": _BY_HAND["kapso_name"].replace("NULL", "''"),
    "source": _BY_HAND["source"].replace("NULL", "'whatsapp'"),
    "lead_status": _BY_HAND["lead_status"].replace("NULL", "'new'"),
    "lead_score": _BY_HAND["lead_score"].replace("NULL", "0"),
}
LEADS = f"""
WITH RECURSIVE kept AS ({_KEPT_IDENTITY}), lead (id) AS (
    SELECT id FROM (
        SELECT id FROM public.contacts_contact WHERE workspace_id = %(workspace)s AND NOT made_by_sync
        UNION SELECT contact_id FROM kept
        UNION SELECT home_id FROM kept
        UNION SELECT contact_id FROM public.contacts_message WHERE workspace_id = %(workspace)s AND is_sealed
        UNION SELECT t.contact_id FROM public.contacts_kapsosession s
              JOIN public.contacts_conversation t ON t.id = s.conversation_id
              WHERE s.workspace_id = %(workspace)s AND s.is_sealed
    ) AS named WHERE id IS NOT NULL
    UNION
    SELECT c.merged_into_id FROM lead JOIN public.contacts_contact c USING (id) WHERE c.merged_into_id IS NOT NULL
)
{copy_of(Contact, "r.id IN (SELECT id FROM lead)", **_BY_HAND)}
"""
# With their homes come the other identities of these leads, but not when they were seen: the deliveries tell that.
IDENTITIES = f"""
WITH kept AS ({_KEPT_IDENTITY})
{
    copy_of(
        Identity,
        "r.id IN (SELECT id FROM kept) OR (r.workspace_id = %(workspace)s AND r.home_id IN (SELECT id FROM contacts_contact))",
        first_seen_at="CASE WHEN r.is_sealed THEN r.first_seen_at END",
        last_seen_at="CASE WHEN r.is_sealed THEN r.last_seen_at END",
    )
}
"""


def _copy_by_identity(model: type[Model], references: dict[str, str], where: str) -> str:
    """As copy_of, for rows that point to identities: the shadow may know those under other ids."""
    names = columns(model)
    values = ", ".join(f"{references[name]}.id" if name in references else f"r.{name}" for name in names)
    table = model._meta.db_table  # noqa: SLF001
    joins = " ".join(
        f"JOIN public.contacts_identity {alias}_live ON {alias}_live.id = r.{column} "
        f"JOIN contacts_identity {alias} ON {alias}.workspace_id = {alias}_live.workspace_id "
        f"AND {alias}.kind = {alias}_live.kind AND {alias}.value = {alias}_live.value"
        for column, alias in references.items()
    )
    return (
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM public.{table} r {joins} "
        f"WHERE r.workspace_id = %(workspace)s AND ({where}) ON CONFLICT DO NOTHING"
    )


# Between whom there is new evidence is answered: their people have to be derived anew, if anybody is known of them.
LINKS = f"""
WITH copied AS (
    {
    _copy_by_identity(
        IdentityLink, {"a_id": "a", "b_id": "b"}, "r.is_sealed OR r.kind IN ('manual', 'apart', 'named')"
    )
}
    RETURNING a_id, b_id, kind
)
SELECT a_id, b_id FROM copied WHERE kind <> 'named'
"""
PROFILES = _copy_by_identity(ProfileFact, {"identity_id": "i"}, "r.is_sealed")
RECEIPTS = copy_of(MessageReceipt, "r.workspace_id = %(workspace)s AND r.is_sealed")
THREADS = copy_of(
    Conversation,
    "r.contact_id IN (SELECT id FROM contacts_contact) AND ("
    "NOT EXISTS (SELECT FROM public.contacts_message m WHERE m.conversation_id = r.id) "
    "OR EXISTS (SELECT FROM public.contacts_message m WHERE m.contact_id = r.contact_id AND m.is_sealed "
    "           AND m.conversation_id = r.id) "
    "OR EXISTS (SELECT FROM public.contacts_kapsosession s WHERE s.conversation_id = r.id AND s.is_sealed))",
)
SESSIONS = copy_of(KapsoSession, "r.workspace_id = %(workspace)s AND r.is_sealed")
MESSAGES = copy_of(Message, "r.workspace_id = %(workspace)s AND r.is_sealed")
AUTOMATION = copy_of(AutomationEvent, "r.is_sealed")

# Somebody typed in a lead for an identity that deliveries had only mentioned: it is theirs (migration 0002).
ADOPT = """
UPDATE contacts_identity s SET contact_id = r.contact_id, home_id = COALESCE(s.home_id, r.home_id)
FROM public.contacts_identity r JOIN contacts_contact c ON c.id = r.contact_id
WHERE r.workspace_id = %(workspace)s AND r.is_sealed AND s.contact_id IS NULL
  AND s.workspace_id = r.workspace_id AND s.kind = r.kind AND s.value = r.value
"""

# What people may have made since: leads. (Links are asked for on their own.)
TYPED = (LEADS, IDENTITIES, ADOPT, THREADS)
# In the order of the foreign keys, which a shadow does not have but keeps.
SEALED = (NUMBERS, LEADS, IDENTITIES, PROFILES, RECEIPTS, THREADS, SESSIONS, MESSAGES, AUTOMATION)

# How much of the live rows no stored delivery tells.
COUNT_SEALED = " UNION ALL ".join(
    f"SELECT '{model._meta.verbose_name}', '{model._meta.verbose_name_plural}', count(*) FROM public.{model._meta.db_table} "  # noqa: SLF001
    "WHERE workspace_id = %(workspace)s AND is_sealed"
    for model in (Message, MessageReceipt, Identity, IdentityLink, ProfileFact, KapsoSession)
)
