"""What can go wrong, told as RFC 9457 says: `application/problem+json`, with a `type` that stays what it is.

Every answer of the API that is no success is one of `KINDS`, which the schema and docs/api.md are made from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rest_framework.exceptions import APIException

MEDIA_TYPE = "application/problem+json"
NAMESPACE = "urn:leadcrm:problem:"


@dataclass(frozen=True, slots=True)
class Kind:
    slug: str
    status: int
    title: str
    what_to_do: str

    @property
    def type(self) -> str:
        return NAMESPACE + self.slug


KINDS: dict[str, Kind] = {
    kind.slug: kind
    for kind in (
        Kind("invalid-parameter", 400, "A query parameter cannot be used",
             "Correct the parameters that `errors` names. Nothing was changed."),
        Kind("invalid-header", 400, "A header cannot be used",
             "Correct the header that `errors` names. Nothing was changed."),
        Kind("malformed-body", 400, "The body cannot be read",
             "Send one JSON value in UTF-8, without duplicate names, NaN or infinite numbers."),
        Kind("bad-request", 400, "The request cannot be understood",
             "Send a well-formed HTTP request to a host name of this installation."),
        Kind("not-authenticated", 401, "A token is needed",
             "Send `Authorization: Bearer <token>` with a token that is good. Tokens are made in the admin."),
        Kind("insufficient-scope", 403, "The token may not do this",
             "Use a token with the scope that `scope` names."),
        Kind("forbidden", 403, "You may not do this",
             "Ask an owner of the workspace for the role that it takes."),
        Kind("not-found", 404, "There is no such thing",
             "Check the address and the id. What the token's user may not see is not found either."),
        Kind("method-not-allowed", 405, "This method does nothing here",
             "Use one of the methods that the header `Allow` names."),
        Kind("not-acceptable", 406, "There is no answer of this type",
             "Accept `application/json`."),
        Kind("conflict", 409, "It cannot be done as things are",
             "Read the thing again; `detail` says what is in the way."),
        Kind("transition-refused", 409, "A contact cannot go there from its status",
             "Choose one of `allowed`, or go there by another status."),
        Kind("merge-refused", 409, "These contacts cannot be merged, or not be taken apart",
             "`detail` says why. Nothing was changed."),
        Kind("merged-away", 410, "This contact was merged into another",
             "Go on with the contact that `merged_into` names."),
        Kind("cursor-too-old", 410, "What changed since this cursor is not kept any more",
             "Begin again without a cursor."),
        Kind("rights-changed", 410, "What you see is not what it was",
             "Take a new cursor from /changes/ and list everything again."),
        Kind("stale", 412, "Somebody changed it since you read it",
             "Read it again, and decide anew. Nothing was changed."),
        Kind("too-large", 413, "The body is too large",
             "Send less at once."),
        Kind("unsupported-media-type", 415, "The body has a type that is not understood",
             "Send `Content-Type: application/json`."),
        Kind("invalid-fields", 422, "The body has fields that cannot be used",
             "Correct the fields that `errors` names. Nothing was changed."),
        Kind("idempotency-key-reused", 422, "This Idempotency-Key was used for another request",
             "Use a new key for each request, and the same only to repeat one. Nothing was changed."),
        Kind("too-many-requests", 429, "Too many requests",
             "Wait as long as `Retry-After` says."),
        Kind("internal-error", 500, "Something went wrong here",
             "Try again later with the same Idempotency-Key. Nothing was changed."),
        Kind("busy", 503, "Others are at work on the same",
             "Try again in a moment, as `Retry-After` says. Nothing was changed."),
        Kind("unavailable", 503, "The database does not answer",
             "Try again later, as `Retry-After` says, with the same Idempotency-Key."),
    )
}  # fmt: skip

Error = dict[str, str]


def as_table() -> str:
    """All of them, in Markdown, for docs/api.md."""
    rows = (
        f"| {kind.status} | `{kind.type}` | {kind.title} | {kind.what_to_do} |" for kind in KINDS.values()
    )
    return "\n".join(("| Status | `type` | What it is | What to do |", "|---|---|---|---|", *rows))


class Problem(APIException):
    """Ends the request with this answer. `more` stands beside the usual members, as `allowed` moves do."""

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        errors: Iterable[Error] = (),
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.kind = KINDS[slug]
        self.status_code = self.kind.status
        self.said = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.more = more

    def as_json(self) -> dict[str, Any]:
        told = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.said,
        }
        return told | ({"errors": self.errors} if self.errors else {}) | self.more


def forbidden(detail: str) -> Problem:
    return Problem("forbidden", detail)


def conflict(detail: str) -> Problem:
    return Problem("conflict", detail)


def stale(detail: str, **more: Any) -> Problem:
    return Problem("stale", detail, **more)


def merged_away(survivor: int) -> Problem:
    return Problem(
        "merged-away", f"This contact was merged into contact {survivor}: go on there.", merged_into=survivor
    )


def invalid_parameter(name: str, detail: str, *, code: str = "invalid") -> Problem:
    return invalid("invalid-parameter", [{"field": name, "detail": detail, "code": code}])


def invalid_parameters(said: Mapping[str, str], *, code: str = "invalid") -> Problem:
    return invalid("invalid-parameter", _errors(said, code))


def invalid_header(name: str, detail: str, *, code: str = "invalid") -> Problem:
    return invalid("invalid-header", [{"field": name, "detail": detail, "code": code}])


def invalid_fields(said: Mapping[str, str], *, code: str = "invalid") -> Problem:
    return invalid("invalid-fields", _errors(said, code))


def _errors(said: Mapping[str, str], code: str) -> list[Error]:
    return [{"field": name, "detail": str(text), "code": code} for name, text in said.items()]


def invalid(slug: str, errors: list[Error]) -> Problem:
    """`detail` says the first in words: a client that shows one line shows the right one."""
    first, *others = errors
    more = f" (and {len(others)} more, in errors)" if others else ""
    said = f"{first['field']}: {first['detail']}" if first["field"] else first["detail"]
    return Problem(slug, f"{said}{more}", errors=errors)
