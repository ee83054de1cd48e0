"""`ETag` and `If-Match`: an edit of what somebody else has edited since is refused, if the client asks for that.

The tag stands for what people typed, not for every byte of an answer: clocks move on without making it another.
"""

from __future__ import annotations

import re

from rest_framework.request import Request

from api.problems import invalid_header, stale

# A proxy that compresses an answer makes its tag a weak one.
_TAG = re.compile(r'(?:W/)?"([!#-~]*)"')


def check_match(request: Request, version: str) -> None:
    """412 where the request was meant for another version."""
    asked = request.headers.get("If-Match", "").strip()
    if not asked or asked == "*":
        return
    tags = [_TAG.fullmatch(part.strip()) for part in asked.split(",")]
    if not all(tags):
        raise invalid_header("If-Match", 'Send the `version` in quotes, like "0123456789abcdef".')
    if version not in [tag[1] for tag in tags if tag]:
        said = "Somebody changed it since you read it: it has another version now. Read it again, and decide anew."
        raise stale(said, version=version)
