"""What can go wrong with each operation, as the schema has it: made from `api.problems.KINDS`, for every address alike."""

from __future__ import annotations

from typing import Any

from api.problems import KINDS, MEDIA_TYPE, NAMESPACE, Kind

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "What went wrong, as RFC 9457 says it.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {
            "type": "string",
            "format": "uri",
            "enum": [kind.type for kind in KINDS.values()],
            "description": "Stays what it is: decide by this.",
        },
        "title": {"type": "string", "description": "The same for all of its type."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What was wrong this time, and what to do."},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/ProblemOfField"}},
        "allowed": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Of `transition-refused`: where the contact may go.",
        },
        "merged_into": {"type": "integer", "description": "Of `merged-away`: the contact to go on with."},
        "version": {"type": "string", "description": "Of `stale`: the present version."},
        "scope": {"type": "string", "description": "Of `insufficient-scope`: the scope that it takes."},
    },
}
PROBLEM_OF_FIELD: dict[str, Any] = {
    "type": "object",
    "required": ["field", "detail", "code"],
    "properties": {
        "field": {
            "type": "string",
            "description": "The field of the body (`tags.0`), the parameter, or the header; empty where it is none.",
        },
        "detail": {"type": "string"},
        "code": {"type": "string"},
    },
}
EVERYWHERE = {400, 401, 403, 406, 429, 500, 503}
WITH_OLD_CURSORS = ("/api/v1/changes/", "/api/v1/contacts/")
WRITES = {409, 413, 415, 422}


def with_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Beside what an operation says for itself."""
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas |= {"Problem": PROBLEM, "ProblemOfField": PROBLEM_OF_FIELD}
    for path, operations in result.get("paths", {}).items():
        for method, operation in operations.items():
            answers = operation["responses"]
            for status in sorted(_statuses(path, method, operation)):
                answers.setdefault(str(status), _answer(status))
    return result


def _statuses(path: str, method: str, operation: dict[str, Any]) -> set[int]:
    found = set(EVERYWHERE)
    if "{" in path:
        found.add(404)
    if path.startswith("/api/v1/contacts/{") or (path in WITH_OLD_CURSORS and method == "get"):
        found.add(410)
    if method != "get":
        found |= WRITES
    if any(parameter.get("name") == "If-Match" for parameter in operation.get("parameters", ())):
        found.add(412)
    return found


def _answer(status: int) -> dict[str, Any]:
    kinds = [kind for kind in KINDS.values() if kind.status == status]
    return {
        "description": "; ".join(f"`{kind.slug}`: {kind.title}" for kind in kinds),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {kind.slug: _example(kind) for kind in kinds},
            }
        },
    }


def _example(kind: Kind) -> dict[str, Any]:
    told: dict[str, Any] = {
        "type": NAMESPACE + kind.slug,
        "title": kind.title,
        "status": kind.status,
        "detail": kind.what_to_do,
    }
    return {"summary": kind.title, "value": told}
