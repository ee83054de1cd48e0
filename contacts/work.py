"""What people do with a lead."""

from __future__ import annotations

from django.db.models.expressions import RawSQL

from contacts.models import Contact


def mark_read(lead: Contact) -> bool:
    """The team has read what the customer wrote, as far as `lead` was loaded; what came since is unread.

    A lead that a webhook has locked just now stays unread until it is opened again: a page waits for nobody.
    """
    wrote_at = lead.last_inbound_at
    if wrote_at is None or (lead.read_at and lead.read_at >= wrote_at):
        return False
    free = RawSQL(UNREAD_AND_FREE, [lead.pk, wrote_at])  # noqa: S611 - a constant, with parameters
    return bool(Contact.objects.filter(pk__in=free).update(read_at=wrote_at))


UNREAD_AND_FREE = """
SELECT id FROM contacts_contact WHERE id = %s AND (read_at IS NULL OR read_at < %s) FOR NO KEY UPDATE SKIP LOCKED
"""
