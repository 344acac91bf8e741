"""Robustness: what boosts and rotations do to the logits of a tagger, and to its performance."""

import copy
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lgae_pyg.data import JetLoader, transform_jets
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.robustness.transformations import ON_AXIS, STRENGTHS, TURNS, frames, on_axis, to_x_axis
from lgae_pyg.evaluation.study import Study, StudyOptions, of_taggers
from lgae_pyg.evaluation.subject import Subject
from lgae_pyg.evaluation.symmetry.equivariance import run_on
from lgae_pyg.evaluation.tagging.study import check_classes, true_classes
from lgae_pyg.metrics import bootstrap
from lgae_pyg.metrics.classification import mean_area
from lgae_pyg.ops.jets import jet_sum
from lgae_pyg.progress import steps
from lgae_pyg.tables import Table, with_errors

#: Jets of the invariance test, and jets of the curves unless another number is asked for.
INVARIANCE_JETS, CURVE_JETS = 50, 500
PRECISIONS = ("float64", "float32")
#: Largest Lorentz factor of the boosts in the summary.
MODERATE = 10.0
DEVIATIONS = {
    "max_logit": "max |Δlogit|", "mean_logit": "mean |Δlogit|",
    "mean_score": "mean |Δp|", "flipped": "decisions flipped",
}  # fmt: skip


def run(subject: Subject, options: StudyOptions) -> Results:
    """Transforms jets of the split, and measures what becomes of logits, accuracy and AUC.

    Args:
        subject: a tagger.
        options: see :class:`~lgae_pyg.evaluation.study.StudyOptions`; :data:`CURVE_JETS` jets unless told
            otherwise.

    Raises:
        LeftOut: if the jets have no classes, only one, or one that the model has no logit for.
        ValueError: if a score is NaN.
        OSError: if jets are missing.
    """
    sample = subject.background(options.jets or CURVE_JETS, options.split, options.root)
    y, few = true_classes(sample), sample.choose(INVARIANCE_JETS)
    changes, ways = list(frames()), ("moved", "fixed") if reference_holders(subject.model) else ("none",)
    few_batches, batches = (list(JetLoader(one.store, options.batch_size)) for one in (few, sample))
    times = len(ways) * len(PRECISIONS) * (1 + sum(len(change.matrices) for change in changes))
    curves_times = 2 + len(ON_AXIS) * (len(TURNS) - 1)
    if options.progress:
        tell_time(subject.model, batches, times * len(few) + curves_times * len(sample), len(sample))
    total = times * len(few_batches) + curves_times * len(batches)
    with steps(total, options.progress, "robustness") as tick:
        deviations = [
            (subject.label, precision, way, change.kind, change.axis, change.parameter, *found)
            for precision in PRECISIONS
            for way in ways
            for change, found in zip(
                changes, deviations_of(subject.model, few_batches, changes, precision, way, tick)
            )
        ]
        curves = curve_rows(subject, batches, y, options.resamples, tick)
    about = subject.description([sample])
    tables = [
        summary_table(subject.label, deviations, curves, about["caption"]),
        curve_table(curves, about["caption"]),
        deviation_table(deviations, subject.caption([few])),
    ]
    return Results("robustness", {table.name: table for table in tables}, {}, about)


def tell_time(model: torch.nn.Module, batches: Sequence[Any], evaluations: int, jets: int) -> None:
    """Says on standard error, where it is more than a minute, about how long so many evaluations of a jet take: as
    the first batch does."""
    begin = time.monotonic()
    logits_of(model, batches[:1], torch.float64)
    minutes = (time.monotonic() - begin) / (len(batches[0].ptr) - 1) * evaluations / 60
    if minutes > 1:
        text = f"robustness: {evaluations} evaluations of a jet, about {minutes:.0f} min for {jets} jets"
        print(f"{text}; fewer: --jets N, in proportion", file=sys.stderr, flush=True)


def reference_holders(model: torch.nn.Module) -> list[Any]:
    """The modules of a model with reference vectors (beams, the direction of time), rows of ``references``."""
    held = ((module, getattr(module, "references", None)) for module in model.modules())
    return [module for module, vectors in held if isinstance(vectors, Tensor) and len(vectors)]


