"""The particles of jets on the grid, and the order in which they are written: the plain coder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lgae_pyg.applications.compression import arithmetic
from lgae_pyg.applications.compression.quantise import EXACT, MASSLESS, Grid, Integers

#: Ranks (by falling pT, from 0) at which another table of frequencies begins.
_RANKS = np.array([2, 3, 4, 5, 7, 10, 15, 23, 36, 60])
#: Jets times particles of the largest of them that a block may have: what a file can ask for is bounded.
CELLS = 1 << 22


@dataclass(frozen=True)
class JetIntegers:
    """Jets on the grid, as they are stored: particles by falling number of pT, those kept as they are at the end.

    Args:
        sizes: particles on the grid in each jet, (J,).
        exact: particles that are kept as they are in each jet, (J,).
        particles: the particles on the grid, jets one after another.
    """

    sizes: np.ndarray
    exact: np.ndarray
    particles: Integers

    @property
    def first(self) -> np.ndarray:
        """Place of the first particle of each jet among those on the grid, (J,)."""
        return np.cumsum(self.sizes) - self.sizes


def stored_order(integers: Integers, ptr: np.ndarray) -> np.ndarray:
    """Places of the particles in stored order, (n,): by jet, kept ones last, by falling pT, then by rising eta."""
    owner = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
    return np.lexsort((integers.eta, -integers.pt, integers.kind == EXACT, owner))


def jets_on_grid(integers: Integers, ptr: np.ndarray) -> JetIntegers:
    """Jets whose particles are in the order of :func:`stored_order`, without those that are kept as they are."""
    kept = integers.kind == EXACT
    exact = np.add.reduceat(np.append(kept, 0), ptr[:-1]) if len(ptr) > 1 else np.zeros(0, dtype=np.int64)
    exact = np.where(np.diff(ptr) > 0, exact, 0).astype(np.int64)
    return JetIntegers(np.diff(ptr) - exact, exact, integers.take(~kept))


class Walk:
    """Goes through the particles of jets in the order in which they are written.

    Jets first say how many particles they have. Then the first particles of all jets, the second ones, and so on.
    Of the first, pT, eta and phi are written; of a later one, how far pT falls below that of the one before, and
    its angles against the axis of the particles before it (their mean, weighted with pT), which so need not be
    stored.

    Args:
        stream: counts, writes or reads.
        grid: the grid.
        known: the jets, where they are written.
        count: number of jets.
    """

    def __init__(self, stream: Any, grid: Grid, known: JetIntegers | None, count: int) -> None:
        self._stream, self._grid, self._known, self._count = stream, grid, known, count

    def run(self) -> JetIntegers:
        """Writes or reads all, and returns the jets.

        Raises:
            ValueError: more particles than a block may have were declared.
        """
        known, count = self._known, self._count
        sizes = self._stream.integers("size", known and known.sizes, count, False)
        exact = self._stream.integers("exact", known and known.exact, count, False)
        largest = int(sizes.max(initial=0))
        if count * largest > CELLS or int(exact.max(initial=0)) > CELLS or int(exact.sum()) > CELLS:
            most = max(largest, int(exact.max(initial=0)))
            raise ValueError(f"{count} jets of up to {most} particles, more than a block may hold")
        columns = {
            name: np.zeros(int(sizes.sum()), dtype=np.int64) for name in ("kind", "pt", "eta", "phi", "mass")
        }
        jets = JetIntegers(sizes, exact, Integers(**columns))
        axis = Axis(self._grid, count)
        self._begin(jets)
        for rank in range(largest):
            rows = np.flatnonzero(sizes > rank)
            self._rank(rank, rows, jets, axis)
        return jets

    def _begin(self, jets: JetIntegers) -> None:
        """What comes between the numbers of particles and the particles: nothing."""

    def _rank(self, rank: int, rows: np.ndarray, jets: JetIntegers, axis: Axis) -> None:
        """The particles of one rank."""
        places, out, turn = jets.first[rows] + rank, jets.particles, self._grid.turn
        context = int(np.searchsorted(_RANKS, rank, side="right"))
        if rank == 0:
            self._column(out, "pt", places, "first_pt", True)
            self._column(out, "eta", places, "first_eta", True)
            self._column(out, "phi", places, "first_phi", False)
        else:
            before, (eta, phi) = out.pt[places - 1], axis.of(rows)
            self._column(out, "pt", places, "pt", False, context, lambda x: before - x, lambda x: before - x)
            self._column(out, "eta", places, "eta", True, context, lambda x: x - eta, lambda x: x + eta)
            self._column(
                out, "phi", places, "phi", True, context, lambda x: wrap(x - phi, turn), lambda x: (x + phi) % turn
            )
        self._others(rank, rows, places, out, axis)

    def _others(self, rank: int, rows: np.ndarray, places: np.ndarray, out: Integers, axis: Axis) -> None:
        """What follows on the momenta of one rank: kinds and masses."""
        axis.add(rows, out.pt[places], out.eta[places], out.phi[places])
        self._column(out, "kind", places, "kind", False, int(np.searchsorted(_RANKS, rank, side="right")))
        self._column(out, "mass", places[out.kind[places] != MASSLESS], "mass", True)

    def _column(
        self,
        out: Integers,
        column: str,
        places: np.ndarray,
        table: str,
        signed: bool,
        context: int = 0,
        forth: Callable[[np.ndarray], np.ndarray] = lambda x: x,
        back: Callable[[np.ndarray], np.ndarray] = lambda x: x,
    ) -> None:
        """Writes or reads a column of some particles; ``forth`` makes of its values what is written."""
        values = None
        if self._known is not None:
            values = forth(getattr(self._known.particles, column)[places])
        values = self._stream.integers(table, values, len(places), signed, context)
        getattr(out, column)[places] = back(values)


class Axis:
    """The axes of jets while their particles come: means of eta and phi, weighted with pT, as whole numbers.

    Args:
        grid: the grid.
        count: number of jets.
    """

    def __init__(self, grid: Grid, count: int) -> None:
        self._grid, self._pt0, self._phi0 = grid, *np.zeros((2, count), dtype=np.int64)
        self._weight, self._eta, self._phi = np.zeros((3, count))

    def add(self, rows: np.ndarray, pt: np.ndarray, eta: np.ndarray, phi: np.ndarray) -> None:
        """Adds a particle to each of these jets; weights are relative to the first one's pT."""
        new = rows[self._weight[rows] == 0]
        if len(new):
            self._pt0[rows], self._phi0[rows] = pt, phi
        weight = arithmetic.exp((pt - self._pt0[rows]) * self._grid.log_pt)
        self._weight[rows] += weight
        self._eta[rows] += weight * eta
        self._phi[rows] += weight * wrap(phi - self._phi0[rows], self._grid.turn)

    def of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Eta and phi of the axes of these jets."""
        weight = self._weight[rows]
        eta, phi = np.rint(self._eta[rows] / weight), np.rint(self._phi[rows] / weight)
        return eta.astype(np.int64), phi.astype(np.int64) + self._phi0[rows]


def wrap(numbers: np.ndarray, turn: int) -> np.ndarray:
    """Numbers of azimuths between minus and plus half a turn."""
    return (numbers + turn // 2) % turn - turn // 2
