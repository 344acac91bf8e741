"""Speed and memory against the number of particles."""

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from lgae_pyg.benchmark.cases import BACKENDS, PRECISIONS, SUBJECTS, Sizes
from lgae_pyg.benchmark.schedule import KINDS, Result
from lgae_pyg.benchmark.statistics import rate
from lgae_pyg.benchmark.tables import MIB, memory_fits
from lgae_pyg.evaluation.style import STYLES, add_caption

COLOURS = {backend: STYLES[place]["color"] for place, backend in enumerate(BACKENDS)}
LINES = {"float64": ("-", "o"), "mixed": ("-.", "s"), "float32": ("--", "^")}
TITLES = {"forward": "forward pass", "training": "training step"}
PANEL = 3.7  # inches
#: Factors by which points of different precisions are moved aside, and mixed sizes stand behind the largest one.
DODGE = {"float64": 0.98, "mixed": 1.0, "float32": 1.02}
APART = 1.6


def benchmark_figure(speed: Sequence[Result], memory: Sequence[Result], caption: str) -> Figure:
    """Jets per second of each kind against n, and peak memory against n, one row of panels per model.

    Args:
        speed: see :func:`lgae_pyg.benchmark.schedule.measure`; may be empty.
        memory: see :func:`lgae_pyg.benchmark.schedule.measure_memory`; may be empty.
        caption: written below.

    Raises:
        ValueError: if no case has run.
    """
    speed, memory = [r for r in speed if r.complete], [r for r in memory if r.memory is not None]
    if not speed and not memory:
        raise ValueError("there is nothing to draw: no case has run")
    models = list(dict.fromkeys(r.case.model for r in [*speed, *memory]))
    kinds = [*(KINDS if speed else ()), *(["memory"] if memory else [])]
    rows, columns = (len(models), len(kinds)) if speed else (1, len(models))
    size = (max(7.4, PANEL * columns), (PANEL - 0.4) * rows + 1.9)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, sharex="col", sharey="col")
    grid = grid if speed else grid.T
    for row, model in zip(grid, models):
        for axes, kind in zip(row, kinds):
            if kind == "memory":
                _draw_memory(axes, [r for r in memory if r.case.model == model])
            else:
                _draw_speed(axes, [r for r in speed if r.case.model == model], kind)
            axes.set_title(SUBJECTS[model].label, loc="left")
    for place, kind in enumerate(kinds):
        shown = memory if kind == "memory" else speed
        _label(grid[:, place], kind, list({r.case.sizes: None for r in shown}))
    figure.legend(handles=_legend([*speed, *memory]), loc="outside upper center", ncols=6)
    add_caption(figure, caption)
    return figure


def _draw_speed(axes: Axes, results: Sequence[Result], kind: str) -> None:
    """Medians with their spreads, and a line of slope −2; batches of mixed sizes stand apart on the right."""
    alike = sorted({r.case.sizes.largest for r in results if r.case.sizes.alike})
    top: dict[int, float] = {}
    for backend, precision, series in _series(results):
        line, marker = LINES[precision]
        for together in (True, False):
            chosen = sorted(
                (r for r in series if r.case.sizes.alike == together), key=lambda r: r.case.sizes.largest
            )
            if not chosen:
                continue
            rates = [rate(r.case.jets, r.durations[kind]) for r in chosen]
            median = np.array([one.median for one in rates])
            spread = [median - [one.low for one in rates], [one.high for one in rates] - median]
            axes.errorbar(
                [DODGE[precision] * _place(r, alike) for r in chosen], median, yerr=spread, color=COLOURS[backend],
                marker=marker, linestyle=line if together else "none", markersize=4, capsize=2, elinewidth=1,
            )  # fmt: skip
            for result, value in zip(chosen, median):
                if together:
                    top[result.case.sizes.largest] = max(value, top.get(result.case.sizes.largest, 0.0))
    if len(alike) > 1:
        _draw_slope(axes, alike[-2:], top)


