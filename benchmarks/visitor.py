"""Run as leadcrm would be, beside its server: asks for pages and says what they took.

Reads {"pages": {name: address}, "repeats": n} from stdin. Each page is asked for in this process, to see what its
queries take, and from the server over HTTP, to see what the whole request takes. Prints both times of each page in
milliseconds, the number of its queries and of the leads that it shows; and the headers with which it was asked for.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402

from benchmarks.load import Connection, get  # noqa: E402

SECONDS, LEAST = 3.0, 2  # a page is asked for no longer, but so often in any case
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


def bounded(repeats: int) -> Iterator[None]:
    """Once more than so often, as the first does not count; less often where each takes long."""
    started = time.monotonic()
    for done in range(repeats + 1):
        if done < LEAST or time.monotonic() - started < SECONDS:
            yield


def in_process(client: Client, address: str, headers: dict[str, str], repeats: int) -> dict[str, Any]:
    """The first time finds caches cold, and does not count."""
    watches: list[Stopwatch] = []
    for _ in bounded(repeats):
        watches.append(Stopwatch())
        with connection.execute_wrapper(watches[-1]):
            response = client.get(address, headers=headers)
    return {
        "status": response.status_code,
        "leads": len(set(LEADS.findall(response.content))),
        "queries": watches[-1].queries,
        "sql": median(1000 * watch.seconds for watch in watches[1:]),
    }


def over_http(connection: Connection, address: str, headers: dict[str, str], repeats: int) -> float:
    """Milliseconds of the whole request, in the middle."""
    took: list[float] = []
    for _ in bounded(repeats):
        started = time.perf_counter()
        status = connection.ask(get(address, headers))
        took.append(1000 * (time.perf_counter() - started))
        if status != 200:
            sys.exit(f"{address} was answered {status} over HTTP")
    return median(took[1:])


def main() -> None:
    asked = json.loads(sys.stdin.read())
    client = Client()
    headers = headers_of(client, uses_api=asked.get("uses_api", False))
    server = Connection(settings.PORT)
    pages = {
        name: in_process(client, address, headers, asked["repeats"])
        | {"whole": over_http(server, address, headers, asked["repeats"])}
        for name, address in asked["pages"].items()
    }
    sys.stdout.write(json.dumps({"headers": headers, "pages": pages}))


if __name__ == "__main__":
    main()
