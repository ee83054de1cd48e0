"""What people do with a lead."""

from __future__ import annotations

from django.db.models import Q

from contacts.models import Contact


def mark_read(lead: Contact) -> bool:
    """The team has read what the customer wrote, as far as `lead` was loaded; what came since is unread.

    A lead that a webhook has locked just now stays unread until it is opened again: a page waits for nobody.
    """
    if lead.last_inbound_at is None or (lead.read_at and lead.read_at >= lead.last_inbound_at):
        return False
    unread = Contact.objects.filter(Q(read_at=None) | Q(read_at__lt=lead.last_inbound_at), pk=lead.pk)
    free = unread.select_for_update(skip_locked=True, no_key=True).values("pk")
    return bool(Contact.objects.filter(pk__in=free).update(read_at=lead.last_inbound_at))
