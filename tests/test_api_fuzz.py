"""The API keeps its own description, whatever is asked of it: schemathesis over the running server, in short.

`make prove` has the long run (tests/prove/test_api_fuzz.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import LazySettings

from tests.fuzzed_api import WHO, fuzz
from tests.kapso import Kapso

SHORT = ("--seed", "7", "--max-examples", "2")


@pytest.mark.parametrize("who", WHO)
def test_the_api_answers_as_it_says(
    transactional_db: None, kapso: Kapso, settings: LazySettings, tmp_path: Path, who: str
) -> None:
    """Users differ in what they may do: what is wrong is as wrong of one as of another, so only one asks for it."""
    settings.API_REQUESTS_PER_MINUTE = 1_000_000
    more = (
        ("--mode", "all", "--phases", "examples,fuzzing")
        if who == "owner"
        else ("--mode", "positive", "--phases", "fuzzing")
    )
    fuzz(kapso, who, tmp_path, *more, *SHORT)
