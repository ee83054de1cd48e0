"""As tests/test_api_fuzz.py, at length: every boundary of every parameter, many more examples, and what follows from what."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import LazySettings

from tests.fuzzed_api import WHO, fuzz
from tests.kapso import Kapso

pytestmark = pytest.mark.prove


@pytest.mark.parametrize("who", WHO)
def test_the_api_answers_as_it_says_at_length(
    transactional_db: None, kapso: Kapso, settings: LazySettings, tmp_path: Path, who: str
) -> None:
    settings.API_REQUESTS_PER_MINUTE = 1_000_000
    fuzz(kapso, who, tmp_path, "--max-examples", "40")
