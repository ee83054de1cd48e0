"""Clients that post webhooks and retry as Kapso does: the same body under the same key, until it is answered 200."""

from __future__ import annotations

import contextlib
import http.client
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.traffic import Delivery
from tests.kapso import sign

# CONTRACT.md 3.4: after 10, 40 and 90 seconds. Here a second lasts 10 ms, and the last pause is repeated: Kapso would
# give up, but then nothing could be said of a delivery that was never answered.
PAUSES = (10, 40, 90)
COMPRESSED = 100
TIMEOUT_SECONDS = 10  # CONTRACT.md 3.2


@dataclass
class Senders:
    """Some threads, each with a connection of its own, that share the deliveries to post."""

    port: int
    secret: str
    deliveries: Sequence[Delivery]
    deadline: float
    answers: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    acknowledged: set[str] = field(default_factory=set)
    limit: int = sys.maxsize  # so many are taken up; the others wait, so that trouble meets some at work
    _next: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, count: int) -> None:
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    @property
    def are_done(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        self.deadline = 0

    def _work(self) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)
        with contextlib.closing(client):
            while (delivery := self._take()) is not None:
                self._send(client, delivery)

    def _take(self) -> Delivery | None:
        while self.limit <= self._next < len(self.deliveries) and time.monotonic() < self.deadline:
            time.sleep(0.002)
        with self._lock:
            if self._next == len(self.deliveries) or time.monotonic() > self.deadline:
                return None
            self._next += 1
            return self.deliveries[self._next - 1]

    def _send(self, client: http.client.HTTPConnection, delivery: Delivery) -> None:
        attempt = 0
        while not self._is_answered(client, delivery):
            if time.monotonic() > self.deadline:
                return
            time.sleep(PAUSES[min(attempt, len(PAUSES) - 1)] / COMPRESSED)
            attempt += 1

    def _is_answered(self, client: http.client.HTTPConnection, delivery: Delivery) -> bool:
        try:
            client.request("POST", "/webhooks/kapso/", delivery.body, self._headers(delivery))
            response = client.getresponse()
            answer, body = str(response.status), response.read()
        except (OSError, http.client.HTTPException) as error:
            client.close()
            answer, body = _name(error), b""
        with self._lock:
            self.answers[answer] += 1
            if answer == "200":
                self.outcomes[json.loads(body)["status"]] += 1
                self.acknowledged.add(delivery.key)
        return answer == "200"

    def _headers(self, delivery: Delivery) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "X-Idempotency-Key": delivery.key,
            "X-Webhook-Signature": sign(delivery.body, self.secret),
        }
        return headers | ({"X-Webhook-Event": delivery.event} if delivery.event else {})


def _name(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return "connection refused" if isinstance(error, ConnectionRefusedError) else "connection lost"
