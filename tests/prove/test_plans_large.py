"""As tests/test_plans.py, with as many leads as a large team has after years."""

from __future__ import annotations

import pytest

from tests.plans import ANSWERS, PAGES, Plans

COUNT = 200_000


@pytest.mark.prove
@pytest.mark.django_db
def test_no_hot_query_reads_a_whole_table_of_200_000_leads() -> None:
    plans = Plans(COUNT)
    found = {path: plans.of_page(path) for path in PAGES}
    found |= {path: plans.of_answer(path) for path in ANSWERS}
    assert {path: scans for path, scans in found.items() if scans} == {}
