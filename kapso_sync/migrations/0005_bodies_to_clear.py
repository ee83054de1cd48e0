"""Finding the oldest bodies that are still there, however many have been cleared before them."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("kapso_sync", "0003_retries_and_tallies"), ("contacts", "0006_who_was_erased")]
    operations = [
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                fields=["received_at", "id"],
                condition=models.Q(body_cleared_at=None),
                name="delivery_body_to_clear",
            ),
        ),
    ]
