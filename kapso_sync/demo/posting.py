"""Posting a webhook as Kapso does: over HTTP, signed over the exact bytes."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from urllib.parse import urlsplit

from kapso_sync.demo.payloads import Webhook
from kapso_sync.signature import sign

TIMEOUT = 30  # seconds; Kapso itself waits for 10

# A proxy of the environment is for the world outside, not for a server of our own.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NotDelivered(Exception):  # noqa: N818 - it reads as what happened
    """The server did not take a webhook; the message says what to do about it."""


class Endpoint:
    """leadcrm's webhook at a server, and the secret that is shared with it."""

    def __init__(self, url: str, secret: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise NotDelivered(f"{url} is no address of a server: write http://127.0.0.1:8000")
        self.server = url.rstrip("/")
        self.secret = secret

    def post_all(self, webhooks: Sequence[Webhook]) -> int:
        """One after the other; returns how many."""
        for webhook in webhooks:
            self.post(webhook)
        return len(webhooks)

    def post(self, webhook: Webhook) -> None:
        raw = json.dumps(webhook.body, ensure_ascii=False).encode()
        headers = {
            "Content-Type": "application/json",
            "X-Webhook-Event": webhook.event,
            "X-Webhook-Signature": sign(raw, self.secret),
            "X-Idempotency-Key": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.secret} {raw!r}")),
            "X-Webhook-Payload-Version": "v2" if webhook.event else "",
        }
        sent = {name: value for name, value in headers.items() if value}
        request = urllib.request.Request(f"{self.server}/webhooks/kapso/", raw, sent)  # noqa: S310 - see __init__
        self._check(self._answer(request))

    def _answer(self, request: urllib.request.Request) -> str:
        """What the server made of it, in its own word."""
        try:
            with _opener.open(request, timeout=TIMEOUT) as response:
                status: str = json.load(response)["status"]
                return status
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(300).decode(errors="replace").strip()
            raise NotDelivered(
                f"{self.server} did not take a webhook: it answered {error.code} {said}"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            text = f"Nothing answers at {self.server}. Start leadcrm first: make run"
            raise NotDelivered(text) from error
        except (ValueError, KeyError, TypeError) as error:
            raise NotDelivered(f"{self.server} is not leadcrm: its answer makes no sense.") from error

    def _check(self, status: str) -> None:
        if status == "unroutable":
            raise NotDelivered(f"{self.server} works with another database: it does not know our number.")
        if status not in ("processed", "ignored"):
            raise NotDelivered(
                f"{self.server} took a webhook but it {status}: the admin shows why, under Deliveries."
            )
