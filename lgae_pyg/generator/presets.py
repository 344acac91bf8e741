"""Named recipes of the jet generator: the hard processes of the classes, and the numbers that set them apart."""

import math
from typing import Any, NamedTuple


class Process(NamedTuple):
    """The hard process of a class of jets.

    Attributes:
        commands: Pythia 8 settings (leading order).
        flavours: PDG numbers (without sign) that the outgoing parton beside a boson may have; empty for all.
        top: whether the jets come from top quarks, which ``match_radius`` then asks for.
    """

    commands: tuple[str, ...]
    flavours: tuple[int, ...] = ()
    top: bool = False


class Preset(NamedTuple):
    """A named recipe.

    Attributes:
        about: what the jets resemble, in a line.
        processes: the hard process of each class; their order gives the class numbers.
        particles: leading particles kept per jet where nothing else is asked for.
        values: settings that differ from the defaults of
            :class:`~lgae_pyg.generator.settings.GeneratorSettings`.
    """

    about: str
    processes: dict[str, Process]
    particles: int
    values: dict[str, Any]


_TOPS = ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on")
_Z_TO_NEUTRINOS = ("WeakZ0:gmZmode = 2", "23:onMode = off", "23:onIfAny = 12 14 16")

JETNET = Preset(
    "JetNet: 13 TeV, R = 0.4, near 1 TeV, CMS-like detector",
    {
        "g": Process(("HardQCD:gg2gg = on", "HardQCD:qqbar2gg = on")),
        "q": Process(("HardQCD:gg2qqbar = on", "HardQCD:qq2qq = on", "HardQCD:qqbar2qqbarNew = on")),
        "t": Process(_TOPS, top=True),
        "w": Process(("WeakDoubleBoson:ffbar2WW = on",)),
        "z": Process(("WeakDoubleBoson:ffbar2gmZgmZ = on", "WeakZ0:gmZmode = 2")),
    },
    30,
    {},
)

TOP_TAGGING = Preset(
    "the top tagging reference set: 14 TeV, R = 0.8, 550 to 650 GeV, ATLAS-like detector",
    {"QCD": Process(("HardQCD:all = on",)), "top": Process(_TOPS, top=True)},
    200,
    {
        "beam_energy": 14000.0,
        "parton_pt_min": 500.0,
        "parton_pt_max": 1000.0,
        "jet_radius": 0.8,
        "jets_per_event": 1,
        "jet_pt_min": 550.0,
        "jet_pt_max": 650.0,
        "jet_eta_max": 2.0,
        "match_radius": 0.8,
        "detector": "atlas",
        "track_scale": 0.0017,
        "track_floor": 0.1,
        "track_efficiency": 0.95,
        "soft_track_efficiency": 0.7,
        "track_eta_max": 2.5,
        "track_pt_max": 0.0,
        "track_pt_min": 0.1,
        "photon_stochastic": 0.101,
        "photon_noise": 0.0,
        "photon_floor": 0.0017,
        "hadron_stochastic": 0.5205,
        "hadron_noise": 1.59,
        "hadron_floor": 0.0302,
        "calorimeter_eta_max": 3.2,
        "tower_eta": 0.1,
        "tower_phi": math.pi / 18,
        "photon_energy_min": 0.5,
        "hadron_energy_min": 1.0,
        "bend_pt": 0.345,
    },
)

QUARK_GLUON = Preset(
    "EnergyFlow's quark and gluon jets: 14 TeV, Z + jet, R = 0.4, 500 to 550 GeV, no detector",
    {
        "gluon": Process(("WeakBosonAndParton:qqbar2gmZg = on", *_Z_TO_NEUTRINOS)),
        "quark": Process(("WeakBosonAndParton:qg2gmZq = on", *_Z_TO_NEUTRINOS), flavours=(1, 2, 3)),
    },
    150,
    {
        "beam_energy": 14000.0,
        "parton_pt_min": 450.0,
        "parton_pt_max": 800.0,
        "hadronic_decays": False,
        "rapidity": True,
        "jet_radius": 0.4,
        "jets_per_event": 1,
        "jet_pt_min": 500.0,
        "jet_pt_max": 550.0,
        "jet_eta_max": 1.7,
        "detector": "none",
    },
)

PRESETS = {"jetnet": JETNET, "top_tagging": TOP_TAGGING, "quark_gluon": QUARK_GLUON}
