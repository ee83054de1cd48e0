"""Making, using and revoking tokens. Nobody can read a token's text again: the digest of 32 random bytes needs no salt."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Q
from django.db.models.functions import Now

from api.models import Scope, Token

BEGINS = "lcrm_"
_TEXT = re.compile(r"lcrm_[A-Za-z0-9_-]{43}")
_TOKEN_COLUMNS = [field for field in Token._meta.concrete_fields if field.name != "digest"]  # noqa: SLF001
_USER_COLUMNS = [field for field in User._meta.concrete_fields if field.name != "password"]  # noqa: SLF001


def issue(
    user: User, name: str, *, scope: str = Scope.READ, expires_at: datetime | None = None
) -> tuple[Token, str]:
    """A new token and its text, which is nowhere after this."""
    text = BEGINS + secrets.token_urlsafe(32)
    token = Token.objects.create(
        user=user, name=name, scope=scope, expires_at=expires_at, prefix=text[:10], digest=digest_of(text)
    )
    return token, text


def revoke(token: Token) -> bool:
    """It is dead from now on; False if it was already."""
    return Token.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=Now()) > 0


def digest_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def use(text: str) -> Token | None:
    """The token, if it is good, with its user; its use is noted and counted, all in one statement.

    A minute is that of the clock. The row is locked for as long as the statement takes: never call it in a transaction
    that goes on.
    """
    if not _TEXT.fullmatch(text):
        return None
    with connection.cursor() as cursor:
        cursor.execute(_USE, {"digest": digest_of(text)})
        row = cursor.fetchone()
    if row is None:
        return None
    count = len(_TOKEN_COLUMNS)
    token = Token.from_db(connection.alias, [field.attname for field in _TOKEN_COLUMNS], row[:count])
    token.seal = hashlib.sha256(b"what was answered to " + text.encode()).digest()
    token.user = User.from_db(connection.alias, [field.attname for field in _USER_COLUMNS], row[count:])
    return token


_USE = f"""
UPDATE api_token AS token
SET last_used_at = statement_timestamp(),
    used_in_minute = CASE WHEN last_used_at >= date_trunc('minute', statement_timestamp())
                          THEN used_in_minute + 1 ELSE 1 END
FROM auth_user
WHERE token.digest = %(digest)s AND token.revoked_at IS NULL
  AND (token.expires_at IS NULL OR token.expires_at > statement_timestamp())
  AND auth_user.id = token.user_id AND auth_user.is_active
RETURNING {", ".join(f"token.{field.column}" for field in _TOKEN_COLUMNS)},
          {", ".join(f"auth_user.{field.column}" for field in _USER_COLUMNS)}
"""  # noqa: S608 - columns of our own models


def is_still_good(token: Token) -> bool:
    """For whoever was let in some time ago."""
    not_expired = Q(expires_at=None) | Q(expires_at__gt=Now())
    return Token.objects.filter(not_expired, pk=token.pk, revoked_at=None, user__is_active=True).exists()


def why_not(text: str) -> str:
    """For whoever holds the token's text, and so may know."""
    if not _TEXT.fullmatch(text):
        return "This is no token of leadcrm: one begins with lcrm_ and has 48 characters."
    token = Token.objects.filter(digest=digest_of(text)).select_related("user").first()
    if token is None:
        return "This token is not known here."
    if token.revoked_at:
        return f"This token ({token.prefix}…) was revoked: make another one in the admin."
    if token.has_expired():
        return f"This token ({token.prefix}…) has expired: make another one in the admin."
    return f"The user of this token ({token.prefix}…) cannot log in any more."


def limit() -> int:
    """Requests per minute and token."""
    most: int = settings.API_REQUESTS_PER_MINUTE
    return most
