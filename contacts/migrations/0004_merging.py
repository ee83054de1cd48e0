"""Merging by hand: who was told apart, when people typed what, and which phones look alike.

`contacts_holder` now knows `apart` links (contacts/people.py has the same rule for a whole group of identities); the
first trigger keeps `Contact.typed_at`, whoever writes; `contacts_phone_key` is the same for two phones that are one
mobile, written in the two ways that WhatsApp has for some countries (contacts/phone_forms.py).
"""

from __future__ import annotations

import django.db.models.functions.text
from django.db import migrations, models
from django.db.models import F, Func, Q

HOLDER = """
-- The evidence is in the messages that name a phone together with a user id, and in `seen` links; a system line is none,
-- unless it was ever told as anything else (contacts/telling.py). Whom somebody told
-- apart from the phone never held it: one more look at an index, which mostly finds nobody.
CREATE OR REPLACE FUNCTION contacts_holder(phone_identity bigint, moment timestamptz) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT COALESCE((
        SELECT u.id
        FROM contacts_identity p
        CROSS JOIN LATERAL (
            SELECT COALESCE(array_agg(told.value), '{}') AS users
            FROM contacts_identitylink l JOIN contacts_identity told ON told.id = l.b_id
            WHERE l.a_id = p.id AND l.kind = 'apart'
        ) AS apart
        CROSS JOIN LATERAL (
            SELECT * FROM (
                (SELECT m.user_id AS value, m.sent_at AS at FROM contacts_message m
                 WHERE m.workspace_id = p.workspace_id AND m.phone = p.value AND m.user_id IS NOT NULL
                   AND m.sent_at <= moment AND (m.message_type <> 'system' OR m.told ? 'person') AND m.user_id <> ALL (apart.users)
                 ORDER BY m.sent_at DESC, m.user_id COLLATE "C" DESC LIMIT 1)
                UNION ALL
                (SELECT m.user_id, m.sent_at FROM contacts_message m
                 WHERE m.workspace_id = p.workspace_id AND m.phone = p.value AND m.user_id IS NOT NULL
                   AND m.sent_at > moment AND (m.message_type <> 'system' OR m.told ? 'person') AND m.user_id <> ALL (apart.users)
                 ORDER BY m.sent_at, m.user_id COLLATE "C" DESC LIMIT 1)
                UNION ALL
                SELECT held.value, l.at FROM contacts_identitylink l JOIN contacts_identity held ON held.id = l.b_id
                WHERE l.a_id = p.id AND l.kind = 'seen' AND held.value <> ALL (apart.users)
            ) AS evidence
            -- The newest up to then, else the earliest after.
            ORDER BY at <= moment DESC, CASE WHEN at <= moment THEN at END DESC, at, value COLLATE "C" DESC LIMIT 1
        ) AS holder
        JOIN contacts_identity u ON u.workspace_id = p.workspace_id AND u.kind = 'user' AND u.value = holder.value
        WHERE p.id = phone_identity
    ), phone_identity)
$$;
"""

FORMER_HOLDER = """
CREATE OR REPLACE FUNCTION contacts_holder(phone_identity bigint, moment timestamptz) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT COALESCE((
        SELECT u.id
        FROM contacts_identity p
        CROSS JOIN LATERAL (
            SELECT * FROM (
                (SELECT m.user_id AS value, m.sent_at AS at FROM contacts_message m
                 WHERE m.workspace_id = p.workspace_id AND m.phone = p.value AND m.user_id IS NOT NULL
                   AND m.sent_at <= moment AND m.message_type <> 'system'
                 ORDER BY m.sent_at DESC, m.user_id COLLATE "C" DESC LIMIT 1)
                UNION ALL
                (SELECT m.user_id, m.sent_at FROM contacts_message m
                 WHERE m.workspace_id = p.workspace_id AND m.phone = p.value AND m.user_id IS NOT NULL
                   AND m.sent_at > moment AND m.message_type <> 'system'
                 ORDER BY m.sent_at, m.user_id COLLATE "C" DESC LIMIT 1)
                UNION ALL
                SELECT held.value, l.at FROM contacts_identitylink l JOIN contacts_identity held ON held.id = l.b_id
                WHERE l.a_id = p.id AND l.kind = 'seen'
            ) AS evidence
            ORDER BY at <= moment DESC, CASE WHEN at <= moment THEN at END DESC, at, value COLLATE "C" DESC LIMIT 1
        ) AS holder
        JOIN contacts_identity u ON u.workspace_id = p.workspace_id AND u.kind = 'user' AND u.value = holder.value
        WHERE p.id = phone_identity
    ), phone_identity)
$$;
"""

