"""Made-up histories of events: seven people, two business numbers, every kind of event, in any order.

The people have what WhatsApp's people have: a phone only, a user id only, two phones in turn, a phone that somebody
else had before, chains of new numbers and of new user ids. An event usually tells of its person what is true, often
less, and now and then something that contradicts the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from hypothesis import strategies as st

from contacts.events import (
    AutomationTold,
    Event,
    IdentityChanged,
    MessageTold,
    NumberTold,
    Person,
    ProfileTold,
    Receipt,
    ReceiptsTold,
    Session,
    SessionTold,
)

START = datetime(2026, 6, 1, tzinfo=UTC)
NUMBERS = ["480115511990231", "512340099871245"]

Face = tuple[str | None, str | None]  # phone, user id: how somebody shows up
PEOPLE: dict[str, list[Face]] = {
    "ana": [("51900000001", None)],
    "bea": [(None, "PE.2")],
    "carla": [("51900000003", "PE.3"), ("51900000003", None), (None, "PE.3")],
    # Two phones in turn, and back.
    "dora": [("51900000004", "PE.4"), ("51900000005", "PE.4"), ("51900000004", None), (None, "PE.4")],
    # One phone, first hers, then another's.
    "elena and fina": [
        ("51900000006", "PE.6"),
        ("51900000006", "PE.7"),
        ("51900000006", None),
        (None, "PE.6"),
    ],
    # New numbers come with new user ids.
    "gloria": [
        ("51900000008", "PE.8"),
        ("51900000009", "PE.9"),
        ("51900000010", "PE.10"),
        ("51900000009", None),
    ],
    # New user ids, the phone stays.
    "hilda": [("51900000011", "PE.11"), (None, "PE.12"), ("51900000011", "PE.13"), ("51900000011", None)],
}
FACES = [face for faces in PEOPLE.values() for face in faces]
# before -> after, as WhatsApp tells it; the steps of a chain may be told in any order, or left out.
CHANGES: dict[str, list[tuple[Face, Face]]] = {
    "dora": [(("51900000004", None), ("51900000005", "PE.4"))],
    "elena and fina": [((None, "PE.6"), (None, "PE.7"))],
    "gloria": [
        (("51900000008", None), ("51900000009", "PE.9")),
        (("51900000009", None), ("51900000010", None)),
        ((None, "PE.8"), ("51900000009", "PE.9")),
        ((None, "PE.9"), (None, "PE.10")),
    ],
    "hilda": [((None, "PE.11"), (None, "PE.12")), ((None, "PE.12"), ("51900000011", "PE.13"))],
}


@dataclass(frozen=True, slots=True)
class Line:
    """One message, as it truly is."""

    wamid: str
    who: str
    face: Face
    number: str
    direction: str
    kind: str
    target: str

    @property
    def session(self) -> str:
        return f"session-{self.who}-{self.number[:2]}-{self.face[1] or self.face[0]}"


# Which messages everybody has: type, and the index of the one that it acts on.
KINDS = [
    ("text", None), ("text", None), ("reaction", 1), ("text", None), ("edit", 0), ("image", None), ("revoke", 0),
    ("request_welcome", None), ("text", None), ("edit", 5), ("edit", 0), ("system", None), ("revoke", 4),
]  # fmt: skip


AT_THE_OTHER_NUMBER = {3, 7, 8, 11}


def _lines() -> dict[str, list[Line]]:
    found = {}
    for offset, (who, faces) in enumerate(PEOPLE.items()):
        found[who] = [
            Line(
                wamid=f"wamid.{who[0].upper()}{index}",
                who=who,
                face=faces[index % len(faces)],
                number=NUMBERS[(offset + (index in AT_THE_OTHER_NUMBER)) % 2],
                direction="outbound" if kind == "text" and index % 3 else "inbound",
                kind=kind,
                target="" if target is None else f"wamid.{who[0].upper()}{target}",
            )
            for index, (kind, target) in enumerate(KINDS)
        ]
    return found


LINES = _lines()

times = st.integers(0, 12).map(lambda minutes: START + timedelta(minutes=minutes))
mostly = st.sampled_from([True] * 9 + [False])
numbers = st.sampled_from(NUMBERS)
words = st.sampled_from(["sent", "failed", "delivered", "read", "played", "accepted", "pending", "warning"])
errors = st.builds(
    Receipt,
    word=st.sampled_from(["failed", "failed", "warning"]),
    at=times | st.none(),
    error_code=st.sampled_from([131047, 131026, None]),
    error_message=st.sampled_from(["no", "never"]),
)
receipts = st.lists(st.builds(Receipt, word=words, at=times | st.none()) | errors, max_size=2).map(tuple)
inbound_errors = st.lists(
    st.builds(
        Receipt, word=st.just("error"), at=times, error_code=st.just(131051), error_message=st.just("?")
    ),
    max_size=1,
).map(tuple)


@st.composite
def persons(draw: st.DrawFn, face: Face, *, conflicts: bool = True) -> Person:
    """The face or less of it, seldom another's; with some of what is said of people."""
    if conflicts and not draw(mostly):
        face = draw(st.sampled_from(FACES))
    phone, user = face
    return Person(
        phone=phone if draw(mostly) else None,
        user_id=user if draw(st.booleans()) or not phone else None,
        name=draw(st.sampled_from([None, None, "Ana", "Bea"])),
        username=draw(st.sampled_from([None, None, "ana", "bea"])),
        parent_user_id=draw(st.sampled_from([None, None, None, "PE.ENT.1", "PE.ENT.2"])),
    )


