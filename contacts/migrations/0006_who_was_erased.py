"""The first statement of the sync asks for the tombstones of what a batch names.

It has waited for the workspace's lock by then, and an erasure may have been committed meanwhile: a statement sees the
database as it was when it began, but a volatile function asks anew. That is why this is one, and why it takes the
number of locks as an argument: it cannot be called before they are held.
"""

from __future__ import annotations

from django.db import migrations, models

FUNCTIONS = """
CREATE FUNCTION contacts_digest(salt text, kind text, value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(sha256(convert_to(salt || kind || value, 'UTF8')), 'hex')
$$;

-- `marks` is [[workspace, kind, value], ...]; `nth` counts them from 1.
CREATE FUNCTION contacts_tombstones(marks jsonb, locks bigint)
RETURNS TABLE (nth bigint, since timestamptz, until timestamptz) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN QUERY
    SELECT mark.nth, t.since, t.erased_at
    FROM jsonb_array_elements(marks) WITH ORDINALITY AS mark (told, nth)
    JOIN contacts_workspace w ON w.id = (mark.told->>0)::bigint AND w.tombstone_salt <> ''
    JOIN contacts_tombstone t ON t.workspace_id = w.id
        AND t.digest = contacts_digest(w.tombstone_salt, mark.told->>1, mark.told->>2);
END $$;
"""

DROP = """
DROP FUNCTION contacts_tombstones(jsonb, bigint);
DROP FUNCTION contacts_digest(text, text, text);
"""


class Migration(migrations.Migration):
    dependencies = [("contacts", "0005_typed_is_sealed")]
    operations = [
        migrations.AddField(
            model_name="tombstone", name="since", field=models.DateTimeField(null=True, blank=True)
        ),
        migrations.RunSQL(FUNCTIONS, DROP),
    ]