def deviations_of(
    model: torch.nn.Module,
    batches: Sequence[Any],
    changes: Sequence[Any],
    precision: str,
    references: str = "none",
    tick: Callable[[], object] = lambda: None,
) -> list[tuple[float, ...]]:
    """How far the logits of jets move under each change of the frame; the values of :data:`DEVIATIONS`.

    Momenta are transformed in float64, and then rounded to the precision of the network.

    Args:
        model: a tagger.
        batches: jets, float64.
        changes: see :func:`~lgae_pyg.evaluation.robustness.transformations.frames`.
        precision: ``float64`` or ``float32``, of weights and momenta.
        references: ``moved`` if reference vectors are transformed together with the jets.
        tick: called after each batch.
    """
    dtype = getattr(torch, precision)
    model = copy.deepcopy(model).to(dtype)
    holders = reference_holders(model) if references == "moved" else []
    at_rest = [one.references.clone() for one in holders]
    plain, found = logits_of(model, batches, dtype, tick=tick), []
    for change in changes:
        moved = []
        for matrix in change.matrices:
            for one, vectors in zip(holders, at_rest):
                one.references = vectors @ matrix.T.to(vectors)
            moved.append(logits_of(model, batches, dtype, matrix, tick))
        found.append(deviation(plain, torch.stack(moved)))
    return found


def deviation(plain: Tensor, moved: Tensor) -> tuple[float, ...]:
    r"""The values of :data:`DEVIATIONS`; of a jet the largest change among its logits, or scores, counts.

    Shapes:
        - **plain**: :math:`(B, C)`, **moved**: :math:`(m, B, C)`
    """
    logits = (moved - plain).abs().amax(-1)
    scores = (moved.softmax(-1) - plain.softmax(-1)).abs().amax(-1)
    flipped = (moved.argmax(-1) != plain.argmax(-1)).double()
    return tuple(float(value) for value in (logits.max(), logits.mean(), scores.mean(), flipped.mean()))


def logits_of(
    model: torch.nn.Module,
    batches: Sequence[Any],
    dtype: torch.dtype,
    matrix: Tensor | None = None,
    tick: Callable[[], object] = lambda: None,
) -> Tensor:
    """Logits of jets after a transformation, float64; one matrix for all, or one for each jet in their order.

    Shapes:
        - **matrix**: :math:`(4, 4)` or :math:`(B, 4, 4)`
        - **output**: :math:`(B, C)`
    """
    parts, first = [], 0
    for batch in batches:
        jets = len(batch.ptr) - 1
        own = matrix[first : first + jets] if matrix is not None and matrix.dim() == 3 else matrix
        moved = batch if own is None else transform_jets(batch, own)
        parts.append(run_on(model, moved, moved.pos.to(dtype)).double())
        first += jets
        tick()
    return torch.cat(parts)


def curve_rows(
    subject: Subject,
    batches: Sequence[Any],
    y: NDArray,
    resamples: int,
    tick: Callable[[], object] = lambda: None,
) -> list[tuple]:
    """Accuracy and AUC, with errors, of jets as they are, on the x axis, and transformed there."""
    model, dtype = subject.model, torch.float64

    def measured(matrix: Tensor | None) -> tuple[float, ...]:
        scores = logits_of(model, batches, dtype, matrix, tick).softmax(-1).numpy()
        check_classes(subject, scores, y)
        return performance(scores, y, resamples)

    place = to_x_axis(torch.cat([jet_sum(batch.pos, batch.ptr) for batch in batches]))
    totals = torch.cat([jet_sum(batch.pos, batch.ptr) for batch in batches])
    placed = torch.einsum("bij,bj->bi", place, totals)
    rows = [(subject.label, "none", 0.0, *measured(None))]
    on_x = measured(place)
    for name in ON_AXIS:
        strengths = TURNS if name == "y-z rotation" else STRENGTHS
        rows.append((subject.label, name, strengths[0], *on_x))
        for strength in strengths[1:]:
            rows.append((subject.label, name, strength, *measured(on_axis(name, strength, placed) @ place)))
    return rows


