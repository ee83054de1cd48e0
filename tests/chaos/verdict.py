"""What the database holds after it all, compared with what was sent."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from typing import Any

from django.db.models import Sum

from contacts.models import Contact, Message
from kapso_sync.models import WebhookDelivery
from kapso_sync.replaying import replay_in_batches
from tests.chaos.traffic import MessageKey, Traffic
from tests.state import crm_state
from tests.test_rebuild import difference, empty_the_crm

COLUMNS = ("direction", "status", "sent_at", "delivered_at", "read_at", "failed_at", "error_code")


@dataclass(slots=True)
class Verdict:
    """Each list names what is wrong; all are empty if nothing is."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    half_applied: list[str] = field(default_factory=list)
    unlike_a_replay: list[str] = field(default_factory=list)
    copies: int = 0
    retried: int = 0

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.doubled or self.half_applied or self.unlike_a_replay)


def judge(traffic: Traffic, acknowledged: Collection[str]) -> Verdict:
    verdict = Verdict()
    # Left `failed` by a lock that a killed server had held on to: stored, so it is tried again from there.
    failed = WebhookDelivery.objects.filter(status__in=["received", "failed"])
    verdict.retried = replay_in_batches(failed).total()
    verdict.copies = WebhookDelivery.objects.aggregate(total=Sum("duplicates"))["total"] or 0
    _deliveries(traffic, acknowledged, verdict)
    _messages(traffic, verdict)
    _leads(traffic, verdict)
    _replay(verdict)
    return verdict


def _deliveries(traffic: Traffic, acknowledged: Collection[str], verdict: Verdict) -> None:
    stored = defaultdict(list)
    for key, status, error, body in WebhookDelivery.objects.values_list(
        "idempotency_key", "status", "error", "body"
    ).iterator():
        stored[key].append((status, error, bytes(body)))
    for delivery in traffic.deliveries:
        rows = stored.pop(delivery.key, [])
        if not rows or delivery.key not in acknowledged:
            verdict.lost.append(f"{delivery.key}: {'stored' if rows else 'not stored'}, {delivery.event}")
        for status, error, body in rows:
            if body != delivery.body:
                verdict.lost.append(f"{delivery.key}: its body is another")
            if status != "processed" and not (status == "ignored" and delivery.may_be_ignored):
                verdict.half_applied.append(f"{delivery.key} is {status}: {error[-400:]}")
        if len(rows) > 1:
            verdict.doubled.append(f"{delivery.key}: {len(rows)} times")
    verdict.doubled += [f"{key}: never sent" for key in stored]


def _messages(traffic: Traffic, verdict: Verdict) -> None:
    """Every delivery has all of its effects, and there is no effect without a delivery."""
    seen: Counter[MessageKey] = Counter()
    for row in Message.objects.values(
        "phone_number__phone_number_id", "kapso_message_id", *COLUMNS
    ).iterator():
        key = (row["phone_number__phone_number_id"], row["kapso_message_id"])
        seen[key] += 1
        expected = traffic.messages.get(key)
        if expected is None:
            verdict.half_applied.append(f"{key}: a message that nobody sent")
            continue
        told = asdict(expected)
        wrong = {name: (row[name], told[name]) for name in COLUMNS if row[name] != told[name]}
        if wrong:
            verdict.half_applied.append(f"{key}: (is, should be) {wrong}")
    verdict.half_applied += [f"{key}: no message" for key in traffic.messages if not seen[key]]
    verdict.doubled += [f"{key}: {count} messages" for key, count in seen.items() if count > 1]


def _leads(traffic: Traffic, verdict: Verdict) -> None:
    """Messages of one person are under one lead, and those of two are not."""
    leads: dict[int, set[Any]] = defaultdict(set)
    people: dict[Any, set[int]] = defaultdict(set)
    for number, wamid, lead in Message.objects.values_list(
        "phone_number__phone_number_id", "kapso_message_id", "contact"
    ):
        if expected := traffic.messages.get((number, wamid)):
            leads[expected.person].add(lead)
            people[lead].add(expected.person)
    verdict.doubled += [f"person {index}: leads {found}" for index, found in leads.items() if len(found) > 1]
    verdict.half_applied += [
        f"lead {lead}: people {found}" for lead, found in people.items() if len(found) > 1
    ]
    writing = {expected.person for expected in traffic.messages.values()}
    if Contact.objects.living().count() != len(writing):
        verdict.doubled.append(f"{Contact.objects.living().count()} leads of {len(writing)} people")


def _replay(verdict: Verdict) -> None:
    live = crm_state()
    empty_the_crm()
    replay_in_batches(WebhookDelivery.objects.all())
    again = crm_state()
    if live != again:  # said for a few of the leads: it would be long
        pairs = [pair for pair in zip_longest(live, again) if pair[0] != pair[1]]
        verdict.unlike_a_replay += [difference(*pair)[:3000] for pair in pairs[:5]]


def findings(verdict: Verdict, most: int = 10) -> Iterator[str]:
    for name in ("lost", "doubled", "half_applied", "unlike_a_replay"):
        for found in getattr(verdict, name)[:most]:
            yield f"{name.replace('_', ' ')}: {found}"
