"""The codes of samples of jets, in GeV, beside the jets' own momenta; and combinations of latent four-vectors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lgae_pyg.data import JetLoader
from lgae_pyg.evaluation.sample import Sample
from lgae_pyg.evaluation.subject import LeftOut, Subject
from lgae_pyg.lorentz.kinematics import minkowski_dot
from lgae_pyg.losses import jet_sum
from lgae_pyg.models import Latent

Array = NDArray[np.float64]
JET = "jet"


@dataclass(frozen=True)
class Codes:
    """The codes of a sample, on the CPU in float64, and the jets they are of.

    Args:
        latent: the codes, the vectors in GeV.
        jets: four-momenta of the jets in GeV.
        sizes: numbers of particles of the jets.

    Shapes:
        - **jets**: :math:`(n, 4)`, **sizes**: :math:`(n,)`
    """

    latent: Latent
    jets: Tensor
    sizes: Tensor

    @property
    def vectors(self) -> dict[str, Tensor]:
        """Latent four-vectors and their sums by printed name, see :func:`vector_combinations`."""
        return vector_combinations(self.latent.vectors)

    @property
    def scalars(self) -> dict[str, Tensor]:
        """Latent scalars, or the plain numbers of the code, by printed name."""
        return scalar_parts(self.latent.scalars, "s" if self.latent.vectors.shape[1] else "z")

    def invariants(self) -> Array:
        """What no Lorentz transformation changes: scalars, Minkowski products of all pairs, their signed roots.

        Products are in GeV², roots in GeV (:func:`latent_invariants`); without vectors these are the plain numbers
        of the code.
        """
        roots = latent_invariants(self.latent).numpy()
        products = roots[:, self._real_scalars().shape[1] :]
        return np.concatenate([roots, products * np.abs(products)], 1)

    def numbers(self) -> Array:
        """All numbers of the code, scalars and components of vectors."""
        vectors = _parts(self.latent.vectors)
        return np.concatenate([self._real_scalars(), *(part.flatten(1).numpy() for part in vectors)], 1)

    def _real_scalars(self) -> Array:
        return np.concatenate([part.numpy() for part in _parts(self.latent.scalars)], 1)


def encode_sample(
    subject: Subject, sample: Sample, batch_size: int = 64, tick: Callable[[], object] = lambda: None
) -> Codes:
    """The codes of a sample of jets.

    Raises:
        LeftOut: if the model does not show its codes.
        ValueError: if a code is NaN or infinite.
    """
    codes: list[Latent] = []
    jets, sizes = [], []
    for batch in JetLoader(sample.store, batch_size):
        with torch.inference_mode():
            latent = subject.model.encode(batch)
        if latent is None:
            raise LeftOut(f"{subject.label} does not show its codes: it encodes jets as None")
        codes.append(latent)
        jets.append(jet_sum(batch.pos.double(), batch.ptr).cpu())
        sizes.append(batch.ptr.diff().cpu())
        tick()
    scalars, vectors = (torch.cat([_double(part) for part in parts]) for parts in zip(*codes))
    latent = Latent(scalars, subject.unit_in_gev * vectors)
    broken = ~torch.stack([torch.isfinite(part).flatten(1).all(1) for part in latent]).all(0)
    if broken.any():
        first = int(broken.nonzero()[0, 0])
        count = int(broken.sum())
        raise ValueError(f"codes of {count} {sample.name} jets are not finite, the first is that of jet {first}")
    return Codes(latent, subject.unit_in_gev * torch.cat(jets), torch.cat(sizes))


def latent_invariants(latent: Latent) -> Tensor:
    r"""Numbers of a code that no Lorentz transformation changes, or the code itself if it has no four-vectors.

    Real and imaginary parts of the scalars, and of the real four-vectors :math:`v_a` (real and imaginary parts
    count as two) all Minkowski products as signed roots, :math:`\operatorname{sign}(v_a \cdot v_b)
    \sqrt{|v_a \cdot v_b|}`, :math:`a \le b`, which have the unit of a mass.

    Args:
        latent: the codes of a batch.

    Shapes:
        - **output**: :math:`(B, F)`
    """
    scalars, vectors = (torch.cat(_parts(part.detach().cpu()), dim) for part, dim in zip(latent, (-1, 1)))
    if vectors.shape[1] == 0:
        return scalars
    first, second = np.triu_indices(vectors.shape[1])
    products = minkowski_dot(vectors[:, first.tolist()], vectors[:, second.tolist()])
    return torch.cat([scalars, products.sign() * products.abs().sqrt()], -1)


def vector_combinations(vectors: Tensor) -> dict[str, Tensor]:
    r"""Real four-vectors made of latent ones, by printed name.

    Of complex ones :math:`\mathrm{Re}\, v_k` and :math:`\mathrm{Im}\, v_k` each, the sums over :math:`k` of
    either, and of both. Of real ones each and their sum. Where there is one term, there is no sum.

    Shapes:
        - **vectors**: :math:`(n, k, 4)`
        - **output**: each :math:`(n, 4)`
    """
    names = ("Re v", "Im v") if vectors.is_complex() else ("v",)
    found, sums = {}, {}
    for name, part in zip(names, _parts(vectors)):
        found |= {f"{name}_{k + 1}": part[:, k] for k in range(part.shape[1])}
        if part.shape[1] > 1:
            sums[f"sum of {name}"] = part.sum(1)
    if vectors.is_complex() and vectors.shape[1]:
        sums["sum of Re v + Im v"] = (vectors.real + vectors.imag).sum(1)
    return found | sums


def scalar_parts(scalars: Tensor, letter: str) -> dict[str, Tensor]:
    """The real numbers in latent scalars by printed name.

    Shapes:
        - **scalars**: :math:`(n, k)`
        - **output**: each :math:`(n,)`
    """
    names = (f"Re {letter}", f"Im {letter}") if scalars.is_complex() else (letter,)
    parts = zip(names, _parts(scalars))
    return {f"{name}_{k + 1}": part[:, k] for name, part in parts for k in range(part.shape[1])}


def is_sum(name: str) -> bool:
    """Whether a combination is a sum over the code."""
    return name.startswith("sum of")


def _parts(values: Tensor) -> tuple[Tensor, ...]:
    return (values.real, values.imag) if values.is_complex() else (values,)


def _double(values: Any) -> Tensor:
    values = values.cpu()
    return values.to(torch.complex128 if values.is_complex() else torch.float64)
