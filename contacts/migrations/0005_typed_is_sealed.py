"""What people typed in is sealed: no stored delivery tells it, so a rebuild has to start from it.

The functions are those of migration 0002, but for `is_sealed`. Rows that were typed in before are found by what the
triggers left in them: a home that was made by hand, evidence from the epoch, a rank without a digest.
"""

from __future__ import annotations

from django.db import migrations

FUNCTIONS = """
CREATE OR REPLACE FUNCTION contacts_contact_made_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    phone_identity bigint;
    user_identity bigint;
BEGIN
    -- An identity that is known already keeps its lead; one that was only heard of now has one.
    IF NEW.phone IS NOT NULL THEN
        INSERT INTO contacts_identity (workspace_id, kind, value, contact_id, home_id, is_sealed)
        VALUES (NEW.workspace_id, 'phone', NEW.phone, NEW.id, NEW.id, true)
        ON CONFLICT (workspace_id, kind, value) DO UPDATE SET contact_id = NEW.id, home_id = NEW.id, is_sealed = true
        WHERE contacts_identity.contact_id IS NULL
        RETURNING id INTO phone_identity;
        -- A phone that was only ever typed, and typed wrong, is nobody's.
        IF TG_OP = 'UPDATE' AND phone_identity IS NOT NULL THEN
            UPDATE contacts_identity SET contact_id = NULL, home_id = NULL
            WHERE workspace_id = NEW.workspace_id AND kind = 'phone' AND value = OLD.phone
              AND contact_id = NEW.id AND first_seen_at IS NULL;
        END IF;
    END IF;
    IF NEW.business_scoped_user_id IS NOT NULL THEN
        INSERT INTO contacts_identity (workspace_id, kind, value, contact_id, home_id, is_sealed)
        VALUES (NEW.workspace_id, 'user', NEW.business_scoped_user_id, NEW.id, NEW.id, true)
        ON CONFLICT (workspace_id, kind, value) DO UPDATE SET contact_id = NEW.id, home_id = NEW.id, is_sealed = true
        WHERE contacts_identity.contact_id IS NULL
        RETURNING id INTO user_identity;
    END IF;
    -- Typed side by side, at no particular time: any event that says otherwise is newer.
    IF phone_identity IS NOT NULL OR user_identity IS NOT NULL THEN
        INSERT INTO contacts_identitylink (workspace_id, kind, a_id, b_id, at, is_sealed)
        SELECT NEW.workspace_id, 'seen', p.id, u.id, 'epoch', true
        FROM contacts_identity p, contacts_identity u
        WHERE p.workspace_id = NEW.workspace_id AND p.kind = 'phone' AND p.value = NEW.phone AND p.contact_id = NEW.id
          AND u.workspace_id = NEW.workspace_id AND u.kind = 'user' AND u.value = NEW.business_scoped_user_id
          AND u.contact_id = NEW.id
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION contacts_conversation_made_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO contacts_kapsosession
        (workspace_id, phone_number_id, kapso_conversation_id, conversation_id, status, status_at, last_at,
         is_sealed)
    VALUES (NEW.workspace_id, NEW.phone_number_id, NEW.kapso_conversation_id, NEW.id, NEW.status, 'epoch', 'epoch',
            true)
    ON CONFLICT (phone_number_id, kapso_conversation_id) DO NOTHING;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION contacts_message_made_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.is_sealed := true;
    NEW.earliest_at := COALESCE(NEW.earliest_at, NEW.sent_at);
    -- Its text counts as one told by an event of its time (contacts/telling.py has the form of a rank).
    IF NEW.told = '{}' AND NEW.content <> '' THEN
        NEW.told := jsonb_build_object('body',
            '112' || lpad((extract(epoch FROM NEW.sent_at) * 1000)::bigint::text, 14, '0') || repeat('0', 15));
    END IF;
    IF NEW.phone_number_id IS NULL THEN
        SELECT phone_number_id INTO NEW.phone_number_id FROM contacts_conversation WHERE id = NEW.conversation_id;
    END IF;
    RETURN NEW;
END $$;
"""

