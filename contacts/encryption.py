"""Secrets at rest: encrypted with the first of `ENCRYPTION_KEYS`, readable with any of them."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


class Undecryptable(str):
    """Stands in for a secret that no key of ours opens. Empty, so that it can never match anything."""

    __slots__ = ()


def _fernet() -> MultiFernet:
    """With any of the keys; without any, the secret key serves."""
    return _fernet_of(*(settings.ENCRYPTION_KEYS or [f"leadcrm.encryption:{settings.SECRET_KEY}"]))


@lru_cache(maxsize=4)
def _fernet_of(*keys: str) -> MultiFernet:
    """Keys are any text: Fernet wants 32 bytes, so each is hashed."""
    return MultiFernet(
        [Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest())) for key in keys]
    )


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]
    """Text that is stored encrypted. Reads as `Undecryptable` when the key is lost, rather than failing the row."""

    def get_prep_value(self, value: Any) -> Any:
        if value is None or value == "":
            return value
        if isinstance(value, Undecryptable):
            msg = _("This secret cannot be decrypted with ENCRYPTION_KEYS: enter it again before saving.")
            raise ValueError(msg)
        return _fernet().encrypt(str(value).encode()).decode()

    def from_db_value(self, value: str | None, _expression: Any, _connection: BaseDatabaseWrapper) -> Any:
        return value and decrypted(value)


def decrypted(stored: str) -> str:
    """What is stored encrypted, or `Undecryptable`; "" is nothing."""
    if not stored:
        return ""
    try:
        return _fernet().decrypt(stored.encode()).decode()
    except InvalidToken:
        return Undecryptable()
