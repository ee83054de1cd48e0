"""What Prometheus is told. All of it is read from the database, so that each of several processes tells the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from django.conf import settings
from django.db.models import Count, Min, Sum
from django.utils import timezone
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from contacts.models import PhoneNumber
from kapso_sync import counting, watching
from kapso_sync.attention import WAITING
from kapso_sync.models import Tally, WebhookDelivery
from kapso_sync.tallies import tallies

Status = WebhookDelivery.Status
Counts = dict[tuple[str, str], int]

NOT_DONE = (Status.RECEIVED, Status.FAILED, Status.UNROUTABLE)
# By reason each would be a time series of its own: the page Drift has them.
NOTICED = (Status.IGNORED, Status.UNROUTABLE, Status.FAILED, counting.NOTED, counting.DRIFT)


class Measures(Collector):
    def collect(self) -> Iterator[Metric]:
        tallies.flush()
        counts = _counts()
        yield InfoMetricFamily("leadcrm", "The code that answers.", {"version": settings.VERSION})
        yield from _counters(counts)
        yield _histogram(
            counts, counting.COMMIT, counting.COMMIT_BUCKETS, "leadcrm_webhook_commit_seconds",
            "From the receipt of a webhook to its commit.",
        )  # fmt: skip
        yield _histogram(
            counts, counting.LIVE, counting.LIVE_BUCKETS, "leadcrm_event_commit_seconds",
            "From a message or a status, by WhatsApp's own time, to its commit; imported history aside.",
        )  # fmt: skip
        yield from _waiting()
        yield from _numbers()


def _counts() -> Counts:
    rows = Tally.objects.values_list("source", "reason").annotate(total=Sum("count"))
    return {(source, reason): total for source, reason, total in rows}


def _counters(counts: Counts) -> Iterator[Metric]:
    for source, name, label, said in (
        (counting.ANSWER, "leadcrm_webhook_answers", "status", "Webhooks by the HTTP status of our answer."),
        (counting.REFUSED, "leadcrm_webhooks_refused", "reason", "Answers that were not 200, by reason."),
        (
            counting.DELIVERY,
            "leadcrm_deliveries",
            "outcome",
            "Deliveries by what came of them; copies apart.",
        ),
    ):
        family = CounterMetricFamily(name, said, labels=[label])
        for (found, reason), total in sorted(counts.items()):
            if found == source:
                family.add_metric([reason], total)
        yield family
    noticed = CounterMetricFamily("leadcrm_noticed", "Early returns, oddities and drift.", labels=["source"])
    for source in NOTICED:
        noticed.add_metric([source], sum(total for (found, _), total in counts.items() if found == source))
    yield noticed


def _histogram(
    counts: Counts, source: str, bounds: tuple[float, ...], name: str, said: str
) -> HistogramMetricFamily:
    names = [*map(str, bounds), counting.BEYOND]
    totals = accumulate(counts.get((source, bound), 0) for bound in names)
    buckets = list(zip(names, totals, strict=True))
    return HistogramMetricFamily(
        name, said, buckets=buckets, sum_value=counts.get((source, counting.SUM), 0) / 1_000_000
    )


def _waiting() -> Iterator[Metric]:
    waiting = WebhookDelivery.objects.filter(WAITING).values_list("status")
    found = {
        status: (number, oldest)
        for status, number, oldest in waiting.annotate(Count("id"), Min("received_at"))
    }
    number = GaugeMetricFamily(
        "leadcrm_deliveries_waiting", "Deliveries that are not done.", labels=["status"]
    )
    age = GaugeMetricFamily(
        "leadcrm_oldest_waiting_seconds", "Since when the oldest of them waits; 0 if none.", labels=["status"]
    )
    for status in NOT_DONE:
        count, oldest = found.get(status, (0, None))
        number.add_metric([status], count)
        age.add_metric([status], (timezone.now() - oldest).total_seconds() if oldest else 0)
    yield number
    yield age


def _numbers() -> Iterator[Metric]:
    """By Meta's id of the business number: it is no customer's."""
    label = ["phone_number_id"]
    last = GaugeMetricFamily("leadcrm_number_last_delivery_timestamp_seconds", "Unix time.", labels=label)
    failing = GaugeMetricFamily(
        "leadcrm_number_failing_ratio", "Of the answers of the last 15 minutes.", labels=label
    )
    pause = GaugeMetricFamily(
        "leadcrm_number_pause", "By Kapso's rule: 0 ok, 1 at risk, 2 would be switched off.", labels=label
    )
    silent = GaugeMetricFamily("leadcrm_number_silent", "1 if silent though it usually is not.", labels=label)
    gaps = GaugeMetricFamily("leadcrm_number_gaps", "Conversations with missing messages.", labels=label)
    for picture in watching.pictures(PhoneNumber.objects.defer("webhook_secret")):
        name, answers = [picture.number.phone_number_id], picture.answers
        if picture.last_at:
            last.add_metric(name, picture.last_at.timestamp())
        failing.add_metric(name, answers.rate)
        pause.add_metric(name, 2 if answers.would_be_switched_off else int(answers.is_at_risk))
        silent.add_metric(name, bool(picture.silence))
        gaps.add_metric(name, len(picture.gaps))
    yield from (last, failing, pause, silent, gaps)
