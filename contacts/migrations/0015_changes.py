"""The log of changes, from which others keep their copy of the CRM up to date (contacts.news).

Triggers write it, so that it also knows what the ORM, an import and plain SQL write. They are triggers of rows with a
condition: PostgreSQL itself sees that nothing changed, and calls nothing. One statement of many rows costs little more
that way, and the one row of a webhook much less: triggers of statements would run for every statement that names the
table, and the sync's name all three, twice.
"""

import django.db.models.deletion
from django.db import migrations, models

import contacts.models.change

LOGGED = (("contacts_contact", 1), ("contacts_conversation", 2), ("contacts_message", 3))

# The schema is named: whatever is first in the search path (contacts.shadow), a live row's change is logged here.
FUNCTIONS = """
CREATE FUNCTION contacts_change_of_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.contacts_change (workspace_id, kind, row_id)
    VALUES (COALESCE(NEW.workspace_id, OLD.workspace_id), TG_ARGV[0]::smallint, COALESCE(NEW.id, OLD.id));
    RETURN NULL;
END $$;

-- What a lead is shown with and has elsewhere: what is planned next, and whether somebody is asked for.
CREATE FUNCTION contacts_change_of_lead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.contacts_change (workspace_id, kind, row_id)
    SELECT COALESCE(NEW.workspace_id, OLD.workspace_id), 1, lead.id
    FROM (
        VALUES (OLD.contact_id), (NEW.contact_id)
        UNION
        SELECT merged_into_id FROM public.contacts_contact WHERE id IN (OLD.contact_id, NEW.contact_id)
    ) AS lead (id)
    WHERE lead.id IS NOT NULL;
    RETURN NULL;
END $$;

-- Whatever a lead that is merged into another has of its own counts for that one.
CREATE FUNCTION contacts_change_of_survivor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.contacts_change (workspace_id, kind, row_id)
    SELECT NEW.workspace_id, 1, lead.id FROM (VALUES (OLD.merged_into_id), (NEW.merged_into_id)) AS lead (id)
    WHERE lead.id IS NOT NULL;
    RETURN NULL;
END $$;

-- Where agents see only leads of their own and of nobody, what belongs to a lead comes and goes with its owner.
CREATE FUNCTION contacts_change_of_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT agents_see_all FROM public.contacts_workspace WHERE id = NEW.workspace_id) THEN
        RETURN NULL;
    END IF;
    INSERT INTO public.contacts_change (workspace_id, kind, row_id)
    SELECT NEW.workspace_id, 2, id FROM public.contacts_conversation WHERE contact_id = NEW.id
    UNION ALL
    SELECT NEW.workspace_id, 3, id FROM public.contacts_message WHERE contact_id = NEW.id;
    RETURN NULL;
END $$;

CREATE TRIGGER contacts_followup_made AFTER INSERT ON contacts_followup FOR EACH ROW
    EXECUTE FUNCTION contacts_change_of_lead();
CREATE TRIGGER contacts_followup_changed AFTER UPDATE ON contacts_followup FOR EACH ROW
    WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION contacts_change_of_lead();
CREATE TRIGGER contacts_followup_gone AFTER DELETE ON contacts_followup FOR EACH ROW
    EXECUTE FUNCTION contacts_change_of_lead();

CREATE TRIGGER contacts_conversation_made_handed_over AFTER INSERT ON contacts_conversation FOR EACH ROW
    WHEN (NEW.handoff_at IS NOT NULL) EXECUTE FUNCTION contacts_change_of_lead();
CREATE TRIGGER contacts_conversation_handed_over AFTER UPDATE ON contacts_conversation FOR EACH ROW
    WHEN ((OLD.handoff_at, OLD.contact_id) IS DISTINCT FROM (NEW.handoff_at, NEW.contact_id))
    EXECUTE FUNCTION contacts_change_of_lead();
CREATE TRIGGER contacts_conversation_gone_handed_over AFTER DELETE ON contacts_conversation FOR EACH ROW
    WHEN (OLD.handoff_at IS NOT NULL) EXECUTE FUNCTION contacts_change_of_lead();

CREATE TRIGGER contacts_contact_changed_survivor AFTER UPDATE OF merged_into_id ON contacts_contact FOR EACH ROW
    WHEN (OLD.merged_into_id IS DISTINCT FROM NEW.merged_into_id) EXECUTE FUNCTION contacts_change_of_survivor();

CREATE TRIGGER contacts_contact_changed_owner AFTER UPDATE OF owner_id ON contacts_contact FOR EACH ROW
    WHEN (OLD.owner_id IS DISTINCT FROM NEW.owner_id) EXECUTE FUNCTION contacts_change_of_owner();
"""
TRIGGERS = "".join(
    f"""
CREATE TRIGGER {table}_made AFTER INSERT ON {table} FOR EACH ROW
    EXECUTE FUNCTION contacts_change_of_row({kind});
CREATE TRIGGER {table}_changed AFTER UPDATE ON {table} FOR EACH ROW
    WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION contacts_change_of_row({kind});
CREATE TRIGGER {table}_gone AFTER DELETE ON {table} FOR EACH ROW
    EXECUTE FUNCTION contacts_change_of_row({kind});
"""
    for table, kind in LOGGED
)
BEGINNING = "INSERT INTO contacts_changeskept (id) VALUES (1);"

DROP = (
    "".join(
        f"DROP TRIGGER {table}_{when} ON {table};"
        for table, _ in LOGGED
        for when in ("made", "changed", "gone")
    )
    + """
DROP TRIGGER contacts_contact_changed_owner ON contacts_contact;
DROP TRIGGER contacts_contact_changed_survivor ON contacts_contact;
DROP TRIGGER contacts_conversation_gone_handed_over ON contacts_conversation;
DROP TRIGGER contacts_conversation_handed_over ON contacts_conversation;
DROP TRIGGER contacts_conversation_made_handed_over ON contacts_conversation;
DROP TRIGGER contacts_followup_gone ON contacts_followup;
DROP TRIGGER contacts_followup_changed ON contacts_followup;
DROP TRIGGER contacts_followup_made ON contacts_followup;
DROP FUNCTION contacts_change_of_survivor();
DROP FUNCTION contacts_change_of_lead();
DROP FUNCTION contacts_change_of_owner();
DROP FUNCTION contacts_change_of_row();
"""
)


class Migration(migrations.Migration):
    dependencies = [("contacts", "0014_words")]

    operations = [
        migrations.CreateModel(
            name="ChangesKept",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("xid", models.BigIntegerField(db_default=contacts.models.change.PresentTransaction())),
                ("since", models.DateTimeField(db_default=contacts.models.change.ClockTime())),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("pk", 1)), name="changes_kept_is_one_row")
                ],
            },
        ),
        migrations.CreateModel(
            name="Change",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("xid", models.BigIntegerField(db_default=contacts.models.change.PresentTransaction())),
                (
                    "kind",
                    models.SmallIntegerField(choices=[(1, "Contact"), (2, "Conversation"), (3, "Message")]),
                ),
                ("row_id", models.BigIntegerField()),
                ("at", models.DateTimeField(db_default=contacts.models.change.ClockTime())),
                (
                    "workspace",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="contacts.workspace",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["workspace", "xid", "id"], name="change_in_order"),
                    models.Index(fields=["workspace", "at"], name="change_at"),
                ],
            },
        ),
        migrations.RunSQL(FUNCTIONS + TRIGGERS + BEGINNING, DROP),
    ]
