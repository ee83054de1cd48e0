"""Long rows of things, some at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Thing = TypeVar("Thing")


def in_batches(things: Iterable[Thing], size: int) -> Iterator[list[Thing]]:
    """As `itertools.batched` of Python 3.12."""
    left = iter(things)
    while batch := list(islice(left, size)):
        yield batch