@st.composite
def sessions(draw: st.DrawFn, line: Line, *, conflicts: bool = True) -> Session:
    of = line if not conflicts or draw(mostly) else draw(st.sampled_from(LINES[line.who]))
    return Session(
        kapso_id=of.session,
        status=draw(st.sampled_from(["active", "ended", ""])),
        at=draw(times),
        messages=draw(st.none() | st.integers(0, 3)),
        last_wamid=draw(st.sampled_from(["", "wamid.1", "wamid.2"])),
        summed_up_at=draw(st.none() | times),
    )


@st.composite
def messages(draw: st.DrawFn, line: Line, *, conflicts: bool = True) -> MessageTold:
    """A telling of one message: what it truly is, less of it, or for once something else."""
    kind = line.kind
    if not draw(mostly):
        kind = "unsupported"
    elif conflicts and not line.target and not draw(mostly):
        kind = draw(st.sampled_from(["text", "image", "request_welcome", "system"]))
    outbound = line.direction == "outbound" if draw(mostly) or not conflicts else draw(st.booleans())
    acts = kind in {"reaction", "edit", "revoke"}
    person = draw(persons(line.face, conflicts=conflicts))
    if not draw(mostly):
        person = Person()
    return MessageTold(
        number=line.number,
        wamid=line.wamid,
        direction="outbound" if outbound else "inbound",
        message_type=kind,
        content=draw(st.sampled_from(["hola", "precio?", f"[{kind}]"])),
        is_label=draw(st.booleans()),
        at=draw(times),
        person=person,
        session=draw(st.none() | sessions(line, conflicts=conflicts)),
        origin=draw(st.sampled_from(["cloud_api", "cloud_api", "business_app", "history_sync"])),
        payload=draw(st.sampled_from([{}, {"body": "hola"}])),
        media_url=draw(st.sampled_from(["", "", "https://app.kapso.ai/1"])),
        transcript=draw(st.sampled_from(["", "", "hola"])),
        reply_to=draw(st.sampled_from(["", "", "wamid.A0"])),
        target=line.target if acts else "",
        receipts=draw(receipts if outbound else inbound_errors),
        referral=draw(
            st.sampled_from([None, None, {"source_id": "1", "headline": "Ad"}, {"source_id": "2"}])
        ),
    )


@st.composite
def session_events(draw: st.DrawFn, line: Line, *, conflicts: bool = True) -> SessionTold:
    person = draw(persons(line.face, conflicts=conflicts)) if draw(mostly) else Person()
    return SessionTold(
        number=line.number,
        session=draw(sessions(line, conflicts=conflicts)),
        person=Person(phone=person.phone, user_id=person.user_id),
    )


@st.composite
def changes(draw: st.DrawFn, line: Line, *, conflicts: bool = True) -> IdentityChanged:
    """A step of the person's chain, or, where they have none or for once, any."""
    steps = CHANGES.get(line.who, [])
    if not steps or (conflicts and not draw(mostly)):
        before, after = draw(st.sampled_from(FACES)), draw(st.sampled_from(FACES))
    else:
        before, after = draw(st.sampled_from(steps))
    at = draw(times)
    told = None
    if draw(st.booleans()):
        told = MessageTold(
            number=line.number,
            wamid=f"wamid.change-{before}",
            direction="inbound",
            message_type="system",
            content="changed",
            at=at,
            person=_as_person(before),
        )
    return IdentityChanged(
        number=line.number, before=_as_person(before), after=_as_person(after), at=at, message=told
    )


def _as_person(face: Face) -> Person:
    return Person(phone=face[0], user_id=face[1])


@st.composite
def profiles(draw: st.DrawFn, line: Line, *, conflicts: bool = True) -> ProfileTold:
    """One body tells one thing of one person: the digest that stands for it is made from what it tells."""
    person = draw(persons(line.face, conflicts=conflicts))
    kind = draw(st.sampled_from(["updated", "updated", "marketing", "book"]))
    at = draw(times)
    what = draw(st.sampled_from({"marketing": ["stop", "resume", "maybe"]}.get(kind, ["Cleo", "Dina"])))
    names = person if kind == "updated" else Person(phone=person.phone, user_id=person.user_id)
    names = Person(
        phone=names.phone,
        user_id=names.user_id,
        name=what if kind == "updated" else None,
        username=names.username,
        parent_user_id=names.parent_user_id,
    )
    timed = draw(st.booleans())
    body = f"{kind} {names} {what} {at if timed else draw(st.integers(0, 1))}"
    return ProfileTold(
        number=line.number,
        person=names,
        at=at,
        source=sha256(body.encode()).hexdigest(),
        counts_as_activity=kind == "updated",
        marketing=what if kind == "marketing" else "",
        address_book_name=what if kind == "book" else "",
    )


