"""What the search looks in (contacts.lead_search): beside the rows it is about, so that their other columns cost nothing.

Triggers write both tables (migration 0017), and only when what can be searched changes: a lead's clocks, a message's
ticks never touch an index of words. They stand on the live tables alone, and no shadow has these tables.
"""

from __future__ import annotations

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models

from contacts.models.workspace import Workspace

# What waits for its place in the index, in kB. Whoever fills it up puts all of it away: at 4 MB, as PostgreSQL has it,
# one webhook of many thousands takes a quarter of a second longer.
PENDING = 256


class SearchedLead(models.Model):
    """Names, e-mail and phone of a lead in one text, plain (`contacts_plain`), a space before each word."""

    contact_id = models.BigIntegerField(primary_key=True)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, related_name="+"
    )
    words = models.TextField()

    class Meta:
        indexes = [
            GinIndex(
                fields=["workspace", "words"],
                opclasses=["int8_ops", "gin_trgm_ops"],
                name="searched_lead_words",
                gin_pending_list_limit=PENDING,
            ),
        ]

    def __str__(self) -> str:
        return self.words.strip()


class SearchedMessage(models.Model):
    """The words of a message and of its transcript, plain."""

    message_id = models.BigIntegerField(primary_key=True)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, related_name="+"
    )
    words = SearchVectorField()

    class Meta:
        indexes = [
            GinIndex(
                fields=["workspace", "words"], name="searched_message_words", gin_pending_list_limit=PENDING
            ),
        ]

    def __str__(self) -> str:
        return str(self.words)
