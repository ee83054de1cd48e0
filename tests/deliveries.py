"""Made-up webhooks about the people of tests.histories: every shape that Kapso and Meta send, and what is none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any

from hypothesis import strategies as st

from tests.builders import (
    RECEIVED,
    Json,
    batch,
    contact_updated,
    error,
    message,
    meta,
    moment,
    sent,
    session_event,
    status,
    user_id_update,
)
from tests.histories import CHANGES, FACES, LINES, NUMBERS, PEOPLE, Face, Line

# Everything comes after all that it tells of, over some minutes.
FIRST_RECEIVED = 1000


@dataclass(frozen=True, slots=True)
class Posted:
    """One POST: its bytes, what its header calls it, under which key it comes, and when."""

    body: bytes
    event: str
    received_at: datetime
    copy: int = 0
    version: str = "v2"

    @property
    def key(self) -> str:
        """Copies of one body under one number of copy are retries: same key, same body, and stored once."""
        return f"{sha256(self.body + self.event.encode()).hexdigest()[:12]}-{self.copy}"

    @property
    def headers(self) -> dict[str, str]:
        headers = {
            "X-Webhook-Event": self.event,
            "X-Idempotency-Key": self.key,
            "X-Webhook-Payload-Version": self.version,
        }
        return {name: value for name, value in headers.items() if value}


Told = tuple[Any, str]  # a body, and the event that its header names

seconds = st.integers(0, 12).map(lambda minutes: minutes * 60)
mostly = st.sampled_from([True] * 9 + [False])
said = st.sampled_from([None, None, "Ana", "Bea"])


@st.composite
def shown(draw: st.DrawFn, line: Line) -> Face:
    """The face of the message's person or less of it; seldom somebody else's, or nobody's."""
    phone, user = line.face if draw(mostly) else draw(st.sampled_from([*FACES, (None, None)]))
    return (phone if draw(mostly) else None), (user if draw(st.booleans()) or not phone else None)


@st.composite
def parts_of(draw: st.DrawFn, line: Line, at: int) -> Json:
    """What makes the message one of its type."""
    if line.kind == "text":
        return {"text": {"body": draw(st.sampled_from(["hola", "precio?"]))}}
    if line.kind == "image":
        return {"type": "image", "image": draw(st.sampled_from([{}, {"caption": "mira"}])), "text": None}
    if line.kind == "system":
        return {"type": "system", "system": {"body": "changed"}, "text": None}
    if line.kind == "edit":
        edited = {"type": "text", "text": {"body": f"edited {at}"}}
        return {"type": "edit", "edit": {"original_message_id": line.target, "message": edited}, "text": None}
    if line.kind == "revoke":
        return {"type": "revoke", "revoke": {"original_message_id": line.target}, "text": None}
    if line.kind == "reaction":
        return {"type": "reaction", "reaction": {"message_id": line.target, "emoji": "x"}, "text": None}
    return {"type": line.kind, "text": None}


@st.composite
def receipts(draw: st.DrawFn) -> list[Json]:
    words = draw(st.lists(st.sampled_from(["sent", "failed", "delivered", "read"]), max_size=2))
    return [
        status(word, draw(seconds | st.none()), *([error()] if word == "failed" and draw(mostly) else []))
        for word in words
    ]


@st.composite
def v2_message(draw: st.DrawFn, line: Line) -> Told:
    at = draw(seconds)
    phone, user = draw(shown(line))
    fields: Json = draw(parts_of(line, at)) | {"phone": phone, "user_id": user}
    body = fields.pop("text", None)
    fields |= {"text": body["body"] if body else body, "name": draw(said), "number": line.number}
    fields |= {
        "session": line.session,
        "origin": draw(st.sampled_from(["cloud_api", "business_app", "history_sync"])),
    }
    if draw(st.booleans()):
        fields["username"] = draw(st.sampled_from(["ana", "bea"]))
    if line.direction == "inbound":
        return message(line.wamid, at, **fields), RECEIVED
    word = draw(st.sampled_from(["sent", "sent", "delivered", "read", "failed"]))
    return sent(line.wamid, at, statuses=draw(receipts()), **fields), f"whatsapp.message.{word}"


@st.composite
def v1_message(draw: st.DrawFn, line: Line) -> Told:
    at, (phone, _) = draw(seconds), draw(shown(line))
    told: Json = {
        "id": f"kapso-{line.wamid}",
        "whatsapp_message_id": line.wamid,
        "message_type": line.kind if line.kind in ("text", "image") else "text",
        "content": draw(st.sampled_from(["hola", "precio?"])),
        "direction": line.direction,
        "created_at": moment(at).isoformat(),
        "origin": "cloud_api",
    }
    conversation = {"id": line.session, "phone_number": phone, "contact_name": draw(said)}
    body = {
        "message": told,
        "conversation": conversation,
        "whatsapp_config": {"phone_number_id": line.number},
    }
    word = draw(st.sampled_from(["sent", "delivered", "read", "failed"]))
    return body, RECEIVED if line.direction == "inbound" else f"whatsapp.message.{word}"


