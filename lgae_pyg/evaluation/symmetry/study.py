"""Which symmetries a model has, measured (arXiv:2212.07347, Table 1 and Appendix C)."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from lgae_pyg.data import JetLoader
from lgae_pyg.data.jet import set_mark
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.study import Study, StudyOptions
from lgae_pyg.evaluation.subject import Subject
from lgae_pyg.evaluation.symmetry.equivariance import MEASURES, Scan, network_function
from lgae_pyg.lorentz import boost, representation_matrix, rotation
from lgae_pyg.losses import assign, jet_sum
from lgae_pyg.models import Latent, contract_of
from lgae_pyg.nn import LMPConv
from lgae_pyg.progress import steps
from lgae_pyg.tables import Table

#: Jets that are transformed, at most, and jets of a batch.
JETS, BATCH = 200, 50
#: Times the effect of rounding the input up to which a symmetry is called exact, and the error up to which it is
#: called approximate.
EXACT, APPROXIMATE = 100.0, 0.05
SMALLEST = 1e-15
RAPIDITIES = (0.0, 2.0, 4.0, 6.0, 8.0, 10.0)
ANGLES = tuple(step * math.pi / 4 for step in range(1, 9, 2))
AXES = ("x", "y", "z")
UNITS = {"TeV": 1e3, "PeV": 1e6}
#: Rapidities at which the features within the network are compared.
INTERNAL = (1.0, 3.0, 5.0, 8.0)


@dataclass(frozen=True)
class Change:
    """A change of the jets, and what it should do.

    Args:
        name: printed name.
        matrix: the Lorentz transformation of all particles; ``None`` for a permutation.
        output: ``moved`` (the output is transformed, slot by slot), ``set`` (the same particles in any order),
            ``permuted`` (the output is permuted like the input).
    """

    name: str
    matrix: Tensor | None
    output: str = "moved"


def changes() -> list[Change]:
    """The rows of the table: boosts, rotations, translations in the (η, φ) plane, permutations."""
    gamma = math.acosh(10.0)
    return [
        Change("boost, γ = 10, along x", boost(gamma, "x")),
        Change("boost, γ = 10, along z", boost(gamma, "z")),
        Change("rotation around x", rotation(1.0, "x")),
        Change("rotation around z", rotation(1.0, "z")),
        Change("translation in (η, φ)", boost(0.5, "z") @ rotation(0.5, "z")),
        Change("permutation: same particles", None, "set"),
        Change("permutation: permuted slots", None, "permuted"),
    ]


def run(subject: Subject, options: StudyOptions) -> Results:
    """Measures the symmetries of a model: a table of verdicts, boosts and rotations along three axes, and features
    within the network.

    Args:
        subject: the model.
        options: see :class:`~lgae_pyg.evaluation.study.StudyOptions`; at most :data:`JETS` jets are transformed.
    """
    sample = subject.background(min(options.sample, JETS), options.split, options.root)
    batches = list(JetLoader(sample.store, BATCH))
    scans = len(AXES) * len(UNITS) * 2 * (len(RAPIDITIES) + len(ANGLES))
    with steps(len(changes()) + scans, options.progress, "symmetry") as tick:
        tables = [
            symmetry_table(subject, batches, subject.caption([sample]), tick),
            axes_table(subject, batches, subject.caption([sample]), tick),
        ]
    if any(isinstance(module, LMPConv) for module in subject.model.modules()):
        tables.append(internal_table(subject, batches, subject.caption([sample])))
    return Results("symmetry", {table.name: table for table in tables}, {}, subject.description([sample]))


def symmetry_table(
    subject: Subject, batches: list[Any], caption: str, tick: Callable[[], object] = lambda: None
) -> Table:
    """What each change of the jets does to output and code, beside what rounding does, and a verdict.

    Args:
        subject: the model.
        batches: the jets, in its unit.
        caption: sentences that name data and model.
        tick: called after each change.
    """
    plain = [run_on(subject.model, batch, batch.pos) for batch in batches]
    generator = torch.Generator().manual_seed(0)
    rows = []
    for change in changes():
        if change.output == "permuted" and contract_of(subject.model).output_kind == "pixels":
            continue
        errors = [measure(subject.model, batch, one, change, generator) for batch, one in zip(batches, plain)]
        output, code, rough_output, rough_code = (torch.cat(parts) for parts in zip(*errors))
        row: list[Any] = [subject.label, change.name]
        for found, rough in ((output, rough_output), (code, rough_code)):
            middle, floor = float(found.median()), float(rough.median())
            row += [middle, float(found.max()), floor, verdict(middle, floor)]
        rows.append(tuple(row))
        tick()
    columns = {"model": "model", "change": "change of the jet"}
    for name in ("output", "code"):
        columns |= {
            name: f"{name}, median", f"{name}_worst": f"{name}, worst jet",
            f"{name}_rounding": "rounding", f"{name}_verdict": f"{name}:",
        }  # fmt: skip
    explanation = (
        "Relative error of each jet's output and code against what the symmetry asks for: four-momenta and latent "
        "vectors are transformed, numbers stay; median and worst jet. Same particles: matched one to one; "
        "permuted slots: the output permuted as the input (pixels have no slots). Rounding: median effect of "
        f"changing each input by a random part of 2.2e-16. Exact: median at most {EXACT:g} times that; "
        f"approximate: at most {APPROXIMATE:g}"
    )
    return Table("symmetry_table", f"{explanation}. {caption}", columns, tuple(rows))


def verdict(error: float, rounding: float) -> str:
    """What an error says: exact to rounding, approximate or broken."""
    if math.isnan(error):
        return "undefined"
    if error <= EXACT * max(rounding, SMALLEST):
        return "exact"
    return "approximate" if error <= APPROXIMATE else "broken"


def run_on(model: torch.nn.Module, batch: Any, pos: Tensor) -> Any:
    """What a model makes of a batch with other momenta."""
    moved = copy.copy(batch)
    moved.pos = pos
    set_mark(moved)  # a model is shown changed jets on purpose
    with torch.inference_mode():
        return model(moved)


def measure(
    model: torch.nn.Module, batch: Any, plain: Any, change: Change, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Errors of output and code of each jet, and the effects of rounding on both.

    Args:
        model: the model.
        batch: the jets.
        plain: what the model makes of them.
        change: what is done to them.
        generator: of permutations and roundings.

    Shapes:
        - **output**: four times :math:`(B,)`
    """
    matrix = torch.eye(4, dtype=batch.pos.dtype) if change.matrix is None else change.matrix.to(batch.pos.dtype)
    order = torch.arange(len(batch.pos))
    pos = batch.pos @ matrix.T
    if change.matrix is None:
        order = _permutation(batch.ptr, generator)
        pos = pos[order]
    noise = 1 + torch.finfo(pos.dtype).eps * (2 * torch.rand(pos.shape, generator=generator, dtype=pos.dtype) - 1)
    found, rough = (run_on(model, batch, momenta) for momenta in (pos, pos * noise))
    expected = plain.p4 @ matrix.T.to(plain.p4.dtype)
    got, ptr = found.p4, found.ptr
    if change.output == "permuted" and len(order) == len(expected):
        expected = expected[order]
    elif change.output == "set" and len(order) == len(expected):
        rows, others = assign(got, ptr, expected, ptr)
        got, expected = got[rows], expected[others]
    jets = len(ptr) - 1
    code = _code_error(found.latent, plain.latent, matrix, jets)
    rough_code = _code_error(rough.latent, found.latent, torch.eye(4, dtype=matrix.dtype), jets)
    return _jet_error(got, expected, ptr), code, _jet_error(rough.p4, found.p4, ptr), rough_code


