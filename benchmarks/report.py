"""The table of docs/benchmarks.md and its curves, from what lies in benchmarks/results.

    python -m benchmarks.report --size small     # prints the tables
    python -m benchmarks.report --size full      # writes docs/benchmarks.md between its markers, and docs/benchmarks/*.svg

What stands outside the markers is written by hand and stays, the explanations of what is missed and of each bend among it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.curves import CURVES, Curve, draw, file_of
from benchmarks.record import RESULTS, command
from benchmarks.targets import TARGETS, Target

DOCS = Path(__file__).parent.parent / "docs"
PAGE, PICTURES = DOCS / "benchmarks.md", DOCS / "benchmarks"
ORDER = (
    "training_set",
    "training_times",
    "hot_key",
    "windows",
    "memory_limit",
    "taxi",
    "training_growth",
    "materialization",
    "push",
    "lookup",
    "on_demand",
    "windowed_lookups",
    "serving",
    "publishing",
    "startup",
)
Found = dict[str, Any]


def load(size: str, folder: Path | None = None) -> list[Found]:
    """What was measured in this size, in the order of the page."""
    paths = [(folder or RESULTS) / f"{name}.{size}.json" for name in ORDER]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def figures(found: Sequence[Found]) -> dict[str, Found]:
    """Claim -> figure."""
    return {one["claim"]: one for benchmark in found for one in benchmark["measured"]}


def number(value: float) -> str:
    """Three digits, as people write them."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    text = f"{value:.3g}"
    return f"{float(text):.0f}" if "e" in text and abs(value) >= 1 else text


def spread_of(one: Found) -> str:
    """The median (lowest to highest)."""
    if one["rounds"] == 1 or one["lowest"] == one["highest"]:
        return number(one["value"])
    return f"{number(one['value'])} ({number(one['lowest'])} to {number(one['highest'])})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def targets_table(of: Mapping[str, Found], targets: Sequence[Target] = TARGETS) -> str:
    """What is wanted, what was measured, and the verdict by the median."""
    rows = []
    for target in targets:
        one = of.get(target.claim)
        wanted = target.wanted if target.least != float("inf") else f"printed / {target.aim:g}"
        measured = f"{spread_of(one)}; {one['rounds']} rounds" if one else ""
        verdict = target.verdict(one["value"] if one else None)
        rows.append(
            [target.path, target.against, wanted, measured, f"**{verdict}**" if verdict == "missed" else verdict]
        )
    return table(["path", "against", "target / aim", "measured: median (lowest to highest)", "verdict"], rows)


def seconds(value: float | None) -> str:
    if value is None:
        return ""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if value * factor >= 1:
            return f"{number(value * factor)} {unit}"
    return f"{number(value * 1e6)} µs"


def all_table(benchmark: Found) -> str:
    """Everything one benchmark measured."""
    rows = [
        [one["task"], one["against"], f"{spread_of(one)} {one['unit']}", seconds(one["ours"]), seconds(one["theirs"])]
        for one in benchmark["measured"]
    ]
    return table(["task", "against", "median (lowest to highest)", "ours", "theirs"], rows)


def series_of(found: Sequence[Found], curve: Curve) -> dict[str, list[tuple[float, float]]]:
    """The points of a curve, from whichever benchmarks have some."""
    series: dict[str, list[tuple[float, float]]] = {}
    for benchmark in found:
        for name, points in benchmark["curves"].get(curve.name, {}).items():
            series.setdefault(name, []).extend((x, y) for x, y in points)
    return series


def points_table(curve: Curve, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """The points of a curve: a line for each place on the x axis, a column for each series."""
    points = {name: dict(of) for name, of in series.items()}
    rows = [
        [f"{x:,.0f}", *(number(of[x]) if x in of else "" for of in points.values())]
        for x in sorted({x for of in points.values() for x in of})
    ]
    return table([f"{curve.x} ({curve.y})", *points], rows)


def curves_part(found: Sequence[Found]) -> Iterator[str]:
    """Each picture with the table of its points."""
    for curve in CURVES:
        if series := series_of(found, curve):
            yield f"![{curve.title}](benchmarks/{file_of(curve)})\n\n{points_table(curve, series)}"


def machine_line(found: Sequence[Found]) -> str:
    """Where and with what; the load average says who else was at work."""
    machine = found[0]["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if version)
    programs = ", ".join(f"{name} {version}" for name, version in machine.get("programs", {}).items() if version)
    loads = [one["machine"]["load_average_before"][0] for one in found]
    return (
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gb']} GB of memory, {machine['system']}, "
        f"Python {machine['python']}, Hitherto {machine['hitherto']}; {packages}; {programs}. "
        f"Load average before each benchmark: {min(loads):g} to {max(loads):g}. All of it took "
        f"{sum(one['seconds'] for one in found) / 60:.0f} minutes."
    )


def generated(found: Sequence[Found]) -> Iterator[tuple[str, str]]:
    """The parts of the page that are made: (name of the marker, text)."""
    yield "machine", machine_line(found)
    yield "targets", targets_table(figures(found))
    yield "curves", "\n\n".join(curves_part(found))
    parts = []
    for benchmark in found:
        if not benchmark["measured"]:
            continue  # what it has is in the curves
        notes = [f"- {note}" for note in benchmark["notes"]]
        parts.append(
            "\n\n".join([f"### {benchmark['benchmark']}", all_table(benchmark), *(["\n".join(notes)] if notes else [])])
        )
    yield "everything", "\n\n".join(parts)


def placed(page: str, name: str, text: str) -> str:
    """The page with a text between the markers of this name."""
    begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
    head, found, rest = page.partition(begin)
    _, ended, tail = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the page lacks the markers {begin} ... {end}")
    return f"{head}{begin}\n\n{text}\n\n{end}{tail}"


def run(size: str) -> None:
    found = load(size)
    if not found:
        raise SystemExit(f"There are no results of the size {size!r} in {RESULTS}.")
    if size != "full":
        print(machine_line(found), targets_table(figures(found)), sep="\n\n")
        print("\nThe targets are meant for the full size; a small one only shows that all of it runs.")
        return
    page = PAGE.read_text()
    for name, text in generated(found):
        page = placed(page, name, text)
    PAGE.write_text(page)
    for curve in CURVES:
        if series := series_of(found, curve):
            draw(curve, series, PICTURES / file_of(curve))
    print(f"{PAGE} is written")


if __name__ == "__main__":
    command(__doc__, run)
