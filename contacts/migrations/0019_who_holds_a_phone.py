"""Whose something is, without looking for the holder of a phone that nobody was ever seen with.

Most phones are their own holders, and to find that out by `contacts_holder` took most of the time of placing a message.
Otherwise the function is that of migration 0002.
"""

from django.db import migrations

NODE = """
CREATE OR REPLACE FUNCTION contacts_node(
    workspace bigint, number bigint, named_phone text, named_user text, session text, moment timestamptz
) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN named.user_id IS NOT NULL THEN (
            SELECT i.id FROM contacts_identity i
            WHERE i.workspace_id = workspace AND i.kind = 'user' AND i.value = named.user_id)
        WHEN named.phone IS NOT NULL THEN (
            SELECT {holder} FROM contacts_identity i
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
# Not EXISTS, which PostgreSQL may take for a reason to read a whole table, once.
ONLY_WHERE_SOMEBODY_WAS_SEEN = """CASE
                WHEN (SELECT l.id FROM contacts_identitylink l WHERE l.a_id = i.id AND l.kind = 'seen' LIMIT 1) IS NULL
                 AND (SELECT m.id FROM contacts_message m WHERE m.workspace_id = i.workspace_id AND m.phone = i.value
                        AND m.user_id IS NOT NULL LIMIT 1) IS NULL
                THEN i.id ELSE contacts_holder(i.id, moment) END"""


class Migration(migrations.Migration):
    dependencies = [("contacts", "0018_sessions_of_threads")]

    operations = [
        migrations.RunSQL(
            NODE.format(holder=ONLY_WHERE_SOMEBODY_WAS_SEEN),
            NODE.format(holder="contacts_holder(i.id, moment)"),
        ),
    ]
