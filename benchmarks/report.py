"""Figures as a table, as JSON, and as the page docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measuring import Figure, Findings

RESULTS = Path(__file__).resolve().parent / "results"


def machine() -> str:
    """What it ran on, without names."""
    model = next(
        (line.partition(": ")[2] for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    memory = next((int(line.split()[1]) >> 20 for line in _lines("/proc/meminfo") if "MemTotal" in line), 0)
    return f"{os.cpu_count()} cores ({model}), {memory} GB, {platform.system()}, Python {platform.python_version()}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def save(part: str, size: str, findings: Findings) -> Path:
    RESULTS.mkdir(exist_ok=True)
    told = {
        "part": part,
        "size": size,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        **asdict(findings),
    }
    path = RESULTS / f"{part}.json"
    path.write_text(json.dumps(told, indent=1) + "\n")
    return path


def load(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.read_text())
    told["figures"] = [Figure(**figure) for figure in told["figures"]]
    return told


def table(figures: Iterable[Figure]) -> str:
    """Median and spread of each figure, with what it must be and what it aims at."""
    lines = ["| figure | median | least .. most | must | aim | |", "| --- | ---: | --- | ---: | ---: | --- |"]
    for figure in figures:
        if figure.is_detail:
            continue
        least, most = _number(min(figure.values)), _number(max(figure.values))
        spread = f"{least} .. {most}" if len(figure.values) > 1 else ""
        goals = " | ".join("" if goal is None else f"{goal:g}" for goal in (figure.must, figure.aim))
        unit = f" {figure.unit}" if figure.unit else ""
        lines.append(
            f"| {figure.name} | {_number(figure.median)}{unit} | {spread} | {goals} | {figure.verdict} {figure.remark} |"
        )
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
