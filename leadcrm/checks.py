"""What can be wrong with the environment, each in one line that says what to set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.db import connections

from leadcrm.databases import SESSION

_LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
_KEY_LENGTH = 32  # characters: a key of 16 random bytes in hexadecimal


@checks.register
def check_port(**_: Any) -> list[checks.CheckMessage]:
    if 1 <= settings.PORT <= 65535:
        return []
    return [checks.Error(f"PORT is {settings.PORT}: set it to a number from 1 to 65535.", id="leadcrm.E001")]


@checks.register(checks.Tags.security, deploy=True)
def check_encryption_keys(**_: Any) -> list[checks.CheckMessage]:
    short = [number for number, key in enumerate(settings.ENCRYPTION_KEYS, 1) if len(key) < _KEY_LENGTH]
    if not short:
        return []
    which = ", ".join(map(str, short))
    how = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'
    text = f"ENCRYPTION_KEYS: key {which} is shorter than {_KEY_LENGTH} characters. Make one with: {how}"
    return [checks.Warning(text, id="leadcrm.W001")]


@checks.register(checks.Tags.security, deploy=True)
def check_allowed_hosts(**_: Any) -> list[checks.CheckMessage]:
    if not _LOOPBACK.issuperset(settings.ALLOWED_HOSTS):
        return []
    text = "ALLOWED_HOSTS names this machine only: set it to the host names under which leadcrm is reached."
    return [checks.Info(text, id="leadcrm.I001")]


@checks.register(checks.Tags.database)
def check_settings_of_sessions(databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """PgBouncer takes none from its clients, so the role must have them: waiting for ever for a lock loses webhooks."""
    found: list[checks.CheckMessage] = []
    for alias in databases or () if settings.PGBOUNCER else ():
        with connections[alias].cursor() as cursor:
            cursor.execute(
                "SELECT current_user, current_database(), current_setting('lock_timeout'), current_setting('jit')"
            )
            role, name, *now = cursor.fetchone()
        if now != list(SESSION.values()):
            where = f'ALTER ROLE "{role}" IN DATABASE "{name}" SET'
            how = "; ".join(f"{where} {setting} = '{value}'" for setting, value in SESSION.items())
            text = f"Behind PgBouncer the role needs settings of its own. Then RECONNECT in PgBouncer's console. Run: {how}"
            found.append(checks.Error(text, id="leadcrm.E002"))
    return found


def without_any_secret() -> str:
    """Why no webhook could be accepted, or nothing. Reads the database, which has to be migrated."""
    from contacts.models import PhoneNumber

    if settings.KAPSO_WEBHOOK_SECRETS or PhoneNumber.objects.exclude(webhook_secret="").exists():
        return ""
    return "Set KAPSO_WEBHOOK_SECRET to the secret key of your webhook in Kapso: without any secret no webhook can be trusted."
