"""Whose a phone and a message are, as SQL functions; and rows made by hand count like those made by the sync.

`contacts_holder` and `contacts_node` are the one place where PostgreSQL answers that question (contacts/people.py has
the same rule for a whole group of identities). The triggers turn what the ORM, an import or plain SQL inserts into
the facts that the sync works with: a lead's phone and user id become identities, a thread's Kapso id a session, a
message learns its number and its earliest time. Rows written by the sync bring those already and pass by them.
"""

from __future__ import annotations

from django.db import migrations

FUNCTIONS = """
-- The evidence is in the messages that name a phone together with a user id, and in `seen` links.
CREATE FUNCTION contacts_holder(phone_identity bigint, moment timestamptz) RETURNS bigint LANGUAGE sql STABLE AS $$
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
            -- The newest up to then, else the earliest after.
            ORDER BY at <= moment DESC, CASE WHEN at <= moment THEN at END DESC, at, value COLLATE "C" DESC LIMIT 1
        ) AS holder
        JOIN contacts_identity u ON u.workspace_id = p.workspace_id AND u.kind = 'user' AND u.value = holder.value
        WHERE p.id = phone_identity
    ), phone_identity)
$$;

-- The identity that holds a message: its user id, else whoever held its phone at that time; a message that names
-- neither belongs to whom its Kapso session names.
CREATE FUNCTION contacts_node(
    workspace bigint, number bigint, named_phone text, named_user text, session text, moment timestamptz
) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN named.user_id IS NOT NULL THEN (
            SELECT i.id FROM contacts_identity i
            WHERE i.workspace_id = workspace AND i.kind = 'user' AND i.value = named.user_id)
        WHEN named.phone IS NOT NULL THEN (
            SELECT contacts_holder(i.id, moment) FROM contacts_identity i
            WHERE i.workspace_id = workspace AND i.kind = 'phone' AND i.value = named.phone)
        END
    FROM (
        SELECT named_user AS user_id, named_phone AS phone WHERE COALESCE(named_user, named_phone) IS NOT NULL
        UNION ALL
        SELECT s.user_id, s.phone FROM contacts_kapsosession s
        WHERE COALESCE(named_user, named_phone) IS NULL AND session <> ''
          AND s.phone_number_id = number AND s.kapso_conversation_id = session
    ) AS named
$$;
"""

TRIGGERS = """
CREATE FUNCTION contacts_contact_made_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE TRIGGER contacts_contact_inserted_by_hand AFTER INSERT ON contacts_contact FOR EACH ROW
    WHEN (NEW.phone IS NOT NULL OR NEW.business_scoped_user_id IS NOT NULL)
    EXECUTE FUNCTION contacts_contact_made_by_hand();
CREATE TRIGGER contacts_contact_updated_by_hand AFTER UPDATE OF phone, business_scoped_user_id ON contacts_contact
    FOR EACH ROW WHEN (NEW.phone IS DISTINCT FROM OLD.phone
                       OR NEW.business_scoped_user_id IS DISTINCT FROM OLD.business_scoped_user_id)
    EXECUTE FUNCTION contacts_contact_made_by_hand();

CREATE FUNCTION contacts_conversation_made_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO contacts_kapsosession
        (workspace_id, phone_number_id, kapso_conversation_id, conversation_id, status, status_at, last_at)
    VALUES (NEW.workspace_id, NEW.phone_number_id, NEW.kapso_conversation_id, NEW.id, NEW.status, 'epoch', 'epoch')
    ON CONFLICT (phone_number_id, kapso_conversation_id) DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER contacts_conversation_inserted_by_hand AFTER INSERT ON contacts_conversation FOR EACH ROW
    WHEN (NEW.kapso_conversation_id <> '') EXECUTE FUNCTION contacts_conversation_made_by_hand();
CREATE TRIGGER contacts_conversation_updated_by_hand AFTER UPDATE OF kapso_conversation_id ON contacts_conversation
    FOR EACH ROW WHEN (NEW.kapso_conversation_id <> '' AND NEW.kapso_conversation_id <> OLD.kapso_conversation_id)
    EXECUTE FUNCTION contacts_conversation_made_by_hand();

CREATE FUNCTION contacts_message_made_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE TRIGGER contacts_message_inserted_by_hand BEFORE INSERT ON contacts_message FOR EACH ROW
    WHEN (NEW.phone_number_id IS NULL OR NEW.earliest_at IS NULL)
    EXECUTE FUNCTION contacts_message_made_by_hand();
"""

DROP = """
DROP TRIGGER contacts_message_inserted_by_hand ON contacts_message;
DROP TRIGGER contacts_conversation_updated_by_hand ON contacts_conversation;
DROP TRIGGER contacts_conversation_inserted_by_hand ON contacts_conversation;
DROP TRIGGER contacts_contact_updated_by_hand ON contacts_contact;
DROP TRIGGER contacts_contact_inserted_by_hand ON contacts_contact;
DROP FUNCTION contacts_message_made_by_hand();
DROP FUNCTION contacts_conversation_made_by_hand();
DROP FUNCTION contacts_contact_made_by_hand();
DROP FUNCTION contacts_node(bigint, bigint, text, text, text, timestamptz);
DROP FUNCTION contacts_holder(bigint, timestamptz);
"""


class Migration(migrations.Migration):
    dependencies = [("contacts", "0001_the_crm")]
    operations = [migrations.RunSQL(FUNCTIONS + TRIGGERS, DROP)]
