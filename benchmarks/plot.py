"""Latency by percentile as a picture: whoever waits longest is seen best, so the axis stretches towards 100 %."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.load import QUANTILES

SHOWN = (0.5, 0.9, 0.99, 0.999)
Curves = Mapping[str, Mapping[str, Sequence[float]]]


def draw(path: Path, title: str, curves: Curves) -> None:
    """One panel for each group of curves. Needs matplotlib (requirements/bench.txt)."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(
        1, len(curves), figsize=(4 + 4 * len(curves), 5), sharey=True, squeeze=False, layout="constrained"
    )
    for panel, (group, of_group) in zip(panels[0], curves.items(), strict=True):
        for label, milliseconds in of_group.items():
            points = [
                (1 / (1 - at), ms)
                for at, ms in zip(QUANTILES, milliseconds, strict=True)
                if at < SHOWN[-1] + 1e-9
            ]
            panel.plot(*zip(*points, strict=True), label=label)
        panel.set(title=group, xscale="log", yscale="log", xlabel="percentile")
        panel.set_xticks([1 / (1 - at) for at in SHOWN], [f"{at * 100:g} %" for at in SHOWN])
        panel.minorticks_off()
        panel.grid(visible=True, alpha=0.3)
        panel.legend()
    panels[0][0].set_ylabel("milliseconds, from due to answered")
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    plt.close(figure)
