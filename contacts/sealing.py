"""Facts whose deliveries' bodies are gone: a rebuild cannot derive them again, so it starts from them.

A sealed row says "no stored delivery tells (all of) this any more". It holds whatever was merged into it, also from
bodies that are still there: facts merge by earliest, newest and rank, so that replaying those over it changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from contacts import people
from contacts.events import AutomationTold, Event, IdentityChanged, MessageTold
from contacts.facts import Facts, as_json
from contacts.models import PhoneNumber
from contacts.statements import run
from contacts.statements.seal_facts import SEAL_AUTOMATION, SEAL_FACTS


def seal(told: Sequence[tuple[PhoneNumber, Event]]) -> None:
    """Seal what these events told, each with its business number, in the caller's transaction.

    Keeps every sync out of the numbers' workspaces until that ends: keep it short. Two statements, however many there
    are.
    """
    if not told:
        return
    facts = json.loads(Facts.of(told).as_json()) | {"messages": sorted(_messages(told))}
    people.lock_alone({number.workspace_id for number, _ in told})
    run(SEAL_FACTS, [as_json(facts)])


def seal_automation(told: Collection[tuple[AutomationTold, list[str] | None]]) -> None:
    """As `seal`, for events that come with the numbers that their signature speaks for (contacts.automation)."""
    if told:
        rows = [
            [event.session_id, event.execution_id, event.kind, sorted(served or []), event.source]
            for event, served in told
        ]
        run(SEAL_AUTOMATION, [as_json(rows)])


def _messages(told: Sequence[tuple[PhoneNumber, Event]]) -> set[tuple[int, str]]:
    events = (
        (number, event.message if isinstance(event, IdentityChanged) else event) for number, event in told
    )
    return {(number.pk, event.wamid) for number, event in events if isinstance(event, MessageTold)}
