"""Who the people of the demo are and what was said, from `stories/*.txt`, which read like the chats they are.

@ Name | phone, or user id and @username | ends 12m | further traits
< from the customer             <^ in reply to our last message
> from us                       >^ in reply to their last message
< [image] with a caption        a message of another kind, see `payloads`
~ 1d 4h                         nothing happens for so long
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

STORIES = Path(__file__).parent / "stories"

_LINE = re.compile(r"(?P<side>[<>])(?P<reply>\^?) (?:\[(?P<kind>\w+) ?(?P<detail>[^]]*)\] ?)?(?P<text>.*)")
_SPAN = re.compile(r"(\d+)([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One message. `pause` is how long nothing happened before it, beyond the usual."""

    is_outbound: bool
    is_reply: bool
    kind: str
    detail: str
    text: str
    pause: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """One person. `ends` is how long ago the last message was.

    Traits: `ad`, `status`, `score`, `tags`, `owned`, `system` (the phone they change to), `handoff` (why a workflow
    asked for a human), `renamed` (what `contact.updated` calls them), `meta` (told in Meta's own format).
    """

    language: str
    name: str
    phone: str
    user_id: str
    username: str
    traits: dict[str, str]
    lines: list[Line] = field(default_factory=list)

    @property
    def ends(self) -> timedelta:
        return span(self.traits["ends"])

    @property
    def tags(self) -> list[str]:
        return [tag.strip() for tag in self.traits.get("tags", "").split(",") if tag.strip()]

    @property
    def newest_phone(self) -> str:
        return self.traits.get("system", self.phone)


def span(text: str) -> timedelta:
    return sum((timedelta(**{_UNITS[unit]: int(count)}) for count, unit in _SPAN.findall(text)), timedelta())


def leads() -> list[Lead]:
    return [lead for path in sorted(STORIES.glob("*.txt")) for lead in read(path)]


def read(path: Path) -> Iterator[Lead]:
    for chat in path.read_text(encoding="utf-8").split("\n\n"):
        head, *rest = chat.strip().splitlines()
        lead = _lead(head, path.stem)
        pause = timedelta()
        for told in rest:
            if told.startswith("~"):
                pause = span(told)
            else:
                lead.lines.append(_line(told, pause))
                pause = timedelta()
        yield lead


def _lead(head: str, language: str) -> Lead:
    name, who, *told = head.removeprefix("@ ").split(" | ")
    user_id, _, username = who.partition(" @")
    traits = dict(trait.partition(" ")[::2] for trait in told)
    is_phone = who.isdecimal()
    return Lead(
        language=language,
        name=name,
        phone=who if is_phone else "",
        user_id="" if is_phone else user_id,
        username=username,
        traits=traits,
    )


def _line(told: str, pause: timedelta) -> Line:
    found = _LINE.fullmatch(told)
    if not found:
        raise ValueError(f"not a line of a story: {told}")
    return Line(
        is_outbound=found["side"] == ">",
        is_reply=bool(found["reply"]),
        kind=found["kind"] or "text",
        detail=found["detail"] or "",
        text=found["text"],
        pause=pause,
    )
