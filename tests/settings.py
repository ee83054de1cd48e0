"""leadcrm's own settings, in a checkout folder of their own: the tests' PostgreSQL is never the one in use."""

from __future__ import annotations

import os
from pathlib import Path

# TEST_LOCAL_DIR: a second run of the tests at the same time needs a folder of its own.
here = Path(__file__).resolve().parent.parent
os.environ["LOCAL_DIR"] = os.environ.get("TEST_LOCAL_DIR") or str(here / ".local" / "tests")
# TEST_DATABASE_URL: another PostgreSQL (15 or newer) than the embedded one.
os.environ["DATABASE_URL"] = os.environ.get("TEST_DATABASE_URL", "")
os.environ["SECRET_KEY"] = "only-for-tests-and-long-enough-to-be-taken-for-a-real-one-0123456789"
os.environ["HTTPS"] = "off"
for name in (
    "DEBUG",
    "ENCRYPTION_KEYS",
    "ALLOWED_HOSTS",
    "METRICS_TOKEN",
    "API_REQUESTS_PER_MINUTE",
    "PORT",
    "RETENTION_DAYS",
    "SITE_URL",
    "TIME_ZONE",
    "EMAIL_URL",
    "EMAIL_FROM",
    "PGBOUNCER",
    "REPLICA_URL",
    "WORKER_DATABASE_URL",
):
    os.environ.pop(name, None)
os.environ["KAPSO_WEBHOOK_SECRET"] = "project-secret"

from leadcrm.settings import *

SITE_URL = "http://testserver"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
