"""The search: what leads are called and what they wrote, plain, in tables of their own with indexes of words.

And what keeps the list as quick with a million leads: since when each waits, and indexes for what few leads have.
"""

import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.deletion
import django.db.models.functions.comparison
from django.db import migrations, models

# Each ships with PostgreSQL, and may be created by whoever owns the database.
EXTENSIONS = """
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['pg_trgm', 'btree_gin', 'unaccent'] LOOP
        BEGIN
            EXECUTE format('CREATE EXTENSION IF NOT EXISTS %I', wanted);
        EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
            RAISE EXCEPTION 'The search needs the PostgreSQL extension "%", and this user may not create it: %',
                wanted, SQLERRM
                USING HINT = format('Once, as an administrator of this database: CREATE EXTENSION %I', wanted);
        END;
    END LOOP;
END $$;
"""

# Wherever an administrator has put the extension.
PLAIN = """
DO $$
DECLARE
    home text := (SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'unaccent');
BEGIN
    -- Small letters without accents. Immutable as long as nobody edits the dictionary's rules.
    EXECUTE format($f$
        CREATE FUNCTION contacts_plain(said text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
        RETURN lower(%1$s.unaccent('%1$s.unaccent'::regdictionary, said))
    $f$, home);
END $$;

-- What a message says to the index. Nobody searches for the end of a novel; and parts of addresses are words, too.
CREATE FUNCTION contacts_words(said text) RETURNS tsvector LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN to_tsvector('pg_catalog.simple', translate(contacts_plain(left(said, 20000)), '-./@_:', '      '));

-- The phone with its plus, the username with its @: so that what is typed with them finds just those.
CREATE FUNCTION contacts_called(name text, kapso_name text, username text, email text, phone text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN contacts_plain(regexp_replace(
    ' ' || concat_ws(' ', name, nullif(kapso_name, name), '@' || nullif(username, ''), email, '+' || phone),
    '\\s+', ' ', 'g'));

-- A pattern for LIKE: typed anywhere, or at the beginning of a word where that is too short for trigrams.
CREATE FUNCTION contacts_like(typed text, beginning text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '%' || beginning || regexp_replace(contacts_plain(typed), '([\\\\%_])', '\\\\\\1', 'g') || '%';

-- All words; the last one, which is being typed, stands for all that begin so unless it is too short: those of one or
-- two letters are many. An empty query, which finds nothing, where there is no word.
CREATE FUNCTION contacts_query(typed text) RETURNS tsquery LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN coalesce((
    SELECT string_agg(
        '''' || replace(replace(word, '\\', '\\\\'), '''', '''''') || ''''
            || CASE WHEN is_last AND length(word) > 2 THEN ':*' ELSE '' END,
        ' & ')::tsquery
    FROM (
        SELECT lexeme AS word, row_number() OVER (ORDER BY positions[cardinality(positions)] DESC) = 1 AS is_last
        FROM unnest(contacts_words(typed))
    ) AS words
), ''::tsquery);
"""

