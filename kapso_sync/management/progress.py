"""A bar for people who wait at a terminal; nothing where the output goes to a file or a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import OutputWrapper

WIDTH = 30


class Progress:
    """One line that is written over again and again."""

    def __init__(self, out: OutputWrapper, total: int) -> None:
        self.out = out
        self.total = total
        self.done = 0
        self.is_shown = out.isatty()

    def advance(self, by: int = 1) -> None:
        self.done += by
        if self.is_shown:
            self._write(f"\r{bar(self.done, self.total)}")

    def finish(self) -> None:
        if self.is_shown and self.done:
            self._write("\n")

    def _write(self, text: str) -> None:
        self.out.write(text, style_func=str, ending="")
        self.out.flush()


@contextmanager
def progress(out: OutputWrapper, total: int) -> Iterator[Progress]:
    shown = Progress(out, total)
    try:
        yield shown
    finally:
        shown.finish()


def bar(done: int, total: int) -> str:
    filled = min(done, total) * WIDTH // total
    return f"[{'#' * filled}{'.' * (WIDTH - filled)}] {done} of {total}"
