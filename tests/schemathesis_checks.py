"""What we add to schemathesis (tests/fuzzed_api.py): rows that are there, and a check that no answer tells anything of
another workspace."""

from __future__ import annotations

import json
import os
from typing import Any

import schemathesis

FOREIGN = os.environ["FOREIGN"]
# Of each resource the ids of both workspaces.
IDS: dict[str, list[int]] = json.loads(os.environ["IDS"])


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Made-up ids are nobody's: two of three become those of rows."""
    made_up = (path_parameters or {}).get("id")
    known = IDS.get(context.operation.path.split("/")[3], [])
    if path_parameters and isinstance(made_up, int) and made_up % 3 and known:
        return path_parameters | {"id": known[made_up % len(known)]}
    return path_parameters


@schemathesis.check
def no_foreign_data(_ctx: Any, response: Any, _case: Any) -> None:
    if FOREIGN in response.text:
        raise AssertionError("The answer has data of another workspace.")
