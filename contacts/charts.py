"""Pictures of figures, as the geometry of an SVG: drawn on the server, so that they print and need no script.

A picture is never the only way to a number: the page has them in a table beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# In the units of the viewBox; the page stretches it to the room there is.
HEIGHT = 100
STEP = 30
GAP = 4


@dataclass(frozen=True, slots=True)
class Bar:
    """`kind` is the place of its series: the page gives each its colour."""

    kind: int
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Columns:
    bars: list[Bar]
    width: int
    height: int
    # What the highest column stands for.
    highest: int


def columns(series: Sequence[Sequence[int]]) -> Columns:
    """One group of columns for each element of `series`, a column for each of its values.

    What is not zero is at least seen.
    """
    highest = max((value for group in series for value in group), default=0)
    bars = [bar for index, group in enumerate(series) for bar in _group(index, group, highest)]
    return Columns(bars, max(1, len(series)) * STEP, HEIGHT, highest)


def shares(values: Sequence[int]) -> list[int]:
    """Of the highest of them, in percent."""
    highest = max(values, default=0)
    return [max(1, round(100 * value / highest)) if value else 0 for value in values]


def _group(index: int, group: Sequence[int], highest: int) -> list[Bar]:
    width = (STEP - 2 * GAP) // max(1, len(group))
    found = []
    for kind, value in enumerate(group):
        height = max(2, round(HEIGHT * value / highest)) if value else 0
        found.append(Bar(kind, index * STEP + GAP + kind * width, HEIGHT - height, width - 1, height))
    return found
