"""A Kapso to test with: it signs the exact bytes that it posts, and can be told to get it wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kapso_sync.models import WebhookDelivery

PAYLOADS = Path(__file__).parent / "payloads"
_keys = count()


@dataclass(slots=True)
class Answer:
    status: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def delivery(self) -> WebhookDelivery:
        return WebhookDelivery.objects.get(pk=self.json["delivery"])


@dataclass(slots=True)
class Kapso:
    """Posts webhooks to a running server over HTTP, one connection each."""

    url: str
    secret: str = "project-secret"
    path: str = "/webhooks/kapso/"
    headers: dict[str, str] = field(default_factory=dict)

    def post(
        self,
        body: Any,
        *,
        event: str = "",
        key: str | None = None,
        secret: str | None = None,
        signature: str | None = None,
        method: str = "POST",
        **headers: str,
    ) -> Answer:
        """`body` is bytes, or data to serialise once. `signature` replaces the right one, "" leaves the header out."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        signed = sign(raw, self.secret if secret is None else secret) if signature is None else signature
        sent = {"Content-Type": "application/json", **self.headers}
        sent["X-Idempotency-Key"] = f"key-{next(_keys)}" if key is None else key
        sent |= {"X-Webhook-Event": event} if event else {}
        sent |= {"X-Webhook-Signature": signed} if signed else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in sent.items() if value}
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
        try:
            connection.request(method, self.path, raw, sent)
            response = connection.getresponse()
            return Answer(response.status, response.read().decode())
        finally:
            connection.close()

    def post_file(self, name: str, **changes: Any) -> Answer:
        """Post a corpus file as it is described: its body in bytes, its headers, its key."""
        case = load(name)
        headers = dict(case["headers"])
        event = headers.pop("X-Webhook-Event", "")
        key = changes.pop("key", headers.pop("X-Idempotency-Key", ""))
        return self.post(body_of(case), event=event, key=key, **{**headers, **changes})


def sign(raw: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()


def load(name: str) -> dict[str, Any]:
    case: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text())
    return case


def body_of(case: dict[str, Any]) -> bytes:
    if "raw_body_base64" in case:
        return base64.b64decode(case["raw_body_base64"])
    if "raw_body" in case:
        return str(case["raw_body"]).encode()
    return json.dumps(case["body"], ensure_ascii=False).encode()
