"""The story as webhooks: Kapso's v2 payloads, single and in batches, and now and then Meta's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from kapso_sync.demo.contents import content_of, digest, is_media, stored_media
from kapso_sync.demo.plot import SESSION, Said, made_up_id, plot
from kapso_sync.demo.stories import Lead

Json = dict[str, Any]

# Kapso's debounce for messages of one conversation, and the most it puts into one batch (CONTRACT.md 3.8).
BATCH_WINDOW = timedelta(seconds=60)
BATCH_SIZE = 20
# Older messages are told once, with all their statuses: the story is shorter and ends the same.
TOLD_STEP_BY_STEP = timedelta(hours=1)

# How long ago the shop connected its number: what is older comes as the history of its phone, if it can.
CONNECTED_FOR = timedelta(days=3)
LIVE_ALONE = {"failed", "system", "form", "unsupported", "request_welcome", "revoke"}

# Kapso's threshold for "the conversation went quiet" unless told otherwise (CONTRACT.md 7.3).
INACTIVE = timedelta(minutes=60)

# developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes
ERRORS = {
    "131047": (
        "Re-engagement message",
        "Message failed to send because more than 24 hours have passed since the customer last replied to this number.",
    ),
    "131026": ("Message undeliverable", "Message undeliverable."),
    "131049": (
        "Healthy ecosystem engagement",
        "This message was not delivered to maintain healthy ecosystem engagement.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """The business number that the story is told of."""

    phone_number_id: str
    phone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    at: datetime
    event: str
    body: Json


def story(people: Iterable[Lead], number: Number, now: datetime) -> tuple[list[Webhook], list[list[Webhook]]]:
    """What the shop's phone knew when its number was connected, and what Kapso posts since then, person by person."""
    imported: list[tuple[Lead, Said]] = []
    chapters = []
    for lead in people:
        live = []
        for told in sessions(plot(lead, now)):
            if _is_imported(lead, told, now):
                imported += [(lead, message) for message in told]
            else:
                live.append(told)
        chapters.append(_chapter(lead, live, number, now))
    return [_history(imported, number), _address_book(imported, number)], [
        chapter for chapter in chapters if chapter
    ]


def sessions(said: Iterable[Said]) -> list[list[Said]]:
    return [list(session) for _, session in groupby(said, lambda told: told.session)]


def _is_imported(lead: Lead, session: list[Said], now: datetime) -> bool:
    """A history has the phone's messages alone: nothing that Kapso makes of them, and nobody without a phone."""
    is_old = session[-1].at < now - CONNECTED_FOR
    return is_old and bool(lead.phone) and LIVE_ALONE.isdisjoint(told.line.kind for told in session)


def _chapter(lead: Lead, live: list[list[Said]], number: Number, now: datetime) -> list[Webhook]:
    """Everything that Kapso posts about this person, in the order in which it happens."""
    if not live:
        return []
    said = [told for session in live for told in session]
    if "meta" in lead.traits:
        return [
            _meta(lead, list(run), number) for _, run in groupby(said, lambda told: told.line.is_outbound)
        ]
    made = [
        *_messages(lead, said, number, now),
        *_sessions(lead, live, number, now),
        *_asides(lead, said, number),
    ]
    return sorted(made, key=lambda webhook: webhook.at)


def _messages(lead: Lead, said: list[Said], number: Number, now: datetime) -> Iterator[Webhook]:
    for batch in _batches(said):
        if batch[0].line.is_outbound:
            (told,) = batch
            yield from _outbound(lead, told, number, now)
        else:
            yield _inbound(lead, batch, number)


def _batches(said: Iterable[Said]) -> Iterator[list[Said]]:
    """What the customer wrote in one go comes together; of ours each comes alone."""
    batch: list[Said] = []
    for told in said:
        if batch and not _goes_with(batch, told):
            yield batch
            batch = []
        batch.append(told)
    yield batch


def _goes_with(batch: list[Said], told: Said) -> bool:
    if told.line.is_outbound or batch[-1].line.is_outbound or told.session != batch[-1].session:
        return False
    return told.at - batch[0].at <= BATCH_WINDOW and len(batch) < BATCH_SIZE


def _inbound(lead: Lead, batch: list[Said], number: Number) -> Webhook:
    event = "whatsapp.message.received"
    singles = [_v2(lead, told, number, "received") for told in batch]
    if len(singles) == 1:
        return Webhook(at=batch[0].at, event=event, body=singles[0])
    size = {"size": len(singles), "window_ms": 60_000, "conversation_id": batch[0].session}
    body = {"type": event, "batch": True, "data": singles, "batch_info": size}
    return Webhook(at=batch[-1].at, event=event, body=body)


