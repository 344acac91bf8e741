r"""Jets of several prongs made of background jets alone, which a network learns to tell from the background.

A mother of some mass decays at rest, isotropically, into :math:`k` prongs. Each prong is the core of a background
jet (:func:`~lgae_pyg.ops.cores.jet_core`), turned, and boosted along its axis to the momentum of the prong.
Nothing is scaled: a boost keeps transverse momenta, and with them the scale at which quarks become hadrons; and no
core was radiated at a scale that the decay does not have. No sample of a signal enters.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lgae_pyg.data import JetStore
from lgae_pyg.lorentz.decays import at_mass, boost_along, flat_phase_space, from_rest_frame, turn, with_masses
from lgae_pyg.lorentz.kinematics import delta_r, mass, spatial, transverse_momentum
from lgae_pyg.ops.cores import jet_core
from lgae_pyg.ops.graphs import pointers
from lgae_pyg.ops.jets import jet_sum, pad_jets
from lgae_pyg.registry import check_choice, choose

#: Names of the two classes; a tagger with a class of the first name scores anomalies.
CLASS_NAMES = ("background", "contrast")
#: What the weights do to the mass.
MASS_MODES = ("decorrelated", "free")
#: Share of the particles beyond which the radius and the smallest transverse momentum of the background lie.
EDGE = 0.001
#: Prongs together may have at most this share of the mother's mass, as masses of their own.
HEAVIEST = 0.95
#: Mass bins of the weights, and how often the mean the largest weight may be.
BINS, LARGEST_WEIGHT = 30, 10.0
#: Bins of the transverse momentum among jets of one mass, and the fewest jets for which they are made.
PT_BINS, FEWEST_IN_BIN = 5, 30
#: Decays that are made at once; bounds the memory.
CHUNK = 4096
#: Fewest background jets that prongs are drawn from, and most decays that are drawn for a complete one.
FEWEST, MOST_DRAWN = 100, 200


@dataclass(frozen=True)
class ContrastSettings:
    r"""The recipe of the jets.

    Args:
        prongs: numbers of prongs :math:`k`, which are equally frequent.
        mass_min: smallest mass of a mother in GeV.
        mass_max: the largest one; masses are flat in their logarithm.
        complete: jets that keep less than this share of the mother's mass inside radius and number of particles
            are left out.
        radius: particles further than that from the jet's axis are cut; measured in the background when ``None``.
        num_particles: leading particles that are kept; as many as the largest background jet has when ``None``,
            and never more.
        pt_min: smallest transverse momentum of a particle in GeV; measured in the background when ``None``.
        mass: ``decorrelated``: weights make the jet mass of both classes flat in its logarithm between
            ``mass_min`` and ``mass_max``, so it tells nothing; ``free``: only that of the contrast.
        sources: classes of the background whose cores become prongs; all when ``None``. What is looked for mostly
            decays to quarks, which radiate less than gluons do.
        candidates: cores that are drawn for each prong, of which the hardest is taken: quarks are more frequent
            among these, where the classes do not tell.
        seed: of all random numbers.

    Raises:
        ValueError: for numbers that make no sense.
    """

    prongs: Sequence[int] = (2, 3)
    mass_min: float = 25.0
    mass_max: float = 250.0
    complete: float = 0.5
    radius: float | None = None
    num_particles: int | None = None
    pt_min: float | None = None
    mass: str = "decorrelated"
    sources: Sequence[str] | None = None
    candidates: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("mass", self.mass, MASS_MODES)
        if not self.prongs or min(self.prongs) < 2:
            raise ValueError(f"prongs are two or more, not {', '.join(map(str, self.prongs)) or 'none'}")
        if self.candidates < 1:
            raise ValueError(f"candidates are one or more for each prong, not {self.candidates}")
        if not 0 < self.mass_min < self.mass_max:
            raise ValueError(f"the masses must rise from above 0, not {self.mass_min} to {self.mass_max}")
        if not 0 <= self.complete < 1:
            raise ValueError(f"complete is a share from 0 to below 1, not {self.complete}")


class Decays(NamedTuple):
    """Decayed mothers at rest, in GeV.

    Attributes:
        p4: particles of all prongs, padded with zeros, :math:`(n, k N, 4)`.
        mass: of the mothers, :math:`(n,)`.
        kept: which of the decays asked for they are.
    """

    p4: Tensor
    mass: Tensor
    kept: Tensor


def decay_into_cores(jets: Tensor, momenta: Tensor, generator: torch.Generator) -> Decays:
    r"""Replaces the massless products of decays at rest by cores of jets.

    The scale of a core is :math:`Q_i = E_i \tan (\theta_i / 4)`, :math:`\theta_i` being the angle to the nearest
    other prong: the cores share the sphere, with two prongs in halves. They keep their own masses,
    so the momenta are those of :func:`~lgae_pyg.lorentz.decays.with_masses`: total momentum zero, mass exact.
    Decays whose cores are too heavy are left out.

    Of several jets for a product, the one with the hardest core is taken, by
    :math:`\sum_j E_j^2 / (\sum_j E_j)^2` over the particles of the core.

    Args:
        jets: for each product some jets in GeV, padded.
        momenta: :math:`q_i`.
        generator: source of the angles by which cores are turned about their axes.

    Shapes:
        - jets: :math:`(n, k, c, N, 4)`, momenta: :math:`(n, k, 4)`
    """
    n, k, candidates, slots, _ = jets.shape
    goal = torch.nn.functional.normalize(spatial(momenta), dim=-1)
    cosine = goal @ goal.transpose(1, 2) - 4 * torch.eye(k, dtype=goal.dtype)
    angle = cosine.amax(-1).clamp(-1, 1).arccos()
    scale = momenta[..., 0] * (angle / 4).tan()
    azimuth = 2 * torch.pi * torch.rand(n * k, generator=generator)
    p4 = jets.reshape(-1, slots, 4)
    inside, axis = jet_core(p4, scale.flatten().repeat_interleave(candidates))
    p4 = p4 * inside.unsqueeze(-1)
    energy = p4[..., 0]
    hardness = energy.square().sum(-1) / energy.sum(-1).square()
    hardest = candidates * torch.arange(n * k) + hardness.reshape(n * k, candidates).argmax(-1)
    p4, axis = p4[hardest], axis[hardest]
    masses = mass(p4.sum(1)).clamp(min=0).reshape(n, k)
    light = masses.sum(-1) < HEAVIEST * momenta[..., 0].sum(-1)
    wanted = with_masses(momenta[light], masses[light])
    rows = light.repeat_interleave(k)
    p4, axis, goal = p4[rows], axis[rows], goal[light].reshape(-1, 3)
    factor = _plus(wanted.reshape(-1, 4), goal) / _plus(p4.sum(1), axis)
    p4 = boost_along(p4, axis.unsqueeze(1), factor.unsqueeze(1))
    p4 = turn(p4, axis, goal, azimuth[rows].double())
    return Decays(p4.reshape(-1, k * slots, 4), momenta[light, :, 0].sum(-1), light)


def many_prong_jets(
    jets: Tensor, number: int, prongs: int, settings: ContrastSettings, sources: Tensor | None = None
) -> Tensor:
    """Jets of so many prongs, with momenta like those of background jets.

    Mothers have the three-momenta of background jets; so that the jets do, too, after the cuts, the momenta are
    raised once by what the cuts take. Radius, number and smallest momentum are those of the settings.

    Args:
        jets: background jets in GeV, padded.
        number: of jets; decays that are incomplete or too heavy are drawn anew.
        prongs: :math:`k`.
        settings: with the cuts, see :func:`measured_cuts`.
        sources: those of them whose cores become prongs; all when ``None``.

    Shapes:
        - jets: :math:`(J, N, 4)`, sources: :math:`(S, N, 4)`
        - **output:** :math:`(n, N', 4)`, falling transverse momentum, padded

    Raises:
        ValueError: hardly any decay is complete.
    """
    generator = torch.Generator().manual_seed(settings.seed * 1000 + prongs)
    low, high = math.log(settings.mass_min), math.log(settings.mass_max)
    sources = jets if sources is None else sources
    parts, missing, drawn = [], number, 0
    while missing > 0:
        size = min(CHUNK, 2 * missing)
        mothers = (low + (high - low) * torch.rand(size, dtype=torch.float64, generator=generator)).exp()
        momenta = flat_phase_space(size, prongs, generator) * mothers[:, None, None]
        drawn_from = torch.randint(len(sources), (size, prongs, settings.candidates), generator=generator)
        like = jets[torch.randint(len(jets), (size,), generator=generator)].sum(1)
        decays = decay_into_cores(sources[drawn_from], momenta, generator)
        parts.append(_as_found(decays, like, settings)[:missing])
        missing, drawn = missing - len(parts[-1]), drawn + size
        if drawn > MOST_DRAWN * (number - missing + 1):
            raise ValueError(
                f"of {drawn} decays into {prongs} prongs, {number - missing} are complete within the radius "
                f"{settings.radius:.3g}: lower mass_max = {settings.mass_max:g} GeV, or complete"
            )
    return torch.cat(parts)


def _as_found(decays: Decays, like: Tensor, settings: ContrastSettings) -> Tensor:
    """Decays in flight, as a jet algorithm and a detector would leave them; without incomplete ones."""
    like = like[decays.kept]
    found = _cut(from_rest_frame(decays.p4, at_mass(like, decays.mass).unsqueeze(1)), settings)
    share = transverse_momentum(found.sum(1)) / transverse_momentum(like)
    like = like / share.clamp(0.6, 1).unsqueeze(-1)
    found = _cut(from_rest_frame(decays.p4, at_mass(like, decays.mass).unsqueeze(1)), settings)
    return found[mass(found.sum(1)) > settings.complete * decays.mass]


def _cut(p4: Tensor, settings: ContrastSettings) -> Tensor:
    """The leading particles within the radius about the axis of all."""
    pt = transverse_momentum(p4)
    inside = (pt >= settings.pt_min) & (delta_r(p4, p4.sum(1, keepdim=True)) <= settings.radius)
    pt = torch.where(inside, pt, -1.0)
    order = torch.argsort(pt, dim=1, descending=True, stable=True)[:, : settings.num_particles]
    kept, leading = pt.gather(1, order) > 0, p4.gather(1, order.unsqueeze(-1).expand(-1, -1, 4))
    return torch.where(kept.unsqueeze(-1), leading, 0)


def _plus(p: Tensor, axis: Tensor) -> Tensor:
    return p[..., 0] + (spatial(p) * axis).sum(-1)


def measured_cuts(jets: Tensor, settings: ContrastSettings) -> ContrastSettings:
    """The settings with what they leave open measured in the background, a share :data:`EDGE` of particles aside.

    Shapes:
        - jets: :math:`(J, N, 4)`, in GeV, padded
    """
    exists = jets[..., 0] > 0
    distance = delta_r(jets, jets.sum(1, keepdim=True))[exists].double()
    pt = transverse_momentum(jets)[exists]
    found = {
        "radius": float(np.quantile(distance.numpy(), 1 - EDGE)),
        "pt_min": float(np.quantile(pt.numpy(), EDGE)),
    }
    found = {name: value for name, value in found.items() if getattr(settings, name) is None}
    largest = int(exists.sum(1).max())
    return replace(settings, num_particles=min(settings.num_particles or largest, largest), **found)


def mass_weights(masses: Tensor, pt: Tensor, y: Tensor, settings: ContrastSettings) -> Tensor:
    r"""A weight for each jet, by which the masses of contrast jets are flat in their logarithm from ``mass_min``
    to ``mass_max``, and where ``mass`` is ``decorrelated`` those of background jets, too.

    Weights are about 1 on average in each class, at most :data:`LARGEST_WEIGHT` times that. Where that takes off a
    bin of the background, the contrast follows. Jets outside have none, but ``free`` background jets. Among jets
    of one mass, transverse momenta of the contrast are distributed as those of the background.

    Args:
        masses: of the jets in GeV.
        pt: transverse momenta of the jets.
        y: 0 for background, 1 for contrast.
        settings: the range, and ``mass``.

    Raises:
        ValueError: a class has no jet in the range.

    Shapes:
        - masses, pt, y, output: :math:`(J,)`
    """
    edges = torch.linspace(math.log(settings.mass_min), math.log(settings.mass_max), BINS + 1, dtype=torch.float64)
    bins = torch.bucketize(masses.double().clamp(min=1e-300).log(), edges)  # 0 and BINS + 1 are outside
    weights = torch.zeros(len(y), dtype=torch.float64)
    shape = torch.ones(BINS + 2, dtype=torch.float64)
    shape[0] = shape[-1] = 0
    for number, name in enumerate(CLASS_NAMES):
        own = y == number
        if number == 0 and settings.mass == "free":
            weights[own] = 1
            continue
        counts = torch.bincount(bins[own], minlength=BINS + 2).double()
        if not (counts * shape).any():
            ends = f"{settings.mass_min:g} and {settings.mass_max:g} GeV"
            raise ValueError(f"no {name} jet has a mass between {ends}: change mass_min and mass_max")
        each = torch.where(counts > 0, shape / counts.clamp(min=1), 0.0)
        each = (each / (each * counts).sum() * counts.sum()).clamp(max=LARGEST_WEIGHT)
        shape = each * counts
        weights[own] = (each * counts.sum() / shape.sum())[bins[own]]
    for number in range(1, BINS + 1):
        own = bins == number
        weights[own & (y == 1)] *= _as_momenta_of_background(pt[own], y[own], weights[own])
    return weights


def _as_momenta_of_background(pt: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """By what the weights of contrast jets of one mass are multiplied, to have the background's momenta."""
    factor = torch.ones(int((y == 1).sum()), dtype=torch.float64)
    if (y == 0).sum() < FEWEST_IN_BIN or len(factor) < FEWEST_IN_BIN:
        return factor
    inner = torch.linspace(0, 1, PT_BINS + 1, dtype=torch.float64)[1:-1]
    places = torch.bucketize(pt, torch.quantile(pt.double(), inner))
    shares = [torch.bincount(places[y == n], weights[y == n], minlength=PT_BINS) for n in (0, 1)]
    ratio = (shares[0] / shares[0].sum()) / (shares[1] / shares[1].sum()).clamp(min=1e-9)
    return ratio.clamp(max=LARGEST_WEIGHT)[places[y == 1]]


