"""Speed and memory against the number of particles, or of jets in a batch."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from bench_measure import BACKENDS, KINDS, MODELS, PRECISIONS, Case, Result
from bench_tables import MIB, line_words, memory_lines, rates
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from lgae_pyg.evaluation.style import SETTINGS, STYLES, add_caption, save_figure

COLOURS = {backend: STYLES[place]["color"] for place, backend in enumerate(BACKENDS)}
LINES = {"float64": ("-", "o"), "mixed": ("-.", "s"), "float32": ("--", "^")}
TITLES = {"forward": "forward pass [jets / s]", "training": "training step [jets / s]"}
TITLES["memory"] = "peak memory of a step [MiB]"
#: Factors by which points of different precisions are moved aside, and mixed sizes stand behind the largest one.
DODGE = {"float64": 0.98, "mixed": 1.0, "float32": 1.02}
APART = 1.6


def save_benchmark_figure(
    speed: Sequence[Result], memory: Sequence[Result], caption: str, folder: Path, name: str
) -> None:
    """Writes the figure as PNG and PDF."""
    with plt.rc_context(SETTINGS):
        save_figure(benchmark_figure(speed, memory, caption), folder, name)


def benchmark_figure(speed: Sequence[Result], memory: Sequence[Result], caption: str) -> Figure:
    """Jets per second of each kind and peak memory, one row of panels per model; either list may be empty."""
    shown = {kind: [r for r in speed if r.durations[kind]] for kind in KINDS}
    shown["memory"] = [r for r in memory if r.memory is not None]
    shown = {kind: results for kind, results in shown.items() if results}
    cases = [r.case for results in shown.values() for r in results]
    models = list(dict.fromkeys(case.model for case in cases))
    size = max(7.4, 3.7 * len(shown)), 3.3 * len(models) + 1.9
    figure, grid = plt.subplots(len(models), len(shown), figsize=size, squeeze=False, sharex="col", sharey="col")
    for kind, column in zip(shown, grid.T):
        place = _axis(column, [r.case for r in shown[kind]], TITLES[kind])
        for model, axes in zip(models, column):
            results = [r for r in shown[kind] if r.case.model == model]
            axes.set_title(MODELS[model][0], loc="left")
            if kind == "memory":
                _draw_memory(axes, results)
            else:
                _draw_speed(axes, results, kind, place)
    handles = [Line2D([], [], color=COLOURS[b], linewidth=3, label=b) for b in BACKENDS]
    handles += [Line2D([], [], color="0.3", ls=LINES[p][0], marker=LINES[p][1], ms=4, label=p) for p in PRECISIONS]
    used = {name for case in cases for name in (case.backend, case.precision)}
    figure.legend(handles=[h for h in handles if h.get_label() in used], loc="outside upper center", ncols=6)
    add_caption(figure, caption)
    return figure


def _axis(column: Sequence[Axes], cases: Sequence[Case], title: str) -> Callable[[Case], float]:
    """Logarithmic axes with the measured sizes as ticks; returns where a case stands. Where sizes are all the same
    and batches are not, they are numbers of jets; batches of mixed sizes stand apart on the right."""
    sizes = {case.sizes: case.bounds for case in cases}
    jets = len(sizes) == 1 and len({case.jets for case in cases}) > 1
    mixed = [] if jets else [name for name in sizes if "-" in name]
    ticks = sorted({case.jets if jets else case.bounds[1] for case in cases if case.sizes not in mixed})
    labels, apart = list(map(str, ticks)), APART * (ticks[-1] if ticks else 1)
    for axes in column:
        if len(ticks) == 1 and not mixed:
            axes.set_xlim(ticks[0] / 2, ticks[0] * 2)
        axes.set(xscale="log", yscale="log", ylabel=title)
        if mixed and ticks:
            axes.axvline(apart / APART**0.5, color="0.6", linewidth=0.8)
        axes.xaxis.set_major_locator(FixedLocator([*ticks, *[apart] * bool(mixed)]))
        axes.xaxis.set_major_formatter(FixedFormatter([*labels, "\n".join(mixed)]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.tick_params(axis="x", labelsize=9)
        axes.grid(alpha=0.3)
    column[-1].set_xlabel(f"jets per batch, $n$ = {cases[0].sizes}" if jets else "particles per jet, $n$")
    return lambda case: apart if case.sizes in mixed else case.jets if jets else case.bounds[1]


def _draw_speed(axes: Axes, results: Sequence[Result], kind: str, place: Callable[[Case], float]) -> None:
    """Medians with their spreads, and a line of slope −2 above the two largest sizes."""
    top: dict[int, float] = {}
    for backend, precision, series in _series(results):
        for alike in (True, False):
            chosen = sorted((r for r in series if ("-" not in r.case.sizes) == alike), key=lambda r: place(r.case))
            if not chosen:
                continue
            low, median, high = np.array([rates(r, kind) for r in chosen]).T
            axes.errorbar(
                [DODGE[precision] * place(r.case) for r in chosen], median, yerr=[median - low, high - median],
                color=COLOURS[backend], linestyle=LINES[precision][0] if alike else "none",
                marker=LINES[precision][1], markersize=4, capsize=2, elinewidth=1,
            )  # fmt: skip
            for n, value in zip([r.case.bounds[1] for r in chosen if alike], median):
                top[n] = max(value, top.get(n, 0.0))
    if len(top) > 1:
        ends = np.array(sorted(top)[-2:])
        height, middle = 1.6 * max(top[n] * n**2 for n in ends.tolist()), float(np.prod(ends) ** 0.5)
        axes.plot(ends, height / ends**2, color="0.45", linestyle=":", linewidth=1)
        axes.annotate(r"$\propto n^{-2}$", (middle, height / middle**2), textcoords="offset points", xytext=(4, 3),
                      color="0.35", fontsize=8)  # fmt: skip


def _draw_memory(axes: Axes, results: Sequence[Result]) -> None:
    """Points, and the straight lines of the fused back-end with their parameters."""
    lines, notes = memory_lines(results), []
    for backend, precision, series in _series(results):
        points = np.array(sorted((r.case.bounds[1], r.memory / MIB) for r in series)).T
        line = lines.get((series[0].case.model, precision)) if backend == "fused" else None
        colour, (style, marker) = COLOURS[backend], LINES[precision]
        axes.plot(*points, color=colour, linestyle="none" if line else style, marker=marker, markersize=4)
        if line:
            dense = np.geomspace(points[0, 0], points[0, -1], 200)
            axes.plot(dense, line[0] * dense + line[1], color=colour, linestyle=style, linewidth=1)
            notes.append((f"{precision}: " if len(lines) > 1 else "") + line_words(line, "\n"))
    axes.text(0.97, 0.04, "\n".join(notes), transform=axes.transAxes, ha="right", va="bottom", fontsize=8,
              color=COLOURS["fused"])  # fmt: skip


def _series(results: Sequence[Result]) -> Iterator[tuple[str, str, list[Result]]]:
    """The results by back-end and precision, in the order of the lists of them."""
    for backend in BACKENDS:
        for precision in PRECISIONS:
            if series := [r for r in results if (r.case.backend, r.case.precision) == (backend, precision)]:
                yield backend, precision, series
