"""Whatever is sent, nothing raises and everything signed is stored; `make prove` does it a hundred times longer."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from django.db import connection

from kapso_sync.models import WebhookDelivery
from tests.builders import Desk
from tests.fuzzing import Bender, Pool, fuzz

SEED = 20261124


def post_them(desk: Desk, count: int, seed: int, pool: Pool) -> Counter[str]:
    """Through the whole view, rightly signed: 200, stored as it came, and no fault of ours."""
    bender, outcomes = Bender(Random(seed), pool.bodies), Counter[str]()  # noqa: S311
    for index in range(count):
        raw, headers = bender.body()
        headers.pop("x-idempotency-key", "")  # two may be alike, and are two deliveries
        event = printable(headers.pop("x-webhook-event", ""))
        answer = desk.post(raw, event, **{name: printable(value) for name, value in headers.items()})
        what = f"body {index} of seed {seed}, {event} {headers}: {raw[:3000]!r}"
        assert answer.status == 200, what
        outcomes[answer.json["status"]] += 1
        delivery = answer.delivery
        assert delivery.raw_body == raw, what
        assert delivery.status in ("processed", "ignored", "unroutable"), f"{what}\n{delivery.error}"
    connection.check_constraints()
    assert WebhookDelivery.objects.count() == count
    return outcomes


def test_two_thousand_bent_bodies_are_survived() -> None:
    outcomes = fuzz(2000, SEED, Pool())
    assert outcomes.keys() == {"not JSON", "ignored", "applied", "applied, several items"}


def test_two_hundred_bent_bodies_are_stored(db: None) -> None:
    outcomes = post_them(Desk.open(), 200, SEED, Pool())
    assert outcomes.keys() == {"processed", "ignored", "unroutable"}


def test_a_guided_pool_finds_new_ways() -> None:
    pool = Pool.guided(SEED, 100)
    assert len(pool.bodies) > len(Pool().bodies)


def test_a_seed_makes_the_same_bodies() -> None:
    def bodies(seed: int) -> list[bytes]:
        bender = Bender(Random(seed), Pool().bodies)  # noqa: S311
        return [bender.body()[0] for _ in range(50)]

    assert bodies(1) == bodies(1) != bodies(2)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")


def printable(value: str) -> str:
    """What can be in a header at all: a server takes no line breaks, Django's test client no other letters."""
    return "".join(letter for letter in value if letter.isprintable() and ord(letter) < 256)
