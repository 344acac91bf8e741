"""The LGAE with a mass-shell code: light-like particles packed into four-vectors, the rest shared out."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lgae_pyg.lorentz.frames import detach_invariant
from lgae_pyg.lorentz.irreps import Irreps
from lgae_pyg.models.base import Autoencoder
from lgae_pyg.models.behaviour import Behaviour
from lgae_pyg.models.lgae_networks import LMPStack, scalar_vector
from lgae_pyg.models.result import Latent, Native, Reconstruction, offsets_of
from lgae_pyg.models.shell_code import ShellSizes, pack, rest_energy_order, unpack
from lgae_pyg.nn.aggr import MixAggregation
from lgae_pyg.nn.mix_reps import MixReps
from lgae_pyg.ops.graphs import DenseLayout, dense_layout, graph_sizes
from lgae_pyg.ops.jets import restore_total
from lgae_pyg.ops.products import as_complex

ORDERS = ("list", "rest_energy")


class ShellLGAE(Autoencoder):
    r"""Lorentz-equivariant autoencoder whose code keeps as many massless particles as it has room for, exactly.

    A linear code spends four numbers on a particle that has three. Here each latent vector is
    :math:`z_k = p_k + \sigma_k (p_k \cdot P / M^2) P`: the decoder, which knows the total :math:`P` (the first
    latent vector), finds both :math:`p_k` and the invariant :math:`\sigma_k` from :math:`p_k^2 = 0`. The
    :math:`\sigma_k` and the latent scalars hold the coordinates of further particles in a frame that the jet
    itself provides (:func:`~lgae_pyg.lorentz.frames.body_frame`) and what is left over for invariants that a
    network learns. With nine complex vectors and one complex scalar, the numbers of the paper's LGAE-Mix at
    61.67 %, these are :math:`P` and 23 of 30 particles.

    The momentum of the others, :math:`R = P - \sum_k p_k`, is shared out among them by Lorentz message passing
    over what is known,

    .. math:: p_j = w_j R + \Delta_j - \overline{\Delta}, \qquad w = \operatorname{softmax}(a_j + s_j),

    with a table :math:`a_j` of the place in the order and invariants :math:`s_j` and vectors :math:`\Delta_j` of
    the network, so that the jet's four-momentum is always kept. Everything commutes with the Lorentz group.

    The particles come out as massless: what mass they have, and what :math:`E` they lack of :math:`|\vec p|`, is
    projected away along :math:`P`, covariantly. :math:`P` itself is the true total, so the rest :math:`R` takes
    what the projection removed; where a jet has no particle left to share it, all take equal parts of it
    (:func:`~lgae_pyg.ops.jets.restore_total`). So the outputs sum to the jet's four-momentum for massive particles
    and for rounded ones, too.

    Args:
        order: which particles come first: ``list``, as in the batch (by pT, say), or ``rest_energy``, by falling
            :math:`p_i \cdot P`. The second makes the model permutation invariant, since it is an order that all
            observers and all permutations agree on.
        num_particles: largest number of particles of a jet.
        latent_vectors: :math:`\tau_V`, complex vectors in the code.
        latent_scalars: :math:`\tau_S`, complex scalars in the code.
        encoder_channels: multiplicities of the network that finds the learned invariants; it is left out where
            there is no room for any.
        decoder_channels: multiplicities of the network that shares out the rest.
        rank_scalars: learnable scalars by which the decoder tells the places in the order apart.
        num_bells: see :class:`~lgae_pyg.nn.LMPConv`, like the following.
        mlp_depth: hidden layers of the scalar perceptrons.
        mlp_width: their width.
        activation: their activation.
        scale: momenta are multiplied by it on the way in and divided on the way out.
        backend: how messages are summed.
        mixed_precision: invariants in float32.

    Raises:
        ValueError: for an unknown order, or more latent vectors than particles.

    Shapes:
        - **input:** a PyG batch with ``pos`` :math:`(n, 4)` and ``ptr`` :math:`(B+1,)`
        - **output:** :class:`~lgae_pyg.models.Reconstruction`, as many particles as came in, in the order chosen;
          ``native`` holds them beside the true ones in the same order
    """

    has_native = True
    num_particles: int
    #: How many particles the jet has.
    side_information = 1

    def __init__(
        self,
        order: str = "list",
        num_particles: int = 30,
        latent_vectors: int = 9,
        latent_scalars: int = 1,
        encoder_channels: Sequence[int] = (3, 3, 4, 4),
        decoder_channels: Sequence[int] = (4, 4, 4, 4),
        rank_scalars: int = 2,
        num_bells: int = 20,
        mlp_depth: int = 6,
        mlp_width: int = 6,
        activation: str = "leakyrelu",
        scale: float = 10.0,
        backend: str = "auto",
        mixed_precision: bool = False,
    ):
        super().__init__()
        if order not in ORDERS:
            raise ValueError(f"unknown order '{order}': choose one of {', '.join(ORDERS)}")
        if not 0 < 2 * latent_vectors - 1 <= num_particles:
            most = (num_particles + 1) // 2
            raise ValueError(
                f"{latent_vectors} latent vectors are more than {num_particles} particles fill: choose 1 to {most}"
            )
        self.order, self.num_particles, self.scale = order, num_particles, float(scale)
        conv = {
            "num_bells": num_bells,
            "mlp_depth": mlp_depth,
            "mlp_width": mlp_width,
            "activation": activation,
            "backend": backend,
            "mixed_precision": mixed_precision,
        }
        self.latent_vectors, self.latent_scalars = latent_vectors, latent_scalars
        self.latent_size = 2 * (latent_scalars + 4 * latent_vectors)
        self.permutation_invariant, self.mixed_precision = order != "list", mixed_precision
        self.resolve(scale=self.scale)
        self.sizes = ShellSizes.of(latent_vectors, latent_scalars, num_particles)
        stack: dict[str, Any] = {
            "max_weight": 1,
            "complex_momenta": False,
            "constant_radial": False,
            "behaviour": Behaviour(),
            "conv": {**conv, "neighbours": float(num_particles)},
        }
        learned = self.sizes.learned
        self.encoder: LMPStack | None = None
        if learned:
            self.encoder = LMPStack(1 + rank_scalars, encoder_channels, **stack)
            self.to_learned = MixAggregation(self.encoder.irreps_out, Irreps(f"{learned}x(0,0)"), num_particles)
        self.decoder: LMPStack | None = None
        self.unknown = num_particles - self.sizes.known
        if self.unknown:
            self.decoder = LMPStack(1 + rank_scalars + learned, decoder_channels, **stack)
            self.output = MixReps(self.decoder.irreps_out, scalar_vector(1, 1))
            self.shares = nn.Parameter(torch.empty(self.unknown, self.unknown))
        self.ranks = nn.Parameter(torch.empty(num_particles, rank_scalars))
        self.reset_own_parameters()
        self.double()

    def reset_own_parameters(self) -> None:
        """Equal shares of the rest, and a network that changes nothing yet."""
        with torch.no_grad():
            rank = torch.linspace(-1, 1, self.num_particles).unsqueeze(-1)
            self.ranks.copy_(torch.cos(torch.arange(self.ranks.shape[1]) * torch.pi * (rank + 1) / 2))
            if self.unknown:
                self.shares.zero_()
                for weight in self.output.weights.values():
                    weight.zero_()

    @property
    def label(self) -> str:
        """Its printed name, such as ``ShellLGAE by rest energy τ=9``."""
        order = "" if self.order == "list" else f" by {self.order.replace('_', ' ')}"
        return f"ShellLGAE{order} τ={self.latent_vectors}"

    @property
    def momentum_scale(self) -> float:  # type: ignore[override]  # follows scale
        """What momenta are multiplied by on the way in."""
        return self.scale

    def encode(self, batch: Any) -> Latent:
        """The codes of a batch of jets; vectors come in the unit of the momenta."""
        self.check(batch)
        ptr = offsets_of(batch)
        layout = dense_layout(ptr, self.num_particles, len(batch.pos))
        return self._encode(self._ordered(batch, layout), layout, ptr)

    def decode(self, latent: Latent, ptr: Tensor, nodes: int | None = None) -> Tensor:
        """Jets from codes, :math:`(m, 4)`; ``ptr`` says how many particles each is to have."""
        layout = dense_layout(ptr, self.num_particles, nodes)
        scalars, vectors = _in_turn(latent.scalars), _in_turn(latent.vectors)
        known, learned = unpack(self.scale * vectors, scalars, self.sizes)
        total = self.scale * vectors[:, 0]
        if self.decoder is None:
            return restore_total(layout.gather(known), total, ptr) / self.scale
        missing = (graph_sizes(ptr) - self.sizes.known).clamp(min=0)
        unknown = torch.arange(self.unknown, device=ptr.device) < missing.unsqueeze(-1)
        rest = (total - known.sum(1)).unsqueeze(1)
        logits = self.shares[(missing - 1).clamp(min=0)]
        first = torch.cat([known, _share(logits, unknown) * rest], 1)
        scalars, vectors = self._read(first, learned, layout, ptr)
        shares = _share(logits + scalars[:, self.sizes.known :], unknown)
        change = vectors[:, self.sizes.known :] * unknown.unsqueeze(-1)
        change = change - change.sum(1, keepdim=True) / missing.clamp(min=1).view(-1, 1, 1)
        others = shares * rest + change * unknown.unsqueeze(-1)
        return restore_total(layout.gather(torch.cat([known, others], 1)), total, ptr) / self.scale

    def forward(self, batch: Any) -> Reconstruction:
        ptr = offsets_of(batch)
        layout = dense_layout(ptr, self.num_particles, len(batch.pos))
        slots = self._ordered(batch, layout)
        return self._reconstruct(self._encode(slots, layout, ptr), slots, layout, ptr)

    def decode_like(self, latent: Latent, batch: Any) -> Reconstruction:
        """Jets from codes; a batch gives the side information, how many particles each jet has.

        ``decode_like(encode(batch), batch)`` is the model itself; give other codes to see what they stand for.
        """
        ptr = offsets_of(batch)
        layout = dense_layout(ptr, self.num_particles, len(batch.pos))
        return self._reconstruct(latent, self._ordered(batch, layout), layout, ptr)

    def _reconstruct(self, latent: Latent, slots: Tensor, layout: DenseLayout, ptr: Tensor) -> Reconstruction:
        p4 = self.decode(latent, ptr, len(layout.place))
        return Reconstruction(p4, ptr, latent, native=Native(p4, ptr, layout.gather(slots), ptr))

    def _ordered(self, batch: Any, layout: DenseLayout) -> Tensor:
        """The particles in the order of the model, :math:`(B, N, 4)`."""
        slots = layout.scatter(batch.pos.to(self.ranks.dtype))
        if self.order == "list":
            return slots
        order = rest_energy_order(slots, slots.sum(1))
        return slots.gather(1, order.unsqueeze(-1).expand_as(slots))

    def _encode(self, slots: Tensor, layout: DenseLayout, ptr: Tensor) -> Latent:
        total = slots.sum(1)
        light, _ = detach_invariant(slots, total.unsqueeze(1))
        learned = slots.new_zeros(len(slots), 0)
        if self.encoder is not None:
            momenta = self.scale * layout.gather(light)
            x = self.encoder(self._node_scalars(layout), as_complex(momenta), momenta, ptr)
            learned = self.to_learned(x, ptr=ptr).real
        vectors, scalars = pack(light, total, learned, self.sizes)
        pairs = (torch.complex(part[:, 0::2], part[:, 1::2]) for part in (scalars, vectors))
        return Latent(*pairs)

    def _node_scalars(self, layout: DenseLayout, learned: Tensor | None = None) -> Tensor:
        """One, the learnable scalars of the place, and the learned invariants, for each node, complex."""
        ranks = self.ranks.expand(layout.graphs, -1, -1)
        parts = [torch.ones_like(ranks[..., :1]), ranks]
        if learned is not None:
            parts.append(learned.unsqueeze(1).expand(-1, self.num_particles, -1))
        return as_complex(layout.gather(torch.cat(parts, -1)))

    def _read(self, slots: Tensor, learned: Tensor, layout: DenseLayout, ptr: Tensor) -> tuple[Tensor, Tensor]:
        """What the network says of each particle: a real scalar and a real vector."""
        assert self.decoder is not None  # there are unknown particles
        momenta = layout.gather(slots)
        x = self.decoder(self._node_scalars(layout, learned), as_complex(momenta), momenta, ptr)
        out = layout.scatter(self.output(x).real.contiguous())
        return out[..., 0], out[..., 1:]


def _in_turn(values: Tensor) -> Tensor:
    r"""Real and imaginary parts in turn, :math:`(B, 2\tau, *)`."""
    return torch.stack([values.real, values.imag], 2).flatten(1, 2)


def _share(logits: Tensor, present: Tensor) -> Tensor:
    """Shares that sum to one over those that are there, :math:`(B, U, 1)`; zero where there is none."""
    lowest = torch.finfo(logits.dtype).min
    weights = logits.masked_fill(~present, lowest).softmax(1)
    return (weights * present).unsqueeze(-1)