def _draw_slope(axes: Axes, sizes: Sequence[int], top: dict[int, float]) -> None:
    """How the number of pairs would have it: a line above the fastest case of the two largest sizes."""
    first, last = sizes
    height = 1.6 * max(top[last], top[first] * (first / last) ** 2)
    ends = np.array([first, last])
    axes.plot(ends, height * (last / ends) ** 2, color="0.45", linestyle=":", linewidth=1)
    middle = (first * last) ** 0.5
    axes.annotate(r"$\propto n^{-2}$", (middle, height * (last / middle) ** 2), textcoords="offset points",
                  xytext=(4, 3), color="0.35", fontsize=8)  # fmt: skip


def _place(result: Result, alike: Sequence[int]) -> float:
    """The position of a batch: its size, or a place of its own if it has many."""
    sizes = result.case.sizes
    return sizes.largest if sizes.alike or not alike else APART * alike[-1]


def _draw_memory(axes: Axes, results: Sequence[Result]) -> None:
    """Points, and the straight line of the fused back-end with its parameters."""
    fits, notes = memory_fits(results), []
    for backend, precision, series in _series(results):
        line, marker = LINES[precision]
        series = sorted(series, key=lambda r: r.case.sizes.largest)
        sizes, values = [r.case.sizes.largest for r in series], [r.memory / MIB for r in series]
        fit = fits.get((series[0].case.model, precision)) if backend == "fused" else None
        joined = line if fit is None else "none"
        axes.plot(sizes, values, color=COLOURS[backend], linestyle=joined, marker=marker, markersize=4)
        if fit is not None:
            dense = np.geomspace(min(sizes), max(sizes), 200)
            axes.plot(dense, fit(dense), color=COLOURS[backend], linestyle=line, linewidth=1)
            sign = "+" if fit.intercept >= 0 else "−"
            label = f"{precision}: " if len(fits) > 1 else ""
            notes.append(f"{label}({fit.slope:.3g} n {sign} {abs(fit.intercept):.3g}) MiB")
            notes.append(f"largest deviation {100 * fit.deviation:.1f} %")
    if notes:
        axes.text(0.97, 0.04, "\n".join(notes), transform=axes.transAxes, ha="right", va="bottom", fontsize=8,
                  color=COLOURS["fused"])  # fmt: skip


def _series(results: Sequence[Result]) -> list[tuple[str, str, list[Result]]]:
    """The results by back-end and precision, in the order of the lists of them."""
    found = []
    for backend in BACKENDS:
        for precision in PRECISIONS:
            series = [r for r in results if (r.case.backend, r.case.precision) == (backend, precision)]
            found += [(backend, precision, series)] if series else []
    return found


def _label(column: Sequence[Axes], kind: str, sizes: Sequence[Sizes]) -> None:
    """Logarithmic axes with the measured sizes as ticks."""
    alike = sorted(size.largest for size in sizes if size.alike)
    ticks = {float(n): str(n) for n in alike}
    mixed = [size for size in sizes if not size.alike]
    if mixed and alike:
        ticks[APART * alike[-1]] = "\n".join(f"{size.smallest}–{size.largest}" for size in mixed)
    for axes in column:
        axes.set_xscale("log")
        axes.set_yscale("log")
        if mixed and alike:
            axes.axvline(APART**0.5 * alike[-1], color="0.6", linewidth=0.8)
        if ticks:
            axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
            axes.xaxis.set_major_formatter(FixedFormatter(list(ticks.values())))
            axes.xaxis.set_minor_locator(NullLocator())
        axes.tick_params(axis="x", labelsize=9)
        axes.grid(alpha=0.3)
        axes.set_ylabel("peak memory of a step [MiB]" if kind == "memory" else f"{TITLES[kind]} [jets / s]")
        if axes.get_subplotspec().is_last_row():
            axes.set_xlabel("particles per jet, $n$")


def _legend(results: Sequence[Result]) -> list[Line2D]:
    """Colours are back-ends, line styles and markers precisions."""
    cases = [r.case for r in results]
    handles = [
        Line2D([], [], color=COLOURS[name], linewidth=3, label=name)
        for name in BACKENDS
        if any(case.backend == name for case in cases)
    ]
    handles += [
        Line2D([], [], color="0.3", linestyle=LINES[name][0], marker=LINES[name][1], markersize=4, label=name)
        for name in PRECISIONS
        if any(case.precision == name for case in cases)
    ]
    return handles
