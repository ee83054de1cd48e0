"""What we add to schemathesis (tests/fuzzed_api.py): ids of rows that are there, and two checks. No answer tells anything
of what its reader may not see; and what the schema allows is refused only for how things are."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterator
from typing import Any

import schemathesis

TOLD: dict[str, Any] = json.loads(os.environ["FUZZED"])
MARKER: str = TOLD["marker"]
# By resource: the rows that were there when it began, and those of them that this user must never see.
ROWS: dict[str, list[int]] = TOLD["rows"]
HIDDEN = {name: frozenset(ids) for name, ids in TOLD["hidden"].items()}

TAGS = r'(\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)'  # as the schema has If-Match
HIGHEST = 10**18 - 1  # of what an address takes
REFERENCES = {
    "workspace": "workspaces", "number": "numbers", "phone_number": "numbers", "conversation": "conversations",
    "contact": "contacts", "other": "contacts", "survivor": "contacts", "merged": "contacts", "merged_into": "contacts",
    "owner": "users", "user": "users", "by": "users", "done_by": "users", "undone_by": "users",
}  # fmt: skip


# Made-up ids are nobody's: of those that are right by the schema, two of three become those of rows, ours and theirs.


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    return _with_rows(path_parameters, {"id": context.operation.path.split("/")[3]})


@schemathesis.hook
def map_query(context: Any, query: Any) -> Any:
    return _with_rows(query, REFERENCES)


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    return _with_rows(body, REFERENCES)


def _with_rows(values: Any, resources: dict[str, str]) -> Any:
    if not isinstance(values, dict):
        return values
    return {name: _row(value, ROWS.get(resources.get(name, ""), [])) for name, value in values.items()}


def _row(made_up: Any, known: list[int]) -> Any:
    is_id = isinstance(made_up, int) and not isinstance(made_up, bool) and 1 <= made_up <= HIGHEST
    return known[made_up % len(known)] if known and is_id and made_up % 3 else made_up


@schemathesis.hook
def map_headers(_context: Any, headers: Any) -> Any:
    """Half of the edits are of any version, or all would be stale."""
    tags = (headers or {}).get("If-Match")
    if isinstance(tags, str) and re.fullmatch(TAGS, tags) and zlib.crc32(tags.encode()) % 2:
        return {name: value for name, value in headers.items() if name != "If-Match"}
    return headers


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Where a request is right, its key is its own: the one of the schema's example would let only the first happen."""
    if case.meta and case.meta.generation.mode.is_positive and "Idempotency-Key" in (case.headers or {}):
        asked = repr((case.method, case.path, case.path_parameters, case.query, case.headers, case.body))
        case.headers["Idempotency-Key"] = hashlib.sha256(asked.encode()).hexdigest()


@schemathesis.check
def nothing_hidden(_ctx: Any, response: Any, case: Any) -> None:
    if MARKER in response.text:
        raise AssertionError("The answer has words of another workspace.")
    if "json" not in "".join(response.headers.get("content-type", ())):
        return
    told = json.loads(response.text)
    if leaked := [f"{resource} {pk}" for resource, pk in _ids(told, case) if pk in HIDDEN[resource]]:
        raise AssertionError(f"The answer tells of what this user may not see: {', '.join(leaked)}.")


def _ids(told: Any, case: Any) -> Iterator[tuple[str, Any]]:
    """Whose rows an answer shows: by the resource of its address, and by what each object refers to."""
    resource, *rest = case.operation.path.removeprefix("/api/v1/").strip("/").split("/")
    rows = told.get("results", [told]) if isinstance(told, dict) else []
    if resource in HIDDEN and rest in ([], ["{id}"]):
        yield from ((resource, row.get("id")) for row in rows)
    todo = [told]
    while todo:
        each = todo.pop()
        todo += each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        for name, value in each.items() if isinstance(each, dict) else ():
            if name in REFERENCES and isinstance(value, int):
                yield REFERENCES[name], value


# What a schema cannot say: by field, whether there is such a row and may be one, whether a time is still to come, what
# is a phone or an address, and whose a cursor is. (`metadata` has the fields that a workspace made.)
ABOUT_THINGS = frozenset(
    {
        "workspace",
        "owner",
        "other",
        "phone",
        "business_scoped_user_id",
        "email",
        "due_at",
        "until",
        "metadata",
    }
)
ABOUT_POSITIONS = frozenset({"cursor", "updated_since", "ordering"})
NEITHER_PHONE_NOR_NAME = ""


@schemathesis.check
def refused_for_how_things_are(_ctx: Any, response: Any, case: Any) -> None:
    """What positive_data_acceptance lets pass as 400 and 422 (tests/fuzzed_api.py) has to be about these."""
    if (
        case.meta is None
        or not case.meta.generation.mode.is_positive
        or response.status_code not in (400, 422)
    ):
        return
    told = json.loads(response.text)
    fields = {error["field"].partition(".")[0] for error in told.get("errors", ())}
    known = ABOUT_POSITIONS if response.status_code == 400 else ABOUT_THINGS | {NEITHER_PHONE_NOR_NAME}
    if fields == {"If-Match"} and not re.fullmatch(TAGS, str((case.headers or {}).get("If-Match", ""))):
        return  # schemathesis does not always manage to make what the pattern asks for
    if not fields and told["type"].endswith(":idempotency-key-reused"):
        return
    if not fields or fields - known:
        raise AssertionError(f"The schema allows what is refused: {told['detail']}")
