"""The three that are compared: the bare limit, the usual way, and leadcrm."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace

from benchmarks import limit
from benchmarks.servers import CHECKOUT, Server
from benchmarks.traffic import SECRET


class Limit(Server):
    tables = {"deliveries": "delivery", "messages": "message", "contacts": "contact"}

    def command(self) -> list[str]:
        return _granian(self.port, "benchmarks.limit:application")

    def make_tables(self) -> None:
        with self.connect() as connection:
            connection.execute(limit.TABLES)


class Plain(Server):
    tables = {"deliveries": "plain_webhookdelivery", "messages": "plain_message", "contacts": "plain_contact"}
    kept = ("django_migrations", "django_content_type", "auth_permission")

    def command(self) -> list[str]:
        return _granian(self.port, "benchmarks.plain.wsgi:application")

    def make_tables(self) -> None:
        settings = "--settings=benchmarks.plain.settings"
        self.run("-m", "django", "migrate", "--run-syncdb", "--verbosity=0", settings)


class Leadcrm(Server):
    """As `make serve` runs it. Its database is a copy of its template; without one, of an empty CRM."""

    tables = {
        "deliveries": "(SELECT FROM kapso_sync_webhookdelivery WHERE status = 'processed') AS processed",
        "messages": "contacts_message",
        "contacts": "contacts_contact",
    }
    kept = (
        *("django_migrations", "django_content_type", "auth_user", "auth_permission"),
        *("contacts_workspace", "contacts_phonenumber", "contacts_membership"),
    )

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {
            "SECRET_KEY": "only-for-a-benchmark-and-long-enough-to-pass-for-a-real-one-0123456789",
            "KAPSO_WEBHOOK_SECRET": SECRET,
            "LOCAL_DIR": str(self.cluster.folder),
            "ALLOWED_HOSTS": "127.0.0.1",
            "DJANGO_SETTINGS_MODULE": "leadcrm.settings",
        }

    def command(self) -> list[str]:
        return [sys.executable, "manage.py", "serve"]

    def create_database(self) -> None:
        self.cluster.create(self.database, template=self.template or self.migrated)

    def make_tables(self) -> None:
        self.run("manage.py", "migrate", "--verbosity=0")
        self.run("-m", "benchmarks.furnish")

    @property
    def migrated(self) -> str:
        """A database with nothing but all migrations and what is furnished, made anew when these have changed."""
        template = f"migrated_{_migrations()}"
        if not self.cluster.has(template):
            self.cluster.drop_all("migrated_")
            draft = replace(self, database="being_migrated")
            draft.cluster.create(draft.database)
            draft.make_tables()
            draft.cluster.rename(draft.database, template)
        return template


def _migrations() -> str:
    """Stands for all that makes an empty leadcrm."""
    digest = hashlib.sha256((CHECKOUT / "benchmarks" / "furnish.py").read_bytes())
    for path in sorted(CHECKOUT.glob("*/migrations/*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _granian(port: int, target: str) -> list[str]:
    """Workers and threads as leadcrm has them (leadcrm.webserver): a difference is the application's."""
    return [
        *(sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "2", "--blocking-threads", "4", "--no-ws", "--no-access-log", target),
    ]
