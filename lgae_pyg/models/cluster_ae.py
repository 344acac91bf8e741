"""An autoencoder without an order and without weights: clusters of a jet, packed as in the shell code."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lgae_pyg.lorentz.frames import detach_invariant
from lgae_pyg.lorentz.kinematics import minkowski_dot
from lgae_pyg.models.base import Autoencoder
from lgae_pyg.models.result import Latent, Reconstruction, offsets_of
from lgae_pyg.models.shell_code import ShellSizes, pack, unpack
from lgae_pyg.ops.clustering import Clustering, exclusive_clusters, split_clusters
from lgae_pyg.ops.graphs import dense_layout, graph_sizes


class ClusterAE(Autoencoder):
    r"""Permutation-invariant, Lorentz-equivariant autoencoder: exclusive clusters, and how each shares its energy.

    In the rest frame of the jet the two momenta with the smallest
    :math:`|E_i \vec p_j - E_j \vec p_i| / (E_i + E_j)` are merged until :math:`C` clusters are left
    (:func:`~lgae_pyg.ops.clustering.exclusive_clusters`). The code is the total :math:`P`, the light-like parts
    :math:`p_c` of all clusters but the hardest, :math:`P_c = p_c + t_c P`, and the imbalance
    :math:`s = (E_i - E_j) / (E_i + E_j)` of each merging. The decoder finds the hardest one from the total, and
    puts the particles of a cluster along its momentum in the shares that the imbalances say; what the clusters
    lost in mass, :math:`\sum_c t_c P`, is shared out among the merged ones by energy, so that the jet's
    four-momentum is kept. Particles that were not merged come back exactly, as light-like ones.

    Three numbers of a cluster, one of each merging and the four of :math:`P` are :math:`4 + 3 (C - 1) + (N - C)`;
    :math:`C` is as large as they fit into the code of an :class:`~lgae_pyg.models.LGAE` with as many latent
    vectors and scalars: 21 of 30 for nine complex vectors and one complex scalar, with one number to spare. They
    are packed as in :class:`~lgae_pyg.models.ShellLGAE`. Besides, the decoder is told the number of particles,
    and the node that each of the :math:`N - C` splits divides.

    Collinear particles merge first and at no distance: a particle and its collinear pieces have the same clusters,
    and two halves the same code. There is nothing to train.

    Args:
        num_particles: largest number of particles :math:`N` of a jet.
        latent_vectors: :math:`\tau_V`, complex vectors that the code has the size of.
        latent_scalars: :math:`\tau_S`, complex scalars.

    Raises:
        ValueError: for more latent vectors than particles.

    Shapes:
        - **input:** a PyG batch with ``pos`` :math:`(n, 4)` and ``ptr`` :math:`(B+1,)`
        - **output:** :class:`~lgae_pyg.models.Reconstruction` in double precision, as many particles as came in,
          in an order of their own
    """

    closed_form = True
    num_particles: int

    def __init__(self, num_particles: int = 30, latent_vectors: int = 9, latent_scalars: int = 1):
        super().__init__()
        if not 0 < 2 * latent_vectors - 1 <= num_particles:
            most = (num_particles + 1) // 2
            raise ValueError(
                f"{latent_vectors} latent vectors are more than {num_particles} particles fill: choose 1 to {most}"
            )
        self.num_particles = num_particles
        self.latent_vectors, self.latent_scalars = latent_vectors, latent_scalars
        self.sizes = cluster_sizes(latent_vectors, latent_scalars, num_particles)
        self.latent_size = 2 * (latent_scalars + 4 * latent_vectors)
        #: The number of particles, and for each that is no cluster the node that it is split from.
        self.side_information = 1 + num_particles - self.clusters

    @property
    def label(self) -> str:
        """Its printed name, such as ``ClusterAE τ=9``."""
        return f"ClusterAE τ={self.latent_vectors}"

    @property
    def clusters(self) -> int:
        """The largest number of clusters :math:`C` of a jet; the hardest is not in the code, but in the total."""
        return min(1 + self.sizes.known, self.num_particles)

    def fit(self, batches: Iterable[Any]) -> "ClusterAE":
        """The model itself: there is nothing to fit to the jets of some ``batches``."""
        return self

    def encode(self, batch: Any) -> Latent:
        """The codes of a batch of jets; vectors come in the unit of the momenta."""
        self.check(batch)
        return self._encode(self._clustering(batch))

    def decode(self, latent: Latent, parents: Tensor, ptr: Tensor, nodes: int | None = None) -> Tensor:
        """Jets from codes, :math:`(m, 4)`.

        Args:
            latent: the codes.
            parents: which node each split divides, see :class:`~lgae_pyg.ops.clustering.Clustering`.
            ptr: how many particles each jet is to have.
            nodes: how many there are in all, if known.

        Shapes:
            - parents: :math:`(B, N - 1)`, ptr: :math:`(B+1,)`
        """
        layout, sizes = dense_layout(ptr, self.num_particles, nodes), graph_sizes(ptr)
        scalars, vectors = (torch.stack([part.real, part.imag], 2).flatten(1, 2) for part in latent)
        total = vectors[:, :1]
        others, imbalance = unpack(vectors, scalars, self.sizes)
        hardest, _ = detach_invariant(total - others.sum(1, keepdim=True), total)
        light = _filled(torch.cat([hardest, others], 1), self.num_particles)
        imbalance = _filled(imbalance, self.num_particles - 1)
        clusters = (sizes - (parents >= 0).sum(1)).unsqueeze(1)
        there = torch.arange(self.num_particles, device=ptr.device) < clusters
        light = light * there.unsqueeze(-1)
        lost = total - light.sum(1, keepdim=True)
        momenta = light + _shares(minkowski_dot(light, total), there, parents) * lost
        return layout.gather(split_clusters(Clustering(momenta, imbalance, parents), sizes))

    def forward(self, batch: Any) -> Reconstruction:
        clustering = self._clustering(batch)
        return self._reconstruct(self._encode(clustering), clustering.parents, batch)

    def decode_like(self, latent: Latent, batch: Any) -> Reconstruction:
        """Jets from codes; a batch gives the side information, sizes and splits of its jets.

        ``decode_like(encode(batch), batch)`` is the model itself; give other codes to see what they stand for.
        """
        return self._reconstruct(latent, self._clustering(batch).parents, batch)

    def _reconstruct(self, latent: Latent, parents: Tensor, batch: Any) -> Reconstruction:
        ptr = offsets_of(batch)
        return Reconstruction(self.decode(latent, parents, ptr, len(batch.pos)), ptr, latent)

    def _clustering(self, batch: Any) -> Clustering:
        layout = dense_layout(offsets_of(batch), self.num_particles, len(batch.pos))
        return exclusive_clusters(layout.scatter(batch.pos.double()), self.clusters)

    def _encode(self, clustering: Clustering) -> Latent:
        total = clustering.momenta.sum(1)
        light, _ = detach_invariant(clustering.momenta[:, 1:], total.unsqueeze(1))
        light, imbalance = _filled(light, self.sizes.known), _filled(clustering.imbalance, self.sizes.learned)
        vectors, scalars = pack(light, total, imbalance, self.sizes)
        return Latent(*(torch.complex(part[:, 0::2], part[:, 1::2]) for part in (scalars, vectors)))


def cluster_sizes(latent_vectors: int, latent_scalars: int, num_particles: int) -> ShellSizes:
    r"""What :math:`2\tau` real vectors and some real scalars are used for: besides the total, a vector for each of
    :math:`2\tau - 1` clusters, three invariants for each of some more, and the rest for imbalances.

    As many clusters are written in invariants as leave room for the imbalances of all others' mergings.

    Args:
        latent_vectors: :math:`\tau_V`, complex vectors.
        latent_scalars: :math:`\tau_S`, complex scalars.
        num_particles: largest number of particles of a jet.
    """
    vectors = min(2 * latent_vectors - 1, num_particles)
    room = vectors + 2 * latent_scalars
    spare = vectors + room + 1 - num_particles  # the room, less the imbalances if no further cluster is written
    more = max(0, min(spare // 2, room // 3, num_particles - 1 - vectors))
    return ShellSizes(vectors, more, room - 3 * more)


def _shares(rest_energy: Tensor, there: Tensor, parents: Tensor) -> Tensor:
    """Shares by energy of the clusters that split in what is lost of the mass, :math:`(B, N, 1)`; of all, if none
    does."""
    node = torch.arange(there.shape[1], device=there.device)
    merged = (parents.unsqueeze(1) == node.view(1, -1, 1)).any(-1) & there
    among = torch.where(merged.any(1, keepdim=True), merged, there)
    weight = (rest_energy.clamp(min=0) + torch.finfo(rest_energy.dtype).tiny) * among
    return (weight / torch.where(among.any(1), weight.sum(1), 1.0).unsqueeze(1)).unsqueeze(-1)


def _filled(values: Tensor, width: int) -> Tensor:
    """As many columns as wanted, the first ones and zeros."""
    kept = values[:, :width]
    return torch.cat([kept, kept.new_zeros(len(kept), width - kept.shape[1], *kept.shape[2:])], 1)
