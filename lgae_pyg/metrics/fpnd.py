r"""Frechet ParticleNet distance and jet-class confusion, by the network that jetnet ships.

A ParticleNet (arXiv:1902.08570) with 16 neighbours, three EdgeConv blocks and 256 activations was trained on
real JetNet jets of 30 particles (arXiv:2106.11535, Section 4 and Appendix A). The jetnet package carries its
weights and the mean :math:`\mu_r` and covariance :math:`\Sigma_r` of its activations on 50,000 real jets of
the classes g, q and t, so

.. math::
    \mathrm{FPND} = |\mu_r - \mu|^2 + \mathrm{tr}\,(\Sigma_r + \Sigma - 2 (\Sigma_r \Sigma)^{1/2})

is a distance to real JetNet that needs no JetNet file. jetnet's own evaluation needs a compiled k-NN; here
the neighbours come from a dense distance matrix.
"""

import functools
import importlib.util
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

JUDGE_CLASSES = ("g", "t", "q", "w", "z")
"""Order of the network's outputs."""

FPND_CLASSES = ("g", "q", "t")
"""Classes with shipped activation statistics."""

NUM_PARTICLES = 30
NEIGHBOURS = 16
MAX_JETS = 50_000
FEATURE_MAXES = (1.6211985349655151, 0.520724892616272, 0.8934717178344727)
FEATURE_SHIFTS = (0.0, 0.0, -0.5)


def fpnd(particle_features: ArrayLike | Tensor, jet_type: str, batch_size: int = 500) -> float:
    """Frechet ParticleNet distance of jets to real JetNet jets of a class.

    It is biased upwards for few jets; the reference used 50,000, and no more are looked at.

    Args:
        particle_features: etarel, phirel, ptrel of each particle, zeros where there is none.
        jet_type: the real class to compare with, one of g, q, t.
        batch_size: jets per pass of the network.

    Shapes:
        - **particle_features**: (jets, 30, 3), or more features of which the first three count.

    Raises:
        ValueError: wrong shape, values that are not finite, an unknown class, or fewer than 2 jets.
        ImportError: jetnet is not installed.
    """
    mean, covariance = reference_statistics(jet_type)
    return frechet_distance(mean, covariance, *gaussian(activations(particle_features, batch_size)))