def _permutation(ptr: Tensor, generator: torch.Generator) -> Tensor:
    ends = ptr.tolist()
    parts = [a + torch.randperm(b - a, generator=generator) for a, b in pairwise(ends)]
    return torch.cat(parts)


def _jet_error(found: Tensor, expected: Tensor, ptr: Tensor) -> Tensor:
    squares = (jet_sum(one.abs().square().sum(-1), ptr) for one in (found - expected, expected))
    error, size = squares
    return (error / size).sqrt()


def _code_error(found: Latent | None, plain: Latent | None, matrix: Tensor, jets: int) -> Tensor:
    """The larger of the relative errors of scalars and vectors; NaN if the model does not show its codes."""
    if found is None or plain is None:
        return torch.full((jets,), torch.nan)
    vectors = plain.vectors @ matrix.T.to(plain.vectors.dtype)
    errors = []
    for got, expected in ((found.scalars, plain.scalars), (found.vectors, vectors)):
        if expected.numel():
            size = expected.flatten(1).abs().square().sum(-1)
            change = (got - expected).flatten(1).abs().square().sum(-1)
            errors.append(torch.where(size > 0, change / size, change).sqrt())
    return torch.stack(errors).amax(0)


def axes_table(
    subject: Subject, batches: list[Any], caption: str, tick: Callable[[], object] = lambda: None
) -> Table:
    """Equivariance errors of boosts and rotations along three axes, in two units and two precisions."""
    rows = []
    for unit, size in UNITS.items():
        for dtype in (torch.float64, torch.float32):
            model = copy.deepcopy(subject.model).to(dtype)
            p4 = torch.cat([batch.pos for batch in batches]) * (subject.unit_in_gev / size)
            with torch.inference_mode():
                scan = Scan(network_function(model, batches), p4.to(dtype))
                for axis, kind, parameter, matrix in _scanned():
                    errors = scan.errors(matrix)
                    gamma = math.cosh(parameter) if kind == "boost" else 1.0
                    precision = str(dtype).removeprefix("torch.")
                    lead = (subject.label, unit, precision, axis, kind, parameter, gamma)
                    rows.append((*lead, *(errors[name] for name in MEASURES)))
                    tick()
    columns = {
        "model": "model", "unit": "unit", "precision": "precision", "axis": "axis", "kind": "transformation",
        "parameter": "rapidity / angle", "gamma": "γ", **{name: name for name in MEASURES},
    }  # fmt: skip
    explanation = (
        "Relative equivariance errors of the network. norm: all particles together; max: worst particle; paper: "
        "ratio of means, in which errors cancel. The unit is that of the numbers the network is given"
    )
    return Table("equivariance_axes", f"{explanation}. {caption}", columns, tuple(rows))


