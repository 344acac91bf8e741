"""Encoder and decoder of the LGAE: stacks of Lorentz message passing around a latent aggregation."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr import Aggregation

from lgae_pyg.lorentz.irreps import Irreps
from lgae_pyg.lorentz.kinematics import energy, minkowski_dot, minkowski_square
from lgae_pyg.models.behaviour import Behaviour
from lgae_pyg.models.result import Latent
from lgae_pyg.nn.aggr import MixAggregation, build_aggregation
from lgae_pyg.nn.aggr.extremum import ROUNDING
from lgae_pyg.nn.lmp_conv import LMPConv
from lgae_pyg.nn.mix_reps import MixReps
from lgae_pyg.ops.graphs import dense_layout, node_to_graph
from lgae_pyg.ops.jets import append_totals, jet_sum
from lgae_pyg.ops.products import SCALAR, VECTOR, as_complex, reachable


def scalar_vector(scalars: int, vectors: int) -> Irreps:
    """The irreps of some scalars and four-vectors."""
    return Irreps([(scalars, SCALAR), (vectors, VECTOR)])


def level_weights(max_weight: int | Sequence[int], levels: int) -> list[int]:
    """The largest weight of each level; of a sequence shorter than the levels, the last goes on.

    Raises:
        ValueError: for a sequence that is empty or longer.
    """
    weights = [max_weight] if isinstance(max_weight, int) else list(max_weight)
    if not 1 <= len(weights) <= max(levels, 1):
        raise ValueError(f"max_weight must be a number, or one for each level and no more: {weights} for {levels}")
    return (weights + levels * weights[-1:])[:levels]


def stack_irreps(channels: Sequence[int], weights: Sequence[int]) -> list[Irreps]:
    """Irreps of the features: scalars and vectors at both ends, in between all that a level reaches and the next
    one takes.

    Args:
        channels: multiplicities after the input mixing and after each level.
        weights: largest weight of each level.
    """
    kinds = [[SCALAR, VECTOR]]
    for weight in weights:
        kinds[-1] = [irrep for irrep in kinds[-1] if irrep.weight <= weight]
        kinds.append(reachable(kinds[-1], weight, 1))
    kinds[-1] = [SCALAR, VECTOR]
    return [Irreps([(tau, irrep) for irrep in found]) for tau, found in zip(channels, kinds)]


class LMPStack(nn.Module):
    """Input mixing and a sequence of :class:`LMPConv` levels.

    Args:
        scalars_in: number of input scalars of each particle.
        channels: multiplicities after the input mixing and after each level.
        max_weight: largest weight of the irreps inside, or one for each level (:func:`level_weights`).
        complex_momenta: whether the momenta are complex.
        constant_radial: see :class:`LMPConv`.
        behaviour: named deviations of the original.
        conv: further arguments of every :class:`LMPConv`.
        vectors_in: number of input vectors of each particle.

    Shapes:
        - **input:** scalars :math:`(n, k)`, vectors :math:`(n, 4 v)` (both complex), momenta :math:`(n, 4)`, ptr
        - **output:** packed features :math:`(n, 5 \\tau)`
    """

    def __init__(
        self,
        scalars_in: int,
        channels: Sequence[int],
        max_weight: int | Sequence[int],
        complex_momenta: bool,
        constant_radial: bool,
        behaviour: Behaviour,
        conv: dict,
        vectors_in: int = 1,
    ):
        super().__init__()
        weights = level_weights(max_weight, len(channels) - 1)
        irreps = stack_irreps(channels, weights)
        self.irreps_out = irreps[-1]
        self.input = MixReps(scalar_vector(scalars_in, vectors_in), irreps[0], conv["backend"])
        self.convs = nn.ModuleList(
            LMPConv(
                before,
                after,
                max_weight=weight,
                complex_momenta=complex_momenta,
                constant_radial=constant_radial,
                self_loops=behaviour.self_loops,
                scalar_edge=1 + 1j if behaviour.complex_scalar_edge else 1.0,
                ordered_products=behaviour.ordered_products,
                mlp_residual=not behaviour.plain_mlp,
                mlp_squash=not behaviour.plain_mlp,
                **conv,
            )
            for (before, after), weight in zip(pairwise(irreps), weights)
        )

    def forward(
        self, scalars: Tensor, vectors: Tensor, momenta: Tensor, ptr: Tensor, present: Tensor | None = None
    ) -> Tensor:
        x = self.input(torch.cat([scalars, vectors], -1))
        for conv in self.convs:
            x = conv(x, momenta, ptr=ptr, present=present)
        return x


class Encoder(nn.Module):
    """Jets to codes: Lorentz message passing, then an equivariant aggregation over the particles.

    Args:
        aggregation: name of the aggregation, or a module.
        latent: irreps of the code, of each part of a concatenation.
        num_particles: number of slots of ``mix``.
        extra_scalars: number of invariant node scalars.
        stack: further arguments of :class:`LMPStack`.
        jet_inputs: whether particles see the four-momentum of their jet.

    Raises:
        ValueError: if the jet is to be one more particle, and the aggregation or the scalars leave no room for it.

    Shapes:
        - **input:** momenta :math:`(n, 4)` real, ``ptr`` :math:`(B+1,)`, optional invariant node scalars
          :math:`(n, k)`
        - **output:** :class:`Latent`
    """

    def __init__(
        self,
        aggregation: str | Aggregation,
        latent: Irreps,
        num_particles: int,
        extra_scalars: int,
        stack: dict,
        jet_inputs: bool = False,
    ):
        super().__init__()
        self.behaviour = behaviour = stack["behaviour"]
        self.num_particles, self.jet_inputs = num_particles, jet_inputs
        self.jet_particle = jet_inputs and behaviour.jet_as_particle
        if self.jet_particle and (aggregation == "mix" or extra_scalars):
            raise ValueError("a jet as one more particle (jet_as_particle) fits neither mix nor extra_scalars")
        # Of a part of the code: scalars, and all numbers, four-vectors being the others.
        self.latent_scalars, self.latent_dim = latent.multiplicity(SCALAR), latent.dim
        scalars_in = (1 if behaviour.root_mass_input else 2) + extra_scalars
        vectors_in = 1
        if jet_inputs:
            scalars_in, vectors_in = (scalars_in + 1, 1) if self.jet_particle else (scalars_in + 2, 2)
        self.stack = LMPStack(
            scalars_in, complex_momenta=False, constant_radial=False, vectors_in=vectors_in, **stack
        )
        self.to_latent: nn.Module | None = None
        backend = stack["conv"]["backend"]
        if aggregation == "mix":
            self.aggregation = MixAggregation(self.stack.irreps_out, latent, num_particles, backend)
        else:
            self.to_latent = MixReps(self.stack.irreps_out, latent, backend)
            weights = stack["max_weight"]
            rounding = ROUNDING ** (weights if isinstance(weights, int) else max(weights))
            self.aggregation = build_aggregation(aggregation, latent, behaviour.max_by_square, rounding, backend)
            if getattr(self.aggregation, "mode", None) == "sum":
                share = [1 / num_particles] * max(tau for tau, _ in self.stack.irreps_out)
                self.to_latent.reset_parameters({str(SCALAR): share, str(VECTOR): share})

    def forward(self, momenta: Tensor, ptr: Tensor, extra: Tensor | None = None) -> Latent:
        if self.jet_particle:
            momenta, ptr = append_totals(momenta, ptr)
        scalars, vectors = self._inputs(momenta, ptr)
        if extra is not None:
            scalars = torch.cat([scalars, extra.to(scalars.dtype)], -1)
        present = energy(momenta) != 0 if self.behaviour.masked_padding else None
        if present is not None and bool(present.all()):
            present = None
        x = self.stack(as_complex(scalars), as_complex(vectors), momenta, ptr, present)
        if self.to_latent is not None:
            x = self.to_latent(x)
        code = self.aggregation(x, ptr=ptr)
        count = code.shape[-1] * self.latent_scalars // self.latent_dim
        return Latent(code[:, :count], code[:, count:].unflatten(-1, (-1, 4)))

    def _inputs(self, momenta: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
        r"""Scalars and vectors of the particles.

        Shapes:
            - **output:** :math:`(n, k)` and :math:`(n, 4 v)`
        """
        squares = minkowski_square(momenta).unsqueeze(-1)
        if self.behaviour.root_mass_input:
            scalars = squares.abs().sqrt()
        else:
            scalars = torch.cat([torch.ones_like(squares), squares], -1)
        if not self.jet_inputs:
            return scalars, momenta
        total = jet_sum(momenta, ptr)[node_to_graph(ptr, len(momenta))]
        invariants = [minkowski_square(total)]
        if self.jet_particle:  # which is itself part of the total
            return torch.cat([scalars, invariants[0].unsqueeze(-1)], -1), momenta
        invariants.append(minkowski_dot(momenta, total))
        vectors = torch.cat([momenta, total / self.num_particles], -1)
        return torch.cat([scalars, torch.stack(invariants, -1)], -1), vectors


class Decoder(nn.Module):
    """Codes to jets: one linear equivariant map per particle, Lorentz message passing, a four-vector each.

    Args:
        latent: irreps of the whole code.
        num_particles: largest number of particles.
        stack: further arguments of :class:`LMPStack`.

    Shapes:
        - **input:** :class:`Latent`, offsets ``ptr`` :math:`(B+1,)` of the jets to be made and, if known, their
          total
          number of particles
        - **output:** complex four-vectors :math:`(m, 4)`
    """

    def __init__(self, latent: Irreps, num_particles: int, stack: dict):
        super().__init__()
        self.behaviour = behaviour = stack["behaviour"]
        self.num_particles = num_particles
        self.irreps_latent = latent
        backend = stack["conv"]["backend"]
        self.to_particles = MixReps(latent, scalar_vector(num_particles, num_particles), backend)
        self.stack = LMPStack(
            1 if behaviour.constant_decoder_scalars else 2,
            complex_momenta=True,
            constant_radial=behaviour.constant_decoder_radial,
            **stack,
        )
        self.output = MixReps(self.stack.irreps_out, scalar_vector(1, 1), backend)

    def forward(self, latent: Latent, ptr: Tensor, nodes: int | None = None) -> Tensor:
        layout = dense_layout(ptr, self.num_particles, nodes)
        packed = self.to_particles(torch.cat([latent.scalars, latent.vectors.flatten(-2)], -1))
        slots = self.num_particles
        scalars = layout.gather(packed[:, :slots].unsqueeze(-1).contiguous())
        vectors = layout.gather(packed[:, slots:].reshape(-1, slots, 4))
        if self.behaviour.constant_decoder_scalars:
            scalars = torch.full_like(scalars, 1 + 1j)
        else:
            scalars = torch.cat([torch.ones_like(scalars), scalars], -1)
        x = self.stack(scalars, vectors, vectors, ptr)
        return self.output(x)[:, 1:]
