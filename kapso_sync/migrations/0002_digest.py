"""A delivery that an import or plain SQL inserts gets its digest like one that was received."""

from __future__ import annotations

from django.db import migrations

TRIGGER = """
CREATE FUNCTION kapso_sync_delivery_digest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.body_sha256 := encode(sha256(NEW.body), 'hex');
    RETURN NEW;
END $$;

CREATE TRIGGER kapso_sync_delivery_made_by_hand BEFORE INSERT ON kapso_sync_webhookdelivery FOR EACH ROW
    WHEN (NEW.body_sha256 = '') EXECUTE FUNCTION kapso_sync_delivery_digest();
"""

DROP = """
DROP TRIGGER kapso_sync_delivery_made_by_hand ON kapso_sync_webhookdelivery;
DROP FUNCTION kapso_sync_delivery_digest();
"""


class Migration(migrations.Migration):
    dependencies = [("kapso_sync", "0001_deliveries")]
    operations = [migrations.RunSQL(TRIGGER, DROP)]