def _scanned() -> Iterator[tuple[str, str, float, Tensor]]:
    for axis in AXES:
        for kind, make, values in (("boost", boost, RAPIDITIES), ("rotation", rotation, ANGLES)):
            for value in values:
                yield axis, kind, value, make(value, axis)


def internal_table(subject: Subject, batches: list[Any], caption: str) -> Table:
    """Equivariance errors (norm) of the features after each level of message passing, and of the output."""
    batch = batches[0]
    plain, result = _features(subject.model, batch, batch.pos)
    rows = []
    for rapidity in INTERNAL:
        matrix = boost(rapidity, "z")
        moved, moved_result = _features(subject.model, batch, batch.pos @ matrix.T)
        for name, (irreps, features) in plain.items():
            transform = representation_matrix(irreps, matrix).to(features.dtype)
            error = _norm(moved[name][1], features @ transform.T)
            rows.append((subject.label, name, rapidity, math.cosh(rapidity), error))
        expected = result.p4 @ matrix.T
        rows.append((subject.label, "output", rapidity, math.cosh(rapidity), _norm(moved_result.p4, expected)))
    columns = {"model": "model", "layer": "layer", "rapidity": "rapidity", "gamma": "γ", "norm": "norm"}
    explanation = (
        "Relative equivariance errors (all particles together) of the features after each level of message "
        "passing, transformed in their own representation, boosts along z"
    )
    return Table("internal_equivariance", f"{explanation}. {caption}", columns, tuple(rows))


def _features(model: torch.nn.Module, batch: Any, pos: Tensor) -> tuple[dict[str, tuple[Any, Tensor]], Any]:
    """The output of every level by name, with its irreps, and the result."""
    found: dict[str, tuple[Any, Tensor]] = {}

    def keep(name: str, irreps: Any) -> Callable:
        return lambda module, inputs, output: found.__setitem__(name, (irreps, output))

    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, LMPConv):
            part, number = name.split(".")[0], name.rsplit(".", 1)[-1]
            label = f"{part} level {int(number) + 1}" if number.isdigit() else name
            hooks.append(module.register_forward_hook(keep(label, module.irreps_out)))
    try:
        result = run_on(model, batch, pos)
    finally:
        for hook in hooks:
            hook.remove()
    return found, result


def _norm(found: Tensor, expected: Tensor) -> float:
    return float(torch.linalg.vector_norm(found - expected) / torch.linalg.vector_norm(expected))


STUDY = Study(
    "symmetry",
    run,
    compared={"symmetry_table": "Symmetries, measured"},
    figures="lgae_pyg.evaluation.symmetry.figures",
)
