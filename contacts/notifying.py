"""Whom to tell of what: the one place that whoever changes a lead calls (contacts.work, contacts.bulk)."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import User

from contacts.models import Contact, Note


def lead_assigned(lead: Contact, *, by: User | None) -> None:
    """The lead has the owner that it has now, and did not before."""


def leads_assigned(leads: Iterable[Contact], *, by: User | None) -> None:
    """As `lead_assigned`, for many at once."""


def mentioned(note: Note) -> None:
    """The note was written, or written over; `contacts.mentions` says whom it names."""
