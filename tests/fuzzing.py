"""Bodies that nobody sends: the corpus, bent by a seed, in its structure and in its bytes.

`Pool.guided` runs some of them with the parser's lines watched, and keeps those that took a way through it which no
body before them had taken: they are bent further. What must hold of every body is in `check`.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from types import FrameType
from typing import Any

from contacts.events import (
    Event,
    IdentityChanged,
    MessageTold,
    Person,
    ProfileTold,
    ReceiptsTold,
    SessionTold,
)
from contacts.facts import as_json
from kapso_sync.formats import Unparseable, event_name, normalise, numbers_named, parse
from kapso_sync.formats.reading import (
    EARLIEST,
    NAME_LENGTH,
    NUMBER_ID_LENGTH,
    SESSION_ID_LENGTH,
    USER_ID_LENGTH,
    WAMID_LENGTH,
)
from tests.test_formats import CASES, OWN_PHONES, RECEIVED_AT, corpus
from tests.test_formats_hostile import assert_storable, known_keys, places

MOST_BYTES = 200_000
ODD_TEXTS = [
    "", " ", "\x00", "a\x00b", "\ud800", "\udfff\ud83d", "‮txet", "é" * 300, "𝟝𝟙𝟡" * 4, "٠١٢٣٤٥٦٧٨٩",
    "x" * 5000, "null", "NaN", "-0", "1e400", "wamid.", "+51 911 110 001", "0051911110001", "PE.1", "US.ENT.1",
    "2026-02-30T25:61:61Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999+14:00", "%s{0}", "‍👩‍👧", "\n\r\t",
    "=1+1", "<script>", "../../etc/passwd", "http://169.254.169.254/", "\ufeff", "\u2028", "İ", "ß",
]  # fmt: skip
ODD_NUMBERS = [
    0, -1, 1, 2**31, 2**63, -(2**63), 10**15, 10**64, 10**400, 1e308, -1e-308, 0.1, 1781000000, 1781000000000,
    float("nan"), float("inf"), float("-inf"), True, False, 131047,
]  # fmt: skip
ODD_WORDS = [
    "text", "image", "reaction", "edit", "revoke", "system", "order", "contacts", "interactive", "unsupported",
    "sent", "delivered", "read", "failed", "played", "outbound", "inbound", "ended", "user_changed_number",
    "user_changed_user_id", "history", "user_id_update", "user_preferences", "smb_message_echoes", "group",
]  # fmt: skip
EVENTS = sorted({corpus(case)[1].get("x-webhook-event", "") for case in CASES} | {"contact.updated"})
KEYS = sorted(
    set(known_keys([json.loads(b) for b, _ in map(corpus, CASES) if b[:1] == b"{" and b[-1:] == b"}"]))
)

Headers = dict[str, str]


@dataclass(slots=True)
class Bender:
    """Bends one body after the other; the same seed, the same bodies."""

    random: Random
    pool: list[tuple[bytes, Headers]]

    def body(self) -> tuple[bytes, Headers]:
        raw, headers = self.random.choice(self.pool)
        if self.random.random() < 0.8:
            raw = self._bent(raw)
        if self.random.random() < 0.3:
            raw = self._damaged(raw)
        return raw[:MOST_BYTES], self._headers(headers)

    def _bent(self, raw: bytes) -> bytes:
        style: dict[str, Any] = self.random.choice(
            [{}, {"ensure_ascii": False}, {"indent": 1}, {"separators": (",", ":")}]
        )
        try:
            holder = {"body": json.loads(raw)}
            for _ in range(self.random.choice([1, 1, 1, 2, 3, 5, 8])):
                self._bend(holder)
            return json.dumps(holder["body"], **style).encode("utf-8", "surrogatepass")
        except (ValueError, RecursionError):  # no JSON, or bent too deep to be written
            return self._damaged(raw)

    def _bend(self, holder: Any) -> None:
        container, key = self._place(holder)
        how: Callable[[Any, Any], None] = self.random.choice(
            [self._drop, self._replace, self._replace, self._retype, self._swap, self._splice, self._double,
             self._rename, self._wrap, self._retext]
        )  # fmt: skip
        how(container, key)

    def _place(self, holder: Any) -> tuple[Any, Any]:
        """A random place, by a walk from the top: what is deep down is as likely as what is not."""
        container: Any = holder
        key: Any = "body"
        while isinstance(container[key], dict | list) and container[key] and self.random.random() < 0.85:
            container = container[key]
            key = (
                self.random.choice(list(container)) if isinstance(container, dict) else self._index(container)
            )
        return container, key

    def _index(self, told: list[Any]) -> int:
        return self.random.randrange(len(told))

    def _odd(self) -> Any:
        kinds: list[list[Any]] = [ODD_TEXTS, ODD_NUMBERS, ODD_WORDS, [None, [], {}, [[]], [None], {"": ""}]]
        return self.random.choice(self.random.choice(kinds))

    def _drop(self, container: Any, key: Any) -> None:
        if isinstance(container, dict) and key != "body":
            del container[key]

    def _replace(self, container: Any, key: Any) -> None:
        container[key] = self._odd()

    def _retype(self, container: Any, key: Any) -> None:
        value = container[key]
        container[key] = self.random.choice([str(value), [value], {"id": value}, _as_number(value)])

    def _swap(self, container: Any, key: Any) -> None:
        other = self.random.choice(list(container)) if isinstance(container, dict) else self._index(container)
        container[key], container[other] = container[other], container[key]

    def _splice(self, container: Any, key: Any) -> None:
        """What another body has under this key, or anywhere."""
        try:
            other = json.loads(self.random.choice(self.pool)[0])
        except (ValueError, RecursionError):
            return
        found = list(places(other))
        same = [(held, name) for held, name in found if name == key]
        if found:
            held, name = self.random.choice(same or found)
            container[key] = held[name]

    def _double(self, container: Any, key: Any) -> None:
        if isinstance(container, list):
            container.extend([container[key]] * self.random.choice([1, 2, 40]))
        elif isinstance(container[key], list):
            container[key] = container[key] * self.random.choice([2, 3, 50])
        else:
            container[self.random.choice(KEYS)] = container[key]

    def _rename(self, container: Any, key: Any) -> None:
        if isinstance(container, dict) and key != "body":
            container[self.random.choice([*ODD_TEXTS[:6], self.random.choice(KEYS)])] = container.pop(key)

    def _wrap(self, container: Any, key: Any) -> None:
        for _ in range(self.random.choice([1, 2, 33, 300, 600])):
            container[key] = [container[key]] if self.random.random() < 0.5 else {str(key): container[key]}

    def _retext(self, container: Any, key: Any) -> None:
        if isinstance(container[key], str):
            at = self.random.randrange(len(container[key]) + 1)
            container[key] = container[key][:at] + self.random.choice(ODD_TEXTS) + container[key][at:]

    def _damaged(self, raw: bytes) -> bytes:
        start, end = sorted(self.random.randrange(len(raw) + 1) for _ in range(2))
        end = min(end, start + 200)
        ways: list[Callable[[], bytes]] = [
            lambda: raw[:start],
            lambda: raw[:start] + raw[end:],
            lambda: raw[:end] + raw[start:],
            lambda: raw[:start] + bytes([self.random.randrange(256)]) + raw[start + 1 :],
            lambda: raw[:start] + self.random.randbytes(self.random.randrange(1, 9)) + raw[start:],
            lambda: raw.replace(b"{", b'{"message":null,', 1),
            lambda: raw.replace(b'"', b"'", 2),
            lambda: raw.decode("utf-8", "replace").encode(
                self.random.choice(["utf-16", "utf-8-sig", "utf-7"])
            ),
            lambda: raw.decode("utf-8", "replace").encode("latin-1", "replace"),
            lambda: raw.replace(b"\\u", b"\\ud83", 1),
            lambda: raw.replace(b":", b": " + b"[" * 600, 1),
            lambda: raw + raw,
        ]
        return self.random.choice(ways)()

    def _headers(self, headers: Headers) -> Headers:
        """The right ones, or another event, version, batch flag; or any text."""
        told = dict(headers)
        if self.random.random() < 0.3:
            told["x-webhook-event"] = self.random.choice([*EVENTS, "x" * 300, "whatsapp.message.", "ä\x80"])
        if self.random.random() < 0.1:
            told["x-webhook-payload-version"] = self.random.choice(["v1", "v2", "v3", "", "2"])
        if self.random.random() < 0.1:
            told["x-webhook-batch"] = self.random.choice(["true", "false", "1", "\x7f"])
        if self.random.random() < 0.1:
            told.pop("x-webhook-event", None)
        return told


def _as_number(value: Any) -> Any:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return len(str(value))


@dataclass(slots=True)
class Pool:
    """The corpus, and what was found to go other ways than it does."""

    bodies: list[tuple[bytes, Headers]] = field(default_factory=lambda: [corpus(case) for case in CASES])
    ways: set[tuple[str, int, int]] = field(default_factory=set)

    @classmethod
    def guided(cls, seed: int, count: int) -> Pool:
        pool = cls()
        for raw, headers in pool.bodies:
            pool._has_a_way_of_its_own(raw, headers)
        bender = Bender(Random(seed), pool.bodies)  # noqa: S311
        for _ in range(count):
            raw, headers = bender.body()
            if len(raw) < 20_000 and pool._has_a_way_of_its_own(raw, headers):
                pool.bodies.append((raw, headers))
        return pool

    def _has_a_way_of_its_own(self, raw: bytes, headers: Headers) -> bool:
        before = len(self.ways)
        last: dict[str, int] = {}

        def watch(frame: FrameType, event: str, _: Any) -> Any:
            name = frame.f_code.co_filename
            if "formats" not in name:
                return None
            if event == "line":
                self.ways.add((name, last.get(name, 0), frame.f_lineno))
                last[name] = frame.f_lineno
            return watch

        former = sys.gettrace()
        sys.settrace(watch)
        try:
            outcome_of(raw, headers)
        finally:
            sys.settrace(former)
        return len(self.ways) > before


def outcome_of(raw: bytes, headers: Headers) -> tuple[str, list[Any]]:
    """All that is done with a body before the database: what came of it in a word, and its items."""
    try:
        payload = parse(raw)
    except Unparseable:
        return "not JSON", []
    numbers = numbers_named(payload)
    assert len(set(numbers)) == len(numbers)
    assert all(
        number.isdigit() and number.isascii() and len(number) <= NUMBER_ID_LENGTH for number in numbers
    )
    name = event_name(payload, headers)
    assert len(name) <= 100
    assert "\x00" not in name
    name.encode()
    items = normalise(
        payload, headers=headers, received_at=RECEIVED_AT, digest="0" * 64, own_phones=OWN_PHONES
    )
    if not any(item.events for item in items):
        return "ignored", items
    return "applied" if len(items) == 1 else "applied, several items", items


def check(raw: bytes, headers: Headers) -> str:
    """What must hold of any body; returns what came of this one."""
    outcome, items = outcome_of(raw, headers)
    if items:
        assert_storable(items)
    for item in items:
        assert len(item.number) <= NUMBER_ID_LENGTH
        item.ignored.encode()
        for event in item.events:
            _check_event(event)
    return outcome


def _check_event(event: Event) -> None:
    for message in _messages(event):
        assert 0 < len(message.wamid) <= WAMID_LENGTH
        assert len(message.target) <= WAMID_LENGTH
        assert len(message.reply_to) <= WAMID_LENGTH
        assert message.direction in ("inbound", "outbound")
        assert len(message.message_type) <= 64
        _check_time(message.at)
        for receipt in message.receipts:
            _check_time(receipt.at)
        as_json([message.payload, message.referral, message.content]).encode()
        json.loads(json.dumps([message.payload, message.referral], allow_nan=False))
        if message.session:
            assert 0 < len(message.session.kapso_id) <= SESSION_ID_LENGTH
            assert len(message.session.status) <= 20
    if isinstance(event, ReceiptsTold):
        assert 0 < len(event.wamid) <= WAMID_LENGTH
    for person in _people(event):
        assert person.phone is None or (person.phone.isascii() and 7 <= len(person.phone) <= 15)
        assert person.user_id is None or 0 < len(person.user_id) <= USER_ID_LENGTH
        assert all(
            0 < len(text) <= NAME_LENGTH for text in (person.name, person.username) if text is not None
        )


def _check_time(at: datetime | None) -> None:
    if at is not None:
        assert at.utcoffset() == timedelta()
        assert EARLIEST <= at <= RECEIVED_AT + timedelta(days=1)


def _messages(event: Event) -> Iterator[MessageTold]:
    message = event.message if isinstance(event, IdentityChanged) else event
    if isinstance(message, MessageTold):
        yield message


def _people(event: Event) -> Iterator[Person]:
    if isinstance(event, MessageTold | ProfileTold | SessionTold):
        yield event.person
    elif isinstance(event, IdentityChanged):
        yield from (event.before, event.after)


def fuzz(count: int, seed: int, pool: Pool) -> Counter[str]:
    """Check that many bodies; an error says how to make its body again."""
    bender, outcomes = Bender(Random(seed), pool.bodies), Counter[str]()  # noqa: S311
    for index in range(count):
        raw, headers = bender.body()
        try:
            outcomes[check(raw, headers)] += 1
        except Exception as error:
            raise AssertionError(f"body {index} of seed {seed}, {headers}: {raw[:3000]!r}") from error
    return outcomes