def class_fractions(activation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fractions of each output class from activations.

    Shapes:
        - **activation**: (jets, 256).
        - **output**: (5,), in the order of :data:`JUDGE_CLASSES`.
    """
    weights = _weights()
    hidden = torch.as_tensor(activation, dtype=torch.float32).relu()
    chosen = functional.linear(hidden, weights["fc2.weight"], weights["fc2.bias"]).argmax(-1)
    return torch.bincount(chosen, minlength=len(JUDGE_CLASSES)).double().div(len(chosen)).numpy()


def activations(
    particle_features: ArrayLike | Tensor, batch_size: int = 500, progress: bool = False
) -> NDArray[np.float64]:
    """Activations of the last hidden layer (before its ReLU).

    Args:
        particle_features: as in :func:`fpnd`; the first 50,000 jets are used.
        batch_size: jets per pass.
        progress: show a progress bar.

    Shapes:
        - **output**: (jets, 256).
    """
    jets = torch.as_tensor(np.asarray(particle_features) if not isinstance(particle_features, Tensor)
                           else particle_features.detach().cpu())
    if jets.dim() != 3 or len(jets) == 0 or jets.shape[1] != NUM_PARTICLES or jets.shape[2] < 3:
        raise ValueError(f"particle_features has shape {tuple(jets.shape)}; the judge needs (jets, "
                         f"{NUM_PARTICLES}, 3): the {NUM_PARTICLES} leading particles, padded with zeros")
    jets = jets[:MAX_JETS, :, :3].float()
    bad = ~torch.isfinite(jets).flatten(1).all(1)
    if bad.any():
        raise ValueError(f"particle_features of jet {int(bad.nonzero()[0])} are not all finite numbers")
    scaled = jets / torch.tensor(FEATURE_MAXES) + torch.tensor(FEATURE_SHIFTS)
    with torch.no_grad(), tqdm(total=len(scaled), desc="ParticleNet", unit=" jets", disable=not progress,
                               leave=False) as bar:
        parts = []
        for batch in scaled.split(batch_size):
            parts.append(_particlenet(batch))
            bar.update(len(batch))
    return torch.cat(parts).double().numpy()


def gaussian(activation: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and (unbiased) covariance of activations.

    Shapes:
        - **activation**: (jets, features).
        - **output**: (features,) and (features, features).
    """
    if len(activation) < 2:
        raise ValueError("the Frechet distance needs at least 2 jets")
    return activation.mean(0), np.cov(activation, rowvar=False)


def frechet_distance(mean: NDArray, covariance: NDArray, other_mean: NDArray, other_covariance: NDArray) -> float:
    r"""Squared 2-Wasserstein distance of two Gaussians (Dowson and Landau 1982).

    The trace of :math:`(\Sigma_1\Sigma_2)^{1/2}` is the sum of the square roots of the eigenvalues of the
    symmetric :math:`\Sigma_1^{1/2}\Sigma_2\Sigma_1^{1/2}`, which stays real for singular covariances.

    Shapes:
        - **mean**, **other_mean**: (n,).
        - **covariance**, **other_covariance**: (n, n).
    """
    first, second = np.atleast_2d(covariance), np.atleast_2d(other_covariance)
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    middle = np.linalg.eigvalsh(root @ second @ root)
    cross = np.sqrt(np.maximum(middle, 0)).sum()
    shift = np.atleast_1d(mean) - np.atleast_1d(other_mean)
    return float(shift @ shift + np.trace(first) + np.trace(second) - 2 * cross)


@functools.cache
def reference_statistics(jet_type: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (256,) and covariance (256, 256) of the activations of real jets of a class.

    Raises:
        ValueError: a class without statistics.
        ImportError: jetnet is not installed.
    """
    if jet_type not in FPND_CLASSES:
        raise ValueError(f"no real statistics for jet class {jet_type!r}: only for {', '.join(FPND_CLASSES)}")
    folder = resources()
    return np.loadtxt(folder / f"{jet_type}_mu.txt"), np.loadtxt(folder / f"{jet_type}_sigma.txt")


def resources() -> Path:
    """Folder of the network and its statistics inside the installed jetnet, which is not imported.

    Raises:
        ImportError: jetnet is not installed, or without these files.
    """
    found = importlib.util.find_spec("jetnet")
    for place in (found.submodule_search_locations or []) if found else []:
        folder = Path(place) / "evaluation" / "fpnd_resources" / "jetnet" / f"{NUM_PARTICLES}_particles"
        if (folder / "pnet_state_dict.pt").is_file():
            return folder
    raise ImportError("the Frechet ParticleNet distance needs the network shipped with jetnet: "
                      "pip install 'lgae-pyg[jetnet]' (numpy 1.26, Python up to 3.12)")


@functools.lru_cache(maxsize=1)
def _weights() -> dict[str, Tensor]:
    """The shipped weights, with each batch normalisation folded into the linear layer before it."""
    state = torch.load(resources() / "pnet_state_dict.pt", map_location="cpu", weights_only=True)
    weights = {name: state[name] for name in ("fc2.weight", "fc2.bias")}
    weights |= {"fc1.weight": state["fc1.0.weight"], "fc1.bias": state["fc1.0.bias"]}
    for block in range(3):
        for layer in range(3):
            linear, norm = (f"edge_nets.{block}.model.{3 * layer + part}" for part in (0, 1))
            scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + 1e-5).sqrt()
            weights[f"{block}.{layer}.weight"] = state[f"{linear}.weight"] * scale[:, None]
            weights[f"{block}.{layer}.bias"] = (
                state[f"{norm}.bias"] + (state[f"{linear}.bias"] - state[f"{norm}.running_mean"]) * scale
            )
    return weights


def _particlenet(x: Tensor) -> Tensor:
    """(jets, 30, 3) -> (jets, 256)."""
    for block in range(3):
        x = torch.cat([_edge_conv(x, x[..., :2] if block == 0 else x, block), x], dim=-1)
    return functional.linear(x.mean(1), _weights()["fc1.weight"], _weights()["fc1.bias"])


def _edge_conv(x: Tensor, space: Tensor, block: int) -> Tensor:
    """Mean over the nearest neighbours j in ``space`` of MLP(x_i, x_j - x_i) (arXiv:1801.07829)."""
    weights = _weights()
    distance = torch.cdist(space, space, compute_mode="donot_use_mm_for_euclid_dist")
    distance.diagonal(dim1=1, dim2=2).fill_(float("inf"))
    near = distance.topk(NEIGHBOURS, dim=-1, largest=False).indices
    own, change = weights[f"{block}.0.weight"].chunk(2, dim=-1)
    centre = functional.linear(x, own - change, weights[f"{block}.0.bias"])
    neighbour = functional.linear(x, change)
    jets, nodes, width = neighbour.shape
    picked = neighbour.gather(1, near.reshape(jets, -1, 1).expand(-1, -1, width))
    edge = (picked.reshape(jets, nodes, NEIGHBOURS, width) + centre[:, :, None]).relu()
    for layer in (f"{block}.1", f"{block}.2"):
        edge = functional.linear(edge, weights[f"{layer}.weight"], weights[f"{layer}.bias"]).relu()
    return edge.mean(2)
