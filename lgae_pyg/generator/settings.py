"""Every number of the jet generator: hard processes, event settings, detector, jet selection."""

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from lgae_pyg.generator.presets import PRESETS, Process

JETNET_NAME = "jetnet"
CLASSES = tuple(PRESETS[JETNET_NAME].processes)

DETECTORS = ("cms", "atlas", "none")
"""Models of the detector: :func:`~lgae_pyg.datasets.pythia.detector.measure`,
:func:`~lgae_pyg.datasets.pythia.energy_flow.measure_energy_flow`, and stable particles as they are."""

LATER = ("preset", "detector", "jet_eta_max", "match_radius", "rapidity", "soft_track_efficiency", "track_eta_max",
         "tower_eta", "tower_phi", "photon_energy_min", "hadron_energy_min", "bend_pt", "w_mass", "top_mass")
"""Settings that files made before the presets do not name; at their defaults they are left out of a recipe."""


@dataclass(frozen=True)
class GeneratorSettings:
    r"""The recipe of the generated jets, as plain numbers; the defaults imitate JetNet.

    For the numbers of a preset write ``GeneratorSettings.from_dict({"preset": "top_tagging"})``, with changes
    beside the name: the argument ``preset`` alone chooses the classes and their hard processes.

    Sources: [J] arXiv:2106.11535, Section 2 (JetNet); [C] arXiv:1709.08705, Section 3 (the simulation that
    JetNet was derived from) and its public analysis code; [T] the CMS design figures quoted there. [chosen]
    marks numbers that were decided here by the Frechet ParticleNet distance to real JetNet; data/README.md
    gives the distances of the alternatives. [D]: Delphes (arXiv:1307.6346) and its card of the ATLAS detector.
    Settings marked [atlas] or [cms] serve that model of the detector alone.

    Energy resolutions are :math:`\sigma_E/E = a/\sqrt E \oplus b/E \oplus c` with E in GeV for
    calorimeter objects and :math:`\sigma/p = a\,p_T \oplus c` for tracks.

    Args:
        beam_energy: proton-proton centre-of-mass energy in GeV [J].
        parton_pt_min: smallest transverse momentum of the two outgoing partons, tops or bosons in GeV [C].
        parton_pt_max: the largest one in GeV [C].
        tune: number of Pythia's tune to pp data; 14 is Monash 2013 with NNPDF2.3LO [J].
        underlying_event: multiparton interactions on or off [J].
        hadronic_decays: W and Z bosons (also those of top quarks) decay to quarks only [chosen].
        max_lifetime: particles of a longer proper lifetime (c tau in mm) do not decay; 0 leaves Pythia's own
            list of stable particles [chosen].
        jet_radius: R of the anti-kT algorithm [chosen]. [J] and [C] write 0.8, but JetNet's particles end at
            abs(phirel) = 0.52 and the activation statistics of its jets exclude 0.8.
        jets_per_event: how many of the leading jets of an event are looked at [C].
        jet_pt_min: smallest transverse momentum of a kept jet in GeV [J].
        jet_pt_max: the largest one in GeV [J].
        track_scale: a of the track resolution, in 1/GeV [C].
        track_floor: c of the track resolution [C].
        track_angle: angular resolution of tracks in eta and in phi, in rad [C: none].
        track_efficiency: probability that a charged hadron leaves a track; one without deposits its energy
            in the hadron calorimeter [C].
        track_pt_max: charged hadrons of higher pT in GeV are measured by the hadron calorimeter alone, whose
            resolution is better there; 0 means no limit [C].
        track_pt_min: tracks of lower measured pT in GeV are dropped [chosen].
        photon_stochastic: a of the electromagnetic calorimeter in GeV^(1/2) [T].
        photon_noise: b of the electromagnetic calorimeter in GeV [T].
        photon_floor: c of the electromagnetic calorimeter [T].
        photon_cell: edge of its square cells in eta and phi; 0 switches cells off [chosen].
        photon_pt_min: photons of lower measured pT in GeV are dropped [chosen].
        hadron_stochastic: a of the hadron calorimeter in GeV^(1/2) [T].
        hadron_noise: b of the hadron calorimeter in GeV [T: none].
        hadron_floor: c of the hadron calorimeter [T].
        hadron_cell: edge of its square cells in eta and phi; 0 switches cells off [C].
        hadron_pt_min: neutral hadrons of lower measured pT in GeV are dropped [chosen].
        calorimeter_eta_max: the cells cover this absolute pseudorapidity; what hits none is lost [C].
        preset: the classes and their hard processes, a key of
            :data:`~lgae_pyg.generator.presets.PRESETS`.
        detector: one of :data:`DETECTORS`; "none" ignores all other numbers of the detector.
        jet_eta_max: largest absolute pseudorapidity of a kept jet; 0 means no limit.
        match_radius: a jet of a class of tops is kept if a top quark and its three quarks are all within this
            :math:`\Delta R` of its axis; 0 keeps all.
        rapidity: the particles' rapidity is written in the place of their pseudorapidity, as EnergyFlow does.
        soft_track_efficiency: track_efficiency below 1 GeV [D; atlas].
        track_eta_max: tracks end at this absolute pseudorapidity [D; atlas].
        tower_eta: edge of a tower in eta [D; atlas].
        tower_phi: edge of a tower in phi, in rad [D; atlas].
        photon_energy_min: smallest energy of an electromagnetic layer in GeV [D; atlas].
        hadron_energy_min: the same of a hadronic layer [D; atlas].
        bend_pt: :math:`0.15\, B R` of the solenoid in GeV (B in T, R in m): charged particles of lower transverse
            momentum do not reach the calorimeter, others are turned [D; atlas].
        w_mass: mass of the W boson in GeV, for resonances of other masses; 0 for that of nature.
        top_mass: mass of the top quark in GeV, which must be above that of its W and b; 0 for that of nature.
    """

    beam_energy: float = 13000.0
    parton_pt_min: float = 995.0
    parton_pt_max: float = 1005.0
    tune: int = 14
    underlying_event: bool = True
    hadronic_decays: bool = True
    max_lifetime: float = 0.0
    jet_radius: float = 0.4
    jets_per_event: int = 1
    jet_pt_min: float = 800.0
    jet_pt_max: float = 1600.0
    track_scale: float = 0.00025
    track_floor: float = 0.015
    track_angle: float = 0.0
    track_efficiency: float = 1.0
    track_pt_max: float = 220.0
    track_pt_min: float = 0.25
    photon_stochastic: float = 0.027
    photon_noise: float = 0.15
    photon_floor: float = 0.005
    photon_cell: float = 0.005
    photon_pt_min: float = 0.25
    hadron_stochastic: float = 1.2
    hadron_noise: float = 0.0
    hadron_floor: float = 0.05
    hadron_cell: float = 0.022
    hadron_pt_min: float = 0.25
    calorimeter_eta_max: float = 3.0
    preset: str = "jetnet"
    detector: str = "cms"
    jet_eta_max: float = 0.0
    match_radius: float = 0.0
    rapidity: bool = False
    soft_track_efficiency: float = 0.7
    track_eta_max: float = 2.5
    tower_eta: float = 0.1
    tower_phi: float = math.pi / 18
    photon_energy_min: float = 0.5
    hadron_energy_min: float = 1.0
    bend_pt: float = 0.345
    w_mass: float = 0.0
    top_mass: float = 0.0

    def __post_init__(self) -> None:
        check_choice("preset", self.preset, PRESETS)
        check_choice("detector", self.detector, DETECTORS)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is not str and (not math.isfinite(value) or value < 0):
                raise ValueError(f"generator setting {field.name} is {value}: give a finite number >= 0")
        for low, high in (("parton_pt_min", "parton_pt_max"), ("jet_pt_min", "jet_pt_max")):
            if getattr(self, low) >= getattr(self, high):
                raise ValueError(f"generator settings {low} and {high}: the first must be the smaller one")
        for name in ("track_efficiency", "soft_track_efficiency"):
            if getattr(self, name) > 1:
                raise ValueError(f"generator setting {name} is {getattr(self, name)}: at most 1")
        if not (0 < self.tower_eta <= 1 and 0 < self.tower_phi <= 1):
            raise ValueError("generator settings tower_eta and tower_phi: give numbers above 0 and at most 1")
        if self.jets_per_event < 1 or self.jet_radius == 0:
            raise ValueError("generator settings jets_per_event and jet_radius: give numbers above 0")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the jet classes, in the order of their numbers."""
        return tuple(PRESETS[self.preset].processes)

    def process(self, name: str) -> Process:
        """The hard process of a class."""
        return PRESETS[self.preset].processes[name]

    def to_dict(self) -> dict[str, Any]:
        """The settings as a dictionary of plain values, ready for JSON.

        Those of :data:`LATER` are left out where they are at their defaults and the preset is JetNet's, so that
        the recipes of files made before there were presets are what they were.
        """
        values = dataclasses.asdict(self)
        if self.preset != JETNET_NAME:
            return values
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if name not in LATER or value != defaults[name]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GeneratorSettings":
        """Builds settings from a dictionary; omitted names keep the number of the preset, by default JetNet's.

        Raises:
            ValueError: a name that is no setting, an unknown preset, or a value out of range.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(names))
        if unknown:
            raise ValueError(f"unknown generator settings {', '.join(unknown)}; known: {', '.join(names)}")
        name = values.get("preset", JETNET_NAME)
        check_choice("preset", name, PRESETS)
        return cls(**{**PRESETS[name].values, **values})


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Refuses a setting that is none of its choices."""
    if value not in choices:
        raise ValueError(f"generator setting {name} is {value!r}: choose from {', '.join(choices)}")


def check_classes(
    classes: tuple[str, ...] | list[str], settings: GeneratorSettings | None = None
) -> tuple[str, ...]:
    """Returns the classes as a tuple without doubles.

    Raises:
        ValueError: none, or one that is not among the classes of the settings' preset (:data:`CLASSES`).
    """
    known = CLASSES if settings is None else settings.classes
    unknown = [name for name in classes if name not in known]
    if unknown or not classes:
        raise ValueError(f"unknown jet class {', '.join(map(repr, unknown)) or '(none)'}: "
                         f"choose from {', '.join(known)}")
    return tuple(dict.fromkeys(classes))
