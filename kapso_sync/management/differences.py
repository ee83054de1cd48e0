"""Differences between the live CRM and a shadow of it, for people who read a terminal or a log."""

from __future__ import annotations

from collections.abc import Iterable

from django.core.management.base import OutputWrapper

from contacts.difference import LeadDifference


def write_differences(out: OutputWrapper, differences: Iterable[LeadDifference]) -> int:
    """A paragraph for each lead, as they come; returns how many."""
    count = 0
    for count, lead in enumerate(differences, 1):  # noqa: B007 - the last is the number of them
        number = f" (lead {lead.lead_id})" if lead.lead_id else ""
        out.write(f"{lead.name}{number}:")
        for line in lead.lines:
            out.write(f"  {line}")
        if lead.more:
            out.write(f"  and {lead.more} more")
    return count
