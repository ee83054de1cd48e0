"""What Kapso's workflows say about sessions: handed over to people, or failed."""

from __future__ import annotations

from collections.abc import Sequence

from contacts.events import AutomationTold
from contacts.facts import as_json
from contacts.models import KapsoSession
from contacts.refresh import refresh
from contacts.statements import run
from contacts.statements.record_automation import DROP_ERASED_AUTOMATION, RECORD_AUTOMATION
from contacts.tombstones import ERASED
from contacts.writing import Written

NOT_KNOWN_YET = "The conversation {} is not known yet: it counts once it is."


def apply_automation(told: Sequence[tuple[AutomationTold, list[str] | None]]) -> dict[int, str]:
    """Keep the facts and refresh their threads; returns the reasons why events have no effect for now, by index.

    Each event comes with Meta's ids of the numbers that its delivery's signature speaks for, None for all of them.
    The fact waits for its session as well as a session for its thread: whichever comes last, the thread is flagged.
    """
    if not told:
        return {}
    rows = [
        [*_named(event), event.reason, event.at, sorted(served or []), event.source] for event, served in told
    ]
    run(RECORD_AUTOMATION, [as_json(rows)])
    erased = set(run(DROP_ERASED_AUTOMATION, [[event.session_id for event, _ in told]]))
    served_by = [(event.session_id, served) for event, served in told]
    sessions = KapsoSession.objects.filter(
        kapso_conversation_id__in={session for session, _ in served_by}, conversation__isnull=False
    ).values_list("kapso_conversation_id", "conversation_id", "phone_number__phone_number_id")
    # One id may be a session of several numbers.
    found = [
        (session, thread)
        for session, thread, number in sessions
        if thread
        and any(told == session and (served is None or number in served) for told, served in served_by)
    ]
    refresh(Written(conversations={thread for _, thread in found}), set())
    known = {session for session, _ in found}
    reasons = {
        index: NOT_KNOWN_YET.format(event.session_id)
        for index, (event, _) in enumerate(told)
        if event.session_id not in known
    }
    return reasons | {
        index: ERASED for index, (event, _) in enumerate(told) if (*_named(event), event.source) in erased
    }


def _named(event: AutomationTold) -> tuple[str, str, str]:
    return event.session_id, event.execution_id, event.kind
