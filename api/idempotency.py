"""`Idempotency-Key`: a write that is repeated because its answer was lost happens once, and is answered the same.

The answer is kept in the write's own transaction: so it is there exactly if the write is. It is sealed with the token's
text, which is nowhere here. What was refused changed
nothing and is not kept; repeated, it is looked at anew. Keys are of a token, and forgotten after a day.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cryptography.fernet import Fernet
from django.db import connection
from django.db.models.functions import Now
from django.http import HttpResponse
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from api.models import KeptAnswer, Token
from api.problems import Problem, invalid_header
from contacts.rights import Rights

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEPT_FOR = timedelta(hours=24)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS = ("ETag", "Location")


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that is ours until the transaction ends; or what the one before us was answered."""

    pk: int
    seal: Fernet
    answered: KeptAnswer | None = None

    def answer_again(self) -> HttpResponse:
        kept = self.answered
        assert kept is not None and kept.status is not None  # noqa: S101, PT018 - it was committed with it
        again = HttpResponse(self.seal.decrypt(bytes(kept.sealed_body)), status=kept.status)
        del again["Content-Type"]  # a deletion has none
        return _with_headers(again, kept.headers | {REPLAYED: "true"})

    def keep(self, response: Response) -> None:
        body = b"" if response.data is None else JSONRenderer().render(response.data)
        headers = {name: response[name] for name in _KEPT_HEADERS if name in response}
        if body:
            headers["Content-Type"] = JSONRenderer.media_type
        KeptAnswer.objects.filter(pk=self.pk).update(
            status=response.status_code, headers=headers, sealed_body=self.seal.encrypt(body)
        )


def claim(request: Request) -> Claim | None:
    """To be called in the write's transaction. None without a key; waits for whoever has the same key at work."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise invalid_header(HEADER, "Send 1 to 255 visible ASCII characters, a UUID for example.")
    assert isinstance(request.auth, Token)  # noqa: S101 - tells mypy
    seal = Fernet(urlsafe_b64encode(request.auth.seal))
    known: dict[str, Any] = {
        "token": request.auth.pk,
        "key": key,
        "fingerprint": _fingerprint(request),
        "kept": KEPT_FOR,
    }
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, known)
        row = cursor.fetchone()
    if row is not None:
        return Claim(row[0], seal)
    # The statement before has locked it, so it is there.
    kept = KeptAnswer.objects.get(token=request.auth, key=key)
    if bytes(kept.fingerprint) != known["fingerprint"]:
        raise Problem(
            "idempotency-key-reused",
            "This key was sent with another request already, or before your rights changed: use a new one.",
        )
    return Claim(kept.pk, seal, kept)


# Who finds the key taken by a transaction that goes on waits for its end. A kept answer that is too old is no answer.
_CLAIM = """
INSERT INTO api_keptanswer AS kept (token_id, key, fingerprint)
VALUES (%(token)s, %(key)s, %(fingerprint)s)
ON CONFLICT (token_id, key) DO UPDATE
    SET fingerprint = EXCLUDED.fingerprint, at = now(), status = NULL, headers = DEFAULT, sealed_body = DEFAULT
    WHERE kept.at < now() - %(kept)s
RETURNING id
"""


def forget_old() -> int:
    """Answers that nobody may ask for any more; returns how many."""
    return KeptAnswer.objects.filter(at__lt=Now() - KEPT_FOR).delete()[0]


def _fingerprint(request: Request) -> bytes:
    """Method, address and body. A multipart body has another boundary each time: its parts count. And what the user
    sees: a kept answer is none for somebody who would not get it any more."""
    told = hashlib.sha256()
    rights: Rights = request.rights  # type: ignore[attr-defined]  # api.views.base
    for part in (request.method, request.get_full_path(), rights.fingerprint, *_body(request)):
        part = part if isinstance(part, bytes) else str(part).encode(errors="surrogatepass")
        told.update(len(part).to_bytes(8, "big"))
        told.update(part)
    return told.digest()


def _body(request: Request) -> list[Any]:
    if not (request.content_type or "").startswith("multipart/"):
        return [request._request.body]  # noqa: SLF001 - DRF's own goes through its parsers
    parts: list[Any] = [request.POST.urlencode()]
    for name, file in sorted(request.FILES.items()):
        digest = hashlib.sha256()
        for chunk in file.chunks():
            digest.update(chunk)
        file.seek(0)
        parts += [name, digest.digest()]
    return parts


def _with_headers(response: HttpResponse, headers: dict[str, str]) -> HttpResponse:
    for name, value in headers.items():
        response[name] = value
    return response
