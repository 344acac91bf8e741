"""The linear autoencoder: principal components over particle slots, in closed form."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lgae_pyg.data.jet import unit_of
from lgae_pyg.lorentz.kinematics import energy, transverse_momentum
from lgae_pyg.models.base import Autoencoder
from lgae_pyg.models.result import Latent, Reconstruction, offsets_of
from lgae_pyg.ops.graphs import dense_layout
from lgae_pyg.ops.jets import restore_total


class LinearAE(Autoencoder):
    r"""The best linear Lorentz-equivariant autoencoder on ordered particles.

    With :math:`M_{ij} = \sum_{\text{jets}} \sum_\mu p_i^\mu p_j^\mu` over the slots of pT-ordered particles,

    .. math:: z_k = \sum_i B_{ik} p_i, \qquad p'_i = \sum_k A_{ik} z_k

    is the map of rank :math:`2\tau` with the smallest squared error when :math:`A = B` are the leading
    eigenvectors of :math:`M` (Eckart and Young). It is Lorentz equivariant, since it mixes whole four-vectors. It
    uses :math:`2\tau` real vectors, as many numbers as :math:`\tau` complex ones of an
    :class:`~lgae_pyg.models.LGAE`.

    With momentum conservation, the code must contain :math:`P = \sum_i p_i`. Any decoder that is the
    least-squares one for its encoder then conserves :math:`P`: with :math:`S = M^{1/2}` and
    :math:`R = (u, W)`, :math:`u \propto S (1, \ldots, 1)` and :math:`W` the leading eigenvectors of :math:`M` with
    :math:`u` projected out, the best choice is :math:`B = S^{-1} R`, :math:`A = S R` (the columns of :math:`B` are
    then scaled to norm 1, those of :math:`A` inversely; the first latent vector is :math:`P / \sqrt{N}`). Jets of
    fewer than :math:`N` particles are shifted by equal parts to their total.

    Args:
        latent_vectors: :math:`\tau`, half the number of real latent vectors.
        num_particles: number of slots :math:`N`.
        conserve_momentum: make the first latent vector proportional to :math:`P`, and keep :math:`P` exactly.

    Raises:
        ValueError: if there are more latent vectors than particles.

    Shapes:
        - **input:** a PyG batch with ``pos`` :math:`(n, 4)` and ``ptr`` :math:`(B+1,)`
        - **output:** :class:`~lgae_pyg.models.Reconstruction`, as many particles as came in
    """

    permutation_invariant = False
    closed_form = True
    num_particles: int
    encoder: Tensor
    decoder: Tensor
    #: Numbers that the decoder is told besides the code: how many particles the jet has.
    side_information = 1

    def __init__(self, latent_vectors: int = 9, num_particles: int = 30, conserve_momentum: bool = False):
        super().__init__()
        if not 0 < 2 * latent_vectors <= num_particles:
            raise ValueError(
                f"2 x latent_vectors = {2 * latent_vectors} real vectors do not fit {num_particles} particles"
            )
        self.num_particles, self.conserve_momentum = num_particles, conserve_momentum
        self.latent_vectors, self.latent_size = latent_vectors, 8 * latent_vectors
        empty = torch.full((num_particles, 2 * latent_vectors), torch.nan, dtype=torch.float64)
        self.register_buffer("encoder", empty)
        self.register_buffer("decoder", empty.clone())

    @property
    def label(self) -> str:
        """Its printed name, such as ``LinearAE τ=9``."""
        return f"LinearAE τ={self.latent_vectors}" + self.conserve_momentum * ", P conserved"

    def fit(self, batches: Iterable[Any], weighting: str = "equal") -> "LinearAE":
        r"""Fits the components to the jets of some batches, in one pass; the unit of the jets becomes the model's.

        Args:
            batches: PyG batches, such as a loader over the training split.
            weighting: ``"equal"`` minimises the squared error of the fitted jets. ``"transverse"`` weights each
                jet by :math:`(p_T / E)^2` of its total, as if all were seen at :math:`\eta = 0`: momenta grow like
                :math:`\cosh \eta`, and a few forward jets would otherwise decide the fit. It does better on
                other jets.

        Raises:
            ValueError: for an unknown weighting, if there is no jet, or momenta are not finite.
        """
        if weighting not in ("equal", "transverse"):
            raise ValueError(f"unknown weighting '{weighting}': choose equal or transverse")
        moment = torch.zeros(self.num_particles, self.num_particles, dtype=torch.float64)
        for batch in batches:
            if unit := unit_of(batch):
                self.unit = unit
            slots = self._slots(batch).cpu().double()
            if weighting == "transverse":
                total = slots.sum(1)
                slots = slots * (transverse_momentum(total) / energy(total)).view(-1, 1, 1)
            moment += torch.einsum("bim,bjm->ij", slots, slots)
        if not torch.isfinite(moment).all() or not moment.any():
            raise ValueError("LinearAE.fit needs at least one jet, and finite momenta")
        return self.fit_moment(moment)

    def fit_moment(self, moment: Tensor) -> "LinearAE":
        r"""Sets the components from the second moment :math:`M_{ij}`, shape :math:`(N, N)`."""
        rank = self.encoder.shape[1]
        values, vectors = torch.linalg.eigh(moment)
        if not self.conserve_momentum:
            leading = _fix_signs(vectors.flip(-1)[:, :rank])
            self.encoder.copy_(leading)
            self.decoder.copy_(leading)
            return self
        values = values.clamp(min=1e-15 * float(values.max())).sqrt()
        root = vectors @ torch.diag(values) @ vectors.T
        total = root.sum(1, keepdim=True)
        total = total / total.norm()
        rest = torch.eye(len(moment), dtype=moment.dtype) - total @ total.T
        others = torch.linalg.eigh(rest @ moment @ rest).eigenvectors.flip(-1)[:, : rank - 1]
        span = torch.cat([total, _fix_signs(others)], 1)
        encoder = vectors @ torch.diag(1 / values) @ vectors.T @ span
        norms = encoder.norm(dim=0)
        self.encoder.copy_(encoder / norms)
        self.decoder.copy_(root @ span * norms)
        return self

    def encode(self, batch: Any) -> Latent:
        """Real latent vectors :math:`(B, 2\\tau, 4)`; no scalars.

        Raises:
            ValueError: the model is not fitted, or cannot read the batch.
        """
        self.check(batch)
        if torch.isnan(self.encoder).any():
            raise ValueError("LinearAE is not fitted: call fit(training batches) first")
        vectors = torch.einsum("ik,bim->bkm", self.encoder, self._slots(batch))
        return Latent(vectors.new_zeros(len(vectors), 0), vectors)

    def forward(self, batch: Any) -> Reconstruction:
        return self.decode_like(self.encode(batch), batch)

    def decode_like(self, latent: Latent, batch: Any) -> Reconstruction:
        """Jets from codes; a batch gives the side information, how many particles each jet has.

        ``decode_like(encode(batch), batch)`` is the model itself; give other codes to see what they stand for.
        """
        ptr = offsets_of(batch)
        dense = torch.einsum("ik,bkm->bim", self.decoder, latent.vectors)
        p4 = dense_layout(ptr, self.num_particles).gather(dense)
        if self.conserve_momentum:
            p4 = restore_total(p4, latent.vectors[:, 0] / self.encoder[0, 0], ptr)
        return Reconstruction(p4, ptr, latent)

    def _slots(self, batch: Any) -> Tensor:
        layout = dense_layout(offsets_of(batch), self.num_particles)
        return layout.scatter(batch.pos.to(self.encoder.dtype))


def _fix_signs(vectors: Tensor) -> Tensor:
    """Makes the largest entry of each column positive, so that a fit does not depend on the eigensolver."""
    largest = vectors.abs().argmax(0, keepdim=True)
    return vectors * vectors.gather(0, largest).sign()
