"""Workspaces, the people who work in them, and their WhatsApp business numbers."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Self

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from contacts.encryption import EncryptedTextField

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User


class Role(models.TextChoices):
    """What a member may do in a workspace (contacts.rights)."""

    # Not the one who answers a lead: other languages have another word for that.
    OWNER = "owner", pgettext_lazy("role", "Owner")
    MANAGER = "manager", _("Manager")
    AGENT = "agent", _("Agent")
    VIEWER = "viewer", _("Viewer")


def office_hours() -> list[list[str] | None]:
    """Monday to Friday, nine to six: what a new workspace begins with."""
    return [["09:00", "18:00"]] * 5 + [None, None]


def site_time_zone() -> str:
    return settings.TIME_ZONE


class WorkspaceQuerySet(models.QuerySet["Workspace"]):
    def for_user(self, user: User | AnonymousUser) -> Self:
        """The workspaces this user may see: their own; every one for a superuser."""
        return self if user.is_superuser else self.filter(members=user.pk)


class Workspace(models.Model):
    """A team with its own leads. Nothing is shared between workspaces."""

    name = models.CharField(_("name"), max_length=255)
    slug = models.SlugField(max_length=100)
    members = models.ManyToManyField(
        settings.AUTH_USER_MODEL, through="Membership", related_name="workspaces", blank=True
    )
    time_zone = models.CharField(max_length=64, default=site_time_zone, db_default="UTC")
    # From Monday on, each day's opening and closing in the workspace's own time ("09:00"); null: closed.
    business_hours = models.JSONField(default=office_hours, db_default=office_hours())
    # A lead needs follow-up when nobody has written to it for so many hours (DESIGN.md section 4).
    follow_up_hours = models.PositiveIntegerField(default=72, db_default=72)
    # Off: agents see their own leads and those of nobody.
    agents_see_all = models.BooleanField(default=True, db_default=True)
    # New leads go to the agents who are on, in turn.
    assigns_in_turn = models.BooleanField(default=False, db_default=False)
    # Since when they do: older leads stay where they are (contacts.in_turn). A trigger keeps it, so that it also knows
    # of what the ORM and plain SQL wrote.
    in_turn_since = models.DateTimeField(null=True, blank=True, editable=False)
    # Salts the tombstones of the people who were erased here; "" as long as nobody was.
    tombstone_salt = models.CharField(max_length=64, blank=True, default="", db_default="", editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = WorkspaceQuerySet.as_manager()

    class Meta:
        verbose_name = _("workspace")
        verbose_name_plural = _("workspaces")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["slug"], name="workspace_slug")]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A user works in a workspace."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    role = models.CharField(max_length=10, choices=Role, default=Role.AGENT, db_default=Role.AGENT)
    # Whether they get leads in turn just now.
    takes_leads = models.BooleanField(default=True, db_default=True)
    # When they last got one: whoever waits longest is next.
    given_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("member")
        constraints = [models.UniqueConstraint(fields=["workspace", "user"], name="membership_once")]

    def __str__(self) -> str:
        return str(self.user)


@lru_cache(maxsize=1024)
def _digits(shown: str) -> str:
    """Asked for by each event."""
    return "".join(filter(str.isdecimal, shown))


class PhoneNumberQuerySet(models.QuerySet["PhoneNumber"]):
    def for_user(self, user: User | AnonymousUser) -> Self:
        return self if user.is_superuser else self.filter(workspace__members=user.pk)


class PhoneNumber(models.Model):
    """A WhatsApp business number of a workspace. Registered by the installation's superusers only."""

    workspace = models.ForeignKey(
        Workspace, on_delete=models.PROTECT, related_name="phone_numbers", verbose_name=_("workspace")
    )
    phone_number_id = models.CharField(
        _("phone number ID"),
        max_length=64,
        validators=[
            RegexValidator(r"^[0-9]+\Z", _("Digits only, some 15 of them: Meta's id, not the number itself."))
        ],
        help_text=_(
            "Meta's id of the number, as Kapso shows it under Phone numbers (not the number itself)."
        ),
    )
    display_phone_number = models.CharField(
        _("WhatsApp number"), max_length=32, blank=True, default="", db_default=""
    )
    webhook_secret = EncryptedTextField(
        blank=True,
        default="",
        db_default="",
        help_text=_(
            "The secret key of this number's webhook in Kapso. Several, separated by commas, while rotating."
        ),
    )
    is_active = models.BooleanField(
        _("active"),
        default=True,
        db_default=True,
        help_text=_("Off: webhooks are stored but change nothing."),
    )
    connected_at = models.DateTimeField(null=True, blank=True, editable=False)
    disconnected_at = models.DateTimeField(null=True, blank=True, editable=False)
    # What Kapso said of it without a time: "<which of the two> <what stands for the body>" to when that body first came.
    told_untimed = models.JSONField(default=dict, db_default={}, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = PhoneNumberQuerySet.as_manager()

    class Meta:
        verbose_name = _("WhatsApp number")
        verbose_name_plural = _("WhatsApp numbers")
        ordering = ["workspace", "display_phone_number"]
        constraints = [models.UniqueConstraint(fields=["phone_number_id"], name="phone_number_once")]

    def __str__(self) -> str:
        return f"+{self.own_phone}" if self.own_phone else self.phone_number_id

    @property
    def own_phone(self) -> str:
        """Digits of the business number itself, "" where unknown. It is never a customer (EDGE_CASES.md 84)."""
        return _digits(self.display_phone_number)

    @property
    def is_connected(self) -> bool:
        """False once Kapso said that the number was removed, until it says that it is back."""
        connected, disconnected = self._newest("connected_at"), self._newest("disconnected_at")
        return disconnected is None or (connected is not None and connected > disconnected)

    @property
    def was_connected(self) -> bool:
        return self._newest("connected_at") is not None

    def _newest(self, what: Literal["connected_at", "disconnected_at"]) -> datetime | None:
        untimed = [
            datetime.fromisoformat(at)
            for told, at in self.told_untimed.items()
            if told.startswith(f"{what} ")
        ]
        return max(filter(None, (getattr(self, what), *untimed)), default=None)

    @property
    def secrets(self) -> list[str]:
        return [secret.strip() for secret in self.webhook_secret.split(",") if secret.strip()]
