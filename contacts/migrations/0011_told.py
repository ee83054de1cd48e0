"""Leads given out in turn: since when, and who had the last one. And what became of the mails that tell people."""

from __future__ import annotations

from django.db import migrations, models

# Turning it on says from when on leads count as new; whoever writes the column.
SINCE = """
CREATE FUNCTION contacts_workspace_in_turn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.in_turn_since := CASE WHEN NOT NEW.assigns_in_turn THEN NULL
                              WHEN TG_OP = 'UPDATE' AND OLD.assigns_in_turn THEN OLD.in_turn_since
                              ELSE clock_timestamp() END;
    RETURN NEW;
END $$;

CREATE TRIGGER contacts_workspace_in_turn_new BEFORE INSERT ON contacts_workspace FOR EACH ROW
    WHEN (NEW.assigns_in_turn AND NEW.in_turn_since IS NULL) EXECUTE FUNCTION contacts_workspace_in_turn();
-- Also where somebody saves a row that they read before it was turned on.
CREATE TRIGGER contacts_workspace_in_turn_over BEFORE UPDATE OF assigns_in_turn, in_turn_since ON contacts_workspace
    FOR EACH ROW WHEN (NEW.assigns_in_turn <> OLD.assigns_in_turn OR NEW.assigns_in_turn AND NEW.in_turn_since IS NULL)
    EXECUTE FUNCTION contacts_workspace_in_turn();
UPDATE contacts_workspace SET in_turn_since = clock_timestamp() WHERE assigns_in_turn;
"""

NO_SINCE = """
DROP TRIGGER contacts_workspace_in_turn_over ON contacts_workspace;
DROP TRIGGER contacts_workspace_in_turn_new ON contacts_workspace;
DROP FUNCTION contacts_workspace_in_turn();
"""


class Migration(migrations.Migration):
    dependencies = [("contacts", "0010_the_desk")]

    operations = [
        migrations.AddField(
            model_name="membership",
            name="given_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="preferences",
            name="mail_failures",
            field=models.PositiveSmallIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name="preferences",
            name="mail_not_before",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="workspace",
            name="in_turn_since",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name="contact",
            index=models.Index(
                condition=models.Q(
                    ("lead_status", "new"), ("made_by_sync", True), ("merged_into", None), ("owner", None)
                ),
                fields=["workspace", "created_at"],
                name="contact_in_turn",
            ),
        ),
        migrations.RunSQL(SINCE, NO_SINCE),
    ]
