"""That nothing stored tells a message any more changes nothing that anybody is shown: it is not logged as a change.

Retention seals messages every night. Whoever follows the log read each of them again.
"""

from django.db import migrations

LOGGED = """
DROP TRIGGER contacts_message_changed ON contacts_message;
CREATE TRIGGER contacts_message_changed AFTER UPDATE ON contacts_message FOR EACH ROW
    WHEN ({when}) EXECUTE FUNCTION contacts_change_of_row(3);
"""
# Compared column by column only where it was sealed, which comes once in the life of a message.
BUT_FOR_SEALING = """OLD.* IS DISTINCT FROM NEW.* AND (
        OLD.is_sealed = NEW.is_sealed OR to_jsonb(OLD) - 'is_sealed' <> to_jsonb(NEW) - 'is_sealed')"""


class Migration(migrations.Migration):
    dependencies = [("contacts", "0021_made_by_hand_in_bulk")]

    operations = [
        migrations.RunSQL(
            LOGGED.format(when=BUT_FOR_SEALING), LOGGED.format(when="OLD.* IS DISTINCT FROM NEW.*")
        ),
    ]
