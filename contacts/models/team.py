"""What a team arranges for itself: tags, custom fields, saved filters, invitations, what each is told."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower, Now
from django.utils.translation import gettext_lazy as _

from contacts.models.contact import Contact
from contacts.models.workspace import PhoneNumber, Role, Workspace


class Tag(models.Model):
    """A tag that the workspace suggests. A lead has its tags as words (`Contact.tags`), suggested or not."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_index=False, related_name="tags")
    name = models.CharField(max_length=50)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint("workspace", Lower("name"), name="tag_once")]

    def __str__(self) -> str:
        return self.name


class CustomField(models.Model):
    """A field that the workspace adds to its leads. The values stand in `Contact.metadata`, by `key`."""

    class Kind(models.TextChoices):
        TEXT = "text", _("Text")
        NUMBER = "number", _("Number")
        DATE = "date", _("Date")
        CHOICE = "choice", _("Choice")
        YES_NO = "yes_no", _("Yes or no")

    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, db_index=False, related_name="custom_fields"
    )
    key = models.SlugField(max_length=50, db_index=False)
    label = models.CharField(max_length=100)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.TEXT)
    choices = ArrayField(models.CharField(max_length=100), default=list, blank=True, db_default=[])
    position = models.PositiveSmallIntegerField(default=0, db_default=0)

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["workspace", "key"], name="custom_field_once")]

    def __str__(self) -> str:
        return self.label


class SavedFilter(models.Model):
    """A view of the list of leads under a name. `query` is the list's query string, without a page."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_index=False, related_name="+")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=60)
    query = models.TextField(max_length=2000)
    is_shared = models.BooleanField(default=False, db_default=False)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint("workspace", "by", Lower("name"), name="saved_filter_once"),
        ]

    def __str__(self) -> str:
        return self.name


class Invitation(models.Model):
    """Somebody is asked to join a workspace. The link holds a secret of which only the SHA-256 digest is kept."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField()
    role = models.CharField(max_length=10, choices=Role, default=Role.AGENT)
    token_digest = models.CharField(max_length=64, unique=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return self.email


class Preferences(models.Model):
    """How a user wants to be shown and told things. Empty: as the browser, the workspace or the site has it."""

    class Digest(models.TextChoices):
        OFF = "off", _("No e-mail")
        DAILY = "daily", _("Once a day")
        AT_ONCE = "at_once", _("At once")

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="preferences"
    )
    language = models.CharField(max_length=10, choices=settings.LANGUAGES, blank=True, default="")
    time_zone = models.CharField(max_length=64, blank=True, default="")
    digest = models.CharField(max_length=10, choices=Digest, default=Digest.OFF)
    digested_at = models.DateTimeField(null=True, blank=True, editable=False)
    # The mail server refused so many in a row: not before then again (contacts.digests).
    mail_failures = models.PositiveSmallIntegerField(default=0, db_default=0, editable=False)
    mail_not_before = models.DateTimeField(null=True, blank=True, editable=False)

    def __str__(self) -> str:
        return str(self.user)


class Notification(models.Model):
    """Something that a user is told in the page and, if they want, by e-mail."""

    class Kind(models.TextChoices):
        ASSIGNED = "assigned", _("A lead was assigned to you")
        MENTION = "mention", _("You were mentioned in a note")
        FOLLOW_UP = "follow_up", _("A follow-up is due")
        SILENCE = "silence", _("A number fell silent")

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications", db_index=False
    )
    kind = models.CharField(max_length=10, choices=Kind)
    # What it is about: told once, however often the reason is found.
    key = models.CharField(max_length=100)
    contact = models.ForeignKey(Contact, null=True, on_delete=models.CASCADE, related_name="notifications")
    phone_number = models.ForeignKey(PhoneNumber, null=True, on_delete=models.CASCADE, related_name="+")
    text = models.CharField(max_length=255, blank=True, default="", db_default="")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(db_default=Now())
    read_at = models.DateTimeField(null=True, blank=True)
    mailed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-at", "-id"]
        constraints = [models.UniqueConstraint(fields=["user", "kind", "key"], name="notification_once")]
        indexes = [models.Index(fields=["user", "-at"], name="notification_newest")]

    def __str__(self) -> str:
        return self.get_kind_display()
