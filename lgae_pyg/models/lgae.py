"""The Lorentz-group-equivariant autoencoder (LGAE)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation

from lgae_pyg.models.base import Autoencoder
from lgae_pyg.models.behaviour import Behaviour
from lgae_pyg.models.lgae_networks import Decoder, Encoder, scalar_vector
from lgae_pyg.models.result import Latent, Reconstruction, offsets_of
from lgae_pyg.nn.aggr import MixAggregation, num_concatenated
from lgae_pyg.ops.jets import jet_sum, restore_total
from lgae_pyg.registry import check_choice

READOUTS = ("sum", "real", "imag", "mean")


class LGAE(Autoencoder):
    r"""Lorentz-group-equivariant autoencoder (Hao et al., arXiv:2212.07347).

    The encoder passes Lorentz messages between the particles of a jet and aggregates them into :math:`\tau_S`
    complex scalars and :math:`\tau_V` complex four-vectors; the decoder expands them with one linear map per
    particle and passes messages again. Every step commutes with the Lorentz group,
    :math:`\mathrm{LGAE}(\Lambda p) = \Lambda\, \mathrm{LGAE}(p)`.

    The model begins in float64 (``.to(torch.float32)`` changes it): invariants of nearly light-like momenta are
    differences of large numbers.

    Args:
        aggregation: ``mix`` (learnable, over ordered particles) or a permutation-invariant one: ``min``, ``max``,
            ``mean``, ``sum``, ``softmax``, averages ``a+b`` and concatenations ``a&b`` (the paper's Min-Max is
            ``min&max``); or a module, PyG's or one's own (:func:`~lgae_pyg.nn.aggr.build_aggregation`), with which
            the model cannot be saved as a checkpoint.
        num_particles: number of output slots :math:`N` (and input slots of ``mix``).
        latent_vectors: :math:`\tau_V` (of each concatenated part); 9 for ``mix`` and 4 otherwise when omitted.
        latent_scalars: :math:`\tau_S` (of each concatenated part).
        encoder_channels: multiplicities after the input mixing and after each level of the encoder.
        decoder_channels: the same of the decoder.
        max_weight: largest weight :math:`\max(2m, 2n)` of irreps inside; 1 means scalars and vectors. A sequence
            gives one for each level of both networks, the last for all further ones.
        num_bells: bells of the radial functions (twice the original's ``num_basis_fn``).
        mlp_depth: hidden layers of the scalar perceptrons.
        mlp_width: their width in units of :math:`2\tau`.
        activation: their activation.
        extra_scalars: number of invariant node scalars read from ``batch.x``.
        jet_inputs: every particle also sees the jet: :math:`P = \sum_i p_i` (divided by :math:`N`) as an input
            vector, :math:`P^2` and :math:`p_i \cdot P` as input scalars.
        readout: how complex outputs become real: ``sum`` (:math:`\mathrm{Re} + \mathrm{Im}`), ``real``, ``imag``
            or ``mean``.
        decode: ``jet`` gives every jet as many particles as it had (the number is side information),
            ``slots`` always :math:`N`.
        conserve_momentum: keep the jet's four-momentum exactly: the real part of the first latent vector is
            :math:`P = \sum_i p_i`, and the outputs are shifted by equal parts to sum to it.
        scale: momenta are multiplied by it on the way in and divided on the way out. The default brings TeV to
            units of 100 GeV, the size of jet masses.
        backend: how messages are summed: ``auto``, ``edge_list`` (the plain definition), ``dense`` (PyTorch,
            memory :math:`O(n^2)`) or ``fused`` (compiled kernels, memory :math:`O(n)`). All give the same
            numbers; ``auto`` is ``fused`` where that can run
            (:func:`~lgae_pyg.ops.backends.choice.choose_backend`).
        mixed_precision: evaluate radial functions and perceptrons, which act on invariants, in float32, and the
            rest in the precision of the parameters.
        behaviour: ``clean``, ``original`` (the published code, defects included) or a mapping of the options of
            :class:`~lgae_pyg.models.Behaviour`.

    Raises:
        ValueError: for unknown choices, and more weights than levels.

    Shapes:
        - **input:** a PyG batch with ``pos`` :math:`(n, 4)` and ``ptr`` :math:`(B+1,)`
        - **output:** :class:`~lgae_pyg.models.Reconstruction`, ``p4`` :math:`(m, 4)` with :math:`m = n` for
          ``decode="jet"`` and :math:`m = BN` for ``"slots"``
    """

    num_particles: int

    def __init__(
        self,
        aggregation: str | Aggregation = "mix",
        num_particles: int = 30,
        latent_vectors: int | None = None,
        latent_scalars: int = 1,
        encoder_channels: Sequence[int] = (3, 3, 4, 4),
        decoder_channels: Sequence[int] = (4, 4, 3, 3),
        max_weight: int | Sequence[int] = 1,
        num_bells: int = 20,
        mlp_depth: int = 6,
        mlp_width: int = 6,
        activation: str = "leakyrelu",
        extra_scalars: int = 0,
        jet_inputs: bool = False,
        readout: str = "sum",
        decode: str = "jet",
        conserve_momentum: bool = False,
        scale: float = 10.0,
        backend: str = "auto",
        mixed_precision: bool = False,
        behaviour: str | dict[str, Any] | Behaviour = "clean",
    ):
        super().__init__()
        check_choice("readout", readout, READOUTS)
        check_choice("decode", decode, ("jet", "slots"))
        if latent_vectors is None:
            latent_vectors = 9 if aggregation == "mix" else 4
        behaviour = Behaviour.named(behaviour)
        self.aggregation, self.num_particles = str(aggregation), num_particles
        self.readout, self.decode_to, self.scale = readout, decode, float(scale)
        self.conserve_momentum, self.takes_padding = conserve_momentum, behaviour.masked_padding
        self.mixed_precision, self.extra_scalars = mixed_precision, extra_scalars
        self.latent_vectors = latent_vectors
        self.side_information = int(decode == "jet")  # how many particles the jet has
        self.resolve(latent_vectors=latent_vectors, scale=self.scale, behaviour=behaviour.to_dict())
        conv = {
            "num_bells": num_bells,
            "mlp_depth": mlp_depth,
            "mlp_width": mlp_width,
            "activation": activation,
            "backend": backend,
            "mixed_precision": mixed_precision,
        }
        conv["neighbours"] = 1.0 if behaviour.plain_sum else float(num_particles)
        stack = {"max_weight": max_weight, "behaviour": behaviour, "conv": conv}
        parts = num_concatenated(aggregation)
        latent = scalar_vector(latent_scalars, latent_vectors)
        self.latent_irreps = scalar_vector(parts * latent_scalars, parts * latent_vectors)
        encoder, decoder = ({"channels": c, **stack} for c in (encoder_channels, decoder_channels))
        self.encoder = Encoder(aggregation, latent, num_particles, extra_scalars, encoder, jet_inputs)
        self.decoder = Decoder(self.latent_irreps, num_particles, decoder)
        self.latent_size = 2 * self.latent_irreps.dim
        self.permutation_invariant = not isinstance(self.encoder.aggregation, MixAggregation)
        self.double()

    @property
    def label(self) -> str:
        """Its printed name, such as ``LGAE mix τ=9, P conserved``."""
        return f"LGAE {self.aggregation} τ={self.latent_vectors}" + self.conserve_momentum * ", P conserved"

    @property
    def momentum_scale(self) -> float:  # type: ignore[override]  # follows scale
        """What momenta are multiplied by on the way in."""
        return self.scale

    def encode(self, batch: Any) -> Latent:
        """The codes of a batch of jets; vectors come in the unit of the momenta."""
        self.check(batch)
        ptr = offsets_of(batch)
        momenta = self._momenta(batch)
        latent = self.encoder(self.scale * momenta, ptr, self._extra_scalars(batch))
        vectors = latent.vectors / self.scale
        if self.conserve_momentum:
            vectors = _with_total(vectors, momenta, ptr)
        return Latent(latent.scalars, vectors)

    def decode(self, latent: Latent, ptr: Tensor | None = None, nodes: int | None = None) -> tuple[Tensor, Tensor]:
        r"""Jets from codes, as complex four-vectors; :meth:`read_out` makes them real.

        Args:
            latent: the codes.
            ptr: offsets of the jets, that is, how many particles each is to have; :math:`N` when omitted.
            nodes: the last of the offsets, if known; a GPU need not be waited for then.

        Returns:
            the four-vectors :math:`(m, 4)`, complex, and ``ptr`` :math:`(B+1,)`.
        """
        if ptr is None:
            jets = len(latent.scalars)
            ptr = self.num_particles * torch.arange(jets + 1, device=latent.scalars.device)
            nodes = jets * self.num_particles
        vectors = self.scale * latent.vectors
        if self.conserve_momentum:
            vectors = _shrink_total(vectors, self.num_particles**-0.5)
        return self.decoder(Latent(latent.scalars, vectors), ptr, nodes) / self.scale, ptr

    def read_out(self, vectors: Tensor, latent: Latent, ptr: Tensor) -> Tensor:
        """Real four-momenta of complex ones, shape (m, 4), shifted to the jet's total where it is conserved."""
        real, imag = vectors.real, vectors.imag
        p4 = {"sum": real + imag, "mean": (real + imag) / 2, "real": real, "imag": imag}[self.readout]
        if self.conserve_momentum:
            p4 = restore_total(p4, latent.vectors[:, 0].real, ptr)
        return p4

    def forward(self, batch: Any) -> Reconstruction:
        return self.decode_like(self.encode(batch), batch)

    def decode_like(self, latent: Latent, batch: Any) -> Reconstruction:
        """Jets from codes; a batch gives the side information, how many particles each jet has.

        ``decode_like(encode(batch), batch)`` is the model itself; give other codes to see what they stand for.
        """
        sizes = (offsets_of(batch), len(batch.pos)) if self.decode_to == "jet" else ()
        vectors, ptr = self.decode(latent, *sizes)
        return Reconstruction(self.read_out(vectors, latent, ptr), ptr, latent, vectors)

    def _momenta(self, batch: Any) -> Tensor:
        return batch.pos.to(next(self.parameters()).dtype)

    def _extra_scalars(self, batch: Any) -> Tensor | None:
        wanted = self.extra_scalars
        if not wanted:
            return None
        x = getattr(batch, "x", None)
        if not isinstance(x, Tensor) or x.shape != (len(batch.pos), wanted):
            found = f"has shape {tuple(x.shape)}" if isinstance(x, Tensor) else "is missing"
            raise ValueError(
                f"the model reads {wanted} extra_scalars of each particle from the field 'x' of the batch, of "
                f"shape ({len(batch.pos)}, {wanted}), but 'x' {found}"
            )
        return x


def _shrink_total(vectors: Tensor, factor: float) -> Tensor:
    """Brings the total in the first latent vector to the size of the others, which are like single particles."""
    first = torch.complex(factor * vectors[:, 0].real, vectors[:, 0].imag)
    return torch.cat([first.unsqueeze(1), vectors[:, 1:]], 1)


def _with_total(vectors: Tensor, momenta: Tensor, ptr: Tensor) -> Tensor:
    """Puts the jet's four-momentum into the real part of the first latent vector."""
    first = torch.complex(jet_sum(momenta, ptr), vectors[:, 0].imag)
    return torch.cat([first.unsqueeze(1), vectors[:, 1:]], 1)
