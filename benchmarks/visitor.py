"""Run as leadcrm would be: asks for pages in this process and says what PostgreSQL had to do for them.

Reads {"pages": {name: address}, "repeats": n} from stdin. Prints for each page the milliseconds spent in queries, how
many these were, and how many leads it shows; and the headers with which the same pages can be had over HTTP.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import time
from collections.abc import Callable
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402

LEADS = re.compile(rb"contacts/contact/(\d+)/change/|\"lead_status\"")


class Stopwatch:
    """What a request spends in the database."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.queries = 0

    def __call__(self, execute: Callable[..., Any], *args: Any) -> Any:
        started = time.perf_counter()
        try:
            return execute(*args)
        finally:
            self.seconds += time.perf_counter() - started
            self.queries += 1


def headers_of(client: Client, *, uses_api: bool) -> dict[str, str]:
    """HTTPS ends at the proxy in front, which says so."""
    known = {"X-Forwarded-Proto": "https", "Host": "127.0.0.1"}
    user = User.objects.get(username="ana")
    if uses_api:
        tokens = importlib.import_module("api.tokens")  # where there is no API, nobody asks for it
        _, text = tokens.issue(user, "bench")
        return known | {"Authorization": f"Bearer {text}"}
    client.force_login(user, backend="leadcrm.accounts.Backend")
    return known | {
        "Cookie": f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
    }


def visit(client: Client, address: str, headers: dict[str, str], repeats: int) -> dict[str, Any]:
    """The first time finds caches cold, and does not count."""
    watches = []
    for _ in range(repeats + 1):
        watches.append(Stopwatch())
        with connection.execute_wrapper(watches[-1]):
            response = client.get(address, headers=headers)
    return {
        "status": response.status_code,
        "leads": len(set(LEADS.findall(response.content))),
        "queries": watches[-1].queries,
        "ms": [1000 * watch.seconds for watch in watches[1:]],
    }


def main() -> None:
    asked = json.loads(sys.stdin.read())
    client = Client()
    headers = headers_of(client, uses_api=asked.get("uses_api", False))
    pages = {
        name: visit(client, address, headers, asked["repeats"]) for name, address in asked["pages"].items()
    }
    sys.stdout.write(json.dumps({"headers": headers, "pages": pages}))


if __name__ == "__main__":
    main()
