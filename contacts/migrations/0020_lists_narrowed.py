"""What narrows a list of leads: within its own index, or by an index of its own."""

import django.contrib.postgres.indexes
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("contacts", "0019_who_holds_a_phone"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="contact",
            name="contact_activity",
        ),
        migrations.AddIndex(
            model_name="contact",
            index=models.Index(
                models.F("workspace"),
                models.OrderBy(models.F("last_activity_at"), descending=True, nulls_last=True),
                models.OrderBy(models.F("id"), descending=True),
                models.F("last_contact_at"),
                models.F("lead_status"),
                models.F("owner"),
                condition=models.Q(("merged_into", None)),
                name="contact_activity",
            ),
        ),
        migrations.AddIndex(
            model_name="contact",
            index=models.Index(
                models.F("workspace"),
                models.OrderBy(models.F("last_activity_at"), descending=True, nulls_last=True),
                models.OrderBy(models.F("id"), descending=True),
                condition=models.Q(
                    ("merged_into", None),
                    models.Q(
                        ("read_at", None), ("last_inbound_at__gt", models.F("read_at")), _connector="OR"
                    ),
                    ("last_inbound_at__isnull", False),
                ),
                name="contact_unread",
            ),
        ),
        migrations.AddIndex(
            model_name="contact",
            index=django.contrib.postgres.indexes.GinIndex(
                condition=models.Q(("merged_into", None), models.Q(("tags", []), _negated=True)),
                fields=["workspace", "tags"],
                gin_pending_list_limit=256,
                name="contact_tags",
            ),
        ),
    ]
