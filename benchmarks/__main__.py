"""`python -m benchmarks [part ...] [--size quick]`: measure, print tables, write JSON and plots."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import report
from benchmarks.bench import Bench
from benchmarks.measuring import SIZES, NotHere, Refused
from benchmarks.parts import PARTS

FOLDER = Path(__file__).resolve().parent.parent / ".local" / "bench"


def main(
    arguments: Sequence[str] | None = None, *, folder: Path = FOLDER, results: Path = report.RESULTS
) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="part", help=", ".join(PARTS))
    parser.add_argument("--size", choices=SIZES, default="quick")
    parser.add_argument(
        "--rounds", type=int, help="instead of those of the size: one is enough to look around"
    )
    options = parser.parse_args(arguments)
    size = SIZES[options.size]
    bench = Bench(folder, replace(size, rounds=options.rounds or size.rounds))
    refused = [name for name in options.parts or PARTS if not _measure(bench, name, results)]
    return 1 if refused else 0


def _measure(bench: Bench, name: str, results: Path) -> bool:
    started = time.monotonic()
    sys.stdout.write(f"\n{name}\n\n")
    try:
        findings = PARTS[name](bench)
    except NotHere as reason:
        sys.stdout.write(f"Left out: {reason}\n")
        return True
    except Refused as reason:
        sys.stdout.write(f"Nothing is reported: {reason}\n")
        return False
    sys.stdout.write(report.table(findings.figures))
    for note in [*findings.notes, f"Took {time.monotonic() - started:.0f} seconds."]:
        sys.stdout.write(f"{note}\n")
    for path in report.save(name, bench.size.name, findings, results):
        sys.stdout.write(f"{path}\n")
    return True


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and commands end with this, too
    sys.exit(main())
