"""Particles told by a network from the jet and the particles before them: the learned coder."""

from __future__ import annotations

from typing import Any

import numpy as np

from lgae_pyg.applications.compression.lanes import BITS, LaneReader, LaneWriter, lanes_of
from lgae_pyg.applications.compression.laws import Law, find, starts
from lgae_pyg.applications.compression.network import Network
from lgae_pyg.applications.compression.particles import Axis, JetIntegers, Walk
from lgae_pyg.applications.compression.predictor import Predictor

#: Most jets of a block: each has memory of its own.
MAX_JETS = 1 << 13
#: Numbers beyond their windows follow in four pieces of so many bits.
_PIECE = 14


class LearnedWalk(Walk):
    """Goes through the particles as :class:`Walk` does; of those after the first, pT, eta and phi are written with
    the laws of the network, in words of their own that come before the particles.

    Args:
        network: the network.
        log_unit: logarithm of the unit of the momenta, in GeV.
        plain: write as :class:`Walk` does, and no words; what is read says itself how it was written.
        rest: as for :class:`Walk`.
    """

    def __init__(self, network: Network, log_unit: float, plain: bool, *rest: Any) -> None:
        super().__init__(*rest)
        self._network, self._log_unit, self._plain = network, log_unit, plain

    def run(self) -> JetIntegers:
        """As :meth:`Walk.run`."""
        jets = super().run()
        if not self._plain and isinstance(self._lanes.end, LaneReader):
            self._lanes.end.close()
        return jets

    def _begin(self, jets: JetIntegers) -> None:
        words = np.zeros(0, dtype=np.uint32)
        if self._known is None or self._plain:
            words = self._stream.words(words)
            self._plain = not len(words)
        if self._plain:
            return
        if self._count > MAX_JETS:
            raise ValueError(f"{self._count} jets in a block of the learned coder, which has up to {MAX_JETS}")
        self._predictor = Predictor(self._network, self._grid, self._log_unit, jets.sizes)
        lanes = lanes_of(self._count)
        if self._known is None:
            self._lanes = _Lanes(LaneReader(words, lanes))
            return
        writer = LaneWriter(lanes)
        self._lanes = _Lanes(writer)
        known = self._known.particles
        for rank in range(int(jets.sizes.max(initial=0))):
            rows = np.flatnonzero(jets.sizes > rank)
            places = jets.first[rows] + rank
            numbers = np.stack([known.pt[places], known.eta[places], known.phi[places]])
            self._tell(rank, rows, numbers)
        self._stream.words(writer.words())

    def _rank(self, rank: int, rows: np.ndarray, jets: JetIntegers, axis: Axis) -> None:
        places, out = jets.first[rows] + rank, jets.particles
        if rank == 0 or self._plain:
            super()._rank(rank, rows, jets, axis)
            if self._known is None and not self._plain:
                self._tell(0, rows, np.stack([out.pt[places], out.eta[places], out.phi[places]]))
            return
        source = self._known.particles if self._known is not None else None
        if source is not None:
            numbers = np.stack([source.pt[places], source.eta[places], source.phi[places]])
        else:
            numbers = self._tell(rank, rows, None)
        out.pt[places], out.eta[places], out.phi[places] = numbers
        self._others(rank, rows, places, out, axis)

    def _tell(self, rank: int, rows: np.ndarray, known: np.ndarray | None) -> np.ndarray:
        """Writes or reads the particles of a rank, (3, n), and takes them in."""
        predictor, lanes = self._predictor, self._lanes
        if rank == 0 and known is not None:
            predictor.learn(rows, known)
            return known
        before = predictor.before(rows)
        relative = [None] * 3 if known is None else predictor.relative(rows, known)
        pt = before - lanes.code(predictor.falls(rows), None if known is None else before - relative[0])
        angles = predictor.angles(rows, pt)
        eta = lanes.code(angles.eta(), relative[1])
        phi = lanes.code(angles.phi(eta), angles.about_axis(relative[2]))
        numbers = predictor.absolute(rows, np.stack([pt, eta, phi]))
        predictor.learn(rows, numbers)
        return numbers


class _Lanes:
    """Codes numbers by their laws; those beyond a window follow in pieces.

    Args:
        end: where they go, or where they come from.
    """

    def __init__(self, end: LaneWriter | LaneReader) -> None:
        self.end = end

    def code(self, law: Law, known: np.ndarray | None) -> np.ndarray:
        """Writes or reads numbers, (n,).

        Raises:
            ValueError: the words end too early.
        """
        count, everything = len(law.low), slice(None)
        if isinstance(self.end, LaneReader):
            shown = self.end.read(count, lambda part, slots: find(law, part, slots))
        else:
            assert known is not None  # what is written is known
            shown = np.clip(known, law.low, law.high)
            start = starts(law, everything, shown)
            self.end.add(start, starts(law, everything, shown + 1) - start)
        return self._beyond(law, shown, known)

    def _beyond(self, law: Law, shown: np.ndarray, known: np.ndarray | None) -> np.ndarray:
        """Adds how far numbers at the ends of their windows are beyond them."""
        sign = (shown == law.high).astype(np.int64) - (shown == law.low) * law.open_below
        rows = np.flatnonzero(sign)
        excess = np.zeros(len(rows), dtype=np.int64) if known is None else np.abs(known - shown)[rows]
        for shift in range(0, 4 * _PIECE if len(rows) else 0, _PIECE):
            if isinstance(self.end, LaneReader):
                excess |= self.end.read(len(rows), _piece) << shift
            else:
                piece = (excess >> shift) & ((1 << _PIECE) - 1)
                self.end.add(piece << (BITS - _PIECE), np.full(len(rows), 1 << (BITS - _PIECE)))
        result = shown.copy()
        result[rows] += sign[rows] * excess
        return result


def _piece(part: slice, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    piece = slots >> (BITS - _PIECE)
    return piece, piece << (BITS - _PIECE), np.full(len(slots), 1 << (BITS - _PIECE))
