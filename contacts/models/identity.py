"""Who is who: identities, the evidence that links them, and what was said of them.

These are facts. They are only ever inserted, or narrowed to an earliest and a newest time, so they commute: the same
facts are there whatever the order in which the webhooks came. Which lead an identity belongs to is derived from
them (contacts.people).
"""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import F, Func, OuterRef, Q, Subquery
from django.db.models.functions import Greatest
from django.utils.translation import gettext_lazy as _

from contacts.models.contact import Contact
from contacts.models.workspace import Workspace


class IdentityQuerySet(models.QuerySet["Identity"]):
    def with_last_seen(self) -> Self:
        """Annotate `seen_at`: when the identity was last seen, also by what has no time of its own."""
        seen = ProfileFact.objects.filter(identity=OuterRef("pk"), field=ProfileFact.Field.SEEN)
        untimed = seen.order_by("-last_at").values("last_at")[:1]
        return self.annotate(seen_at=Greatest("last_seen_at", Subquery(untimed)))


class Identity(models.Model):
    """A phone or a business-scoped user id that was seen in a workspace. Its row is the lock on the person.

    A lead that has neither, only a name, gets one of kind `lead` (its own id) when somebody merges it: no event ever
    names it, but a link can hold on to it.

    `contact` caches the living lead it now leads to; empty while no message made the person. `home` is the row that
    was first made for it, so that a lead which was merged on evidence comes back when the evidence says otherwise.
    """

    class Kind(models.TextChoices):
        PHONE = "phone", _("Phone")
        USER = "user", _("WhatsApp user ID")
        LEAD = "lead", _("Lead without either")

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False, related_name="+")
    kind = models.CharField(max_length=5, choices=Kind)
    value = models.CharField(max_length=256)
    contact = models.ForeignKey(Contact, null=True, on_delete=models.PROTECT, related_name="identities")
    home = models.ForeignKey(Contact, null=True, on_delete=models.PROTECT, related_name="+")
    # A phone that belonged to several user ids in turn, or one of those user ids.
    is_shared = models.BooleanField(default=False, db_default=False)
    # A rebuild starts from it: no stored delivery tells (all of) it any more, or none ever did (contacts.sealing).
    is_sealed = models.BooleanField(default=False, db_default=False, editable=False)
    # Empty where the identity is known without having written or been written to. The newest time is that of events with
    # a time of their own; what else may be newer is in facts named `seen` (see IdentityQuerySet).
    first_seen_at = models.DateTimeField(_("first seen"), null=True)
    last_seen_at = models.DateTimeField(_("last seen"), null=True)

    objects = IdentityQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "identities"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "kind", "value"], name="identity_once"),
            models.CheckConstraint(condition=~Q(value=""), name="identity_not_empty"),
        ]
        indexes = [
            # Phones that differ in how a country writes its mobiles, and those that went from hand to hand
            # (contacts.suggesting).
            models.Index(
                F("workspace"),
                Func(F("value"), function="contacts_phone_key"),
                condition=Q(kind="phone"),
                name="identity_phone_key",
            ),
            models.Index(
                fields=["workspace"], condition=Q(kind="phone", is_shared=True), name="identity_shared_phone"
            ),
        ]

    def __str__(self) -> str:
        return f"+{self.value}" if self.kind == self.Kind.PHONE else self.value


class IdentityLink(models.Model):
    """Evidence that two identities are, or were at `at`, the same person.

    `source` is empty where the evidence has a time of its own; else it stands for the body that told it, and `at` is the
    earliest time that this body came.

    `changed`: the provider said that `a` became `b`. `manual`: somebody merged them. `seen`: phone `a` was user id
    `b`'s at that time. That is mostly proven by message rows that name both; only what no message proves (a change
    signal, a lead typed in) is a link. `named` says that there are such messages, not when: it leads to them.
    `apart`: somebody said that `a` and `b` are two people. It takes away whatever joins these two directly: a `changed`
    link between them, or between phones that they held at its time, in either direction, and the user id `b` as a
    holder of the phone `a`.
    """

    class Kind(models.TextChoices):
        SEEN = "seen", _("Seen together")
        NAMED = "named", _("Named together by messages")
        CHANGED = "changed", _("Changed")
        MANUAL = "manual", _("Merged by hand")
        APART = "apart", _("Told apart by hand")

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False, related_name="+")
    kind = models.CharField(max_length=7, choices=Kind)
    a = models.ForeignKey(Identity, on_delete=models.CASCADE, db_index=False, related_name="links_from")
    b = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="links_to")
    at = models.DateTimeField()
    source = models.CharField(max_length=80, default="", db_default="")
    is_sealed = models.BooleanField(default=False, db_default=False, editable=False)

    class Meta:
        constraints = [
            # Also serves "who held this phone at that time": a, kind, newest at.
            models.UniqueConstraint(fields=["a", "kind", "at", "b", "source"], name="identity_link_once"),
            models.UniqueConstraint(
                fields=["a", "kind", "b", "source"],
                condition=~Q(source=""),
                name="identity_link_once_untimed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.a} {self.kind} {self.b}"


class ProfileFact(models.Model):
    """Something that was said of an identity: its profile name, username, parent id, marketing choice...

    `source` is empty for what a timed event said; for an event without a time of its own it is the digest of the
    body, so that the same body delivered again is the same fact, at the earliest time it came.
    """

    class Field(models.TextChoices):
        NAME = "name"
        ADDRESS_BOOK_NAME = "address_book_name"
        USERNAME = "username"
        PARENT = "parent"
        MARKETING = "marketing"
        # By an event without a time of its own; others move Identity.last_seen_at.
        SEEN = "seen"

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False, related_name="+")
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, db_index=False, related_name="facts")
    field = models.CharField(max_length=20, choices=Field)
    value = models.CharField(max_length=256)
    source = models.CharField(max_length=80, default="", db_default="")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    counts_as_activity = models.BooleanField(default=False, db_default=False)
    is_sealed = models.BooleanField(default=False, db_default=False, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["identity", "field", "value", "source"], name="profile_fact_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.field}: {self.value}"
