"""200,000 bodies bent from the corpus and from what a guided search found, and some thousands through the endpoint."""

from __future__ import annotations

import sys
import time

import pytest

from tests.builders import Desk
from tests.fuzzing import Pool, fuzz
from tests.test_fuzz import post_them, quiet

pytestmark = pytest.mark.prove

SEEDS = range(1, 5)
BODIES, POSTED, SEARCHED = 52_000, 1_500, 5_000  # for each seed

__all__ = ["quiet"]  # the fixture


@pytest.mark.parametrize("seed", SEEDS)
def test_no_bent_body_makes_the_parser_raise(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    begun = time.monotonic()
    pool = Pool.guided(seed, SEARCHED)
    outcomes = fuzz(BODIES, seed, pool)
    assert outcomes.total() == BODIES
    with capsys.disabled():
        told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        found = f"{len(pool.bodies)} bodies in the pool, {len(pool.ways)} ways through the parser"
        sys.stdout.write(f"\nfuzz, seed {seed}: {told}; {found}; {time.monotonic() - begun:.0f} s\n")


@pytest.mark.parametrize("seed", SEEDS)
def test_no_bent_body_is_a_fault_of_the_endpoint(
    db: None, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = post_them(Desk.open(), POSTED, 100 + seed, Pool.guided(seed, SEARCHED // 5))
    with capsys.disabled():
        sys.stdout.write(f"\nposted, seed {seed}: {dict(outcomes)}\n")
