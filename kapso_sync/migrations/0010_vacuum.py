"""Vacuum the deliveries by how many rows changed, not by how large their table has grown.

By PostgreSQL's own settings a fifth of the rows must have changed. A delivery's row stays for ever, since its key tells
a late copy, and each night empties a day's worth of bodies: after a year that is a fifth of the table every ten weeks,
and until then the room of the emptied ones could not be used again. Likewise what was inserted since the last vacuum
has to be looked up in the table where an index alone would tell (`delivery_of_number`).
"""

from django.db import migrations

SETTINGS = (
    "autovacuum_vacuum_scale_factor",
    "autovacuum_vacuum_threshold",
    "autovacuum_vacuum_insert_scale_factor",
    "autovacuum_vacuum_insert_threshold",
    # Most bodies are in their rows; the long ones are in the table's TOAST, which is vacuumed by settings of its own.
    "toast.autovacuum_vacuum_scale_factor",
    "toast.autovacuum_vacuum_threshold",
)
# Of few rows a fixed number, of many a share that keeps the reading of the indexes in proportion.
VALUES = (0.01, 5000, 0.02, 20000, 0.01, 5000)

ALTER = "ALTER TABLE kapso_sync_webhookdelivery"


class Migration(migrations.Migration):
    dependencies = [("kapso_sync", "0009_words")]

    operations = [
        migrations.RunSQL(
            f"{ALTER} SET ({', '.join(f'{name} = {value}' for name, value in zip(SETTINGS, VALUES, strict=True))})",
            f"{ALTER} RESET ({', '.join(SETTINGS)})",
        )
    ]
