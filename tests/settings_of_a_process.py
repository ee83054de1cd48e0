"""The tests' settings for a process of its own, a server or a worker, that uses a test's database."""

from __future__ import annotations

import os

from tests.settings import *
from tests.settings import DATABASES

DATABASES["default"]["NAME"] = os.environ["TEST_DATABASE_NAME"]
# A test that holds a lock must not be lost to a slow machine.
options = DATABASES["default"]["OPTIONS"]
options["options"] = options["options"].replace(
    "lock_timeout=3s", f"lock_timeout={os.environ.get('TEST_LOCK_TIMEOUT', '3s')}"
)
