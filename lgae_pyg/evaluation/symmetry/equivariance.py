"""How well a model keeps the Lorentz symmetry, from small to extreme transformations."""

import copy
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from lgae_pyg.data.jet import set_mark
from lgae_pyg.lorentz import boost, equivariance_error, rotation
from lgae_pyg.tables import Table

RAPIDITIES = tuple(float(rapidity) for rapidity in range(11))
ANGLES = tuple(step * math.pi / 5 for step in range(11))
KINDS = {"boost": (boost, RAPIDITIES), "rotation": (rotation, ANGLES)}
MEASURES = ("norm", "max", "paper")
#: Random changes of the inputs, of whose effects the median is taken: a single one may hit or miss the jet that
#: is most sensitive to them.
DRAWS = 3


@dataclass(frozen=True)
class Records:
    """The way from the momenta of a file to those a model takes, and back.

    Args:
        encode: from momenta in GeV and ``ptr`` to the momenta that the model takes, and whatever is needed to
            undo it (the factor of a jet that is normalised by a property of its own, for instance).
        decode: from the model's output, its ``ptr`` and that context to momenta in GeV.

    Shapes:
        - momenta: :math:`(n, 4)`, ptr: :math:`(B+1,)`
    """

    encode: Callable[[Tensor, Tensor], tuple[Tensor, Any]]
    decode: Callable[[Tensor, Tensor, Any], Tensor]


def unit_records(unit_in_gev: float) -> Records:
    """The default way: files in GeV, the model in a unit of its own, nothing that depends on the jet."""
    return Records(lambda p4, ptr: (p4 / unit_in_gev, None), lambda p4, ptr, context: p4 * unit_in_gev)


def network_function(model: torch.nn.Module, batches: Sequence[Any]) -> Callable[[Any], Tensor]:
    """The model as a function of the momenta of all jets of these batches (an object with ``pos``)."""
    return records_function(model, batches, Records(lambda p4, ptr: (p4, None), lambda p4, ptr, context: p4))


def records_function(model: torch.nn.Module, batches: Sequence[Any], records: Records) -> Callable[[Any], Tensor]:
    """From momenta in GeV to momenta in GeV, by way of the model: what a user of files sees."""

    def run(jets: Any) -> Tensor:
        outputs = []
        for batch, p4 in zip(batches, jets.pos.split([len(batch.pos) for batch in batches])):
            encoded, context = records.encode(p4, batch.ptr)
            moved = copy.copy(batch)
            moved.pos = encoded
            set_mark(moved)  # a model is shown transformed jets on purpose, in other units too
            result = model(moved)
            outputs.append(records.decode(result.p4, result.ptr, context))
        return torch.cat(outputs)

    return run


class Scan:
    """A function of the jets whose value at the untransformed ones is computed only once.

    Args:
        function: of an object with momenta ``pos``.
        p4: the untransformed momenta; the transformed ones are rounded to their precision.
    """

    def __init__(self, function: Callable[[Any], Tensor], p4: Tensor) -> None:
        self.function, self.jets = function, SimpleNamespace(pos=p4)
        self.plain = function(self.jets)
        self.moved, self.output = p4, self.plain

    def errors(self, transform: Tensor) -> dict[str, float]:
        """The measures of :func:`~lgae_pyg.lorentz.equivariance_error`, from one evaluation."""
        fresh = True

        def value(jets: Any) -> Tensor:
            nonlocal fresh
            if jets is self.jets:
                return self.plain
            if fresh:
                self.moved, self.output, fresh = jets.pos, self.function(jets), False
            return self.output

        errors = {name: equivariance_error(value, self.jets, transform, measure=name) for name in MEASURES}
        return {name: float(error) for name, error in errors.items()}

    def rounding(self, generator: torch.Generator, inputs: torch.dtype | None = None) -> float:
        """The relative change of the last output when its input is rounded differently, median of ``DRAWS``.

        Each component of the transformed momenta is changed by a random part of a unit in the last place: no
        measurement of the symmetry can come out much below this.

        Args:
            generator: of the random parts.
            inputs: the precision whose unit is taken; that of the momenta when omitted.
        """
        unit, size = torch.finfo(inputs or self.moved.dtype).eps, torch.linalg.vector_norm(self.output)
        changes = []
        for _ in range(DRAWS):
            noise = torch.rand(self.moved.shape, generator=generator, dtype=self.moved.dtype) * 2 - 1
            change = self.function(SimpleNamespace(pos=self.moved * (1 + unit * noise))) - self.output
            changes.append(float(torch.linalg.vector_norm(change) / size))
        return statistics.median(changes)


def equivariance_scan(
    model: torch.nn.Module,
    batches: Iterable[Any],
    records: Records,
    unit_in_gev: float,
    caption: str = "",
    tick: Callable[[], None] = lambda: None,
) -> Table:
    r"""The equivariance error along z: boosts up to :math:`\gamma = \cosh 10`, rotations up to a turn.

    The transformations are those of arXiv:2212.07347, Appendix C. Three measures are given, explained at
    :func:`~lgae_pyg.lorentz.equivariance_error`: ``norm`` (all particles together), ``max`` (the worst
    particle), and ``paper`` (ratio of means, in which errors cancel). They are taken of the network alone
    and from records to records: transform the momenta in GeV, then scale, run the network, and scale back.
    ``rounding`` is the relative change of the output if the transformed input is rounded differently.

    Args:
        model: an autoencoder in evaluation mode.
        batches: the jets, in the unit of the model.
        records: the way from GeV to the model's input and back.
        unit_in_gev: the unit of the jets in ``batches``.
        caption: a sentence that names the data.
        tick: called after each transformation.
    """
    batches = list(batches)
    p4 = torch.cat([batch.pos for batch in batches])
    generator = torch.Generator().manual_seed(0)
    rows = []
    with torch.inference_mode():
        network = Scan(network_function(model, batches), p4)
        whole = Scan(records_function(model, batches, records), p4 * unit_in_gev)
        for kind, (make, parameters) in KINDS.items():
            for parameter in parameters:
                transform = make(parameter, "z")
                errors = [*network.errors(transform).values(), *whole.errors(transform).values()]
                gamma = math.cosh(parameter) if kind == "boost" else 1.0
                rows.append((kind, parameter, gamma, *errors, network.rounding(generator)))
                tick()
    columns = {
        "kind": "transformation", "parameter": "rapidity / angle", "gamma": "γ",
        **{f"network_{name}": f"network, {name}" for name in MEASURES},
        **{f"records_{name}": f"records, {name}" for name in MEASURES},
        "rounding": "rounding",
    }  # fmt: skip
    explanation = (
        "Relative equivariance errors along z. norm: all particles together; max: worst particle; paper: "
        "ratio of means; network: the network alone; records: from momenta in GeV to momenta in GeV; "
        f"rounding: change of the output if the input is rounded differently, median of {DRAWS} draws"
    )
    return Table("equivariance", f"{explanation}. {caption}", columns, tuple(rows))


def run_on(model: torch.nn.Module, batch: Any, pos: torch.Tensor) -> Any:
    """What a model makes of a batch with other momenta."""
    moved = copy.copy(batch)
    moved.pos = pos
    set_mark(moved)  # a model is shown changed jets on purpose
    with torch.inference_mode():
        return model(moved)
