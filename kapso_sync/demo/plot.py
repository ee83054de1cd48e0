"""When everything was said, counted back from now; the same seed always gives the same story."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from kapso_sync.demo.stories import Lead, Line

SEED = 20
NAMESPACE = uuid.UUID("6f0d3b1e-2f8c-4d53-9a34-0c1d7f6b5e21")
# Kapso ends a session after 24 hours without activity (CONTRACT.md 7.3).
SESSION = timedelta(hours=24)
# What is no bubble of its own can be neither replied to nor reacted to.
NO_BUBBLE = {"reaction", "edit", "revoke", "system", "request_welcome", "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A line at its time.

    `target` is the WAMID it acts on or replies to; `phone` the customer's at that time; `statuses` come in order and
    are of our own messages only.
    """

    line: Line
    at: datetime
    wamid: str
    session: str
    is_first: bool
    opens_session: bool
    target: str
    phone: str
    statuses: tuple[tuple[str, datetime], ...]


def plot(lead: Lead, now: datetime) -> list[Said]:
    random = Random(f"{SEED} {lead.name}")  # noqa: S311 - a story, not a secret
    times = _times(lead, now, random)
    said: list[Said] = []
    phone, session = lead.phone, ""
    for index, (line, at) in enumerate(zip(lead.lines, times, strict=True)):
        opens = not said or at - said[-1].at > SESSION
        session = made_up_id(lead, "session", index) if opens else session
        statuses = _statuses(line, at, _is_answered(lead.lines[index + 1 :]), random)
        wamid = _wamid(lead, index)
        told = Said(
            line=line,
            at=at,
            wamid=wamid,
            session=session,
            is_first=not said,
            opens_session=opens,
            target=_target(line, said),
            phone=phone,
            statuses=tuple(statuses),
        )
        said.append(told)
        if line.kind == "system":
            phone = lead.newest_phone
    return said


def made_up_id(lead: Lead, *what: object) -> str:
    return str(uuid.uuid5(NAMESPACE, f"{lead.name} {what}"))


def _times(lead: Lead, now: datetime, random: Random) -> list[datetime]:
    """Whole seconds, as WhatsApp counts."""
    passed, before, offsets = timedelta(), None, []
    for line in lead.lines:
        if before is not None:
            same_side = line.is_outbound is before.is_outbound
            passed += timedelta(seconds=random.randint(9, 45) if same_side else random.randint(50, 420))
        passed += line.pause
        offsets.append(passed)
        before = line
    start = now.replace(microsecond=0) - lead.ends - passed
    return [start + offset for offset in offsets]


def _wamid(lead: Lead, index: int) -> str:
    inside = uuid.uuid5(NAMESPACE, f"{lead.name} {index}").bytes
    return f"wamid.HBgL{base64.b64encode(inside).decode()}"


def _target(line: Line, said: Sequence[Said]) -> str:
    """Corrections act on the speaker's own last message, replies and reactions on the other side's."""
    if not (line.is_reply or line.kind in ("reaction", "edit", "revoke")):
        return ""
    side = line.is_outbound if line.kind in ("edit", "revoke") else not line.is_outbound
    bubbles = [told for told in said if told.line.kind not in NO_BUBBLE and told.line.is_outbound is side]
    return bubbles[-1].wamid


def _is_answered(later: Sequence[Line]) -> bool:
    return any(not line.is_outbound for line in later)


def _statuses(line: Line, at: datetime, is_answered: bool, random: Random) -> Iterator[tuple[str, datetime]]:
    """Nearly always read; what nobody has answered yet may still be on its way."""
    if not line.is_outbound:
        return
    yield "sent", at
    if line.kind == "failed":
        yield "failed", at + timedelta(seconds=1)
        return
    if line.kind == "reaction":
        return
    reached = random.random()
    if is_answered or reached > 0.15:
        yield "delivered", at + timedelta(seconds=random.randint(1, 4))
    if is_answered or reached > 0.45:
        yield "read", at + timedelta(seconds=random.randint(6, 40))
