"""`ETag` and `If-Match`: an edit of what somebody else has edited since is refused, if the client asks for that.

The tag stands for what people typed, not for every byte of an answer: clocks move on without making it another.
"""

from __future__ import annotations

import re

from rest_framework.request import Request

from api.problems import invalid_header, stale

# A proxy that compresses an answer makes its tag a weak one.
_TAG = r'(?:W/)?"[!#-~]*"'
_TAGS = re.compile(rf"{_TAG}(?:[ \t]*,[ \t]*{_TAG})*")  # a comma may be within a tag, too


def check_match(request: Request, version: str) -> None:
    """412 where the request was meant for another version. An empty header is no wish to write whatever is there."""
    asked = request.headers.get("If-Match", "*").strip()
    if asked == "*":
        return
    if not _TAGS.fullmatch(asked):
        raise invalid_header("If-Match", 'Send the `version` in quotes, like "0123456789abcdef".')
    if version not in re.findall('"([^"]*)"', asked):
        said = "Somebody changed it since you read it: it has another version now. Read it again, and decide anew."
        raise stale(said, version=version)