@st.composite
def receipt_events(draw: st.DrawFn, line: Line) -> ReceiptsTold:
    return ReceiptsTold(number=line.number, wamid=line.wamid, receipts=draw(receipts))


@st.composite
def automations(draw: st.DrawFn, line: Line) -> AutomationTold:
    return AutomationTold(
        session_id=line.session,
        execution_id=draw(st.sampled_from(["run-1", "run-2"])),
        kind=draw(st.sampled_from(["handoff", "handoff", "failed"])),
        reason=draw(st.sampled_from(["asks for a human", "", "angry"])),
        at=draw(times),
    )


@st.composite
def number_events(draw: st.DrawFn, line: Line) -> NumberTold:
    return NumberTold(number=line.number, connected=draw(st.booleans()), at=draw(times))


EVENTS: dict[str, Callable[..., st.SearchStrategy[Event]]] = {
    "messages": messages,
    "changes": changes,
    "profiles": profiles,
    "receipts": receipt_events,
    "sessions": session_events,
    "automations": automations,
    "numbers": number_events,
}
ALL_KINDS = (
    ("messages",) * 6
    + ("changes",) * 2
    + ("profiles", "receipts", "sessions", "sessions", "automations", "numbers")
)


@st.composite
def events(draw: st.DrawFn, people: Sequence[str], kinds: Sequence[str], *, conflicts: bool = True) -> Event:
    line = draw(st.sampled_from(LINES[draw(st.sampled_from(people))]))
    kind = draw(st.sampled_from(kinds))
    apart = kind in {"receipts", "automations", "numbers"}
    told = draw(EVENTS[kind](line) if apart else EVENTS[kind](line, conflicts=conflicts))
    return told if draw(mostly) else without_time(told, draw(times))


def without_time(event: Event, received_at: datetime) -> Event:
    """The event as a body tells it that has no time of its own and came then: its source is the same whenever it came."""
    told = at_time(event, START)
    return at_time(event, received_at, sha256(repr(told).encode()).hexdigest())


def _session_at(session: Session, at: datetime, source: str) -> Session:
    return replace(session, at=at, source=source, summed_up_at=at if session.summed_up_at else None)


def at_time(event: Event, at: datetime, source: str = "") -> Event:
    match event:
        case MessageTold():
            return _message_at(event, at, source)
        case SessionTold(session=session):
            return replace(event, session=_session_at(session, at, source))
        case IdentityChanged(message=message):
            told = _message_at(message, at, source) if message else None
            return replace(event, at=at, source=source, message=told)
        case AutomationTold() | NumberTold():
            return replace(event, at=at, source=source)
    return event


def _message_at(told: MessageTold, at: datetime, source: str) -> MessageTold:
    """A session may have a time of its own in a message that has none."""
    session = told.session
    if session and session.status:
        session = _session_at(session, at, source)
    return replace(told, at=at, source=source, session=session)


Batches = list[list[Event]]


@st.composite
def histories(
    draw: st.DrawFn,
    kinds: Sequence[str] = ALL_KINDS,
    *,
    longest: int = 14,
    crowd: int = 7,
    conflicts: bool = True,
) -> tuple[list[Event], Batches]:
    """A history in order, and the same events shuffled, some of them twice, cut into batches."""
    people = draw(st.lists(st.sampled_from(sorted(PEOPLE)), min_size=1, max_size=crowd, unique=True))
    history = draw(st.lists(events(people, kinds, conflicts=conflicts), min_size=1, max_size=longest))
    history += [
        _received_again(event, draw(times)) for event in draw(st.lists(st.sampled_from(history), max_size=2))
    ]
    return history, draw(otherwise(history))


def _received_again(event: Event, at: datetime) -> Event:
    """The same body once more: at another time where it has none of its own, also at an earlier one."""
    source = event.session.source if isinstance(event, SessionTold) else getattr(event, "source", "")
    return at_time(event, at, source) if source else event


@st.composite
def otherwise(draw: st.DrawFn, history: list[Event]) -> Batches:
    shuffled = draw(st.permutations(history + draw(st.lists(st.sampled_from(history), max_size=4))))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(shuffled) - 1)), max_size=6)))
    batches = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]
    return [batch for batch in batches if batch]


def brief(event: Event) -> str:
    """The event without what it leaves at its default."""
    said = [
        f"{field.name}={getattr(event, field.name)}"
        for field in fields(event)
        if getattr(event, field.name) != field.default and getattr(event, field.name) not in ((), {}, None)
    ]
    text = f"{type(event).__name__}({', '.join(said)})"
    for noise in (
        "datetime.datetime(2026, 6, 1, ",
        ", tzinfo=datetime.timezone.utc)",
        "2026-06-01 ",
        ":00+00:00",
    ):
        text = text.replace(noise, "")
    return re.sub(r"\w+=(None|''),? ?", "", text)
