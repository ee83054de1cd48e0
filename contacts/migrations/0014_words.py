"""What things and several of them are called, so that other languages have words of their own. Changes no table."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("contacts", "0013_reports"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="phonenumber",
            options={
                "ordering": ["workspace", "display_phone_number"],
                "verbose_name": "WhatsApp number",
                "verbose_name_plural": "WhatsApp numbers",
            },
        ),
        migrations.AlterModelOptions(
            name="workspace",
            options={"ordering": ["name"], "verbose_name": "workspace", "verbose_name_plural": "workspaces"},
        ),
        migrations.AlterField(
            model_name="phonenumber",
            name="workspace",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="phone_numbers",
                to="contacts.workspace",
                verbose_name="workspace",
            ),
        ),
        migrations.AlterField(
            model_name="workspace",
            name="name",
            field=models.CharField(max_length=255, verbose_name="name"),
        ),
    ]
