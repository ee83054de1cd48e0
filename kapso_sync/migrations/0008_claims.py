from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("kapso_sync", "0007_deliveries_of_a_number"),
    ]

    operations = [
        migrations.AddField(
            model_name="webhookdelivery",
            name="claims",
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
    ]
