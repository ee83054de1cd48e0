"""What several of a kind are called, which other languages do not build with an s. Changes no table."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("contacts", "0013_reports")]

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
            options={
                "ordering": ["name"],
                "verbose_name": "workspace",
                "verbose_name_plural": "workspaces",
            },
        ),
    ]
