"""Figures as tables, as JSON and as plots; and, run as a program, as the page docs/performance.md.

python -m benchmarks.report     takes the newest results into the page
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measuring import Figure, Findings
from benchmarks.parts import PARTS
from benchmarks.plot import draw

RESULTS = Path(__file__).resolve().parent / "results"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- figures: python -m benchmarks.report writes them -->", "<!-- end of figures -->"


def machine() -> str:
    """What it ran on, without names."""
    models = [line.partition(": ")[2] for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [int(line.split()[1]) / 2**20 for line in _lines("/proc/meminfo") if "MemTotal" in line]
    hardware = [f"{os.cpu_count()} cores", *models[:1], *(f"{size:.0f} GB" for size in memory)]
    return f"{', '.join(hardware)}; {platform.system()}, Python {platform.python_version()}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def save(part: str, size: str, findings: Findings, folder: Path = RESULTS) -> list[Path]:
    """The figures, and a plot where there are latencies."""
    folder.mkdir(parents=True, exist_ok=True)
    at = datetime.now(UTC).isoformat(timespec="minutes")
    told = {"part": part, "size": size, "at": at, "machine": machine(), **asdict(findings)}
    written = [folder / f"{part}.json"]
    written[0].write_text(json.dumps(told, indent=1) + "\n")
    if findings.curves:
        plot = folder / f"{part}.png"
        try:
            draw(plot, f"leadcrm: {part}, {at}", findings.curves)
        except ImportError:
            return written  # `make bench` installs matplotlib; what is measured does not need it
        written.append(plot)
    return written


def table(figures: Iterable[Figure]) -> str:
    """Median and spread of each figure, with what it must be and what it aims at."""
    lines = [
        "| figure | median | least .. most | must | aim | reached |",
        "| --- | ---: | --- | ---: | ---: | --- |",
    ]
    lines += [_line(figure) for figure in figures if not figure.is_detail]
    return "\n".join(lines) + "\n"


def _line(figure: Figure) -> str:
    spread = ""
    if len(figure.values) > 1:
        spread = f"{_number(min(figure.values))} .. {_number(max(figure.values))}"
    name = f"{figure.name} ({figure.remark})" if figure.remark else figure.name
    goals = ("" if goal is None else f"{goal:g}" for goal in (figure.must, figure.aim))
    cells = [name, f"{_number(figure.median)} {figure.unit}".strip(), spread, *goals, figure.verdict]
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def page(folder: Path = RESULTS, path: Path = PAGE) -> None:
    """Put the newest results between the marks of the page, and their plots beside it."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    sections = "\n".join(_sections(folder, path))
    path.write_text(f"{before}{BEGIN}\n\n{sections}\n{END}{after}")


def _sections(folder: Path, page: Path) -> Iterator[str]:
    for part in PARTS:
        if not (folder / f"{part}.json").exists():
            continue
        told: dict[str, Any] = json.loads((folder / f"{part}.json").read_text())
        yield f"## {part.capitalize()}\n\n{told['at']}, size {told['size']}, on {told['machine']}.\n"
        yield table(Figure(**figure) for figure in told["figures"])
        yield from (f"{note}\n" for note in told["notes"])
        if (plot := folder / f"{part}.png").exists():
            shutil.copy(plot, page.with_name(f"performance-{part}.png"))
            yield f"![Latency by percentile](performance-{part}.png)\n"


if __name__ == "__main__":
    page()
