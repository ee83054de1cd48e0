"""The tests' settings for a process of its own, a server or a worker, that uses a test's database."""

from __future__ import annotations

import os

from tests.settings import *
from tests.settings import DATABASES

DATABASES["default"]["NAME"] = os.environ["TEST_DATABASE_NAME"]
