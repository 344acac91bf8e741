"""Results as tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lgae_pyg.benchmark.cases import SUBJECTS, Case
from lgae_pyg.benchmark.epoch import EpochResult
from lgae_pyg.benchmark.schedule import KINDS, Result
from lgae_pyg.benchmark.statistics import SPREAD, LinearFit, fit_line, rate
from lgae_pyg.tables import Table

MISSING = "–"
MIB, GIGA = 2**20, 1e9
#: Number of particles for which ratios are printed, if it was measured.
REFERENCE = 30
#: Ratios of speeds: name, back-end and precision of the faster and of the slower case.
RATIOS = (
    ("fused / dense, float64", ("fused", "float64"), ("dense", "float64")),
    ("fused / edge_list, float64", ("fused", "float64"), ("edge_list", "float64")),
    ("float32 / float64, fused", ("fused", "float32"), ("fused", "float64")),
    ("mixed / float64, fused", ("fused", "mixed"), ("fused", "float64")),
)
CASE_COLUMNS = {"model": "model", "particles": "particles n", "jets": "jets"}
CASE_COLUMNS |= {"precision": "precision", "backend": "back-end"}
FULL_COLUMNS = (
    *(f"{kind}{part}" for kind in KINDS for part in ("", "_low", "_high", "_repeats")),
    *("memory_mib", "gflop", "gflop_per_second", "peak_percent", "parameters", "note"),
)


class MeasuredTable(Table):
    """A table in which a dash stands for a number that is missing."""

    def _numeric(self) -> list[bool]:
        return [
            all(value == MISSING or not isinstance(value, str) for value in column) and set(column) != {MISSING}
            for column in (self.column(name) for name in self.columns)
        ]


def peak_of(precision: str, peaks: Mapping[str, float]) -> float | None:
    """The peak that a precision is held against; mixed precision is held against that of float64."""
    return peaks.get("float64" if precision == "mixed" else precision)


def full_table(results: Iterable[Result], peaks: Mapping[str, float]) -> Table:
    """All numbers, for a CSV file; empty where there is none.

    Args:
        results: see :func:`lgae_pyg.benchmark.schedule.measure`.
        peaks: see :func:`lgae_pyg.benchmark.machine.measure_peaks`.
    """
    rows = []
    for result in results:
        numbers = _numbers(result, peaks)
        rows.append((*_case_values(result.case), *(numbers.get(name, "") for name in FULL_COLUMNS)))
    columns = {**CASE_COLUMNS, **{name: name for name in FULL_COLUMNS}}
    return Table("benchmark", f"Rates in jets per second with percentiles {SPREAD}.", columns, tuple(rows))


def speed_table(results: Sequence[Result], peaks: Mapping[str, float]) -> Table:
    """The numbers that one reads; cases that could not run say why.

    Args:
        results: see :func:`lgae_pyg.benchmark.schedule.measure`.
        peaks: see :func:`lgae_pyg.benchmark.machine.measure_peaks`.
    """
    columns = {
        **CASE_COLUMNS,
        "forward": "forward [jets/s]",
        "forward_spread": "± [%]",
        "training": "training [jets/s]",
        "training_spread": "± [%]",
        "memory_mib": "memory [MiB]",
        "gflop": "step [GFLOP]",
        "peak_percent": "of peak [%]",
        "note": "remark",
    }
    rows = []
    for result in results:
        numbers = _numbers(result, peaks)
        for kind in KINDS:
            if kind in numbers:
                spread = numbers[f"{kind}_high"] - numbers[f"{kind}_low"]
                numbers[f"{kind}_spread"] = 50 * spread / numbers[kind]
        values = [numbers.get(name, MISSING) for name in list(columns)[len(CASE_COLUMNS) : -1]]
        rows.append((*_case_values(result.case), *values, result.note))
    if not any(result.note for result in results):
        columns.pop("note")
        rows = [row[:-1] for row in rows]
    text = (
        "Medians; ±: half the distance of the 16th and the 84th percentile. Training: zeroing gradients, forward, "
        "mean squared error, backward, Adam. Memory: peak of a training step beyond model, optimiser and batch. "
        "Step: counted operations of a training step, without those that a back-end repeats in its backward pass; "
        "of peak: these per second, against a large matrix product in the same precision (mixed: float64)."
    )
    return MeasuredTable("benchmark", text, columns, tuple(rows))


def ratio_table(results: Sequence[Result]) -> Table | None:
    """Ratios of median speeds of the same jets; ``None`` if there are none.

    They are taken at :data:`REFERENCE` particles, or at the smallest measured size if that is missing.
    """
    done = [result for result in results if result.complete]
    alike = sorted({result.case.sizes.largest for result in done if result.case.sizes.alike})
    if not alike:
        return None
    size = REFERENCE if REFERENCE in alike else alike[0]
    chosen = [result for result in done if result.case.sizes.alike and result.case.sizes.largest == size]
    rows = []
    for model in dict.fromkeys(result.case.model for result in chosen):
        found = {(r.case.backend, r.case.precision): r for r in chosen if r.case.model == model}
        for name, faster, slower in RATIOS:
            if faster in found and slower in found:
                pair = found[faster], found[slower]
                rows.append((SUBJECTS[model].label, name, *(_speed_ratio(*pair, kind) for kind in KINDS)))
    columns = {"model": "model", "ratio": "ratio of speeds", "forward": "forward", "training": "training"}
    caption = f"Ratios of median jets per second, n = {size}."
    return Table("ratios", caption, columns, tuple(rows)) if rows else None


def memory_fits(results: Sequence[Result]) -> dict[tuple[str, str], LinearFit]:
    """Straight lines through the peak memory in MiB of the fused back-end against n, by model and precision."""
    series: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        if result.memory is not None and result.case.backend == "fused":
            series.setdefault((result.case.model, result.case.precision), []).append(result)
    return {
        key: fit_line([r.case.sizes.largest for r in rows], [r.memory / MIB for r in rows])
        for key, rows in series.items()
        if len({r.case.sizes.largest for r in rows}) > 1
    }


def memory_table(results: Sequence[Result]) -> Table:
    """Peak memory of a training step against the number of particles, with the straight line of the fused
    back-end.

    Args:
        results: see :func:`lgae_pyg.benchmark.schedule.measure_memory`.
    """
    fits = memory_fits(results)
    rows = []
    for result in results:
        case, memory = result.case, result.memory
        fit = fits.get((case.model, case.precision)) if case.backend == "fused" else None
        line = MISSING if fit is None else float(fit(case.sizes.largest))
        rows.append((*_case_values(case), MISSING if memory is None else memory / MIB, line, result.note))
    columns = {**CASE_COLUMNS, "memory_mib": "memory [MiB]", "line_mib": "line [MiB]", "note": "remark"}
    if not any(result.note for result in results):
        columns.pop("note")
        rows = [row[:-1] for row in rows]
    lines = " ".join(describe_fit(*key, fit) for key, fit in fits.items())
    text = f"Peak memory of a training step beyond model, optimiser and batch. {lines}".strip()
    return MeasuredTable("memory", text, columns, tuple(rows))


def describe_fit(model: str, precision: str, fit: LinearFit) -> str:
    """A sentence about a straight line."""
    sign = "+" if fit.intercept >= 0 else "−"
    return (
        f"{SUBJECTS[model].label}, fused, {precision}: ({fit.slope:.3g} n {sign} {abs(fit.intercept):.3g}) MiB, "
        f"largest deviation {100 * fit.deviation:.1f} %."
    )


def epoch_table(results: Sequence[EpochResult]) -> Table:
    """Times of an epoch.

    Args:
        results: see :func:`lgae_pyg.benchmark.epoch.measure_epochs`.
    """
    columns = {"model": "model", "precision": "precision", "backend": "back-end", "batch": "jets per batch"}
    columns |= {"jets": "jets", "seconds": "epoch [s]", "rate": "speed [jets/s]", "remark": "remark"}
    rows = []
    for result in results:
        case, seconds, remark = result.case, result.seconds, result.note
        if seconds is not None and result.measured < result.jets:
            remark = f"measured on {result.measured} jets, scaled"
        speed = MISSING if seconds is None else result.jets / seconds
        values = (case.jets, result.jets, MISSING if seconds is None else seconds, speed, remark)
        rows.append((SUBJECTS[case.model].label, case.precision, case.backend, *values))
    sizes = results[0].case.sizes if results else ""
    text = (
        f"One epoch of a training, validation not included: random massless jets of {sizes} particles (uniform) "
        "through the loader, model, Adam and the bookkeeping of lgae train."
    )
    return MeasuredTable("epoch", text, columns, tuple(rows))


def _case_values(case: Case) -> tuple[Any, ...]:
    return SUBJECTS[case.model].label, str(case.sizes), case.jets, case.precision, case.backend


def _numbers(result: Result, peaks: Mapping[str, float]) -> dict[str, Any]:
    """What is known of a case, by the names of :data:`FULL_COLUMNS`."""
    numbers: dict[str, Any] = {"note": result.note}
    for kind in KINDS:
        durations = result.durations[kind]
        if durations:
            found = rate(result.case.jets, durations)
            numbers |= {kind: found.median, f"{kind}_low": found.low, f"{kind}_high": found.high}
            numbers[f"{kind}_repeats"] = len(durations)
    if result.memory is not None:
        numbers["memory_mib"] = result.memory / MIB
    if result.parameters is not None:
        numbers["parameters"] = result.parameters
    if result.flops is not None:
        numbers["gflop"] = result.flops / GIGA
        if "training" in numbers:
            numbers["gflop_per_second"] = numbers["gflop"] * numbers["training"] / result.case.jets
            peak = peak_of(result.case.precision, peaks)
            if peak:
                numbers["peak_percent"] = 100 * numbers["gflop_per_second"] * GIGA / peak
    return numbers


def _speed_ratio(faster: Result, slower: Result, kind: str) -> float:
    one, other = (rate(r.case.jets, r.durations[kind]).median for r in (faster, slower))
    return one / other
