"""The partons of the hard process: which jets are of the class that was asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lgae_pyg.generator.presets import Process
from lgae_pyg.generator.settings import GeneratorSettings

Wanted = Callable[[NDArray, NDArray, NDArray], NDArray[np.bool_]]
"""From the event, the pseudorapidity and the azimuth of each jet to whether it is kept."""

OUTGOING = -23
"""Pythia's status of an outgoing particle of the hard process, decays of tops and bosons included."""

GLUON, LARGEST_QUARK, TOP, W = 21, 5, 6, 24


@dataclass(frozen=True)
class Partons:
    """Outgoing quarks and gluons of the hard processes of many events, as arrays of one length.

    Attributes:
        event: number of the event.
        code: PDG number.
        mother: PDG number of the mother.
        momentum: (partons, 3) px, py, pz in GeV.
    """

    event: NDArray[np.int64]
    code: NDArray[np.int64]
    mother: NDArray[np.int64]
    momentum: NDArray[np.float64]

    def wanted(self, process: Process, settings: GeneratorSettings) -> Wanted:
        """Which jets fit the process of a class: flavour of the parton, tops inside the jet."""

        def is_wanted(event: NDArray, eta: NDArray, phi: NDArray) -> NDArray[np.bool_]:
            keep = np.ones(len(event), bool)
            if process.flavours:
                keep &= ~np.isin(event, self.event[~np.isin(np.abs(self.code), process.flavours)])
            if process.top and settings.match_radius > 0:
                keep &= self.holds_top(event, eta, phi, settings.match_radius)
            return keep

        return is_wanted

    def holds_top(self, event: NDArray, eta: NDArray, phi: NDArray, radius: float) -> NDArray[np.bool_]:
        r"""Whether a top quark and the three quarks of its decay are within :math:`\Delta R` of each jet's axis.

        The top quark is the sum of its three quarks; tops that do not decay to three quarks are in no jet.

        Shapes:
            - event, eta, phi, output: one per jet
        """
        found = np.zeros(len(event), bool)
        for sign in (1, -1):
            quarks = np.flatnonzero(np.isin(self.mother, (sign * TOP, sign * W)))
            events, first, count = np.unique(self.event[quarks], return_index=True, return_counts=True)
            events, first = events[count == 3], first[count == 3]
            momenta = self.momentum[quarks[first[:, None] + np.arange(3)]]  # (tops, 3, 3)
            momenta = np.concatenate([momenta, momenta.sum(1, keepdims=True)], axis=1)
            _, top_eta, top_phi = directions(*np.moveaxis(momenta, -1, 0))
            jets, place = np.nonzero(event[:, None] == events)
            turn = np.mod(top_phi[place] - phi[jets, None] + np.pi, 2 * np.pi) - np.pi
            found[jets] |= (np.hypot(top_eta[place] - eta[jets, None], turn) < radius).all(1)
        return found


def hard_partons(record: Any) -> Partons:
    """The partons of a batch of Pythia's event records (an awkward array of particles per event)."""
    import awkward as ak

    kind = np.abs(record.id)
    chosen = (record.status == OUTGOING) & ((kind == GLUON) | (kind <= LARGEST_QUARK))
    mother = record.id[record.mother1[chosen]]
    event = np.repeat(np.arange(len(record)), ak.to_numpy(ak.sum(chosen, axis=1)))
    outgoing = record[chosen]
    momentum = np.stack([ak.to_numpy(ak.flatten(outgoing.p[axis])) for axis in ("px", "py", "pz")], axis=-1)
    return Partons(event, ak.to_numpy(ak.flatten(outgoing.id)), ak.to_numpy(ak.flatten(mother)), momentum)


def directions(px: NDArray, py: NDArray, pz: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Transverse momentum, pseudorapidity and azimuth."""
    pt = np.hypot(px, py)
    return pt, np.arcsinh(pz / pt), np.arctan2(py, px)