def contrast_store(background: JetStore, number: int, settings: ContrastSettings) -> JetStore:
    """Background jets and jets of prongs made of them, with class and weight, in GeV and single precision.

    Args:
        background: the jets, of any classes, which are one to the detector.
        number: contrast jets.
        settings: the recipe.

    Raises:
        ValueError: for too few jets, a class that there is not, or decays that hardly ever come out complete.
    """
    store = background.to(torch.float64).in_unit("GeV").gather(slice(None))
    jets, _ = pad_jets(store.particle_fields["pos"], store.ptr)
    settings = measured_cuts(jets, settings)
    sources = jets[_are_sources(store, settings)]
    if len(sources) < FEWEST:
        raise ValueError(f"prongs are drawn from background jets: {len(sources)} are too few, give {FEWEST}")
    kinds = len(settings.prongs)
    shares = [number // kinds + (place < number % kinds) for place in range(kinds)]
    kinds_of_jets = [pair for pair in zip(settings.prongs, shares) if pair[1]]
    made = [many_prong_jets(jets, share, k, settings, sources) for k, share in kinds_of_jets]
    jets = torch.cat([_cut(jets, replace(settings, radius=math.inf, pt_min=0.0)), *made])
    y = (torch.arange(len(jets)) >= len(store)).long()
    exists, total = jets[..., 0] > 0, jets.sum(1)
    ptr = pointers(exists.sum(1))
    weight = mass_weights(mass(total), transverse_momentum(total), y, settings)
    fields = {"y": y, "weight": weight, "jet_id": torch.arange(len(y))}
    origin = f"background jets, and jets of {' or '.join(map(str, settings.prongs))} prongs made of them"
    meta = {"unit": "GeV", "class_names": list(CLASS_NAMES), "origin": origin, "contrast": asdict(settings)}
    return JetStore(ptr, {"pos": jets[exists].float()}, fields, meta)  # rounded alike in both classes


def _are_sources(store: JetStore, settings: ContrastSettings) -> Tensor:
    """Which jets are of the classes that prongs are made of."""
    if settings.sources is None:
        return torch.ones(len(store), dtype=torch.bool)
    names = store.meta.get("class_names", ())
    numbers = [choose("class of the background", one, {name: n for n, name in enumerate(names)})
               for one in settings.sources]  # fmt: skip
    return torch.isin(store.jet_field("y").flatten(), torch.tensor(numbers))


def summary(store: JetStore) -> list[str]:
    """What a store of background and contrast holds, in sentences."""
    settings, y = store.meta["contrast"], store.jet_field("y")
    p4, ptr = store.particle_fields["pos"].double(), store.ptr
    masses, lines = mass(jet_sum(p4, ptr)), []
    for number, name in enumerate(store.meta["class_names"]):
        own = y == number
        quartiles = ", ".join(f"{value:.1f}" for value in np.quantile(masses[own].numpy(), [0.25, 0.5, 0.75]))
        sizes, pt = store.sizes[own].double().mean(), transverse_momentum(jet_sum(p4, ptr)[own]).median()
        lines.append(
            f"{name}: {int(own.sum())} jets, {sizes:.1f} particles on average, median pT {pt:.0f} GeV, quartiles "
            f"of the mass {quartiles} GeV"
        )
    cuts = f"radius {settings['radius']:.3g}, {settings['num_particles']} leading particles"
    return [*lines, f"cuts as in the background: {cuts}, pT of a particle from {settings['pt_min']:.3g} GeV"]
