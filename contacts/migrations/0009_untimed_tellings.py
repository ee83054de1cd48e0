"""What was told without a time of its own is kept apart: it counts at the earliest time that its body came.

A newest time cannot be taken back, and a copy of the body may still come that is older. `contacts_session_told` is the
rule for the columns of a session that was ever told of so (contacts/statements/record_facts.py).
"""

from __future__ import annotations

from django.db import migrations, models
from django.db.models import Q

FUNCTION = """
-- From all tellings of one session, each source as often as it came: the newest of each value, and the tellings to keep.
CREATE FUNCTION contacts_session_told(told jsonb) RETURNS TABLE (
    phone text, phone_at timestamptz, user_id text, user_id_at timestamptz, status text, status_at timestamptz,
    last_at timestamptz, ended_at timestamptz, told_at timestamptz, told_messages int, told_last_wamid text,
    tellings jsonb
) LANGUAGE sql STABLE STRICT SET timezone = 'UTC' AS $$
    WITH every AS (
        SELECT * FROM jsonb_to_recordset(told) AS telling (
            source text, phone text, phone_at timestamptz, user_id text, user_id_at timestamptz, status text,
            status_at timestamptz, last_at timestamptz, ended_at timestamptz, told_at timestamptz, told_messages int,
            told_last_wamid text)
    ), telling AS (
        SELECT * FROM every WHERE source = ''
        UNION ALL (SELECT DISTINCT ON (source) * FROM every WHERE source <> '' ORDER BY source, last_at)
    ), newest AS (
        -- One row for each source, and one for all of them together, whose source is null.
        SELECT source,
               (array_agg(phone ORDER BY phone_at DESC NULLS LAST, phone COLLATE "C" DESC))[1] AS phone,
               max(phone_at) AS phone_at,
               (array_agg(user_id ORDER BY user_id_at DESC NULLS LAST, user_id COLLATE "C" DESC))[1] AS user_id,
               max(user_id_at) AS user_id_at,
               COALESCE((array_agg(status ORDER BY status_at DESC NULLS LAST, status COLLATE "C" DESC))[1], '') AS status,
               max(status_at) AS status_at, max(last_at) AS last_at, min(ended_at) AS ended_at,
               max(told_at) AS told_at,
               (array_agg(told_messages ORDER BY told_at DESC NULLS LAST, told_messages DESC NULLS LAST,
                                                 told_last_wamid COLLATE "C" DESC))[1] AS told_messages,
               COALESCE((array_agg(told_last_wamid ORDER BY told_at DESC NULLS LAST, told_messages DESC NULLS LAST,
                                   told_last_wamid COLLATE "C" DESC))[1], '') AS told_last_wamid
        FROM telling GROUP BY GROUPING SETS ((source), ())
    )
    SELECT phone, phone_at, user_id, user_id_at, status, status_at, last_at, ended_at, told_at, told_messages,
           told_last_wamid,
           (SELECT jsonb_agg(jsonb_strip_nulls(to_jsonb(kept)) ORDER BY kept.source COLLATE "C")
            FROM newest kept WHERE kept.source IS NOT NULL)
    FROM newest WHERE source IS NULL
$$;
"""

DROP = "DROP FUNCTION contacts_session_told(jsonb);"

SOURCE = models.CharField(db_default="", default="", max_length=80)


class Migration(migrations.Migration):
    dependencies = [("contacts", "0008_known_is_not_locked")]

    operations = [
        migrations.AlterField(
            model_name="profilefact",
            name="field",
            field=models.CharField(
                choices=[
                    ("name", "Name"),
                    ("address_book_name", "Address Book Name"),
                    ("username", "Username"),
                    ("parent", "Parent"),
                    ("marketing", "Marketing"),
                    ("seen", "Seen"),
                ],
                max_length=20,
            ),
        ),
        migrations.AddField(model_name="identitylink", name="source", field=SOURCE),
        migrations.RemoveConstraint(model_name="identitylink", name="identity_link_once"),
        migrations.AddConstraint(
            model_name="identitylink",
            constraint=models.UniqueConstraint(
                fields=("a", "kind", "at", "b", "source"), name="identity_link_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="identitylink",
            constraint=models.UniqueConstraint(
                fields=("a", "kind", "b", "source"),
                condition=~Q(source=""),
                name="identity_link_once_untimed",
            ),
        ),
        migrations.AddField(model_name="automationevent", name="source", field=SOURCE),
        migrations.RemoveConstraint(model_name="automationevent", name="automation_event_once"),
        migrations.AddConstraint(
            model_name="automationevent",
            constraint=models.UniqueConstraint(
                fields=("kapso_conversation_id", "execution_id", "kind", "served_numbers", "source"),
                name="automation_event_once",
            ),
        ),
        migrations.AddField(
            model_name="kapsosession", name="tellings", field=models.JSONField(editable=False, null=True)
        ),
        migrations.AddField(
            model_name="phonenumber",
            name="told_untimed",
            field=models.JSONField(blank=True, db_default={}, default=dict, editable=False),
        ),
        migrations.RunSQL(FUNCTION, DROP),
    ]
