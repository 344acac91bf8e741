"""The graph neural network autoencoder (GNNAE), with a code per jet or per particle."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lgae_pyg.lorentz.kinematics import from_relative_coordinates, relative_coordinates, transverse_momentum
from lgae_pyg.models.base import Autoencoder
from lgae_pyg.models.gnnae_networks import (
    JET_MAPS,
    GraphNet,
    JetDecoder,
    JetEncoder,
    ParticleDecoder,
    ParticleEncoder,
    full_offsets,
)
from lgae_pyg.models.result import Latent, Native, Reconstruction, offsets_of
from lgae_pyg.ops.graphs import dense_layout, node_to_graph
from lgae_pyg.ops.jets import jet_sum
from lgae_pyg.registry import check_choice

LEVELS = {"jet": "JL", "particle": "PL"}
COORDINATES = 3
#: Largest |eta - eta_jet| that is made into a momentum; jets reach 2, and an untrained network any number.
MAX_ETA = 10.0
NODE_SIZES = ((30,), (15,), (8,))
EDGE_SIZES = ((50, 40, 30), (30, 30, 30), (16, 20, 30))


class GNNAE(Autoencoder):
    r"""Graph neural network autoencoder on relative coordinates (Hao et al., arXiv:2212.07347, App. A.2).

    A particle is :math:`x_i = (p_T / p_T^\mathrm{jet}, \eta - \eta^\mathrm{jet}, \phi - \phi^\mathrm{jet})`,
    relative to the sum of the jet's particles. Encoder and decoder pass messages between all particles of a jet
    (:class:`~lgae_pyg.nn.GraphNetConv`). Between them stands

    - at the level of the jet (GNNAE-JL) the mean over the particles, :math:`z \in \mathbb{R}^L`, from which a
      linear map makes :math:`N` slots. The code does not depend on the order of the particles, so the order of
      the output has no meaning;
    - at the level of the particles (GNNAE-PL) a code of :math:`d` numbers for each, permutation equivariant.

    The output becomes massless four-momenta with :math:`p_T, \eta, \phi` of the jet, which the decoder is told. A
    negative :math:`p_T` counts as zero there (a zero four-momentum), and the distance in :math:`\eta` is limited
    to 10; in the native coordinates, in which losses are to be taken for training (``loss.space=native``), both
    stay what they are: their gradients must not vanish.
    Particles without transverse momentum have all coordinates zero.

    The model is not Lorentz equivariant; rotations about the beam leave its code unchanged.

    Args:
        level: ``"jet"`` or ``"particle"``.
        latent: numbers in the code, :math:`L` of a jet (45 when omitted) or :math:`d` of a particle (2).
        num_particles: number of slots :math:`N`, the largest number of particles of a jet.
        node_sizes: for each step, the widths of the node features and of hidden layers of the node network.
        edge_sizes: for each step, the widths of the layers of the edge network.
        decoder_node_sizes: those of the decoder; as the encoder's when omitted.
        decoder_edge_sizes: those of the decoder; as the encoder's when omitted.
        alpha: slope of the leaky ReLUs.
        aggregation: how the code of a jet is made of its particles: ``mean``, ``max``, ``min``, or ``mix``, one
            linear map over the slots, for which their order counts. Not used for ``level="particle"``.
        mix_width: number of features that the linear map to the codes of the particles begins with; ``latent``
            when omitted. For ``level="particle"`` only.
        last_activation: whether encoder and decoder end with the leaky ReLU, as published.
        squash_output: apply :math:`\tanh` to the output.
        scale: the network sees the coordinates multiplied by these numbers (one, or one each for pT, eta and phi),
            and so do losses in native coordinates. The published model takes them as they are.
        decode: ``"jet"`` gives every jet as many particles as it had (the number is side information), ``"slots"``
            always :math:`N`.
        padded: fill jets up to :math:`N` particles with zeros, which talk to the others like particles, as the
            published code does.
        distance: ``"squared"`` as in the published code, or ``"norm"``, as the paper says.
        neighbours: a fixed number by which the sums over neighbours are divided; 1 as published.
        backend: see :class:`~lgae_pyg.nn.GraphNetConv`.

    Raises:
        ValueError: for unknown choices, sizes that do not fit each other, or ``decode="slots"`` of unpadded codes
            of particles.

    Shapes:
        - **input:** a PyG batch with ``pos`` :math:`(n, 4)` and ``ptr`` :math:`(B+1,)`
        - **output:** :class:`~lgae_pyg.models.Reconstruction`, ``p4`` :math:`(m, 4)` with :math:`m = n` for
          ``decode="jet"`` and :math:`m = BN` for ``"slots"``. The code is in ``latent.scalars``, :math:`(B, L)` or
          :math:`(B, N d)`, where slots without a particle hold zeros; there are no four-vectors in it
    """

    has_native = True
    num_particles: int
    scale: Tensor
    anomaly_score = "chamfer_relative"

    def __init__(
        self,
        level: str = "jet",
        latent: int | None = None,
        num_particles: int = 30,
        node_sizes: Sequence[Sequence[int]] = NODE_SIZES,
        edge_sizes: Sequence[Sequence[int]] = EDGE_SIZES,
        decoder_node_sizes: Sequence[Sequence[int]] | None = None,
        decoder_edge_sizes: Sequence[Sequence[int]] | None = None,
        alpha: float = 0.2,
        aggregation: str = "mean",
        mix_width: int | None = None,
        last_activation: bool = True,
        squash_output: bool = False,
        scale: float | Sequence[float] = 1.0,
        decode: str = "jet",
        padded: bool = False,
        distance: str = "squared",
        neighbours: float = 1.0,
        backend: str = "auto",
    ):
        super().__init__()
        check_choice("level", level, LEVELS)
        check_choice("aggregation", aggregation, JET_MAPS)
        check_choice("decode", decode, ("jet", "slots"))
        if level == "particle" and decode == "slots" and not padded:
            raise ValueError("decode='slots' of codes of particles needs padded=True: empty slots have no code")
        latent = latent or {"jet": 45, "particle": 2}[level]
        scale = [float(scale)] * COORDINATES if isinstance(scale, int | float) else list(map(float, scale))
        if len(scale) != COORDINATES or not all(scale):
            raise ValueError(f"scale is a number other than 0, or one each for pT, eta and phi, not {scale}")
        self.level, self.num_particles, self.aggregation = level, num_particles, aggregation
        self.decode_to, self.padded, self.squash_output = decode, padded, squash_output
        sizes = (node_sizes, edge_sizes), (decoder_node_sizes or node_sizes, decoder_edge_sizes or edge_sizes)
        encoder, decoder = ([[list(step) for step in kind] for kind in pair] for pair in sizes)
        (encoder_nodes, encoder_edges), (decoder_nodes, decoder_edges) = encoder, decoder
        self.latent = latent
        self.latent_size = latent if level == "jet" else latent * num_particles
        #: pT, eta and phi of the jet, and how many particles it has.
        self.side_information = COORDINATES + int(decode == "jet")
        self.permutation_invariant = level == "jet" and aggregation != "mix"
        self.resolve(latent=latent, scale=scale)
        self.resolve(decoder_node_sizes=decoder_nodes, decoder_edge_sizes=decoder_edges)
        self.register_buffer("scale", torch.tensor(scale), persistent=False)
        options = (alpha, last_activation, distance, neighbours, backend)
        outputs = GraphNet(decoder_nodes, decoder_edges, COORDINATES, *options)
        if level == "jet":
            inputs = GraphNet(encoder_nodes, encoder_edges, latent, *options)
            self.encoder: nn.Module = JetEncoder(inputs, latent, num_particles, aggregation)
            self.decoder: nn.Module = JetDecoder(outputs, latent, num_particles)
        else:
            inputs = GraphNet(encoder_nodes, encoder_edges, mix_width or latent, *options)
            self.encoder = ParticleEncoder(inputs, mix_width or latent, latent, num_particles)
            self.decoder = ParticleDecoder(outputs, latent, num_particles)

    @property
    def label(self) -> str:
        """A short printed name, as in the paper."""
        size = f"{self.latent}" if self.level == "jet" else f"{self.latent}×{self.num_particles}"
        return f"GNNAE-{LEVELS[self.level]} {size}"

    def to_native(self, p4: Tensor, axis: Tensor) -> Tensor:
        r"""The coordinates that the network sees, in the precision of its parameters.

        Args:
            p4: four-momenta of the particles, in any unit.
            axis: four-momenta of the jets, one for each particle, in the same.

        Shapes:
            - p4, axis: :math:`(n, 4)`
            - **output:** :math:`(n, 3)`
        """
        relative = relative_coordinates(p4, axis)
        relative = relative.masked_fill((transverse_momentum(p4) == 0).unsqueeze(-1), 0.0)
        dtype = next(self.parameters()).dtype
        return (relative * self.scale.to(relative.dtype)).to(dtype)

    def from_native(self, output: Tensor, axis: Tensor) -> Tensor:
        r"""Massless four-momenta of the network's output, the inverse of :meth:`to_native`; negative pT is 0.

        Args:
            output: native coordinates.
            axis: four-momenta of the jets, one for each particle.

        Shapes:
            - output: :math:`(n, 3)`, axis: :math:`(n, 4)`
            - **output:** :math:`(n, 4)`
        """
        pt, eta, phi = (output.to(axis.dtype) / self.scale.to(axis.dtype)).unbind(-1)
        return from_relative_coordinates(
            torch.stack([pt.clamp(min=0), eta.clamp(-MAX_ETA, MAX_ETA), phi], -1), axis
        )

    def encode(self, batch: Any) -> Latent:
        """The codes of a batch of jets."""
        self.check(batch)
        ptr = offsets_of(batch)
        axis = jet_sum(batch.pos, ptr)[node_to_graph(ptr, len(batch.pos))]
        return self.encode_native(self.to_native(batch.pos, axis), ptr)

    def encode_native(self, x: Tensor, ptr: Tensor) -> Latent:
        """The codes of jets given in native coordinates, :math:`(n, 3)`."""
        if self.padded:
            x = dense_layout(ptr, self.num_particles, len(x)).scatter(x).flatten(0, 1)
            ptr = full_offsets(len(ptr) - 1, self.num_particles, ptr.device)
        codes = self.encoder(x, ptr)
        return Latent(codes, codes.new_zeros(len(codes), 0, 4))

    def decode(self, latent: Latent, ptr: Tensor | None = None) -> tuple[Tensor, Tensor]:
        r"""Jets from codes, in native coordinates; :meth:`from_native` makes them four-momenta.

        Args:
            latent: the codes.
            ptr: offsets of the jets, that is, how many particles each is to have; :math:`N` when omitted.

        Returns:
            the coordinates :math:`(m, 3)`, and ``ptr`` :math:`(B+1,)`.
        """
        codes = latent.scalars
        full = full_offsets(len(codes), self.num_particles, codes.device)
        ptr = full if ptr is None else ptr
        output = self.decoder(codes, full if self.padded else ptr)
        if self.padded and ptr is not full:
            layout = dense_layout(ptr, self.num_particles)
            output = layout.gather(output.view(-1, self.num_particles, COORDINATES))
        return (output.tanh() if self.squash_output else output), ptr

    def forward(self, batch: Any) -> Reconstruction:
        ptr = offsets_of(batch)
        axis = jet_sum(batch.pos, ptr)
        target = self.to_native(batch.pos, axis[node_to_graph(ptr, len(batch.pos))])
        return self._reconstruct(self.encode_native(target, ptr), target, axis, ptr)

    def decode_like(self, latent: Latent, batch: Any) -> Reconstruction:
        """Jets from codes; a batch gives the side information, pT, eta, phi and number of particles of each.

        ``decode_like(encode(batch), batch)`` is the model itself; give other codes to see what they stand for.
        """
        ptr = offsets_of(batch)
        axis = jet_sum(batch.pos, ptr)
        target = self.to_native(batch.pos, axis[node_to_graph(ptr, len(batch.pos))])
        return self._reconstruct(latent, target, axis, ptr)

    def _reconstruct(self, latent: Latent, target: Tensor, axis: Tensor, ptr: Tensor) -> Reconstruction:
        output, output_ptr = self.decode(latent, ptr if self.decode_to == "jet" else None)
        p4 = self.from_native(output, axis[node_to_graph(output_ptr, len(output))])
        return Reconstruction(p4, output_ptr, latent, native=Native(output, output_ptr, target, ptr))