SEAL = """
UPDATE contacts_identity i SET is_sealed = true FROM contacts_contact home
WHERE home.id = i.home_id AND (NOT home.made_by_sync OR i.first_seen_at IS NULL);
UPDATE contacts_identitylink SET is_sealed = true WHERE kind = 'seen' AND at = 'epoch';
UPDATE contacts_kapsosession SET is_sealed = true WHERE 'epoch' IN (status_at, last_at);
UPDATE contacts_message SET is_sealed = true WHERE told = '{}' OR told->>'body' LIKE '112%000000000000000';
"""

FORMER_FUNCTIONS = """
CREATE OR REPLACE FUNCTION contacts_contact_made_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    phone_identity bigint;
    user_identity bigint;
BEGIN
    -- An identity that is known already keeps its lead; one that was only heard of now has one.
    IF NEW.phone IS NOT NULL THEN
        INSERT INTO contacts_identity (workspace_id, kind, value, contact_id, home_id)
        VALUES (NEW.workspace_id, 'phone', NEW.phone, NEW.id, NEW.id)
        ON CONFLICT (workspace_id, kind, value) DO UPDATE SET contact_id = NEW.id, home_id = NEW.id
        WHERE contacts_identity.contact_id IS NULL
        RETURNING id INTO phone_identity;
        -- A phone that was only ever typed, and typed wrong, is nobody's.
        IF TG_OP = 'UPDATE' AND phone_identity IS NOT NULL THEN
            UPDATE contacts_identity SET contact_id = NULL, home_id = NULL
            WHERE workspace_id = NEW.workspace_id AND kind = 'phone' AND value = OLD.phone
              AND contact_id = NEW.id AND first_seen_at IS NULL;
        END IF;
    END IF;
    IF NEW.business_scoped_user_id IS NOT NULL THEN
        INSERT INTO contacts_identity (workspace_id, kind, value, contact_id, home_id)
        VALUES (NEW.workspace_id, 'user', NEW.business_scoped_user_id, NEW.id, NEW.id)
        ON CONFLICT (workspace_id, kind, value) DO UPDATE SET contact_id = NEW.id, home_id = NEW.id
        WHERE contacts_identity.contact_id IS NULL
        RETURNING id INTO user_identity;
    END IF;
    -- Typed side by side, at no particular time: any event that says otherwise is newer.
    IF phone_identity IS NOT NULL OR user_identity IS NOT NULL THEN
        INSERT INTO contacts_identitylink (workspace_id, kind, a_id, b_id, at)
        SELECT NEW.workspace_id, 'seen', p.id, u.id, 'epoch'
        FROM contacts_identity p, contacts_identity u
        WHERE p.workspace_id = NEW.workspace_id AND p.kind = 'phone' AND p.value = NEW.phone AND p.contact_id = NEW.id
          AND u.workspace_id = NEW.workspace_id AND u.kind = 'user' AND u.value = NEW.business_scoped_user_id
          AND u.contact_id = NEW.id
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION contacts_conversation_made_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO contacts_kapsosession
        (workspace_id, phone_number_id, kapso_conversation_id, conversation_id, status, status_at, last_at)
    VALUES (NEW.workspace_id, NEW.phone_number_id, NEW.kapso_conversation_id, NEW.id, NEW.status, 'epoch', 'epoch')
    ON CONFLICT (phone_number_id, kapso_conversation_id) DO NOTHING;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION contacts_message_made_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.earliest_at := COALESCE(NEW.earliest_at, NEW.sent_at);
    -- Its text counts as one told by an event of its time (contacts/telling.py has the form of a rank).
    IF NEW.told = '{}' AND NEW.content <> '' THEN
        NEW.told := jsonb_build_object('body',
            '112' || lpad((extract(epoch FROM NEW.sent_at) * 1000)::bigint::text, 14, '0') || repeat('0', 15));
    END IF;
    IF NEW.phone_number_id IS NULL THEN
        SELECT phone_number_id INTO NEW.phone_number_id FROM contacts_conversation WHERE id = NEW.conversation_id;
    END IF;
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("contacts", "0004_merging")]
    operations = [
        migrations.RunSQL(FUNCTIONS, FORMER_FUNCTIONS),
        migrations.RunSQL(SEAL, migrations.RunSQL.noop),
    ]
