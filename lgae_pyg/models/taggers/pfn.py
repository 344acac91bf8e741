r"""The particle flow network."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from lgae_pyg.models.taggers.inputs import GeVTagger, classifier, read_out
from lgae_pyg.nn.lorentz_patch import LorentzPatch
from lgae_pyg.ops.jet_features import FEATURE_SETS, jet_features
from lgae_pyg.ops.precision import without_autocast
from lgae_pyg.registry import choose


class PFN(GeVTagger):
    r"""Particle flow network, a deep set (Komiske et al., arXiv:1810.05165),
    :math:`F\big(\sum_i \Phi(x_i)\big)`, with a ReLU after every layer of :math:`\Phi` and :math:`F` but the last.

    Permutation invariant, not Lorentz invariant. With ``friends`` the mass of each particle's friends is added to
    the input of every layer of :math:`\Phi` (:class:`~lgae_pyg.nn.LorentzPatch`).

    Momenta are taken in ``unit``, TeV unless said otherwise.

    Args:
        num_classes: number of classes.
        features: features of particles, see :func:`~lgae_pyg.ops.jet_features.jet_features`.
        particle_widths: widths of the layers of :math:`\Phi`.
        jet_widths: widths of the hidden layers of :math:`F`.
        dropout: in :math:`F`, in training.
        friends: ``"mass"`` or ``"energy"`` of the friends of each particle; nothing when omitted.
        num_friends: number of friends.

    Raises:
        ValueError: for unknown choices, less than two classes, or no layer.

    Shapes:
        - **input:** a PyG batch with ``pos`` :math:`(n, 4)` and ``ptr`` :math:`(B+1,)`
        - **output:** logits :math:`(B, C)`
    """

    def __init__(
        self,
        num_classes: int = 2,
        features: str = "kinematic",
        particle_widths: Sequence[int] = (128, 128, 128),
        jet_widths: Sequence[int] = (128, 128, 128),
        dropout: float = 0.0,
        friends: str | None = None,
        num_friends: int = 16,
    ):
        super().__init__()
        if not particle_widths:
            raise ValueError("particle_widths needs one width at least")
        self.num_classes, self.features = num_classes, features
        sizes = [choose("feature set", features, FEATURE_SETS), *particle_widths]
        self.particle_layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        self.patch = LorentzPatch(sizes[:-1], friends, num_friends, activation=True) if friends else None
        self.jet_layers = classifier([sizes[-1], *jet_widths], num_classes, dropout)

    @property
    def label(self) -> str:
        """Its printed name."""
        return "PFN" if self.patch is None else f"PFN + {self.patch.feature} of friends"

    @without_autocast
    def forward(self, batch: Any) -> Tensor:
        p4, ptr = self.momenta(batch)
        additions = len(self.particle_layers) * [0.0] if self.patch is None else self.patch(p4, ptr)
        x = jet_features(p4, ptr, self.features).x.to(self.dtype)
        for layer, addition in zip(self.particle_layers, additions):
            x = layer(x + addition).relu()
        return self.jet_layers(read_out(x, ptr, "sum"))
