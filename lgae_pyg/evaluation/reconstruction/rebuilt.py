"""Rebuilt jets beside the true ones, and their errors."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lgae_pyg.data import JetStore
from lgae_pyg.evaluation.reconstruction.pixels import Pixels
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.subject import run_model
from lgae_pyg.losses import hungarian, jet_sum, mse
from lgae_pyg.metrics import (
    JET_FEATURES,
    PARTICLE_FEATURES,
    compression_rates,
    jet_features,
    match_particles,
    particle_features,
    relative_error,
)
from lgae_pyg.ops.graphs import node_to_graph

ENERGIES = {"as output": False, "massless": True}
_PLAIN_FIELDS = ("key", "label", "matched", "latent_size", "side_information", "num_particles")


@dataclass(frozen=True)
class Jets:
    """The four-momenta of many jets.

    Args:
        p4: momenta of all jets, one after another, in GeV.
        ptr: where each jet begins, and where the last one ends.

    Shapes:
        - **p4**: :math:`(\\sum_i n_i, 4)`
        - **ptr**: :math:`(B + 1,)` long
    """

    p4: Tensor
    ptr: Tensor

    def __len__(self) -> int:
        return self.ptr.numel() - 1


@dataclass(frozen=True)
class Rebuilt:
    """Jets as a model gives them back.

    Args:
        key: short name, used in files.
        label: printed name.
        jets: the reconstructed jets, in the order of the true ones; of images, the sums of their pixels.
        matched: whether particles are matched to the true ones, because the model's order has no meaning,
            instead of being compared in slot order.
        latent_size: the number of real numbers in the code of a jet.
        side_information: further numbers that the decoder is told (the number of particles, the axis of the jet).
        num_particles: the number of particles that a jet of full size has.
        pixels: what is known of the images, if the model's outputs are pixels; it has no particles then.
    """

    key: str
    label: str
    jets: Jets
    matched: bool
    latent_size: int
    side_information: int
    num_particles: int
    pixels: Pixels | None = None

    @property
    def compression(self) -> dict[str, float]:
        """The size of the code in percent of the jet's; see :func:`~lgae_pyg.metrics.compression_rates`. NaN if
        the model does not say how large its code is."""
        rates = compression_rates(self.latent_size, self.num_particles, self.side_information)
        return rates if self.latent_size else dict.fromkeys(rates, float("nan"))


def to_arrays(target: Jets, rebuilt: Iterable[Rebuilt]) -> dict[str, np.ndarray]:
    """Momenta and images as arrays by name, for :func:`stored`."""
    arrays = {"target/p4": target.p4.numpy(), "target/ptr": target.ptr.numpy()}
    for one in rebuilt:
        arrays |= {f"{one.key}/p4": one.jets.p4.numpy(), f"{one.key}/ptr": one.jets.ptr.numpy()}
        if one.pixels is not None:
            arrays |= {f"{one.key}/pixels/{name}": array for name, array in one.pixels.to_arrays().items()}
    return arrays


def to_plain(rebuilt: Iterable[Rebuilt]) -> list[dict[str, Any]]:
    """What is said of rebuilt jets besides their arrays, for :func:`stored`."""
    return [{name: getattr(one, name) for name in _PLAIN_FIELDS} for one in rebuilt]


def stored(results: Results) -> tuple[Jets, list[Rebuilt]]:
    """The true jets and the rebuilt ones in the results of the reconstruction study."""

    def jets(key: str) -> Jets:
        return Jets(*(torch.from_numpy(results.arrays[f"{key}/{name}"]) for name in ("p4", "ptr")))

    rebuilt = [
        Rebuilt(jets=jets(one["key"]), pixels=_stored_pixels(results.arrays, f"{one['key']}/pixels/"), **one)
        for one in results.description["rebuilt"]
    ]
    return jets("target"), rebuilt


def _stored_pixels(arrays: Mapping[str, np.ndarray], prefix: str) -> Pixels | None:
    found = {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}
    return Pixels.from_arrays({name: torch.from_numpy(array) for name, array in found.items()}) if found else None


def true_jets(store: JetStore, unit_in_gev: float) -> Jets:
    """The jets of a store, whose unit is given in GeV."""
    batch = store.batch(slice(None))
    return Jets(batch.pos.double() * unit_in_gev, batch.ptr)


def rebuild(
    model: torch.nn.Module,
    store: JetStore,
    batch_size: int,
    unit_in_gev: float,
    pixels: Pixels | None = None,
    tick: Callable[[], object] = lambda: None,
) -> Jets:
    """Sends jets through a model, without gradients.

    Jets that come back as images are summed up to one momentum each: all their pixels would fill the memory.

    Args:
        model: an autoencoder; its result has ``p4`` and ``ptr``.
        store: jets in the unit of the model.
        batch_size: jets per batch.
        unit_in_gev: that unit in GeV.
        pixels: of a model that gives back pixels, is given the images.
        tick: called after each batch.

    Raises:
        ValueError: if an output is not finite; the message names the jets by class number and row.
    """
    momenta, sizes = [], []
    for batch, result in run_model(model, store, batch_size, tick):
        _check_finite(result.p4, result.ptr, batch)
        p4, counts = result.p4, result.ptr.diff()
        if pixels is not None:
            p4, counts = jet_sum(p4, result.ptr), torch.ones_like(counts)
            pixels.add(result.images, unit_in_gev)
        momenta.append(p4.double().cpu() * unit_in_gev)
        sizes.append(counts.cpu())
    counts = torch.cat(sizes)
    return Jets(torch.cat(momenta), torch.cat([counts.new_zeros(1), counts.cumsum(0)]))


def _check_finite(p4: Tensor, ptr: Tensor, batch) -> None:
    broken = ~p4.isfinite().all(-1)
    if not broken.any():
        return
    jets = (torch.searchsorted(ptr, broken.nonzero().flatten(), right=True) - 1).unique().tolist()
    fields = {key: text for key, text in (("y", "class"), ("jet_id", "row")) if key in batch}
    named = []
    for jet in jets[:8]:
        names = [f"{text} {int(batch[key][jet])}" for key, text in fields.items()]
        named.append(", ".join(names) or f"jet {jet} of its batch")
    more = f" and {len(jets) - 8} more" if len(jets) > 8 else ""
    raise ValueError(
        f"the model's output is not finite for {len(jets)} jets ({'; '.join(named)}{more}): "
        "evaluate an earlier checkpoint, or look at these jets"
    )


def particle_errors(one: Rebuilt, target: Jets) -> tuple[Tensor, Tensor]:
    """Relative errors of the particle features (:data:`~lgae_pyg.metrics.PARTICLE_FEATURES`), real
    particles only, and the number of the jet that each row belongs to.

    Shapes:
        - **output**: :math:`(M, 3)`, one row per pair of particles, NaN where the true value is zero; :math:`(M,)`
    """
    jets = one.jets
    space = "relative" if one.matched else "slots"
    rows, target_rows = match_particles(jets.p4, jets.ptr, target.p4, target.ptr, space)
    features = particle_features(jets.p4, jets.ptr)[rows]
    true = particle_features(target.p4, target.ptr)[target_rows]
    return relative_error(features, true, PARTICLE_FEATURES), node_to_graph(target.ptr)[target_rows]


def jet_errors(one: Rebuilt, target: Jets, massless_particles: bool = False) -> Tensor:
    """Relative errors of the jet features (:data:`~lgae_pyg.metrics.JET_FEATURES`).

    Args:
        one: the rebuilt jets.
        target: the true jets; their energies are always used as they are.
        massless_particles: replace the energies of the reconstructed particles by their momenta.

    Shapes:
        - **output**: :math:`(B, 4)`
    """
    jets = one.jets
    features = jet_features(jets.p4, jets.ptr, massless_particles)
    return relative_error(features, jet_features(target.p4, target.ptr), JET_FEATURES)


def squared_error(one: Rebuilt, target: Jets) -> float:
    """Mean squared error of the four-momenta in GeV², in slot order or, for a model without a meaningful
    order, after the optimal assignment."""
    return float(squared_errors(one, target).mean())


def squared_errors(one: Rebuilt, target: Jets) -> Tensor:
    """What :func:`squared_error` is the mean of, for each jet.

    Shapes:
        - **output**: :math:`(B,)`
    """
    jets = one.jets
    loss = hungarian if one.matched else mse
    return loss(jets.p4, jets.ptr, target.p4, target.ptr)


def with_particles(rebuilt: Iterable[Rebuilt]) -> list[Rebuilt]:
    """Those that are particles, not pixels."""
    return [one for one in rebuilt if one.pixels is None]


def without_particles(rebuilt: Iterable[Rebuilt]) -> str:
    """The sentence, with a space after it, that names those without particles; empty if all have them."""
    labels = [one.label for one in rebuilt if one.pixels is not None]
    return f"{', '.join(labels)} is left out: its output is pixels, not particles. " if labels else ""


def jet_comparisons(rebuilt: Sequence[Rebuilt], target: Jets) -> Iterator[tuple[str, str, Tensor]]:
    """What stands in the rows of the jet tables: label, energies and the errors of all jets.

    The sum of the pixels is compared with the jet, and with the sum of the pixels of the jet's own image; a third
    row compares these two, which is what the pixels alone do.
    """
    for one in rebuilt:
        if one.pixels is None:
            for energies, massless_particles in ENERGIES.items():
                yield one.label, energies, jet_errors(one, target, massless_particles)
            continue
        image = Jets(one.pixels.truth, torch.arange(len(target) + 1))
        yield one.label, "pixels", jet_errors(one, target)
        yield f"{one.label}, to truth in pixels", "pixels", jet_errors(one, image)
        yield "truth in pixels", "pixels", jet_errors(replace(one, jets=image), target)
