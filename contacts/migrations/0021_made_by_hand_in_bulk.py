"""Leads that are made in bulk look up their phones and user ids by the one index that has them, analysed or not.

How this function looks them up is planned once for a session. Where the table was empty then, by no index or by another,
each lead would read all those before it.
"""

from __future__ import annotations

from importlib import import_module

from django.db import migrations

FUNCTION = """
CREATE OR REPLACE FUNCTION contacts_contact_made_by_hand() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off
-- For whatever kind: planned for phones, it may be their own index, which has nothing but the workspace to go by.
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    a_phone CONSTANT text := 'phone';
    a_user CONSTANT text := 'user';
    phone_identity bigint;
    user_identity bigint;
BEGIN
    -- An identity that is known already keeps its lead; one that was only heard of now has one.
    IF NEW.phone IS NOT NULL AND NOT EXISTS (
        SELECT FROM contacts_identity
        WHERE workspace_id = NEW.workspace_id AND kind = a_phone AND value = NEW.phone AND COALESCE(contact_id, 0) > 0
    ) THEN
        INSERT INTO contacts_identity (workspace_id, kind, value, contact_id, home_id, is_sealed)
        VALUES (NEW.workspace_id, a_phone, NEW.phone, NEW.id, NEW.id, true)
        ON CONFLICT (workspace_id, kind, value) DO UPDATE SET contact_id = NEW.id, home_id = NEW.id, is_sealed = true
        WHERE contacts_identity.contact_id IS NULL
        RETURNING id INTO phone_identity;
        -- A phone that was only ever typed, and typed wrong, is nobody's.
        IF TG_OP = 'UPDATE' AND phone_identity IS NOT NULL THEN
            UPDATE contacts_identity SET contact_id = NULL, home_id = NULL
            WHERE workspace_id = NEW.workspace_id AND kind = a_phone AND value = OLD.phone
              AND contact_id = NEW.id AND first_seen_at IS NULL;
        END IF;
    END IF;
    IF NEW.business_scoped_user_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM contacts_identity
        WHERE workspace_id = NEW.workspace_id AND kind = a_user AND value = NEW.business_scoped_user_id AND COALESCE(contact_id, 0) > 0
    ) THEN
        INSERT INTO contacts_identity (workspace_id, kind, value, contact_id, home_id, is_sealed)
        VALUES (NEW.workspace_id, a_user, NEW.business_scoped_user_id, NEW.id, NEW.id, true)
        ON CONFLICT (workspace_id, kind, value) DO UPDATE SET contact_id = NEW.id, home_id = NEW.id, is_sealed = true
        WHERE contacts_identity.contact_id IS NULL
        RETURNING id INTO user_identity;
    END IF;
    -- Typed side by side, at no particular time: any event that says otherwise is newer.
    IF phone_identity IS NOT NULL OR user_identity IS NOT NULL THEN
        INSERT INTO contacts_identitylink (workspace_id, kind, a_id, b_id, at, is_sealed)
        SELECT NEW.workspace_id, 'seen', p.id, u.id, 'epoch', true
        FROM contacts_identity p, contacts_identity u
        WHERE p.workspace_id = NEW.workspace_id AND p.kind = a_phone AND p.value = NEW.phone AND p.contact_id = NEW.id
          AND u.workspace_id = NEW.workspace_id AND u.kind = a_user AND u.value = NEW.business_scoped_user_id
          AND u.contact_id = NEW.id
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;
"""

FORMER_FUNCTION = import_module("contacts.migrations.0008_known_is_not_locked").FUNCTION


class Migration(migrations.Migration):
    dependencies = [("contacts", "0020_lists_narrowed")]

    operations = [migrations.RunSQL(FUNCTION, FORMER_FUNCTION)]
