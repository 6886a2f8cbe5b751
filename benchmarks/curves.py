"""The curves of how time and memory grow, drawn as SVG: both axes logarithmic, with a thin line that grows as the x axis does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """What a picture shows; `slope` is the direction of the thin line: 1 for time, -1 for rates."""

    name: str
    title: str
    x: str
    y: str
    slope: int = 1


CURVES = (
    Curve(
        "training.rows", "Training set: source rows (a tenth as many keys and entity rows)", "source rows", "seconds"
    ),
    Curve("training.rows.memory", "Training set: peak memory of a fresh process", "source rows", "MB"),
    Curve("training.entities", "Training set: entity rows, of 1 M source rows", "entity rows", "seconds"),
    Curve("training.keys", "Training set: keys among 1 M source rows", "keys", "seconds"),
    Curve("training.views", "Training set: views of 10 features", "views", "seconds"),
    Curve("training.views.memory", "Training set: peak memory over views", "views", "MB"),
    Curve("training.features", "Training set: features of one view", "features", "seconds"),
    Curve("training.segments", "Training set: segments that 1 M rows lie in", "segments", "seconds"),
    Curve("memory.rows", "Peak memory under memory_limit = 2GB", "source rows", "MB"),
    Curve("materialize.rows", "Materialization: source rows", "source rows", "seconds"),
    Curve("push.keys", "Push of encoded rows: keys", "keys", "seconds"),
    Curve("lookup.rows", "SDK lookup of 10 features, to dict", "rows per request", "milliseconds"),
    Curve("windowed.long", "SDK lookup of 10 windowed features, 1 key", "rows in the longest window", "microseconds"),
    Curve(
        "http.rows",
        "HTTP lookup of 10 features, 16 connections, 1 worker",
        "rows per request",
        "requests per second",
        -1,
    ),
    Curve("http.connections", "HTTP lookup of 1 row, 1 worker", "connections", "requests per second", 0),
    Curve("http.connections.p99", "HTTP lookup of 1 row, 1 worker: p99 at full rate", "connections", "milliseconds"),
)
# Distinct in print and for the colour-blind (Okabe and Ito), all readable on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKS = ("o", "s", "^", "D", "v", "P")


def draw(curve: Curve, series: Mapping[str, Points], path: Path) -> None:
    """One picture, on white, so that it can be read in a dark page too."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    # The same points give the same file: no date, no random names. Text stays text.
    with mpl.rc_context({"svg.hashsalt": curve.name, "svg.fonttype": "none", "font.size": 9, "axes.grid": True}):
        figure, axes = pyplot.subplots(figsize=(6.4, 3.6), facecolor="white", layout="constrained")
        axes.set(xscale="log", yscale="log", xlabel=curve.x, ylabel=curve.y, title=curve.title)
        axes.grid(which="major", color="#dddddd", linewidth=0.6)
        for number, (name, points) in enumerate(series.items()):
            ordered = sorted(points)
            colour, mark = COLOURS[number % len(COLOURS)], MARKS[number % len(MARKS)]
            axes.plot(
                [x for x, _ in ordered], [y for _, y in ordered], marker=mark, color=colour, label=name, markersize=4
            )
        bounds = axes.get_ylim()
        (x0, y0), *_ = sorted(next(iter(series.values())))
        xs = sorted({x for points in series.values() for x, _ in points})
        if curve.slope:
            label = "linear" if curve.slope > 0 else "inverse"
            axes.plot(xs, [y0 * (x / x0) ** curve.slope for x in xs], "--", color="#999999", linewidth=0.8, label=label)
        axes.set_ylim(bounds)
        axes.legend(fontsize=8, framealpha=0.9)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)


def file_of(curve: Curve) -> str:
    return f"{curve.name.replace('.', '-')}.svg"