# The schema is named: whatever is first in the search path (contacts.shadow), a live row's words go here.
TRIGGERS = """
CREATE FUNCTION contacts_lead_searched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.contacts_searchedlead (contact_id, workspace_id, words)
    VALUES (NEW.id, NEW.workspace_id,
        public.contacts_called(NEW.name, NEW.kapso_name, NEW.username, NEW.email, NEW.phone))
    ON CONFLICT (contact_id) DO UPDATE SET workspace_id = EXCLUDED.workspace_id, words = EXCLUDED.words;
    RETURN NULL;
END $$;
CREATE FUNCTION contacts_lead_forgotten() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM public.contacts_searchedlead WHERE contact_id = OLD.id;
    RETURN NULL;
END $$;
CREATE FUNCTION contacts_message_searched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.contacts_searchedmessage (message_id, workspace_id, words)
    VALUES (NEW.id, NEW.workspace_id, strip(public.contacts_words(NEW.content || ' ' || NEW.transcript)))
    ON CONFLICT (message_id) DO UPDATE SET workspace_id = EXCLUDED.workspace_id, words = EXCLUDED.words;
    RETURN NULL;
END $$;
CREATE FUNCTION contacts_message_forgotten() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM public.contacts_searchedmessage WHERE message_id = OLD.id;
    RETURN NULL;
END $$;

CREATE TRIGGER contacts_contact_searched_new AFTER INSERT ON contacts_contact FOR EACH ROW
    EXECUTE FUNCTION contacts_lead_searched();
CREATE TRIGGER contacts_contact_searched AFTER UPDATE ON contacts_contact FOR EACH ROW
    WHEN ((OLD.workspace_id, OLD.name, OLD.kapso_name, OLD.username, OLD.email, OLD.phone)
          IS DISTINCT FROM (NEW.workspace_id, NEW.name, NEW.kapso_name, NEW.username, NEW.email, NEW.phone))
    EXECUTE FUNCTION contacts_lead_searched();
CREATE TRIGGER contacts_contact_searched_no_more AFTER DELETE ON contacts_contact FOR EACH ROW
    EXECUTE FUNCTION contacts_lead_forgotten();
CREATE TRIGGER contacts_message_searched_new AFTER INSERT ON contacts_message FOR EACH ROW
    WHEN (NEW.content <> '' OR NEW.transcript <> '') EXECUTE FUNCTION contacts_message_searched();
CREATE TRIGGER contacts_message_searched AFTER UPDATE ON contacts_message FOR EACH ROW
    WHEN ((OLD.workspace_id, OLD.content, OLD.transcript)
          IS DISTINCT FROM (NEW.workspace_id, NEW.content, NEW.transcript))
    EXECUTE FUNCTION contacts_message_searched();
CREATE TRIGGER contacts_message_searched_no_more AFTER DELETE ON contacts_message FOR EACH ROW
    EXECUTE FUNCTION contacts_message_forgotten();
"""

# Before the indexes, which are quicker made of all rows at once.
FILL = """
INSERT INTO contacts_searchedlead (contact_id, workspace_id, words)
SELECT id, workspace_id, contacts_called(name, kapso_name, username, email, phone) FROM contacts_contact;
INSERT INTO contacts_searchedmessage (message_id, workspace_id, words)
SELECT id, workspace_id, strip(contacts_words(content || ' ' || transcript)) FROM contacts_message
WHERE content <> '' OR transcript <> '';
-- How many a fragment may find is guessed from examples: more of them guess better.
ALTER TABLE contacts_searchedlead ALTER words SET STATISTICS 500;
"""

DROP = """
DROP TRIGGER contacts_message_searched_no_more ON contacts_message;
DROP TRIGGER contacts_message_searched ON contacts_message;
DROP TRIGGER contacts_message_searched_new ON contacts_message;
DROP TRIGGER contacts_contact_searched_no_more ON contacts_contact;
DROP TRIGGER contacts_contact_searched ON contacts_contact;
DROP TRIGGER contacts_contact_searched_new ON contacts_contact;
DROP FUNCTION contacts_message_forgotten();
DROP FUNCTION contacts_message_searched();
DROP FUNCTION contacts_lead_forgotten();
DROP FUNCTION contacts_lead_searched();
"""
DROP_PLAIN = """
DROP FUNCTION contacts_query(text);
DROP FUNCTION contacts_like(text, text);
DROP FUNCTION contacts_called(text, text, text, text, text);
DROP FUNCTION contacts_words(text);
DROP FUNCTION contacts_plain(text);
"""


