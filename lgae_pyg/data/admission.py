"""The gate's report: what was read, mended, dropped and lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

#: Squared mass over squared energy above which a particle counts as massive.
MASSIVE = 1e-4

#: Mass in GeV that no jet of a collider reaches: the energy of the LHC's beams together, and a bit.
IMPLAUSIBLE_MASS = 15_000.0

#: Mass in GeV that jets of more than five particles have at least.
LEAST_MASS = 0.5

_LARGEST = ("cut_to", "pt_worst", "mass_worst", "reference_worst")


@dataclass(frozen=True)
class Admission:
    """What the gate did to jets. Reports of parts add up: ``a + b``; ``Admission()`` is the empty one.

    Momenta and masses are in ``unit``; what is lost is measured on the jets that were kept.

    Args:
        unit: unit of the momenta.
        read: jets read.
        kept: jets kept.
        dropped: jets dropped, by reason.
        padding: rows without energy that were removed.
        sorted: jets whose particles were sorted by falling pT.
        unsorted: jets that are not sorted by falling pT and were left so.
        cut: jets that were cut to fewer particles.
        cut_to: number of particles that they were cut to.
        cut_particles: particles cut away.
        pt: sum of the particles' pT before the cut.
        pt_lost: what the cut took of it.
        pt_worst: largest share of its pT that a jet lost.
        mass: sum of the jets' masses before the cut.
        mass_lost: what the cut took of it.
        mass_worst: largest share of its mass that a jet lost.
        reference_mass: sum of the jet masses that the file gives (``jet_ref``), where it does.
        reference_lost: by how much the masses of the kept particles fall short of them, summed; negative where
            they are larger.
        reference_worst: largest difference of the two in a jet, as a share.
        particles: particles kept.
        massive: those with mass, m²/E² above 1e-4.
        below_shell: those with E < |p| beyond rounding.
        at_rest: those with an energy and no momentum.
        heavy: jets heavier than 15 TeV.
        crowded: jets of more than five particles.
        light: those of them that are lighter than 0.5 GeV.
    """

    unit: str = ""
    read: int = 0
    kept: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    padding: int = 0
    sorted: int = 0
    unsorted: int = 0
    cut: int = 0
    cut_to: int = 0
    cut_particles: int = 0
    pt: float = 0.0
    pt_lost: float = 0.0
    pt_worst: float = 0.0
    mass: float = 0.0
    mass_lost: float = 0.0
    mass_worst: float = 0.0
    reference_mass: float = 0.0
    reference_lost: float = 0.0
    reference_worst: float = 0.0
    particles: int = 0
    massive: int = 0
    below_shell: int = 0
    at_rest: int = 0
    heavy: int = 0
    crowded: int = 0
    light: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if hasattr(value, "item"):  # NumPy's numbers, which JSON does not know
                object.__setattr__(self, name, value.item())

    def __add__(self, other: Admission) -> Admission:
        if self.unit and other.unit and self.unit != other.unit:
            raise ValueError(f"reports in {self.unit} and in {other.unit} do not add up: convert the jets first")
        values: dict[str, Any] = {"unit": self.unit or other.unit}
        reasons = dict.fromkeys((*self.dropped, *other.dropped))
        values["dropped"] = {name: self.dropped.get(name, 0) + other.dropped.get(name, 0) for name in reasons}
        for name in (entry.name for entry in fields(self) if entry.name not in values):
            pair = getattr(self, name), getattr(other, name)
            values[name] = max(pair) if name in _LARGEST else sum(pair)
        return Admission(**values)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for ``meta["admission"]``."""
        return asdict(self) | {"dropped": dict(self.dropped)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Admission:
        """The report that :meth:`to_dict` wrote; entries of later versions are left out."""
        known = {entry.name for entry in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})

    @property
    def unit_doubt(self) -> str:
        """Why the unit cannot be right, in one sentence; empty if nothing speaks against it.

        The mass of a jet does not depend on the observer. The median is judged: one half of the jets above
        15 TeV, or one half of those with more than five particles below 0.5 GeV.
        """
        mend = "than was declared; correct `unit` of the data card, or of the call"
        if 2 * self.heavy > self.kept:
            return f"most jets are heavier than 15 TeV: this looks like numbers of a smaller unit {mend}"
        if 2 * self.light > self.crowded:
            return f"most jets are lighter than 0.5 GeV: this looks like numbers of a larger unit {mend}"
        return ""

    def lines(self) -> list[str]:
        """The report in sentences, the first about all jets, the others only where there is something to say."""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.items())
        lines = [f"{self.read:,} jets read, {self.kept:,} kept" + (f"; dropped: {reasons}" if reasons else "")]
        if self.padding:
            lines.append(f"{self.padding:,} rows without energy (padding) removed")
        if self.sorted:
            lines.append(f"{self.sorted:,} jets sorted by falling pT")
        if self.unsorted:
            lines.append(f"{self.unsorted:,} jets are not sorted by falling pT, and were left so")
        if self.cut:
            first = "first" if self.unsorted else "leading"  # by pT
            to = f" to the {self.cut_to} {first} particles" if self.cut_to else ""  # not known to earlier versions
            lines.append(
                f"{self.cut:,} jets cut{to} ({self.cut_particles:,} left out): lost "
                f"{_share(self.pt_lost, self.pt)} of the pT and {_share(self.mass_lost, self.mass)} "
                f"of the jet mass of all jets (worst jet: {self.pt_worst:.1%} and {self.mass_worst:.1%})"
            )
        if self.reference_mass:
            side = "above" if self.reference_lost < 0 else "below"
            lines.append(
                f"the jet mass of the kept particles is {_share(abs(self.reference_lost), self.reference_mass)} "
                f"{side} the one in the file (worst jet: {self.reference_worst:.1%} off)"
            )
        if self.massive:
            lines.append(f"{_share(self.massive, self.particles)} of {self.particles:,} particles have mass")
        if self.below_shell:
            share = _share(self.below_shell, self.particles)
            lines.append(f"{self.below_shell:,} particles ({share}) have E < |p| beyond rounding")
        if self.at_rest:
            share = _share(self.at_rest, self.particles)
            lines.append(
                f"{self.at_rest:,} particles ({share}) have an energy and no momentum, as candidates whose "
                "momentum pile-up removal took; they are kept, and their energy adds to the jet mass"
            )
        return lines + [f"UNIT: {self.unit_doubt}"] * bool(self.unit_doubt)


def _share(part: float, whole: float) -> str:
    share = part / whole if whole else 0.0
    return f"{share:.1%}" if abs(share) >= 1e-3 or share == 0 else f"{share:.1e}"
