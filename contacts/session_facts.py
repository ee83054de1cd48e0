"""What a batch tells of one Kapso session.

Tellings with a time of their own are folded into one: of each value the newest. One without counts at the earliest
time that its body ever came, which a later delivery may still bring forward: so it stays apart, under its source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from contacts.events import Session

# One telling, or the newest of several: the columns of KapsoSession, and `told`: Kapso's summary, compared as one.
Telling = dict[str, Any]

NAMED = ("phone", "user_id", "status")


@dataclass(slots=True)
class SessionFacts:
    workspace_id: int
    tellings: dict[str, Telling] = field(default_factory=dict)  # by source

    def add(self, session: Session, user_id: str | None, phone: str | None) -> None:
        told = dict(_telling(session, {"phone": phone, "user_id": user_id, "status": session.status[:20]}))
        known = self.tellings.get(session.source)
        if known is None:
            self.tellings[session.source] = told
        elif not session.source:
            self.tellings[""] = _newest(known, told)
        elif told["last_at"] < known["last_at"]:
            self.tellings[session.source] = told

    def as_row(self) -> dict[str, Any]:
        """For contacts/statements/record_facts.py: `tellings` only where one of them has no time."""
        if self.tellings.keys() == {""}:
            return {"workspace_id": self.workspace_id, **_columns(self.tellings[""])}
        rows = [{"source": source, **_columns(told)} for source, told in self.tellings.items()]
        return {"workspace_id": self.workspace_id, "tellings": rows}


def _telling(session: Session, values: dict[str, str | None]) -> Iterator[tuple[str, Any]]:
    yield "last_at", session.at
    if session.status == "ended":
        yield "ended_at", session.at
    for name, value in values.items():
        if value:
            yield name, value
            yield f"{name}_at", session.at
    if session.summed_up_at:
        messages = -1 if session.messages is None else session.messages
        yield "told", (session.summed_up_at, messages, session.last_wamid)


def _newest(one: Telling, other: Telling) -> Telling:
    both = {**one, **other, "last_at": max(one["last_at"], other["last_at"])}
    if "ended_at" in one and "ended_at" in other:
        both["ended_at"] = min(one["ended_at"], other["ended_at"])
    if "told" in one and "told" in other:
        both["told"] = max(one["told"], other["told"])
    for name in NAMED:
        if name in one and name in other:
            newest = max(one, other, key=lambda told: (told[f"{name}_at"], told[name]))
            both |= {name: newest[name], f"{name}_at": newest[f"{name}_at"]}
    return both


def _columns(told: Telling) -> dict[str, Any]:
    if "told" not in told:
        return told
    at, messages, last_wamid = told["told"]
    summary = {
        "told_at": at,
        "told_messages": None if messages < 0 else messages,
        "told_last_wamid": last_wamid,
    }
    return {name: value for name, value in told.items() if name != "told"} | summary
