"""Every number of the jet generator: hard processes, event settings, detector, jet selection."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CLASSES = ("g", "q", "t", "w", "z")

PROCESSES: dict[str, tuple[str, ...]] = {
    "g": ("HardQCD:gg2gg = on", "HardQCD:qqbar2gg = on"),
    "q": ("HardQCD:gg2qqbar = on", "HardQCD:qq2qq = on", "HardQCD:qqbar2qqbarNew = on"),
    "t": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on"),
    "w": ("WeakDoubleBoson:ffbar2WW = on",),
    "z": ("WeakDoubleBoson:ffbar2gmZgmZ = on", "WeakZ0:gmZmode = 2"),
}
"""Hard processes of each jet class, as Pythia 8 settings (leading order)."""


@dataclass(frozen=True)
class GeneratorSettings:
    r"""The recipe of the generated jets, as plain numbers; the defaults imitate JetNet.

    Sources: [J] arXiv:2106.11535, Section 2 (JetNet); [C] arXiv:1709.08705, Section 3 (the simulation that
    JetNet was derived from) and its public analysis code; [T] the CMS design figures quoted there. [chosen]
    marks numbers that were decided here by the Frechet ParticleNet distance to real JetNet; data/README.md
    gives the distances of the alternatives.

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

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value) or value < 0:
                raise ValueError(f"generator setting {field.name} is {value}: give a finite number >= 0")
        for low, high in (("parton_pt_min", "parton_pt_max"), ("jet_pt_min", "jet_pt_max")):
            if getattr(self, low) >= getattr(self, high):
                raise ValueError(f"generator settings {low} and {high}: the first must be the smaller one")
        if not self.track_efficiency <= 1:
            raise ValueError(f"generator setting track_efficiency is {self.track_efficiency}: at most 1")
        if self.jets_per_event < 1 or self.jet_radius == 0:
            raise ValueError("generator settings jets_per_event and jet_radius: give numbers above 0")

    def to_dict(self) -> dict[str, Any]:
        """The settings as a dictionary of plain numbers, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GeneratorSettings":
        """Builds settings from a dictionary; omitted names keep their default.

        Raises:
            ValueError: a name that is no setting, or a value out of range.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(names))
        if unknown:
            raise ValueError(f"unknown generator settings {', '.join(unknown)}; known: {', '.join(names)}")
        return cls(**values)


def check_classes(classes: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Returns the classes as a tuple without doubles.

    Raises:
        ValueError: none, or one that is not among :data:`CLASSES`.
    """
    unknown = [name for name in classes if name not in CLASSES]
    if unknown or not classes:
        raise ValueError(f"unknown jet class {', '.join(map(repr, unknown)) or '(none)'}: "
                         f"choose from {', '.join(CLASSES)}")
    return tuple(dict.fromkeys(classes))
