"""The last statement of a batch: the derived values of what it touched; one more where messages were edited or revoked.

Clocks are maxima over the rows that count, texts the newest edit, names the newest and the earliest fact, a thread's
status that of its newest session. Each is computed here and nowhere else, from rows alone, so a late arrival cannot
move a clock back and a correction moves it to where it should have been. Rows that are right already are not written.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from contacts.facts import as_json
from contacts.statements import run
from contacts.statements.edit_messages import EDIT_MESSAGES
from contacts.statements.refresh_derived import REFRESH_DERIVED
from contacts.writing import MessageKey, Written

SessionKey = tuple[int, str]  # business number, Kapso's conversation id


def refresh(
    written: Written, messages: set[MessageKey], sessions: AbstractSet[SessionKey] = frozenset()
) -> None:
    """Bring leads, threads, and these messages (by number and WAMID) and sessions (by number and id) up to date."""
    touched = {
        "contacts": sorted(written.contacts),
        "conversations": sorted(written.conversations),
        "messages": sorted(messages),
        "sessions": sorted(sessions),
    }
    is_edited = run(REFRESH_DERIVED, {"touched": as_json(touched)})
    if is_edited:
        run(EDIT_MESSAGES, [as_json(touched["messages"])])
