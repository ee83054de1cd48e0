"""Rounds, figures and their spread. A figure is a value per round; a ratio is of two values of the same round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, TypeVar

Subject = TypeVar("Subject")


class Refused(Exception):  # noqa: N818 - said to people
    """Something went wrong, so there is nothing to report."""


class NotHere(Exception):  # noqa: N818
    """The part measures what this version does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured. `tiny` shows that a part works, and says nothing about speed."""

    name: str
    rounds: int
    seconds: float  # of one stretch of closed-loop load
    contacts: tuple[int, ...]  # data sets for lists; five messages a contact
    deliveries: tuple[int, int]  # for replays
    long_rounds: int  # of what takes minutes
    open_seconds: float
    repeats: int  # of one page, after the first
    every_page: int = 1  # of those to measure


SIZES = {
    size.name: size
    for size in (
        Size(
            name="tiny",
            rounds=1,
            seconds=0.2,
            contacts=(300, 600),
            deliveries=(40, 80),
            long_rounds=1,
            open_seconds=0.5,
            repeats=1,
            every_page=7,
        ),
        Size(
            name="quick",
            rounds=5,
            seconds=1.5,
            contacts=(10_000, 100_000),
            deliveries=(20_000, 200_000),
            long_rounds=1,
            open_seconds=12,
            repeats=3,
        ),
        Size(
            name="large",
            rounds=5,
            seconds=1.5,
            contacts=(10_000, 100_000, 1_000_000),
            deliveries=(20_000, 200_000),
            long_rounds=5,
            open_seconds=60,
            repeats=3,
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    name: str
    values: tuple[float, ...]
    unit: str = ""
    must: float | None = None
    aim: float | None = None
    less_is_better: bool = False
    is_detail: bool = False  # in the JSON alone
    remark: str = ""

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def verdict(self) -> str:
        """Which of the two goals the median reaches."""
        if self.must is None or self.aim is None:
            return ""
        sign = -1 if self.less_is_better else 1
        if sign * self.median >= sign * self.aim:
            return "aim"
        return "must" if sign * self.median >= sign * self.must else "missed"


@dataclass(slots=True)
class Findings:
    """What one part found: figures for the table, and groups of latencies by quantile for the plot."""

    figures: list[Figure] = field(default_factory=list)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, values: Sequence[float], unit: str = "", **more: Any) -> None:
        self.figures.append(Figure(name=name, values=tuple(values), unit=unit, **more))

    def add_ratio(self, name: str, values: Sequence[float], others: Sequence[float], **more: Any) -> None:
        ratios = [value / other for value, other in zip(values, others, strict=True)]
        self.add(name, ratios, "x", **more)


def rounds(count: int, subjects: Sequence[Subject]) -> Iterator[Subject]:
    """Each in turn, the order turned around each round, so that a drift of the machine meets all alike."""
    for number in range(count):
        yield from subjects if number % 2 == 0 else reversed(subjects)
