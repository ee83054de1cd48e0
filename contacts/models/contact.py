"""The lead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models, transaction
from django.db.models import Deferrable, F, Q
from django.db.models.functions import Coalesce, Lower, Now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from contacts.models.found import PENDING
from contacts.models.workspace import Workspace
from contacts.rights import Rights

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User


class LeadStatus(models.TextChoices):
    NEW = "new", _("New")
    QUALIFIED = "qualified", _("Qualified")
    CONTACTED = "contacted", _("Contacted")
    CONVERTED = "converted", _("Converted")
    ARCHIVED = "archived", _("Archived")


# DESIGN.md section 4: from -> the statuses that may follow.
ALLOWED_MOVES = {
    LeadStatus.NEW: (LeadStatus.QUALIFIED, LeadStatus.ARCHIVED),
    LeadStatus.QUALIFIED: (LeadStatus.CONTACTED, LeadStatus.ARCHIVED),
    LeadStatus.CONTACTED: (LeadStatus.CONVERTED, LeadStatus.QUALIFIED, LeadStatus.ARCHIVED),
    LeadStatus.CONVERTED: (LeadStatus.ARCHIVED,),
    LeadStatus.ARCHIVED: (LeadStatus.NEW,),
}

CLOSED = (LeadStatus.CONVERTED, LeadStatus.ARCHIVED)
# By name, not as what is not closed: so the index of the list can pass over the others.
OPEN = tuple(status for status in LeadStatus if status not in CLOSED)

# The newest turn is the customer's; at the same time as ours it counts as answered.
UNANSWERED = Q(last_inbound_at__isnull=False) & (
    Q(last_contact_at=None) | Q(last_inbound_at__gt=F("last_contact_at"))
)
# Where nobody told of messages (an import), the newest turn says it as well as can be known.
WAITING_SINCE = Coalesce("unanswered_since", "last_inbound_at")
# The customer wrote more than the team has read.
UNREAD = (Q(read_at=None) | Q(last_inbound_at__gt=F("read_at"))) & Q(last_inbound_at__isnull=False)
# Closed, and the customer wrote since. Where nobody recorded when (an import), since we last wrote.
WROTE_AGAIN = Q(lead_status__in=CLOSED, last_inbound_at__isnull=False) & (
    Q(last_inbound_at__gt=F("closed_at")) | (Q(closed_at=None) & UNANSWERED)
)


class TransitionRefused(ValueError):  # noqa: N818 - said to people, not raised by a fault
    """The lead may not move to that status from where it is; the message names the allowed ones."""

    def __init__(self, said: str, allowed: Iterable[str] = ()) -> None:
        super().__init__(said)
        self.allowed = [str(status) for status in allowed]


class ContactQuerySet(models.QuerySet["Contact"]):
    def living(self) -> Self:
        """Leads, without the rows of those that were merged into another."""
        return self.filter(merged_into=None)

    def rows_of(self, lead: Any) -> Self:
        """Its own and those that were merged into it, to be looked up first: as an OR beside a join they would be looked
        for among all that any lead has. `lead` is one, its id, or an OuterRef."""
        return self.filter(Q(pk=lead) | Q(merged_into=lead))

    def for_user(self, user: User | AnonymousUser) -> Self:
        """Those that the user may see. A page asks `contacts.admin.tenancy.rights_of(request)` instead: it is kept."""
        return self if user.is_superuser else self.filter(Rights.of(user).leads())


class Contact(models.Model):
    """A lead: one person in one workspace.

    People type `name`, `email`, `lead_status`, `lead_score`, `tags` and `owner`. The rest is derived from what the
    provider told (see contacts.refresh) and is the same whatever the order in which it arrived. `phone` and
    `business_scoped_user_id` are the current ones; every one ever known stays in `identities`.
    """

    workspace = models.ForeignKey(
        Workspace, on_delete=models.PROTECT, related_name="contacts", db_index=False
    )
    phone = models.CharField(max_length=20, null=True, blank=True)
    business_scoped_user_id = models.CharField(max_length=256, null=True, blank=True)
    parent_user_id = models.CharField(max_length=256, blank=True, default="", db_default="")
    username = models.CharField(max_length=255, blank=True, default="", db_default="")
    name = models.CharField(max_length=255, blank=True, default="", db_default="")
    # The name that the sync chose (the earliest profile name). `name` is the team's as soon as it differs from this.
    chosen_name = models.CharField(max_length=255, blank=True, default="", db_default="", editable=False)
    kapso_name = models.CharField(
        _("WhatsApp name"), max_length=255, blank=True, default="", db_default="", null=True
    )
    email = models.EmailField(blank=True, default="", db_default="")
    lead_status = models.CharField(
        _("status"), max_length=20, choices=LeadStatus, default=LeadStatus.NEW, db_default=LeadStatus.NEW
    )
    lead_score = models.IntegerField(_("score"), default=0, db_default=0)
    tags = ArrayField(models.CharField(max_length=50), default=list, blank=True, db_default=[])
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="leads"
    )
    source = models.CharField(max_length=255, default="whatsapp", db_default="whatsapp", blank=True)
    metadata = models.JSONField(default=dict, blank=True, db_default={})
    # The first and the newest ad or post that led the person here, as the provider described it.
    first_touch = models.JSONField(null=True, blank=True, editable=False)
    last_touch = models.JSONField(null=True, blank=True, editable=False)
    marketing_opt_out = models.BooleanField(null=True, blank=True, editable=False)
    last_activity_at = models.DateTimeField(_("last activity"), null=True, blank=True)
    last_contact_at = models.DateTimeField(_("last contact"), null=True, blank=True)
    last_inbound_at = models.DateTimeField(_("last message from the customer"), null=True, blank=True)
    # The first message of the customer's that we have not answered: since when they wait. Empty once we answer.
    unanswered_since = models.DateTimeField(_("waits since"), null=True, blank=True, editable=False)
    # Up to which message of the customer's the team has read (its event time).
    read_at = models.DateTimeField(null=True, blank=True, editable=False)
    # When it was archived or converted, empty while it is open: a trigger keeps it as the newest `StatusChange` says.
    closed_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Put aside at `snoozed_at` until `snoozed_until`, or until the customer writes.
    snoozed_at = models.DateTimeField(null=True, blank=True, editable=False)
    snoozed_until = models.DateTimeField(null=True, blank=True, editable=False)
    # Somebody took care of every hand-off of an automation up to this time.
    handoff_cleared_at = models.DateTimeField(null=True, blank=True, editable=False)
    merged_into = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="merged",
        db_index=False,
    )
    # The sync made it because of a message. Should all its messages turn out to be another's, so does this row.
    made_by_sync = models.BooleanField(default=False, db_default=False, editable=False)
    # When somebody last typed which field: {"name": "2026-06-09T10:13:20+00:00"}. Of two leads that are one person
    # the newer wins, field by field. A trigger keeps it, so that it also knows what the ORM and plain SQL wrote.
    typed_at = models.JSONField(default=dict, blank=True, db_default={}, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = ContactQuerySet.as_manager()

    class Meta:
        verbose_name = _("lead")
        constraints = [
            # Deferred: within one statement a phone may pass from one lead to another.
            models.UniqueConstraint(
                fields=["workspace", "phone"], name="contact_phone", deferrable=Deferrable.DEFERRED
            ),
            models.UniqueConstraint(
                fields=["workspace", "business_scoped_user_id"],
                name="contact_user_id",
                deferrable=Deferrable.DEFERRED,
            ),
            models.CheckConstraint(condition=Q(phone__regex=r"^[0-9]+$"), name="contact_phone_digits"),
            models.CheckConstraint(
                condition=~Q(business_scoped_user_id=""), name="contact_user_id_not_empty"
            ),
        ]
        indexes = [
            # The list of leads, newest activity first. The last three columns are what a list in that order is narrowed
            # to, mostly: whoever does not meet it is passed over in the index, and its row never read.
            models.Index(
                F("workspace"),
                F("last_activity_at").desc(nulls_last=True),
                F("id").desc(),
                F("last_contact_at"),
                F("lead_status"),
                F("owner"),
                condition=Q(merged_into=None),
                name="contact_activity",
            ),
            # Who is to be given out in turn (contacts.in_turn).
            models.Index(
                fields=["workspace", "created_at"],
                condition=Q(owner=None, merged_into=None, lead_status="new", made_by_sync=True),
                name="contact_in_turn",
            ),
            # The tabs of the list that have few among many (contacts.lead_views).
            models.Index(
                F("workspace"),
                WAITING_SINCE,
                F("id"),
                condition=Q(merged_into=None) & UNANSWERED,
                name="contact_unanswered",
            ),
            models.Index(
                fields=["workspace", "last_inbound_at"],
                condition=Q(merged_into=None),
                name="contact_window",
            ),
            models.Index(
                F("workspace"),
                F("last_activity_at").desc(nulls_last=True),
                F("id").desc(),
                condition=Q(merged_into=None, last_contact_at=None),
                name="contact_never_contacted",
            ),
            models.Index(
                F("workspace"),
                F("last_activity_at").desc(nulls_last=True),
                F("id").desc(),
                condition=Q(merged_into=None) & WROTE_AGAIN,
                name="contact_wrote_again",
            ),
            # What few leads have: they are put aside, or an ad led them here.
            models.Index(
                fields=["workspace", "snoozed_until"],
                condition=Q(merged_into=None, snoozed_until__isnull=False),
                name="contact_aside",
            ),
            models.Index(
                F("workspace"),
                F("source"),
                F("last_activity_at").desc(nulls_last=True),
                F("id").desc(),
                condition=Q(merged_into=None) & ~Q(source="whatsapp"),
                name="contact_source",
            ),
            # Who wrote what nobody has read: none, where a team is diligent, and they have to be looked for among all.
            models.Index(
                F("workspace"),
                F("last_activity_at").desc(nulls_last=True),
                F("id").desc(),
                condition=Q(merged_into=None) & UNREAD,
                name="contact_unread",
            ),
            # Who has a tag, of those that have any.
            GinIndex(
                fields=["workspace", "tags"],
                condition=Q(merged_into=None) & ~Q(tags=[]),
                name="contact_tags",
                gin_pending_list_limit=PENDING,
            ),
            # Who is new since a day: the list, and the reports.
            models.Index(
                fields=["workspace", "created_at"], condition=Q(merged_into=None), name="contact_created"
            ),
            # What was merged into a lead. Few are: the index of the foreign key would have all others, too.
            models.Index(
                fields=["merged_into"], condition=Q(merged_into__isnull=False), name="contact_merged"
            ),
            # Who has the same e-mail (contacts.suggesting).
            models.Index(
                F("workspace"),
                Lower("email"),
                condition=Q(merged_into=None) & ~Q(email=""),
                name="contact_email",
            ),
        ]

    def __str__(self) -> str:
        return self.shown_name

    @property
    def shown_name(self) -> str:
        """The team's name, else WhatsApp's, else the phone, the username or the user id: never empty."""
        handle = f"@{self.username}" if self.username else ""
        phone = f"+{self.phone}" if self.phone else ""
        return (
            self.name
            or self.kapso_name
            or phone
            or handle
            or self.business_scoped_user_id
            or f"Lead {self.pk}"
        )

    def change_status(self, to: str, *, by: User | None, reason: str = "") -> StatusChange:
        """Move the lead to another status and record who did it.

        Raises `TransitionRefused` where the workflow does not allow it. The row's own status decides, not what this
        instance remembers: of two people who click at once, the second is told.
        """
        with transaction.atomic():
            allowed_from = [status for status, targets in ALLOWED_MOVES.items() if to in targets]
            current = (
                type(self).objects.select_for_update().values_list("lead_status", flat=True).get(pk=self.pk)
            )
            if current not in allowed_from:
                raise TransitionRefused(self._refusal(current, to), ALLOWED_MOVES[LeadStatus(current)])
            type(self).objects.filter(pk=self.pk).update(lead_status=to)
            change = StatusChange.objects.create(
                workspace_id=self.workspace_id,
                contact=self,
                from_status=current,
                to_status=to,
                by=by,
                reason=reason,
            )
        self.lead_status = to
        return change

    @staticmethod
    def _refusal(current: str, to: str) -> str:
        told = {
            "status": LeadStatus(current).label,
            "wanted": dict(LeadStatus.choices).get(to, to),
            "allowed": ", ".join(
                str(LeadStatus(status).label) for status in ALLOWED_MOVES[LeadStatus(current)]
            ),
        }
        return gettext("A lead that is %(status)s cannot become %(wanted)s. Allowed: %(allowed)s.") % told


class StatusChangeQuerySet(models.QuerySet["StatusChange"]):
    def of(self, lead: Contact) -> Self:
        """Those of the lead and of all that is merged into it: there they stay, so that an undo finds them."""
        return self.filter(contact__in=Contact.objects.rows_of(lead.pk).values("pk"))


class StatusChange(models.Model):
    """Somebody moved a lead from one status to another."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False, related_name="+")
    contact = models.ForeignKey(
        Contact, on_delete=models.CASCADE, related_name="status_changes", db_index=False
    )
    from_status = models.CharField(max_length=20, choices=LeadStatus)
    to_status = models.CharField(max_length=20, choices=LeadStatus)
    reason = models.CharField(max_length=255, blank=True, default="", db_default="")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(db_default=Now())
    # The change of many leads at once that it was part of.
    bulk = models.ForeignKey(
        "contacts.BulkChange", null=True, on_delete=models.SET_NULL, related_name="status_changes"
    )

    objects = StatusChangeQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "-id"]
        # The history on the lead's page.
        indexes = [models.Index(fields=["contact", "-at"], name="status_change_history")]

    def __str__(self) -> str:
        return f"{self.from_status} to {self.to_status}"


