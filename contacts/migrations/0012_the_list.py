"""The list of leads: when a lead was closed, and indexes for the tabs that have few leads among many."""

from django.conf import settings
from django.db import migrations, models

CLOSED = """
-- The newest change of a lead's status says when it was closed, or that it is open; whoever writes the change.
CREATE FUNCTION contacts_contact_closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE contacts_contact SET closed_at = CASE WHEN NEW.to_status IN ('converted', 'archived') THEN NEW.at END
    WHERE id = NEW.contact_id AND NOT EXISTS (
        SELECT FROM contacts_statuschange newer WHERE newer.contact_id = NEW.contact_id AND newer.at > NEW.at);
    RETURN NULL;
END $$;

CREATE TRIGGER contacts_contact_closed AFTER INSERT ON contacts_statuschange
    FOR EACH ROW EXECUTE FUNCTION contacts_contact_closed();

UPDATE contacts_contact SET closed_at = newest.at FROM (
    SELECT DISTINCT ON (contact_id) contact_id, to_status, at FROM contacts_statuschange
    ORDER BY contact_id, at DESC, id DESC) AS newest
WHERE newest.contact_id = contacts_contact.id AND newest.to_status IN ('converted', 'archived');
"""

NOT_CLOSED = """
DROP TRIGGER contacts_contact_closed ON contacts_statuschange;
DROP FUNCTION contacts_contact_closed();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("contacts", "0011_told"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="contact",
            name="closed_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name="contact",
            index=models.Index(
                condition=models.Q(
                    ("merged_into", None),
                    ("last_inbound_at__isnull", False),
                    models.Q(
                        ("last_contact_at", None),
                        ("last_inbound_at__gt", models.F("last_contact_at")),
                        _connector="OR",
                    ),
                ),
                fields=["workspace", "last_inbound_at"],
                name="contact_unanswered",
            ),
        ),
        migrations.AddIndex(
            model_name="contact",
            index=models.Index(
                condition=models.Q(("merged_into", None)),
                fields=["workspace", "last_inbound_at"],
                name="contact_window",
            ),
        ),
        migrations.AddIndex(
            model_name="contact",
            index=models.Index(
                models.F("workspace"),
                models.OrderBy(models.F("last_activity_at"), descending=True, nulls_last=True),
                models.OrderBy(models.F("id"), descending=True),
                condition=models.Q(("last_contact_at", None), ("merged_into", None)),
                name="contact_never_contacted",
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
                    ("last_inbound_at__isnull", False),
                    ("lead_status__in", ("converted", "archived")),
                    models.Q(
                        ("last_inbound_at__gt", models.F("closed_at")),
                        models.Q(
                            ("closed_at", None),
                            ("last_inbound_at__isnull", False),
                            models.Q(
                                ("last_contact_at", None),
                                ("last_inbound_at__gt", models.F("last_contact_at")),
                                _connector="OR",
                            ),
                        ),
                        _connector="OR",
                    ),
                ),
                name="contact_wrote_again",
            ),
        ),
        migrations.RunSQL(CLOSED, NOT_CLOSED),
    ]