TYPED = """
-- The sync never types: what it writes passes by the WHEN clauses. A name is typed while it differs from the one that
-- the sync chose. Only a writer that says so (contacts.typed) gives the times itself; a row that somebody read before
-- they were set, and saves now, does not take them away.
CREATE FUNCTION contacts_contact_typed() RETURNS trigger LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    at CONSTANT jsonb := to_jsonb(clock_timestamp());
    typed jsonb := CASE WHEN TG_OP = 'UPDATE' THEN OLD.typed_at ELSE '{}' END;
BEGIN
    IF NEW.typed_at ? 'given' THEN
        NEW.typed_at := NEW.typed_at - 'given';
        RETURN NEW;
    END IF;
    IF NEW.name IS DISTINCT FROM OLD.name THEN
        typed := typed - 'name' || CASE WHEN NEW.name IN ('', NEW.chosen_name) THEN '{}'
                                        ELSE jsonb_build_object('name', at) END;
    END IF;
    IF NEW.email <> COALESCE(OLD.email, '') THEN typed := typed || jsonb_build_object('email', at); END IF;
    IF NEW.owner_id IS DISTINCT FROM OLD.owner_id THEN typed := typed || jsonb_build_object('owner', at); END IF;
    IF NEW.lead_status <> COALESCE(OLD.lead_status, 'new') THEN
        typed := typed || jsonb_build_object('lead_status', at);
    END IF;
    IF NEW.lead_score <> COALESCE(OLD.lead_score, 0) THEN typed := typed || jsonb_build_object('lead_score', at); END IF;
    IF NEW.tags <> COALESCE(OLD.tags, '{}') THEN typed := typed || jsonb_build_object('tags', at); END IF;
    IF NEW.metadata <> COALESCE(OLD.metadata, '{}') THEN typed := typed || jsonb_build_object('metadata', at); END IF;
    NEW.typed_at := typed;
    RETURN NEW;
END $$;

CREATE TRIGGER contacts_contact_typed_new BEFORE INSERT ON contacts_contact FOR EACH ROW
    WHEN (NOT NEW.made_by_sync AND NEW.typed_at = '{}') EXECUTE FUNCTION contacts_contact_typed();
CREATE TRIGGER contacts_contact_typed_over BEFORE UPDATE OF
    name, email, owner_id, lead_status, lead_score, tags, metadata, typed_at ON contacts_contact FOR EACH ROW
    WHEN (NEW.name <> OLD.name AND NOT (NEW.name IN ('', NEW.chosen_name) AND OLD.name IN ('', OLD.chosen_name))
          OR NEW.email <> OLD.email OR NEW.owner_id IS DISTINCT FROM OLD.owner_id
          OR NEW.lead_status <> OLD.lead_status OR NEW.lead_score <> OLD.lead_score OR NEW.tags <> OLD.tags
          OR NEW.metadata <> OLD.metadata OR NEW.typed_at <> OLD.typed_at)
    EXECUTE FUNCTION contacts_contact_typed();
"""

UNTYPED = """
DROP TRIGGER contacts_contact_typed_over ON contacts_contact;
DROP TRIGGER contacts_contact_typed_new ON contacts_contact;
DROP FUNCTION contacts_contact_typed();
"""

PHONE_KEY = """
-- WhatsApp's id of a mobile may lack the ninth digit in Brazil, have a 1 after Mexico's 52, a 9 after Argentina's 54.
-- The key is the shorter form. Brazil's landlines begin with 2 to 5 and have one form only, as has every other phone.
CREATE FUNCTION contacts_phone_key(phone text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE
        WHEN phone ~ '^55(1[1-9]|2[12478]|3[1-578]|4[1-9]|5[1345]|6[1-9]|7[134579]|8[1-9]|9[1-9])9[6-9][0-9]{7}$'
            THEN left(phone, 4) || right(phone, 8)
        WHEN phone ~ '^521[2-9][0-9]{9}$' THEN '52' || right(phone, 10)
        WHEN phone ~ '^549[123][0-9]{9}$' THEN '54' || right(phone, 10)
        ELSE phone
    END
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("contacts", "0003_keeping_and_merging")]
    operations = [
        migrations.RunSQL(HOLDER, FORMER_HOLDER),
        migrations.RunSQL(TYPED, UNTYPED),
        migrations.RunSQL(PHONE_KEY, "DROP FUNCTION contacts_phone_key(text)"),
        migrations.AddField(
            model_name="contactmerge",
            name="sides",
            field=models.JSONField(db_default={}, default=dict, editable=False),
        ),
        migrations.AlterField(
            model_name="identity",
            name="kind",
            field=models.CharField(
                choices=[
                    ("phone", "Phone"),
                    ("user", "WhatsApp user ID"),
                    ("lead", "Lead without either"),
                ],
                max_length=5,
            ),
        ),
        migrations.AddIndex(
            model_name="contact",
            index=models.Index(
                F("workspace"),
                django.db.models.functions.text.Lower("email"),
                condition=Q(merged_into=None) & ~Q(email=""),
                name="contact_email",
            ),
        ),
        migrations.AddIndex(
            model_name="identity",
            index=models.Index(
                F("workspace"),
                Func(F("value"), function="contacts_phone_key"),
                condition=Q(kind="phone"),
                name="identity_phone_key",
            ),
        ),
        migrations.AddIndex(
            model_name="identity",
            index=models.Index(
                fields=["workspace"], condition=Q(kind="phone", is_shared=True), name="identity_shared_phone"
            ),
        ),
    ]