class ContactMergeQuerySet(models.QuerySet["ContactMerge"]):
    def of(self, lead: Contact) -> Self:
        """The merges that made the lead what it is, and those that were taken back."""
        return self.filter(Q(survivor=lead) | Q(merged=lead) | Q(merged__merged_into=lead))


class ContactMerge(models.Model):
    """Two leads turned out to be one person: `merged` lives on in `survivor`, which had other values before.

    `by` is who merged them; nobody where the provider's own events proved it. Undoing keeps the row.
    `survivor_before` has what was typed into the survivor itself and, as `took`, what it got instead; of a survivor
    of several merges the newest row counts (contacts.typed). `sides` says what belonged to which of the two, as far
    as no evidence tells it (contacts.merging).
    """

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False, related_name="+")
    survivor = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="merges")
    merged = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="merged_by")
    survivor_before = models.JSONField()
    sides = models.JSONField(default=dict, db_default={}, editable=False)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(db_default=Now())
    undone_at = models.DateTimeField(null=True)
    undone_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects = ContactMergeQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.merged_id} into {self.survivor_id}"


class MergeDismissal(models.Model):
    """Somebody said that two similar leads are two people: they are not suggested again. `a` is the older row."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False, related_name="+")
    a = models.ForeignKey(Contact, on_delete=models.CASCADE, db_index=False, related_name="+")
    b = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="+")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["a", "b"], name="merge_dismissal_once")]

    def __str__(self) -> str:
        return f"{self.a_id} is not {self.b_id}"
