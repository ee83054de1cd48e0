"""What Kapso's workflows say about sessions: handed over to people, or failed."""

from __future__ import annotations

from collections.abc import Collection

from contacts.events import AutomationTold
from contacts.models import AutomationEvent, KapsoSession
from contacts.refresh import refresh
from contacts.writing import Written


def record(told: Collection[AutomationTold], served_numbers: list[str] | None) -> set[str]:
    """Keep the facts and refresh their threads; returns the session ids that no thread is known for yet.

    The fact waits for its session as well as a session for its thread: whichever comes last, the thread is flagged.
    """
    AutomationEvent.objects.bulk_create(
        [
            AutomationEvent(
                kapso_conversation_id=event.session_id,
                execution_id=event.execution_id,
                kind=event.kind,
                reason=event.reason,
                at=event.at,
                served_numbers=served_numbers,
            )
            for event in told
        ],
        ignore_conflicts=True,
    )
    wanted = {event.session_id for event in told}
    sessions = KapsoSession.objects.filter(kapso_conversation_id__in=wanted).exclude(conversation=None)
    if served_numbers is not None:
        sessions = sessions.filter(phone_number__phone_number_id__in=served_numbers)
    threads = dict(sessions.values_list("conversation_id", "kapso_conversation_id"))
    refresh(Written(conversations={thread for thread in threads if thread}), set())
    return wanted - set(threads.values())
