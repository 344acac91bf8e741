r"""The Lorentz group network as a tagger."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from lgae_pyg.data.rounding import given_of
from lgae_pyg.lorentz.frames import rest_frame
from lgae_pyg.lorentz.irreps import Irrep, Irreps
from lgae_pyg.models.taggers.inputs import ReferencedTagger, read_out
from lgae_pyg.nn.lmp_conv import LMPConv
from lgae_pyg.nn.mix_reps import MixReps
from lgae_pyg.ops.graphs import node_to_graph
from lgae_pyg.ops.jets import jet_sum
from lgae_pyg.ops.precision import without_autocast
from lgae_pyg.ops.products import SCALAR, VECTOR, as_complex, reachable
from lgae_pyg.ops.references import check_scale, reference_vectors, root_masses, with_references
from lgae_pyg.ops.tensor_levels import Table, square_table, table_products
from lgae_pyg.registry import check_choice

READOUTS = ("invariants", "scalars", "last_scalars")


class LGNClassifier(ReferencedTagger):
    r"""The Lorentz group network (Bogatskiy et al., arXiv:2006.04780): levels of Lorentz message passing on
    features of any irreps up to a maximum weight (:class:`~lgae_pyg.nn.LMPConv`), sums over the particles of the
    invariants of all levels, one linear map of their real and imaginary parts.

    The logits are Lorentz invariant, exactly in exact arithmetic, unless reference vectors break the symmetry: the
    ``beams`` and the direction of time enter as particles. The scalars of a particle are its mass and, where there
    are reference vectors, a label, 1 for those and -1 for particles.

    The levels see the jet, and its reference vectors, in its rest frame: the logits are the same in every frame,
    and there the components of tensors are smallest, so that rounding is. They compute in float64 whatever the
    precision of the parameters.

    Momenta are taken in ``unit``, TeV unless said otherwise; the network sees them in GeV times ``scale``.

    Args:
        num_classes: number of classes.
        channels: multiplicity :math:`\tau` of every irrep in the input and after each level.
        max_weight: the largest weight :math:`\max(2m, 2n)` of the irreps kept: 1 keeps (0,0) and (1/2,1/2), 2 also
            (1,0), (0,1) and (1,1), as published.
        max_degree: largest degree of the zonal functions on the edges.
        num_bells: number of bells of the radial functions.
        mlp_depth: hidden layers of the perceptrons on the scalars; 0 leaves them out.
        mlp_width: width of its hidden layers in units of :math:`2\tau`.
        activation: its activation; ``"bell"`` is the Lorentzian bell of which the talk on the network speaks.
        momenta_input: whether the momenta are among the input features, as the paper has it; the published code
            sees them in differences only.
        readout: ``"invariants"``, the scalars of all levels and the squares of their other irreps; ``"scalars"``,
            the scalars of all levels; ``"last_scalars"``, those of the last level, as the paper writes.
        beams: whether the beams are seen.
        time_direction: whether the direction of time is.
        reference_length: what these are multiplied by (after ``scale``); ``scale`` when omitted.
        scale: what momenta in GeV are multiplied by.
        neighbours: a fixed number by which sums over particles are divided; 1 as published.
        squash: tame large scalars by :math:`\mathrm{asinh}` before the perceptrons, not as published.
        original: follow the published code where it differs: messages from the particle itself, of which the bells
            are left out, :math:`1 + i` for the zonal function of degree 0, and masses as rounding leaves them.
        backend: see :class:`~lgae_pyg.nn.LMPConv`.

    Raises:
        ValueError: for unknown choices, less than two classes, or no level.

    Shapes:
        - **input:** a PyG batch with ``pos`` :math:`(n, 4)` and ``ptr`` :math:`(B+1,)`
        - **output:** logits :math:`(B, C)`
    """

    def __init__(
        self,
        num_classes: int = 2,
        channels: Sequence[int] = (2, 3, 4, 3),
        max_weight: int = 2,
        max_degree: int = 1,
        num_bells: int = 20,
        mlp_depth: int = 3,
        mlp_width: int = 2,
        activation: str = "leakyrelu",
        momenta_input: bool = False,
        readout: str = "invariants",
        beams: bool = False,
        time_direction: bool = False,
        reference_length: float | None = None,
        scale: float = 0.005,
        neighbours: float = 1.0,
        squash: bool = False,
        original: bool = False,
        backend: str = "auto",
    ):
        super().__init__()
        check_choice("readout", readout, READOUTS)
        if num_classes < 2 or len(channels) < 2:
            raise ValueError(f"LGNClassifier needs two classes and a level at least: {num_classes}, {channels}")
        self.num_classes, self.readout, self.original = num_classes, readout, original
        self.scale, self.neighbours = check_scale(scale), float(neighbours)
        length = self.scale if reference_length is None else reference_length
        self.resolve(reference_length=length)
        self.see(reference_vectors(beams, time_direction, length))
        columns, first = 1 + (len(self.references) > 0), channels[0]
        if momenta_input:
            given, made = [(columns, SCALAR), (1, VECTOR)], [(first, SCALAR), (first, VECTOR)]
            self.input: nn.Module = MixReps(Irreps(given), Irreps(made))
        else:
            self.input = nn.Linear(columns, 2 * first)
        options: dict[str, Any] = {
            "max_weight": max_weight,
            "max_degree": max_degree,
            "num_bells": num_bells,
            "mlp_depth": mlp_depth,
            "mlp_width": mlp_width,
            "activation": activation,
            "mlp_residual": False,
            "mlp_squash": squash,
            "self_loops": original,
            "masked_origin": original,
            "scalar_edge": 1 + 1j if original else 1.0,
            "ordered_products": True,  # both orders, and those that vanish: parameters are counted as published
            "neighbours": neighbours,
            "backend": backend,
        }
        kinds = [[SCALAR, VECTOR] if momenta_input else [SCALAR]]
        for _ in channels[1:]:
            kinds.append(reachable(kinds[-1], max_weight, max_degree))
        self.levels = [Irreps([(tau, irrep) for irrep in found]) for tau, found in zip(channels, kinds)]
        self.convs = nn.ModuleList(LMPConv(*pair, **options) for pair in pairwise(self.levels))
        self.squares, self.backend = self._squares(), backend
        self.output = nn.Linear(2 * len(self.invariant_channels()), num_classes)

    def invariant_channels(self) -> list[tuple[int, Irrep, int]]:
        """Level, irrep and channel of each number that is summed over the particles."""
        found = []
        for number, irreps in enumerate(self.levels):
            for channels, irrep in irreps:
                wanted = irrep == SCALAR or self.readout == "invariants"
                if wanted and (self.readout != "last_scalars" or number == len(self.levels) - 1):
                    found += [(number, irrep, channel) for channel in range(channels)]
        return found

    def _squares(self) -> Table:
        """The table of the invariants, from the features of all levels one after another."""
        begins, numbers = {}, 0
        for level, irreps in enumerate(self.levels):
            for channels, irrep in irreps:
                begins[level, irrep] = numbers
                numbers += channels * irrep.dim
        found = self.invariant_channels()
        return square_table([(begins[n, irrep] + c * irrep.dim, irrep) for n, irrep, c in found], numbers)

    def invariants(self, features: list[Tensor]) -> Tensor:
        """The numbers of :meth:`invariant_channels` of each particle, from the packed features of each level.

        Shapes:
            - features: :math:`(n, \\text{irreps.dim})` for each level
            - **output:** :math:`(n, K)`, complex
        """
        return table_products(torch.cat(features, -1), self.squares, self.backend)

    def features(self, p4: Tensor, scalars: Tensor, ptr: Tensor) -> list[Tensor]:
        """Packed features of the particles in the input and after each level; momenta are in GeV times ``scale``.

        Shapes:
            - p4: :math:`(n, 4)`, scalars: :math:`(n, S)`, ptr: :math:`(B+1,)`
            - **output:** :math:`(n, \\text{irreps.dim})` for each level, complex
        """
        if isinstance(self.input, MixReps):
            x = self.input(as_complex(torch.cat([scalars.to(p4.dtype), p4], -1)))
        else:
            x = torch.view_as_complex(self.input(scalars).unflatten(-1, (-1, 2)))
        found = [x]
        for conv in self.convs:
            found.append(conv(found[-1], p4, ptr=ptr))
        return found

    @without_autocast
    def forward(self, batch: Any) -> Tensor:
        jets, jet_ptr = self.momenta(batch)
        p4, ptr, is_reference = with_references(jets, jet_ptr, self.references)
        columns = [root_masses(p4, ptr, not self.original, *given_of(batch))]
        if len(self.references):
            columns.append(torch.where(is_reference, 1.0, -1.0).to(p4))
        scalars = torch.stack(columns, -1).to(self.dtype)
        total = jet_sum(jets, jet_ptr).detach()[node_to_graph(ptr, len(p4))]
        found = self.features(rest_frame(p4, total), scalars, ptr)
        pooled = read_out(self.invariants(found), ptr, "sum") / self.neighbours
        return self.output(torch.view_as_real(pooled).flatten(-2).to(self.dtype))
