"""Who may come in for whom, and what they were answered."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class Scope(models.TextChoices):
    READ = "read", _("Read only")
    WRITE = "write", _("Read and change")


class Token(models.Model):
    """Lets a program act for a user, with their rights. Of its text only the SHA-256 digest is kept (api.tokens)."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens", verbose_name=_("user")
    )
    name = models.CharField(pgettext_lazy("of a token", "name"), max_length=100)
    scope = models.CharField(max_length=5, choices=Scope, default=Scope.READ)
    # The beginning of its text, by which its user knows it again.
    prefix = models.CharField(max_length=12, editable=False)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    # How often it came in the minute of its last use (api.throttling).
    used_in_minute = models.PositiveIntegerField(default=0, db_default=0, editable=False)

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")
        constraints = [
            # Also keeps a page that is loaded anew from making a second one.
            models.UniqueConstraint(
                fields=["user", "name"], condition=models.Q(revoked_at=None), name="api_token_name_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def scopes(self) -> list[str]:
        return [Scope.READ.value] if self.scope == Scope.READ else [Scope.READ.value, Scope.WRITE.value]

    @property
    def may_write(self) -> bool:
        return self.scope == Scope.WRITE

    # What its text alone opens (api.tokens.use); as long as the request lasts.
    seal: bytes = b""

    def is_good(self, now: datetime | None = None) -> bool:
        return self.revoked_at is None and not self.has_expired(now)

    def has_expired(self, now: datetime | None = None) -> bool:
        return self.expires_at is not None and self.expires_at <= (now or timezone.now())


class KeptAnswer(models.Model):
    """What a write was answered, for whoever repeats it with the same `Idempotency-Key` (api.idempotency)."""

    token = models.ForeignKey(Token, on_delete=models.CASCADE, db_index=False, related_name="+")
    key = models.CharField(max_length=255)
    # Stands for the request: another one with the same key is refused.
    fingerprint = models.BinaryField(max_length=32)
    at = models.DateTimeField(db_default=Now(), db_index=True)
    # Filled in before the transaction ends that made the row: nobody else ever sees it without.
    status = models.PositiveSmallIntegerField(null=True)
    headers = models.JSONField(default=dict, db_default={})
    # Readable for whoever brings the token alone: of a person who is erased meanwhile nobody here can read anything.
    sealed_body = models.BinaryField(default=b"", db_default=b"")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["token", "key"], name="api_kept_answer_once")]

    def __str__(self) -> str:
        return self.key
