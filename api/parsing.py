"""JSON as RFC 8259 means it: whatever two programs could read differently, or the database could not hold, is refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any, NoReturn

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.http.request import UnreadablePostError
from rest_framework.parsers import BaseParser

from api.problems import Problem, invalid_fields

DEEPEST = 16
HIGHEST = 2**63 - 1
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def malformed(detail: str) -> Problem:
    return Problem("malformed-body", detail)


class StrictJSONParser(BaseParser):
    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:  # noqa: ARG002
        try:
            text = stream.read().decode()
        except UnicodeDecodeError as error:
            raise malformed(f"It is not UTF-8 (byte {error.start}).") from error
        if not text.strip():
            return {}
        value = _loaded(text)
        _check(value)
        return value


def _loaded(text: str) -> Any:
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_no_number,
            parse_float=_float,
            parse_int=_int,
        )
    except json.JSONDecodeError as error:
        raise malformed(
            f"It is not JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from error
    except RecursionError as error:
        raise malformed(f"It is nested more than {DEEPEST} levels deep.") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise malformed(f"The name {_short(twice)} is there twice in one object.")
    return found


def _no_number(word: str) -> NoReturn:
    raise malformed(f"{word} is no number in JSON.")


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise malformed(f"The number {digits[:20]} is too large.")
    return value


def _int(digits: str) -> int:
    if len(digits) > 20 or abs(value := int(digits)) > HIGHEST:
        raise malformed(f"The number {digits[:20]}{'…' if len(digits) > 20 else ''} is too large.")
    return value


def _check(value: Any) -> None:
    """No text that PostgreSQL cannot hold, and no depth that a reader could fall into."""
    for path, text in _texts(value):
        if _UNSTORABLE.search(text):
            said = "It has a character that no text can have: NUL, or half of a surrogate pair."
            raise invalid_fields({_UNSTORABLE.sub("\ufffd", path): said}, code="unstorable")


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Every text in it, names included, with where it is."""
    todo = [("", value, 1)]
    while todo:
        path, each, depth = todo.pop()
        if isinstance(each, str):
            yield path, each
            continue
        if not isinstance(each, dict | list):
            continue
        if depth > DEEPEST:
            raise malformed(f"It is nested more than {DEEPEST} levels deep.")
        for name, inner in each.items() if isinstance(each, dict) else enumerate(each):
            below = f"{path}.{name}" if path else str(name)
            yield below, str(name)
            todo.append((below, inner, depth + 1))


def _short(text: str) -> str:
    return json.dumps(text if len(text) <= 50 else text[:50] + "…")


def read_whole(request: HttpRequest) -> None:
    """Before anything else is made of the body. Django takes one of unknown length, in chunks, for an empty one."""
    most: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    try:
        if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
            body = request.META["wsgi.input"].read(most + 1)
            if len(body) > most:
                raise RequestDataTooBig
            # As reading it would have done.
            request._body, request._stream = body, BytesIO(body)  # noqa: SLF001
            request.META["CONTENT_LENGTH"] = str(len(body))
        elif not (request.content_type or "").startswith("multipart/"):  # files are read as they come
            _ = request.body
    except RequestDataTooBig as error:
        raise Problem("too-large", f"The most is {most // 1024 // 1024} MB.") from error
    except UnreadablePostError as error:
        raise Problem("bad-request", "The connection closed before the body was complete.") from error