@st.composite
def kapso_batch(draw: st.DrawFn, line: Line) -> Told:
    lines = [line, *draw(st.lists(st.sampled_from(LINES[line.who]), max_size=2))]
    return batch(*(draw(v2_message(of))[0] for of in lines)), RECEIVED


@st.composite
def meta_message(draw: st.DrawFn, line: Line) -> Told:
    at, (phone, user) = draw(seconds), draw(shown(line))
    side = "from" if line.direction == "inbound" else "to"
    told: Json = {"id": line.wamid, "type": line.kind, "timestamp": str(1781000000 + at)} | draw(
        parts_of(line, at)
    )
    told |= {side: phone} if phone else {}
    told |= {f"{side}_user_id": user} if user else {}
    if line.direction == "outbound":
        return meta({"message_echoes": [told]}, field="smb_message_echoes", number=line.number), ""
    name = draw(said)
    card = {"wa_id": phone, "user_id": user} | ({"profile": {"name": name}} if name else {})
    return meta({"messages": [told], "contacts": [card]}, number=line.number), ""


@st.composite
def meta_history(draw: st.DrawFn, line: Line) -> Told:
    at, (phone, _) = draw(seconds), draw(shown(line))
    told: Json = {
        "id": line.wamid,
        "type": "text",
        "text": {"body": "hola"},
        "timestamp": str(1781000000 + at),
    }
    told |= {"from": phone} if line.direction == "inbound" else {"to": phone}
    told |= {"history_context": {"status": draw(st.sampled_from(["read", "delivered", "error"]))}}
    return meta(
        {"history": [{"threads": [{"id": phone, "messages": [told]}]}]}, field="history", number=line.number
    ), ""


@st.composite
def meta_statuses(draw: st.DrawFn, line: Line) -> Told:
    told = [receipt | {"id": line.wamid} for receipt in draw(receipts())]
    return meta({"statuses": told}, number=line.number), ""


@st.composite
def change(draw: st.DrawFn, line: Line) -> Told:
    """A system line or a user id update, of the person's chain or, for once, of any two faces."""
    at = draw(seconds)
    any_two = st.tuples(st.sampled_from(FACES), st.sampled_from(FACES))
    steps = CHANGES.get(line.who, [])
    usual = bool(steps) and draw(mostly)
    before, after = draw(st.sampled_from(steps) if usual else any_two)
    if before[1] and after[1]:
        return user_id_update(at, before[1], after[1], after[0]), ""
    system = {"type": "user_changed_number", "wa_id": after[0], "user_id": after[1], "body": "changed"}
    told = {
        "id": f"wamid.change-{before}",
        "timestamp": str(1781000000 + at),
        "type": "system",
        "system": system,
    }
    return meta({"messages": [told | {"from": before[0]}]}, number=line.number), ""


@st.composite
def profile(draw: st.DrawFn, line: Line) -> Told:
    phone, user = draw(shown(line))
    person = {
        "phone_number": phone,
        "business_scoped_user_id": user,
        "username": draw(st.sampled_from([None, "ana"])),
    }
    time = {"timestamp": moment(draw(seconds)).isoformat()} if draw(st.booleans()) else {}
    kind = draw(st.sampled_from(["updated", "updated", "kapso", "meta", "book"]))
    if kind == "updated":
        name = draw(st.sampled_from(["Cleo", "Dina"]))
        return contact_updated("", name, line.number, contact=person | {"display_name": name}) | time, ""
    choice = draw(st.sampled_from(["stop", "resume"]))
    if kind == "kapso":
        told = {"phone_number_id": line.number, "contact": person | {"value": choice}}
        return told | time, "contact.marketing_preference_changed"
    if kind == "meta":
        preference = {
            "wa_id": phone,
            "user_id": user,
            "category": "marketing_messages",
            "value": choice,
        } | time
        return meta({"user_preferences": [preference]}, field="user_preferences", number=line.number), ""
    entry = {"type": "contact", "action": "add", "contact": {"full_name": "Doña Cleo", "phone_number": phone}}
    return meta({"state_sync": [entry]}, field="smb_app_state_sync", number=line.number), ""


