"""The log of changes: which lead, thread or message was written, for those who keep a copy of them (contacts.news)."""

from __future__ import annotations

from django.db import models
from django.db.models import Func

from contacts.models.workspace import Workspace


class PresentTransaction(Func):
    """The id of the transaction that writes, with its epoch: 64 bits that never begin anew."""

    template = "pg_current_xact_id()::text::bigint"
    arity = 0
    output_field = models.BigIntegerField()


class ClockTime(Func):
    """The time of writing. (That of the transaction may be long ago.)"""

    template = "clock_timestamp()"
    arity = 0
    output_field = models.DateTimeField()


class Change(models.Model):
    """A row was made, changed or deleted. Triggers write it, whoever writes the row, in the row's own transaction.

    It says nothing of what the row was or is: whoever reads the log reads the rows as they are by then. Triggers stand
    on the live tables alone: what fills or rehearses a shadow (contacts.shadow) is no change.
    """

    class Kind(models.IntegerChoices):
        CONTACT = 1
        CONVERSATION = 2
        MESSAGE = 3

    # Without a constraint: each entry would have to look at its workspace, and the row it is about has done so.
    workspace = models.ForeignKey(
        Workspace, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, related_name="+"
    )
    # Entries of one transaction become visible together, so this and not the id is their order.
    xid = models.BigIntegerField(db_default=PresentTransaction())
    kind = models.SmallIntegerField(choices=Kind)
    row_id = models.BigIntegerField()
    at = models.DateTimeField(db_default=ClockTime())

    class Meta:
        indexes = [
            models.Index(fields=["workspace", "xid", "id"], name="change_in_order"),
            # What changed since a time, and what is old enough to go.
            models.Index(fields=["workspace", "at"], name="change_at"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.row_id}"


class ChangesKept(models.Model):
    """One row: from where on the log is complete. Without one nothing was ever dropped from it."""

    # All entries of this transaction and of later ones are there ...
    xid = models.BigIntegerField(db_default=PresentTransaction())
    # ... and so are those of all that was written since.
    since = models.DateTimeField(db_default=ClockTime())

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="changes_kept_is_one_row")]

    def __str__(self) -> str:
        return f"since {self.since}"
