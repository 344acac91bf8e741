"""Events from Pythia 8, jets from FastJet: one chunk of jets as JetNet's two arrays."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lgae_pyg.datasets.pythia.detector import CHARGED, LEPTON, NEUTRAL, PHOTON, Particles, measure
from lgae_pyg.datasets.pythia.energy_flow import measure_energy_flow
from lgae_pyg.datasets.pythia.partons import Partons, Wanted, directions, hard_partons
from lgae_pyg.generator.settings import GeneratorSettings

BATCH_EVENTS = 50
"""Events per call of Pythia; part of the recipe, since the detector's random numbers follow the batches."""

MOST_EVENTS_WITHOUT_JETS = 1000
NEUTRINOS = (12, 14, 16, 18)
PYTHIA_SEEDS = 900_000_000


DETECTORS = {"cms": measure, "atlas": measure_energy_flow, "none": lambda particles, settings, rng: particles}


class Jets(NamedTuple):
    """Jets in JetNet's layout.

    Attributes:
        particle_features: (jets, particles, 4) etarel, phirel, ptrel, mask; falling pT, zero rows at the end.
        jet_features: (jets, 4) pt [GeV], eta, mass [GeV], number of particles stored.
    """

    particle_features: NDArray[np.float32]
    jet_features: NDArray[np.float64]


def require_generator() -> dict[str, str]:
    """Imports Pythia and FastJet and returns their versions.

    Raises:
        ImportError: one is missing or broken.
    """
    try:
        import awkward
        import fastjet
        import pythia8mc
    except ImportError as error:
        raise ImportError(
            f"the jet generator needs Pythia 8 and FastJet ({error}): pip install 'lgae-pyg[generator]'"
        ) from error
    return {"pythia8mc": _version("pythia8mc", pythia8mc), "fastjet": _version("fastjet", fastjet),
            "awkward": _version("awkward", awkward)}


def generate_chunk(
    name: str, number: int, jets: int, particles: int, seed: int, settings: GeneratorSettings
) -> Jets:
    """The first jets of one chunk of a class.

    A chunk is a function of (seed, class, chunk number, settings) alone; asking for fewer jets gives the
    first ones of the same sequence.

    Args:
        name: the class, one of those of the settings' preset.
        number: number of the chunk, from 0.
        jets: how many jets.
        particles: how many of the leading particles of each jet are kept.
        seed: the user's seed.
        settings: the recipe.

    Raises:
        ValueError: Pythia refuses the settings, or no event has a jet in the pT window.
    """
    streams = np.random.SeedSequence([seed, settings.classes.index(name), number]).spawn(2)
    pythia = build_pythia(name, settings, 1 + int(streams[0].generate_state(1)[0]) % PYTHIA_SEEDS)
    rng = np.random.default_rng(streams[1])
    process, detect = settings.process(name), DETECTORS[settings.detector]
    batches = final_states(pythia)
    parts: list[Jets] = []
    missing = jets
    while missing:
        truth, partons = next(batches)
        part = cluster(detect(truth, settings, rng), partons.wanted(process, settings), settings, particles)
        parts.append(Jets(*(array[:missing] for array in part)))
        missing -= len(parts[-1].jet_features)
        if missing == jets and len(parts) * BATCH_EVENTS >= MOST_EVENTS_WITHOUT_JETS:
            raise ValueError(
                f"none of {len(parts) * BATCH_EVENTS} events of class {name} has a jet with a pT from "
                f"{settings.jet_pt_min} to {settings.jet_pt_max} GeV: change these limits or the partons' pT"
            )
    return Jets(*(np.concatenate(arrays) for arrays in zip(*parts)))


def build_pythia(name: str, settings: GeneratorSettings, seed: int) -> Any:
    """An initialised, silent Pythia for the hard process of a class.

    Raises:
        ValueError: Pythia refuses the settings.
    """
    import pythia8mc

    commands = [
        "Print:quiet = on",
        "Random:setSeed = on",
        f"Random:seed = {seed}",
        f"Beams:eCM = {settings.beam_energy}",
        f"Tune:pp = {settings.tune}",
        f"PartonLevel:MPI = {'on' if settings.underlying_event else 'off'}",
        f"PhaseSpace:pTHatMin = {settings.parton_pt_min}",
        f"PhaseSpace:pTHatMax = {settings.parton_pt_max}",
        *settings.process(name).commands,
    ]
    if settings.hadronic_decays:
        for boson in (23, 24):
            commands += [f"{boson}:onMode = off", f"{boson}:onIfAny = 1 2 3 4 5"]
    masses = {24: settings.w_mass, 6: settings.top_mass}
    commands += [f"{code}:m0 = {mass}" for code, mass in masses.items() if mass > 0]
    if settings.max_lifetime > 0:
        commands += ["ParticleDecays:limitTau0 = on", f"ParticleDecays:tau0Max = {settings.max_lifetime}"]
    with silence():
        pythia = pythia8mc.Pythia("", False)
        refused = [command for command in commands if not pythia.readString(command)]
        if refused or not pythia.init():
            raise ValueError(f"Pythia refuses {'; '.join(refused) or 'these settings'} for class {name}")
    return pythia


