"""Results as tables."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from bench_measure import KINDS, MODELS, Case, Result

from lgae_pyg.tables import Table

MISSING = "–"
MIB, GIGA = 2**20, 1e9
#: Particles for which ratios of speeds are printed (the smallest if they were not measured), and which: name,
#: back-end and precision of the faster and of the slower case.
REFERENCE = "30"
RATIOS = (
    ("fused / dense, float64", ("fused", "float64"), ("dense", "float64")),
    ("fused / edge_list, float64", ("fused", "float64"), ("edge_list", "float64")),
    ("float32 / float64, fused", ("fused", "float32"), ("fused", "float64")),
    ("mixed / float64, fused", ("fused", "mixed"), ("fused", "float64")),
)
CASE_COLUMNS = {"model": "model", "particles": "particles n", "jets": "jets", "precision": "precision"}
CASE_COLUMNS |= {"backend": "back-end"}
SPEED_COLUMNS = {
    "forward": "forward [jets/s]", "forward_spread": "± [%]", "training": "training [jets/s]",
    "training_spread": "± [%]", "memory_mib": "memory [MiB]", "gflop": "step [GFLOP]",
    "peak_percent": "of peak [%]", "note": "remark",
}  # fmt: skip
FULL_COLUMNS = (
    *(f"{kind}{part}" for kind in KINDS for part in ("", "_low", "_high", "_repeats")),
    *("memory_mib", "gflop", "gflop_per_second", "peak_percent", "parameters", "note"),
)
SPEED_CAPTION = (
    "Medians; ±: half the distance of the 16th and the 84th percentile. Training: zeroing gradients, forward, "
    "mean squared error, backward, Adam. Memory: peak of a training step beyond model, optimiser and batch. "
    "Step: operations in the matrix products of a training step as dense does it, each pair twice, without "
    "padding (PyTorch's counter does not see into fused, which does each pair once, 17 to 30 % less); "
    "of peak: these per second, against a large matrix product in the same precision (mixed: float64)."
)


def rates(result: Result, kind: str) -> tuple[float, float, float]:
    """Jets per second: the 16th, the 50th and the 84th percentile."""
    return tuple(np.percentile(result.case.jets / np.array(result.durations[kind]), [16, 50, 84]).tolist())


def numbers(result: Result, peaks: dict[str, float]) -> dict[str, Any]:
    """What is known of a case, by the names of the columns."""
    case, found = result.case, {"note": result.note, "parameters": result.parameters}
    for kind in KINDS:
        if result.durations[kind]:
            low, median, high = rates(result, kind)
            found |= {kind: median, f"{kind}_low": low, f"{kind}_high": high}
            found |= {f"{kind}_repeats": len(result.durations[kind]), f"{kind}_spread": 50 * (high - low) / median}
    if result.memory is not None:
        found["memory_mib"] = result.memory / MIB
    if result.flops is not None:
        found["gflop"] = result.flops / GIGA
        if "training" in found:
            found["gflop_per_second"] = speed = found["gflop"] * found["training"] / case.jets
            peak = peaks.get("float64" if case.precision == "mixed" else case.precision)
            found |= {"peak_percent": 100 * speed * GIGA / peak} if peak else {}
    return {name: value for name, value in found.items() if value is not None}


def full_table(results: Sequence[Result], peaks: dict[str, float]) -> Table:
    """All numbers, for a CSV file; empty where there is none."""
    columns, known = CASE_COLUMNS | {name: name for name in FULL_COLUMNS}, [numbers(r, peaks) for r in results]
    return _table("benchmark", "Percentiles 16 and 84.", columns, results, known, "")


def speed_table(results: Sequence[Result], peaks: dict[str, float]) -> Table:
    """The numbers that one reads; cases that could not run say why."""
    columns = CASE_COLUMNS | SPEED_COLUMNS
    return _table("benchmark", SPEED_CAPTION, columns, results, [numbers(r, peaks) for r in results])


def ratio_table(results: Sequence[Result]) -> Table | None:
    """Ratios of median speeds of the same jets; ``None`` if there are none."""
    done = [r for r in results if all(r.durations.values()) and "-" not in r.case.sizes]
    sizes = sorted({r.case.sizes for r in done}, key=int)
    size, rows = REFERENCE if REFERENCE in sizes else "".join(sizes[:1]), []
    for model, jets in dict.fromkeys((r.case.model, r.case.jets) for r in done if r.case.sizes == size):
        same = [r for r in done if (r.case.model, r.case.jets, r.case.sizes) == (model, jets, size)]
        found = {(r.case.backend, r.case.precision): r for r in same}
        for name, fast, slow in RATIOS:
            if fast in found and slow in found:
                speeds = [rates(found[fast], kind)[1] / rates(found[slow], kind)[1] for kind in KINDS]
                rows.append((MODELS[model][0], jets, name, *speeds))
    columns = {"model": "model", "jets": "jets", "ratio": "ratio of speeds", "forward": "forward"}
    caption = f"Ratios of median jets per second, n = {size}."
    return Table("ratios", caption, columns | {"training": "training"}, tuple(rows)) if rows else None


def memory_lines(results: Sequence[Result]) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Straight lines a n + b through the peak memory in MiB of the fused back-end, by model and precision: a, b,
    and the largest relative deviation from the line."""
    points: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for result in results:
        if result.memory is not None and result.case.backend == "fused":
            points.setdefault((result.case.model, result.case.precision), []).append(
                (result.case.bounds[1], result.memory / MIB)
            )
    lines = {}
    for key, found in points.items():
        n, memory = np.array(found, dtype=float).T
        if len(set(n)) > 1:
            line = np.polyfit(n, memory, 1)
            lines[key] = (*line.tolist(), float(np.max(np.abs(memory / np.polyval(line, n) - 1))))
    return lines


def memory_table(results: Sequence[Result]) -> Table:
    """Peak memory of a training step, with the straight lines of the fused back-end."""
    lines, known = memory_lines(results), [numbers(result, {}) for result in results]
    for result, row in zip(results, known):
        if result.case.backend == "fused" and (line := lines.get((result.case.model, result.case.precision))):
            row["line_mib"] = line[0] * result.case.bounds[1] + line[1]
    text = "Peak memory of a training step beyond model, optimiser and batch."
    text += "".join(f" {MODELS[m][0]}, fused, {p}: {line_words(line)}." for (m, p), line in lines.items())
    columns = CASE_COLUMNS | {"memory_mib": "memory [MiB]", "line_mib": "line [MiB]", "note": "remark"}
    return _table("memory", text, columns, results, known)


def line_words(line: tuple[float, float, float], separator: str = ", ") -> str:
    """A straight line in words."""
    slope, intercept, deviation = line
    sign = "+" if intercept >= 0 else "−"
    return f"({slope:.3g} n {sign} {abs(intercept):.3g}) MiB{separator}largest deviation {100 * deviation:.1f} %"


def _table(
    name: str, caption: str, columns: dict[str, str], results: Sequence[Result], known: Sequence[dict[str, Any]],
    missing: str = MISSING,
) -> Table:  # fmt: skip
    """A row for each result: its case, then what is known of it; remarks are left out where a reader sees none."""
    if missing and not any(result.note for result in results):
        columns = {key: heading for key, heading in columns.items() if key != "note"}
    names = list(columns)[len(CASE_COLUMNS) :]
    rows = tuple((*_case(r.case), *(row.get(key, missing) for key in names)) for r, row in zip(results, known))
    return Table(name, caption, columns, rows)


def _case(case: Case) -> tuple[Any, ...]:
    return MODELS[case.model][0], case.sizes, case.jets, case.precision, case.backend
