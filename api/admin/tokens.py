from __future__ import annotations

from django.urls import URLPattern


def token_urls() -> list[URLPattern]:
    return []
