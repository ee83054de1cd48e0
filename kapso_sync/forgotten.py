"""Shadows that nobody will finish (kapso_sync.rebuilding): of workspaces that are gone, of rebuilds that were given up.

They are copies of what people wrote, so they are not left about. What was interrupted lately is kept, to go on with.
"""

from __future__ import annotations

from django.db import connection, transaction

from contacts.models import Workspace
from contacts.shadow import Shadow
from kapso_sync.rebuilding import SHADOW, is_let_alone

# Begun by code that did not note when, it is older than any.
IS_OLD = """
SELECT COALESCE((to_jsonb(state)->>'begun_at')::timestamptz, '-infinity') < now() - interval '7 days'
FROM {shadow}.state
"""


def drop_forgotten_shadows() -> int:
    """Returns how many that were. One that somebody works on just now is none of them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ %s", [f"^{SHADOW}[0-9]+$"])
        schemas = [name for (name,) in cursor.fetchall()]
    return sum(_drop_if_forgotten(schema) for schema in schemas)


def _drop_if_forgotten(schema: str) -> bool:
    workspace_id = int(schema.removeprefix(SHADOW))
    shadow = Shadow(schema)
    with transaction.atomic():
        if not is_let_alone(workspace_id):
            return False
        is_gone = not Workspace.objects.filter(pk=workspace_id).exists()
        is_forgotten = shadow.exists and (is_gone or bool(shadow.run(IS_OLD)[0][0]))
        if is_forgotten:
            shadow.drop()
        return is_forgotten