def performance(scores: NDArray, y: NDArray, resamples: int) -> tuple[float, ...]:
    """Accuracy, its bootstrap error, AUC (:func:`~lgae_pyg.metrics.classification.mean_area`), its error."""

    def both(scores: NDArray, y: NDArray) -> list[float]:
        return [float((scores.argmax(1) == y).mean()), mean_area(scores, y)]

    rows = np.concatenate([scores, y[:, None]], 1)
    errors = bootstrap([rows], lambda drawn: both(drawn[:, :-1], drawn[:, -1].astype(int)), resamples)
    return tuple(value for pair in zip(both(scores, y), errors.tolist()) for value in pair)


def summary_table(label: str, deviations: Sequence[tuple], curves: Sequence[tuple], caption: str) -> Table:
    """One row for a model: accuracy on the x axis, the lowest under each transformation, the largest deviation."""
    start = next(row for row in curves if row[1] in ON_AXIS)
    lowest = [min((row for row in curves if row[1] == name), key=lambda row: row[3]) for name in ON_AXIS]
    values = [number for row in (start, *lowest) for number in row[3:5]]
    moderate = [row for row in deviations if row[1] == "float64" and (row[3] == "rotation" or row[5] <= MODERATE)]
    largest = [
        max((row[6] for row in moderate if row[2] in ways), default=float("nan"))
        for ways in (("moved", "none"), ("fixed",))
    ]
    columns = {"model": "model", **with_errors({"accuracy": "accuracy on x axis"})}
    columns |= with_errors({f"lowest_{number}": f"lowest, {name}" for number, name in enumerate(ON_AXIS)})
    columns |= {"max_logit": "max |Δlogit|", "max_logit_fixed": "max |Δlogit|, references fixed"}
    text = (
        "Accuracy of jets brought to (η, φ) = (0, 0), and the lowest one when they are turned there about their "
        "axis, boosted along it, or tilted, up to half a turn and γ = 3; ±: bootstrap errors. max |Δlogit|: "
        f"largest change of a logit under rotations, and boosts up to γ = {MODERATE:g}, in float64, reference "
        "vectors (if any) transformed together with the jets, or not (nan: there are none)"
    )
    return Table("robustness", f"{text}. {caption}", columns, ((label, *values, *largest),))


def curve_table(rows: Sequence[tuple], caption: str) -> Table:
    """Accuracy and AUC against the strength of each transformation."""
    columns = {"model": "model", "transformation": "transformation", "strength": "θ [π] or γ"}
    columns |= with_errors({"accuracy": "accuracy", "auc": "AUC"})
    text = (
        "Accuracy and AUC of the network, unchanged, on transformed jets: as they are (none), then boosted along "
        "z and rotated about z to (η, φ) = (0, 0), and there rotated by θ about the jet (y-z rotation), boosted "
        "along it (x boost), or boosted along z or y and rotated back onto the x axis (tilts). Reference vectors "
        "stay where they are. ±: bootstrap errors over jets, the same jets in every row; of many classes the "
        "mean AUC of each against all others"
    )
    return Table("robustness_curves", f"{text}. {caption}", columns, tuple(rows))


def deviation_table(rows: Sequence[tuple], caption: str) -> Table:
    """Deviations of the logits under boosts along three axes, and rotations about random ones."""
    columns = {"model": "model", "precision": "precision", "references": "references", "kind": "transformation"}
    columns |= {"axis": "axis", "parameter": "γ or θ [π]", **DEVIATIONS}
    text = (
        "What boosts by γ and rotations by θ of the jets do to the output, momenta transformed in float64 and "
        "then given to the network in the precision named. Of a jet, the largest change among its logits (scores "
        "p) counts; max and mean over jets, of rotations over some random axes, too. References: whether "
        "reference vectors are transformed together with the jets"
    )
    return Table("robustness_invariance", f"{text}. {caption}", columns, tuple(rows))


STUDY = Study(
    "robustness",
    run,
    compared={"robustness": "Robustness against Lorentz transformations"},
    figures="lgae_pyg.evaluation.robustness.figures",
    fits=of_taggers,
)