# As the sync will keep it. Nobody who follows the changes is shown this column: it is none of theirs.
WAITING = """
ALTER TABLE contacts_contact DISABLE TRIGGER contacts_contact_changed;
UPDATE contacts_contact SET unanswered_since = waiting.since FROM (
    SELECT c.id, (
        SELECT m.sent_at FROM contacts_message m
        WHERE m.contact_id = c.id AND m.direction = 'inbound' AND NOT (m.message_type IN ('reaction', 'edit', 'revoke', 'system', 'request_welcome'))
          AND NOT (m.status = 'failed') AND m.sent_at > COALESCE(c.last_contact_at, '-infinity')
        ORDER BY m.sent_at LIMIT 1
    ) AS since FROM contacts_contact c
    WHERE c.last_inbound_at IS NOT NULL AND (c.last_contact_at IS NULL OR c.last_inbound_at > c.last_contact_at)
) AS waiting WHERE waiting.id = contacts_contact.id AND waiting.since IS NOT NULL;
ALTER TABLE contacts_contact ENABLE TRIGGER contacts_contact_changed;
"""


class Migration(migrations.Migration):
    dependencies = [("contacts", "0016_imports")]

    operations = [
        migrations.RunSQL(EXTENSIONS, migrations.RunSQL.noop),
        migrations.RunSQL(PLAIN, DROP_PLAIN),
        migrations.CreateModel(
            name="SearchedLead",
            fields=[
                ("contact_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("words", models.TextField()),
                (
                    "workspace",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="contacts.workspace",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SearchedMessage",
            fields=[
                ("message_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("words", django.contrib.postgres.search.SearchVectorField()),
                (
                    "workspace",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="contacts.workspace",
                    ),
                ),
            ],
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="searchedlead",
            index=django.contrib.postgres.indexes.GinIndex(
                fields=["workspace", "words"],
                gin_pending_list_limit=256,
                name="searched_lead_words",
                opclasses=["int8_ops", "gin_trgm_ops"],
            ),
        ),
        migrations.AddIndex(
            model_name="searchedmessage",
            index=django.contrib.postgres.indexes.GinIndex(
                fields=["workspace", "words"], gin_pending_list_limit=256, name="searched_message_words"
            ),
        ),
        migrations.RunSQL(TRIGGERS, DROP),
        migrations.RemoveIndex(
            model_name="contact",
            name="contact_unanswered",
        ),
        migrations.AddField(
            model_name="contact",
            name="unanswered_since",
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name="waits since"),
        ),
        migrations.RunSQL(WAITING, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="contact",
            index=models.Index(
                models.F("workspace"),
                django.db.models.functions.comparison.Coalesce("unanswered_since", "last_inbound_at"),
                models.F("id"),
                condition=models.Q(
                    ("merged_into", None),
                    ("last_inbound_at__isnull", False),
                    models.Q(
                        ("last_contact_at", None),
                        ("last_inbound_at__gt", models.F("last_contact_at")),
                        _connector="OR",
                    ),
                ),
                name="contact_unanswered",
            ),
        ),
        migrations.AddIndex(
            model_name="contact",
            index=models.Index(
                condition=models.Q(("merged_into", None), ("snoozed_until__isnull", False)),
                fields=["workspace", "snoozed_until"],
                name="contact_aside",
            ),
        ),
        migrations.AddIndex(
            model_name="contact",
            index=models.Index(
                models.F("workspace"),
                models.F("source"),
                models.OrderBy(models.F("last_activity_at"), descending=True, nulls_last=True),
                models.OrderBy(models.F("id"), descending=True),
                condition=models.Q(("merged_into", None), models.Q(("source", "whatsapp"), _negated=True)),
                name="contact_source",
            ),
        ),
        migrations.AddIndex(
            model_name="conversation",
            index=models.Index(
                condition=models.Q(("handoff_at__isnull", False)),
                fields=["workspace", "contact"],
                name="conversation_handed_over",
            ),
        ),
        migrations.AddIndex(
            model_name="contact",
            index=models.Index(
                condition=models.Q(("merged_into", None)),
                fields=["workspace", "created_at"],
                name="contact_created",
            ),
        ),
    ]
