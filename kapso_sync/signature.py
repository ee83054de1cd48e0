"""Who signed this body. Kapso: X-Webhook-Signature is the hex HMAC-SHA256 of the exact bytes (CONTRACT.md 3.3)."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable

from django.conf import settings

from contacts.encryption import Undecryptable
from contacts.models import PhoneNumber

_HEX = re.compile(r"[0-9a-f]{64}")


class BadSignature(Exception):  # noqa: N818
    """No secret of ours made this signature for this body."""


class SecretUnreadable(Exception):  # noqa: N818
    """The signature may be good, but the secret that would prove it cannot be decrypted."""


def sign(body: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def served_numbers(body: bytes, signature: str, numbers: Iterable[PhoneNumber]) -> list[str] | None:
    """The numbers that the signature speaks for, of those given; None means all: a project-wide secret made it.

    Raises `BadSignature`, or `SecretUnreadable` where a number's secret cannot be decrypted and no other matches.
    """
    told = signature.strip().lower().removeprefix("sha256=")
    told = told if _HEX.fullmatch(told) else ""  # compared all the same: how long it takes tells nothing
    if _made_by(body, told, settings.KAPSO_WEBHOOK_SECRETS):
        return None
    numbers = list(numbers)
    served = [number.phone_number_id for number in numbers if _made_by(body, told, number.secrets)]
    if not any(number.secrets for number in numbers):
        sign(body, "a number that is not here takes as long as one that is")
    if served:
        return served
    if told and any(isinstance(number.webhook_secret, Undecryptable) for number in numbers):
        raise SecretUnreadable
    raise BadSignature


def _made_by(body: bytes, signature: str, secrets: Iterable[str]) -> bool:
    return any([hmac.compare_digest(sign(body, secret), signature) for secret in secrets])  # noqa: C419 - all of them