def _outbound(lead: Lead, told: Said, number: Number, now: datetime) -> Iterator[Webhook]:
    steps = told.statuses if now - told.at < TOLD_STEP_BY_STEP else told.statuses[-1:]
    for word, at in steps:
        yield Webhook(at=at, event=f"whatsapp.message.{word}", body=_v2(lead, told, number, word))


def _v2(lead: Lead, told: Said, number: Number, word: str) -> Json:
    return {
        "message": _message(lead, told) | {"kapso": _kapso(told, word)},
        "conversation": _conversation(lead, told, number),
        "is_new_conversation": told.opens_session,
        "phone_number_id": number.phone_number_id,
    }


def _message(lead: Lead, told: Said) -> Json:
    """Meta's message object, which all formats carry."""
    message_type, content = content_of(told, lead)
    message = {"id": told.wamid, "timestamp": unix(told.at), "type": message_type, **_person(lead, told)}
    message |= {message_type: content} if content is not None else {}
    if told.line.is_reply:
        message["context"] = {"id": told.target}
    if told.line.kind == "unsupported":
        error = {"code": 131051, "title": "Message type unknown", "message": "Message type unknown"}
        message["errors"] = [error]
    if told.is_first and "ad" in lead.traits:
        message["referral"] = _referral(lead)
    return message


def _person(lead: Lead, told: Said) -> Json:
    side = "to" if told.line.is_outbound else "from"
    if told.phone:
        return {side: told.phone}
    return {f"{side}_user_id": lead.user_id, "username": lead.username}


def _referral(lead: Lead) -> Json:
    ad_id = str(120_000_000_000_000 + digest(lead.traits["ad"]))
    return {
        "source_type": "ad",
        "source_id": ad_id,
        "source_url": f"https://fb.me/{ad_id[-8:]}",
        "headline": lead.traits["ad"],
        "body": "WhatsApp",
        "media_type": "image",
        "ctwa_clid": made_up_id(lead, "click"),
    }


def _kapso(told: Said, word: str) -> Json:
    line = told.line
    kapso: Json = {
        "direction": "outbound" if line.is_outbound else "inbound",
        "status": word,
        "processing_status": "completed" if line.is_outbound else "pending",
        "origin": "business_app" if line.kind == "app" else "cloud_api",
        "has_media": is_media(line),
        "content": line.text,
    }
    if is_media(line):
        kapso |= stored_media(told)
        kapso["content"] = f"{line.text} [{line.kind.title()} attached] URL: {kapso['media_url']}".strip()
    if line.kind == "voice":
        kapso["transcript"] = {"text": line.text}
    if line.is_outbound:
        kapso["statuses"] = _statuses_up_to(told, word)
    return kapso


def _statuses_up_to(told: Said, last: str) -> list[Json]:
    found: list[Json] = []
    for word, at in told.statuses:
        status = {"id": told.wamid, "status": word, "timestamp": unix(at), "recipient_id": told.phone}
        found.append(status | ({"errors": [_error(told.line.detail)]} if word == "failed" else {}))
        if word == last:
            break
    return found


def _error(code: str) -> Json:
    title, details = ERRORS[code]
    return {"code": int(code), "title": title, "message": title, "error_data": {"details": details}}


def _conversation(lead: Lead, told: Said, number: Number) -> Json:
    person = {"phone_number": f"+{told.phone}" if told.phone else None}
    if lead.user_id:
        person |= {"business_scoped_user_id": lead.user_id, "username": lead.username}
    return {
        "id": told.session,
        "phone_number_id": number.phone_number_id,
        "status": "active",
        "last_active_at": told.at.isoformat(),
        "created_at": told.at.isoformat(),
        "updated_at": told.at.isoformat(),
        "metadata": {},
        "kapso": {"contact_name": lead.name},
        **person,
    }


