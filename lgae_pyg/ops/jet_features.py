r"""Features of particles that taggers without Lorentz symmetry see, made of momenta in GeV."""

from typing import NamedTuple

import torch
from torch import Tensor

from lgae_pyg.lorentz.kinematics import (
    azimuth,
    energy,
    pseudorapidity,
    rapidity,
    transverse_momentum,
    wrap_angle,
)
from lgae_pyg.ops.jets import PaddedJets, RaggedJets
from lgae_pyg.registry import check_choice

#: Sets of features with their numbers.
FEATURE_SETS = {"kinematic": 7, "logarithmic": 4, "energy_flow": 3}
#: Largest |eta - eta_jet|; jets reach 2, and particles along the beam infinity.
MAX_ETA = 10.0
TINY = 1e-30


class JetFeatures(NamedTuple):
    """Features of particles, and the coordinates in which their neighbours are found.

    Attributes:
        x: features, :math:`(n, F)`.
        points: :math:`(\\Delta\\eta, \\Delta\\phi)` relative to the jet, :math:`(n, 2)`.
    """

    x: Tensor
    points: Tensor


def jet_features(p4: Tensor, ptr: Tensor | PaddedJets, features: str = "kinematic") -> JetFeatures:
    r"""Features relative to the sum of the particles of a jet, whose axis has the pseudorapidity
    :math:`\eta_J` and the azimuth :math:`\phi_J`; :math:`s = \mathrm{sgn}(\eta_J)`, 1 for 0:

    - ``kinematic`` (weaver's): :math:`\ln p_T, \ln E, \ln p_T / p_{T,J}, \ln E / E_J, \Delta R`, each shifted,
      scaled and clipped to [-5, 5], and :math:`\Delta\eta = s (\eta - \eta_J), \Delta\phi`;
    - ``logarithmic`` (ParticleNet's example): :math:`\ln p_T, \ln E, \Delta\eta, \Delta\phi`;
    - ``energy_flow`` (EnergyFlow's): :math:`p_T / \sum p_T` and the rapidity and azimuth relative to their means
      weighted by :math:`p_T`.

    Everything is computed in float64.

    Args:
        p4: four-momenta in GeV.
        ptr: offsets of the jets; or the jets themselves, such as padded ones.
        features: name of the set.

    Raises:
        ValueError: for an unknown set.

    Shapes:
        - p4: :math:`(n, 4)`, ptr: :math:`(B+1,)`; or p4: :math:`(B, N, 4)` of padded jets
        - **output:** :math:`(n, F)` and :math:`(n, 2)`, float64; or :math:`(B, N, F)` and :math:`(B, N, 2)`
    """
    check_choice("feature set", features, FEATURE_SETS)
    p4 = p4.double()
    jets = RaggedJets.of(ptr, len(p4)) if isinstance(ptr, Tensor) else ptr
    jet = jets.sum(p4)
    eta, side = pseudorapidity(jet), torch.where(pseudorapidity(jet) < 0, -1.0, 1.0)
    delta_eta = (jets.spread(side) * (pseudorapidity(p4) - jets.spread(eta))).clamp(-MAX_ETA, MAX_ETA)
    points = torch.stack([delta_eta, wrap_angle(azimuth(p4) - jets.spread(azimuth(jet)))], -1)
    if features == "energy_flow":
        return JetFeatures(_energy_flow(p4, jet, jets), points)
    logs = [transverse_momentum(p4).clamp(min=TINY).log(), energy(p4).clamp(min=TINY).log()]
    if features == "logarithmic":
        return JetFeatures(torch.cat([torch.stack(logs, -1), points], -1), points)
    jet_logs = [transverse_momentum(jet).clamp(min=TINY).log(), energy(jet).clamp(min=TINY).log()]
    shares = [one - jets.spread(whole) for one, whole in zip(logs, jet_logs)]
    raw = torch.stack([*logs, *shares, torch.linalg.vector_norm(points, dim=-1)], -1)
    shift, scale = raw.new_tensor([1.7, 2.0, -4.7, -4.7, 0.2]), raw.new_tensor([0.7, 0.7, 0.7, 0.7, 4.0])
    return JetFeatures(torch.cat([((raw - shift) * scale).clamp(-5, 5), points], -1), points)


def _energy_flow(p4: Tensor, jet: Tensor, jets: RaggedJets | PaddedJets) -> Tensor:
    pt = transverse_momentum(p4)
    share = (pt / jets.spread(jets.sum(pt).clamp(min=TINY))).unsqueeze(-1)
    phi = wrap_angle(azimuth(p4) - jets.spread(azimuth(jet)))
    place = torch.stack([rapidity(p4).clamp(-MAX_ETA, MAX_ETA), phi], -1)
    return torch.cat([share, place - jets.spread(jets.sum(share * place))], -1)
