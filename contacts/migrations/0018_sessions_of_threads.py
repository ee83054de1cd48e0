"""The index of a thread's sessions, without those that have no thread: these have indexes of their own."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("contacts", "0017_search")]

    operations = [
        migrations.RemoveIndex(model_name="kapsosession", name="kapso_session_thread"),
        migrations.AddIndex(
            model_name="kapsosession",
            index=models.Index(
                condition=models.Q(("conversation__isnull", False)),
                fields=["conversation", "-last_at"],
                name="kapso_session_thread",
            ),
        ),
    ]
