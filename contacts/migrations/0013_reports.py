"""The index from which a workspace's figures of a period are read (contacts.reports)."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("contacts", "0012_the_list")]

    operations = [
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(
                    models.Q(
                        ("message_type__in", ("reaction", "edit", "revoke", "system", "request_welcome")),
                        _negated=True,
                    ),
                    models.Q(("status", "failed"), _negated=True),
                ),
                fields=["workspace", "sent_at"],
                include=("contact", "direction"),
                name="message_report",
            ),
        ),
    ]