@st.composite
def conversation(draw: st.DrawFn, line: Line) -> Told:
    phone, user = draw(shown(line))
    word = draw(st.sampled_from(["created", "ended", "inactive"]))
    told = session_event(
        line.session, draw(seconds), phone=phone, business_scoped_user_id=user, phone_number_id=line.number
    )
    if not draw(mostly):
        told["conversation"] |= {"updated_at": None}
    return told | {"phone_number_id": line.number}, f"whatsapp.conversation.{word}"


@st.composite
def workflow(draw: st.DrawFn, line: Line) -> Told:
    event = f"workflow.execution.{draw(st.sampled_from(['handoff', 'handoff', 'failed']))}"
    told = {
        "event": event,
        "whatsapp_conversation_id": line.session,
        "workflow_execution_id": draw(st.sampled_from(["run-1", "run-2", None])),
        "handoff": {"reason": draw(st.sampled_from(["asks for a human", ""]))},
    }
    return told | ({"occurred_at": moment(draw(seconds)).isoformat()} if draw(mostly) else {}), event


@st.composite
def number_event(draw: st.DrawFn, line: Line) -> Told:
    event = f"whatsapp.phone_number.{draw(st.sampled_from(['created', 'deleted']))}"
    told = {"phone_number_id": line.number, "project": {"id": "p"}}
    return told | ({"created_at": moment(draw(seconds)).isoformat()} if draw(mostly) else {}), event


def garbage(line: Line) -> st.SearchStrategy[Told]:
    return st.sampled_from(
        [
            (b"", RECEIVED),
            (b'{"message": ', RECEIVED),
            (b"\xff\xfe", ""),
            ([], RECEIVED),
            ({}, ""),
            ({"phone_number_id": line.number, "message": {"id": "", "type": 7}}, RECEIVED),
            (message("wamid.unknown", number="999999999999999"), RECEIVED),
            ({"phone_number_id": line.number, "something": "new"}, "whatsapp.something.new"),
        ]
    )


# Meta's lists of what may come without a time.
TIMELESS = ("messages", "message_echoes", "user_id_update")
KINDS = {
    "v2": v2_message,
    "v1": v1_message,
    "batch": kapso_batch,
    "meta": meta_message,
    "history": meta_history,
    "statuses": meta_statuses,
    "change": change,
    "profile": profile,
    "conversation": conversation,
    "workflow": workflow,
    "number": number_event,
    "garbage": garbage,
}
ALL_KINDS = ("v2",) * 5 + ("change",) * 2 + tuple(KINDS)


@st.composite
def posted(draw: st.DrawFn, people: Sequence[str], kinds: Sequence[str]) -> Posted:
    line = draw(st.sampled_from(LINES[draw(st.sampled_from(people))]))
    kind = draw(st.sampled_from(kinds))
    told, event = draw(KINDS[kind](line))
    if kind != "v1" and isinstance(told, dict) and not draw(mostly):
        told = _without_time(told)
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    at = moment(FIRST_RECEIVED + draw(st.integers(0, 300)))
    return Posted(body, event, at, version="v1" if kind == "v1" else "v2")


def _without_time(told: Json) -> Json:
    """Of a message, of each of a batch, or of a message, a change or a status in Meta's shape."""
    if "message" in told:
        return told | {"message": told["message"] | {"timestamp": None}}
    if "data" in told:
        return told | {"data": [_without_time(item) for item in told["data"]]}
    if "entry" in told:
        for entry in told["entry"]:
            for change in entry["changes"]:
                parts = (part for key in TIMELESS for part in change["value"].get(key, ()))
                for part in parts:
                    part["timestamp"] = None
    return told


# Also before the first.
received_again = st.integers(FIRST_RECEIVED, FIRST_RECEIVED + 300).map(moment)


@st.composite
def histories(
    draw: st.DrawFn, kinds: Sequence[str] = ALL_KINDS, *, longest: int = 12, shortest: int = 1, crowd: int = 7
) -> tuple[list[Posted], list[Posted]]:
    """Different deliveries in the order of their coming, and the same shuffled; some come again in both."""
    people = draw(st.lists(st.sampled_from(sorted(PEOPLE)), min_size=1, max_size=crowd, unique=True))
    first = draw(
        st.lists(posted(people, kinds), min_size=shortest, max_size=longest, unique_by=lambda p: p.key)
    )
    again = [
        replace(one, copy=index + 1, received_at=draw(received_again))
        for index, one in enumerate(draw(st.lists(st.sampled_from(first), max_size=3)))
    ]
    retries = draw(st.lists(st.sampled_from(first + again), max_size=3))
    return sorted(first + again, key=lambda p: p.received_at), draw(st.permutations(first + again + retries))


__all__ = ["NUMBERS", "Posted", "histories"]
