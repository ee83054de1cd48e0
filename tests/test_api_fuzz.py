"""The API keeps its own description, whatever is asked of it: schemathesis over the running server, in short.

`make prove` has the long run (tests/prove/test_api_fuzz.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import LazySettings

from tests.fuzzed_api import WHO, furnish, fuzz, token_of
from tests.kapso import Kapso


@pytest.mark.parametrize("who", WHO)
def test_the_api_answers_as_it_says(
    transactional_db: None, kapso: Kapso, settings: LazySettings, tmp_path: Path, who: str
) -> None:
    settings.API_REQUESTS_PER_MINUTE = 1_000_000
    ours = furnish(kapso)
    fuzz(
        kapso.url,
        token_of(who, ours),
        tmp_path,
        "--max-examples",
        "2",
        "--seed",
        "7",
        "--phases",
        "examples,fuzzing",
    )