def final_states(pythia: Any) -> Iterator[tuple[Particles, Partons]]:
    """Endless batches of new events: the visible stable particles (neutrinos removed), and the hard partons."""
    import awkward as ak

    while True:
        with silence():
            record = pythia.nextBatch(BATCH_EVENTS).prt
        partons = hard_partons(record)
        record = record[record.status > 0]
        code = ak.to_numpy(ak.flatten(record.id))
        event = np.repeat(np.arange(len(record)), ak.to_numpy(ak.num(record.id)))
        momentum = [ak.to_numpy(ak.flatten(record.p[axis])) for axis in ("px", "py", "pz", "e")]
        kind = kinds(code, pythia)
        visible = ~np.isin(np.abs(code), NEUTRINOS)
        yield Particles(event, kind, *momentum).take(visible), partons


def kinds(code: NDArray[np.int64], pythia: Any) -> NDArray[np.int8]:
    """The detector's kind of each particle, from its PDG code."""
    species, member = np.unique(code, return_inverse=True)
    charged = np.array([pythia.particleData.charge(int(one)) != 0 for one in species], bool)
    kind = np.where(charged, CHARGED, NEUTRAL).astype(np.int8)
    kind[species == 22] = PHOTON
    kind[np.isin(np.abs(species), (11, 13))] = LEPTON
    return kind[member.reshape(-1)]


def cluster(particles: Particles, wanted: Wanted, settings: GeneratorSettings, keep: int) -> Jets:
    """Clusters each event with anti-kT and returns its leading jets inside the window of pT and eta.

    Only the ``jets_per_event`` leading jets of an event are looked at, so a jet above the window does not
    let a softer one in.

    Args:
        particles: what the detector reports, events in order.
        wanted: tells which jets fit the hard process, from their event and their direction.
        settings: the jet algorithm and its window.
        keep: how many of the leading particles of a jet are kept.
    """
    import awkward as ak
    import fastjet

    counts = np.bincount(particles.event, minlength=int(particles.event[-1]) + 1)
    events = ak.unflatten(
        ak.zip({"px": particles.px, "py": particles.py, "pz": particles.pz, "E": particles.energy}), counts
    )
    with silence():
        definition = fastjet.JetDefinition(fastjet.antikt_algorithm, settings.jet_radius)
        sequence = fastjet.ClusterSequence(events, definition)
        jets = sequence.inclusive_jets(min_pt=settings.jet_pt_min)
        members = sequence.constituents(min_pt=settings.jet_pt_min)
    leading = ak.argsort(np.hypot(jets.px, jets.py), axis=1, ascending=False)[:, : settings.jets_per_event]
    jets, members = jets[leading], members[leading]
    event = np.repeat(np.arange(len(jets)), ak.to_numpy(ak.num(jets)))
    jets, members = ak.flatten(jets), ak.flatten(members)
    pt, eta, phi = directions(*(ak.to_numpy(jets[axis]) for axis in ("px", "py", "pz")))
    inside = (pt <= settings.jet_pt_max) & wanted(event, eta, phi)
    if settings.jet_eta_max > 0:
        inside &= np.abs(eta) <= settings.jet_eta_max
    return _features(jets[inside], members[inside], settings.rapidity, keep)


def _features(jets: Any, members: Any, rapidity: bool, keep: int) -> Jets:
    """JetNet's relative coordinates of the leading particles of each jet."""
    import awkward as ak

    px, py, pz, energy = (ak.to_numpy(jets[axis]) for axis in ("px", "py", "pz", "E"))
    pt, eta, phi = directions(px, py, pz)
    mass = np.sqrt(np.maximum(energy**2 - pt**2 - pz**2, 0))
    order = ak.argsort(np.hypot(members.px, members.py), axis=1, ascending=False)[:, :keep]
    padded = ak.pad_none(members[order], keep, axis=1, clip=True)
    mask = ~ak.to_numpy(ak.is_none(padded, axis=1))
    x, y, z, e = (ak.to_numpy(ak.fill_none(padded[axis], 1.0)) for axis in ("px", "py", "pz", "E"))
    part_pt, part_eta, part_phi = directions(x, y, z)
    if rapidity:
        part_eta = np.arctanh(np.where(mask, z / e, 0.0))
    features = np.stack([
        part_eta - eta[:, None],
        np.mod(part_phi - phi[:, None] + np.pi, 2 * np.pi) - np.pi,
        part_pt / pt[:, None],
        np.ones_like(x),
    ], axis=-1)
    features = np.where(mask[..., None], features, 0.0).astype(np.float32)
    return Jets(features, np.stack([pt, eta, mass, mask.sum(1).astype(np.float64)], axis=-1))


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Sends what compiled code prints to the standard output (banners) to nowhere."""
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _version(name: str, module: Any) -> str:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return str(getattr(module, "__version__", "unknown"))
