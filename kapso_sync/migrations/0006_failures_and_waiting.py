import django.contrib.postgres.fields
import django.contrib.postgres.indexes
from django.db import migrations, models

# What the reasons of earlier outcomes say: "No number 1 is registered here yet.", "The number 2 is set inactive."
WAITED_FOR = """
UPDATE kapso_sync_webhookdelivery d SET waits_for = waited.numbers FROM (
    SELECT id, array_agg(DISTINCT found[1]) AS numbers
    FROM kapso_sync_webhookdelivery,
        regexp_matches(error, '(?:No|The) number (\\S+) (?:is registered here yet|is set inactive)', 'g') AS found
    WHERE status IN ('unroutable', 'ignored', 'processed') AND length(found[1]) <= 64 GROUP BY id) waited
WHERE d.id = waited.id
"""


class Migration(migrations.Migration):
    dependencies = [
        ("contacts", "0003_keeping_and_merging"),
        ("kapso_sync", "0005_bodies_to_clear"),
    ]

    operations = [
        migrations.AddField(
            model_name="webhookdelivery",
            name="failures",
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="webhookdelivery",
            name="waits_for",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.TextField(), blank=True, null=True, size=None
            ),
        ),
        migrations.RunSQL(WAITED_FOR, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=django.contrib.postgres.indexes.GinIndex(
                condition=models.Q(("waits_for__isnull", False)),
                fastupdate=False,
                fields=["waits_for"],
                name="delivery_waits_for",
            ),
        ),
    ]