def _sessions(lead: Lead, live: list[list[Said]], number: Number, now: datetime) -> Iterator[Webhook]:
    """Kapso's own view: a session begins with its first message and ends a day after its last."""
    for session in live:
        yield _session("created", lead, session[0], number, session[0].at)
        if session[-1].at + SESSION < now:
            yield _session("ended", lead, session[-1], number, session[-1].at + SESSION)
    last = live[-1][-1]
    if not last.line.is_outbound and last.at + INACTIVE < now:
        since = {"id": made_up_id(lead, "last"), "whatsapp_message_id": last.wamid, "direction": "inbound"}
        webhook = _session("inactive", lead, last, number, last.at + INACTIVE)
        webhook.body["since_message"] = since | {"created_at": last.at.isoformat()}
        webhook.body["inactivity"] = {"minutes": INACTIVE // timedelta(minutes=1)}
        yield webhook


def _session(word: str, lead: Lead, told: Said, number: Number, at: datetime) -> Webhook:
    conversation = _conversation(lead, told, number)
    conversation |= {"status": "ended" if word == "ended" else "active", "updated_at": at.isoformat()}
    body = {"conversation": conversation, "phone_number_id": number.phone_number_id}
    return Webhook(at=at, event=f"whatsapp.conversation.{word}", body=body)


def _asides(lead: Lead, said: list[Said], number: Number) -> Iterator[Webhook]:
    """What is neither a message nor a session: a profile that changed, a workflow that asks for a human."""
    at = said[-1].at + timedelta(seconds=30)
    if name := lead.traits.get("renamed"):
        contact = {"phone_number": f"+{lead.newest_phone}", "display_name": name}
        body = {"type": "contact.updated", "phone_number_id": number.phone_number_id, "contact": contact}
        yield Webhook(at=at, event="", body=body | {"timestamp": unix(at)})
    if reason := lead.traits.get("handoff"):
        yield Webhook(at=at, event="workflow.execution.handoff", body=_handoff(lead, said[-1], reason, at))


def _handoff(lead: Lead, told: Said, reason: str, at: datetime) -> Json:
    return {
        "event": "workflow.execution.handoff",
        "occurred_at": at.isoformat(),
        "project_id": made_up_id(lead, "project"),
        "workflow_id": made_up_id(lead, "workflow"),
        "workflow_execution_id": made_up_id(lead, "execution"),
        "status": "handoff",
        "channel": "whatsapp",
        "whatsapp_conversation_id": told.session,
        "handoff": {"reason": reason, "source": "agent_tool"},
    }


def _meta(lead: Lead, run: list[Said], number: Number) -> Webhook:
    """As Meta posts it: what the customer wrote, or what the shop typed into its phone."""
    messages = [_message(lead, told) for told in run]
    if run[0].line.is_outbound:
        messages = [message | {"from": number.phone} for message in messages]
        return _change("smb_message_echoes", {"message_echoes": messages}, number, run[-1].at)
    cards = [{"profile": {"name": lead.name}, "wa_id": lead.phone}]
    return _change("messages", {"contacts": cards, "messages": messages}, number, run[-1].at)


def _history(imported: list[tuple[Lead, Said]], number: Number) -> Webhook:
    threads = [_thread(lead, [told for _, told in group], number) for lead, group in _by_lead(imported)]
    chunk = {"metadata": {"phase": 0, "chunk_order": 1, "progress": 100}, "threads": threads}
    return _change("history", {"history": [chunk]}, number, imported[-1][1].at)


def _thread(lead: Lead, said: list[Said], number: Number) -> Json:
    messages = []
    for told in said:
        sender = {"from": number.phone} if told.line.is_outbound else {}
        messages.append(_message(lead, told) | sender | {"history_context": {"status": "READ"}})
    return {"id": lead.phone, "messages": messages}


def _address_book(imported: list[tuple[Lead, Said]], number: Number) -> Webhook:
    entries = []
    for lead, group in _by_lead(imported):
        contact = {"full_name": lead.name, "first_name": lead.name.split()[0], "phone_number": lead.phone}
        at = {"timestamp": unix(group[0][1].at)}
        entries.append({"type": "contact", "action": "add", "contact": contact, "metadata": at})
    return _change("smb_app_state_sync", {"state_sync": entries}, number, imported[-1][1].at)


def _by_lead(imported: list[tuple[Lead, Said]]) -> Iterator[tuple[Lead, list[tuple[Lead, Said]]]]:
    for _, group in groupby(imported, lambda part: part[0].name):
        told = list(group)
        yield told[0][0], told


def _change(field: str, value: Json, number: Number, at: datetime) -> Webhook:
    metadata = {"display_phone_number": number.phone, "phone_number_id": number.phone_number_id}
    change = {"field": field, "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}
    entry = {"id": "100000000000077", "changes": [change]}
    return Webhook(at=at, event="", body={"object": "whatsapp_business_account", "entry": [entry]})


def unix(at: datetime) -> str:
    return str(int(at.timestamp()))
