"""Updates that write to no index, and vacuuming before there is much to do.

A message changes its status twice within minutes, a session and an identity with each message. Where no index has a
column that changes, and the page has room left, PostgreSQL puts the new row beside the old one (a HOT update): nothing
is written to any index, and the room of the old one is used again without a vacuum.
"""

from django.db import migrations, models

# Of a page, so much is filled by new rows. Set after the table was written anew: what is old does not change any more.
ROOM = """
ALTER TABLE contacts_message SET (fillfactor = 85);
ALTER TABLE contacts_messagereceipt SET (fillfactor = 85);
ALTER TABLE contacts_kapsosession SET (fillfactor = 90);
ALTER TABLE contacts_identity SET (fillfactor = 90);
ALTER TABLE contacts_profilefact SET (fillfactor = 90);
ALTER TABLE contacts_conversation SET (fillfactor = 90);
"""
# Each message moves its lead in the indexes of the list, and its former places there are read until a vacuum: that
# waits for a fifth of all leads otherwise. Reports read an index alone only where a vacuum has been since.
VACUUM = """
ALTER TABLE contacts_contact SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE contacts_message SET (autovacuum_vacuum_insert_scale_factor = 0.05);
"""
TABLES = ("message", "messagereceipt", "kapsosession", "identity", "profilefact", "conversation", "contact")
AS_BEFORE = "".join(
    f"ALTER TABLE contacts_{table} RESET"
    " (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_insert_scale_factor);"
    for table in TABLES
)


class Migration(migrations.Migration):
    dependencies = [("contacts", "0022_sealing_is_no_news")]

    operations = [
        migrations.RemoveIndex(model_name="message", name="message_turns"),
        migrations.RemoveIndex(model_name="message", name="message_report"),
        migrations.AddField(
            model_name="message",
            name="is_turn",
            field=models.GeneratedField(
                db_persist=True,
                expression=models.Q(
                    models.Q(
                        ("message_type__in", ("reaction", "edit", "revoke", "system", "request_welcome")),
                        _negated=True,
                    ),
                    models.Q(("status", "failed"), _negated=True),
                ),
                output_field=models.BooleanField(),
            ),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(("is_turn", True)),
                fields=["contact", "direction", "-sent_at"],
                name="message_turns",
            ),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(("is_turn", True)),
                fields=["workspace", "sent_at"],
                include=("contact", "direction"),
                name="message_report",
            ),
        ),
        migrations.RunSQL(ROOM + VACUUM, AS_BEFORE),
    ]
