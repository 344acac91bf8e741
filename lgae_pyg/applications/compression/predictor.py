"""What the learned coder knows of jets while their particles come, and the laws of the next ones."""

from __future__ import annotations

import numpy as np

from lgae_pyg.applications.compression import arithmetic
from lgae_pyg.applications.compression.laws import LARGEST, Falls, Kernels, exponentials, weights
from lgae_pyg.applications.compression.network import STEP, Network
from lgae_pyg.applications.compression.particles import Axis, wrap
from lgae_pyg.applications.compression.quantise import Grid

#: Kernels that a law has at most; particles of a jet that have some; how far angles reach, and ln pT.
KERNELS, PARTICLES = 64, 64
_ANGLE, _FALL = 1.5, 10.0
#: Square of the smallest scale of a kernel.
_SMALLEST = 0.0015**2


class Predictor:
    """The laws of the particles of jets.

    Args:
        network: the network.
        grid: of the particles.
        log_unit: logarithm of the unit of the momenta, in GeV.
        sizes: particles of the jets, (J,).
    """

    def __init__(self, network: Network, grid: Grid, log_unit: float, sizes: np.ndarray) -> None:
        count, shown = len(sizes), min(int(sizes.max(initial=0)), PARTICLES)
        self._network, self._grid, self._log_unit, self._sizes = network, grid, log_unit, sizes
        self._rank, self._step_phi = 0, 2 * np.pi / grid.turn
        self._axis, self._state = Axis(grid, count), network.begin(count)
        self._keys = np.zeros((count, shown, network.kernels, network.depth), dtype=np.float32)
        self._places = np.zeros((3, count, shown), dtype=np.int64)
        self._first, self._before = np.zeros((3, count), dtype=np.int64), np.zeros((3, count), dtype=np.int64)
        self._weight, self._spread = np.zeros((2, count))

    def learn(self, rows: np.ndarray, numbers: np.ndarray) -> None:
        """Takes in the next particle of these jets: its numbers of pT, eta and phi, (3, n)."""
        if self._rank == 0:
            self._first[:, rows] = numbers
        features = self._features(rows, numbers)
        self._state[rows] = self._network.advance(self._state[rows], features)
        if self._rank < self._keys.shape[1]:
            self._keys[rows, self._rank] = self._network.key(self._state[rows])
            self._places[:, rows, self._rank] = self.relative(rows, numbers)
        self._before[:, rows] = numbers
        self._rank += 1

    def before(self, rows: np.ndarray) -> np.ndarray:
        """Numbers of pT of the particles before, (n,)."""
        return self._before[0][rows]

    def falls(self, rows: np.ndarray) -> Falls:
        """How far pT falls from the particle before."""
        logs, rates = self._network.drop(self._state[rows])
        reach = int(min(np.ceil(_FALL / self._grid.log_pt), LARGEST))
        return Falls(weights(logs), exponentials(rates) * self._grid.log_pt, reach)

    def angles(self, rows: np.ndarray, pt: np.ndarray) -> Angles:
        """The laws of eta and phi, where the number of pT is known."""
        first, before = self._first[:, rows], self._before[:, rows]
        rank = _log(np.full(len(rows), 1.0 + self._rank)) - 1
        known = _steps([*self._of_pt(pt, first[0], before[0]), rank])
        query, centre, scale, weight = self._network.query(self._state[rows], known)
        shown = min(self._rank, self._keys.shape[1])
        answers = np.matmul(self._keys[rows, :shown], query.astype(np.float32)[:, None, :, None])[..., 0]
        logs = np.floor(answers.astype(np.float64) / (1 << 4) + 0.5) + weight[:, None]
        logs = np.concatenate([logs.reshape(len(rows), -1), centre], axis=1)
        eta, phi = self._axis.of(rows)
        eta, phi = eta - first[1], wrap(phi - first[2], self._grid.turn)
        places = np.concatenate([self._places[1:, rows, :shown], np.stack([eta, phi])[:, :, None]], axis=2)
        chosen = np.tile(np.arange(logs.shape[1]), (len(rows), 1))
        if logs.shape[1] > KERNELS:
            order = logs * logs.shape[1] - np.arange(logs.shape[1])
            chosen = np.argpartition(-order, KERNELS - 1, axis=1)[:, :KERNELS]
        kernels = self._network.kernels
        squares = np.square(exponentials(np.take_along_axis(scale, chosen % kernels, 1))) + _SMALLEST
        tied = np.where(pt == before[0], before[1] - first[1], -LARGEST * 2)
        return Angles(
            self._grid,
            weights(np.take_along_axis(logs, chosen, 1)),
            np.take_along_axis(places, (chosen // kernels)[None], 2),
            squares,
            self._network.ratios()[chosen % kernels],
            np.stack([eta, phi]),
            tied,
        )

    def absolute(self, rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Numbers of pT, eta and phi of relative ones, (3, n)."""
        first = self._first[:, rows]
        return np.stack([numbers[0], numbers[1] + first[1], (numbers[2] + first[2]) % self._grid.turn])

    def relative(self, rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Numbers of pT, eta and phi, the angles against those of the first particle, (3, n)."""
        first = self._first[:, rows]
        return np.stack([numbers[0], numbers[1] - first[1], wrap(numbers[2] - first[2], self._grid.turn)])

    def _of_pt(self, pt: np.ndarray, first: np.ndarray, before: np.ndarray) -> list[np.ndarray]:
        step = self._grid.log_pt
        fall = np.maximum(before - pt, 0) * step if self._rank else np.zeros(len(pt))
        return [(pt * step + self._log_unit) / 3 - 1, (pt - first) * step / 3, _log(fall + 0.01) + 1.5]

    def _features(self, rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Features of the next particles, (n, 11), in steps; these particles are added to the axes."""
        first, rank, step = self._first[:, rows], self._rank, self._grid.log_pt
        relative = self.relative(rows, numbers)
        away, near, neighbour = np.zeros(len(rows)), np.ones(len(rows)), numbers[0]
        if rank:
            away = self._distance(relative, self._axis_of(rows))
            shown = min(rank, self._keys.shape[1])
            far = self._distance(relative[:, :, None], self._places[:, rows, :shown])
            nearest = far.argmin(axis=1)
            near = np.take_along_axis(far, nearest[:, None], 1)[:, 0]
            neighbour = self._places[0][rows, nearest]
        self._axis.add(rows, *numbers)
        weight = arithmetic.exp((numbers[0] - first[0]) * step)
        self._weight[rows] += weight
        self._spread[rows] += weight * np.square(self._distance(relative, self._axis_of(rows)))
        total, left = self._weight[rows], np.maximum(self._sizes[rows] - 1 - rank, 0)
        return _steps(
            [
                *self._of_pt(numbers[0], first[0], self._before[0][rows]),
                (arithmetic.log(total) + first[0] * step + self._log_unit) / 3 - 2,
                _log(away + 1e-3) + 1.5,
                _log(near + 1e-3) + 1.5,
                (neighbour - numbers[0]) * step / 3,
                _log(np.full(len(rows), 1.0 + rank)) - 1,
                _log(1.0 + left) - 1,
                _log(np.sqrt(self._spread[rows] / total) + 1e-3) + 1.5,
                _log(self._sizes[rows].astype(np.float64)) - 1.7,
            ]
        )

    def _axis_of(self, rows: np.ndarray) -> np.ndarray:
        return self.relative(rows, np.stack([rows, *self._axis.of(rows)]))

    def _distance(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        eta, phi = (one[1] - other[1]) * self._grid.eta, (one[2] - other[2]) * self._step_phi
        return np.sqrt(eta * eta + phi * phi)


class Angles:
    """The laws of the angles of the next particles.

    Args:
        grid: of the particles.
        weight: of the kernels, whole numbers, (n, C).
        centre: numbers of eta and phi, (2, n, C).
        square: squares of the scales, (n, C).
        ratio: of the kernels in phi to those in eta, (n, C).
        axis: numbers of eta and phi, (2, n).
        tied: the number of eta is no less than this, (n,).
    """

    def __init__(
        self,
        grid: Grid,
        weight: np.ndarray,
        centre: np.ndarray,
        square: np.ndarray,
        ratio: np.ndarray,
        axis: np.ndarray,
        tied: np.ndarray,
    ) -> None:
        self._grid, self._weight, self._centre, self._square, self._ratio = grid, weight, centre, square, ratio
        self._axis, self._tied = axis, tied

    def eta(self) -> Kernels:
        """The law of eta."""
        reach, axis = self._reach(self._grid.eta), self._axis[0]
        low, high = axis - reach, axis + reach
        cut = (self._tied > low) & (self._tied < high)
        low = np.where(cut, self._tied, low)
        return Kernels(self._weight, self._centre[0], self._square / self._grid.eta**2, low, high, cut)

    def phi(self, eta: np.ndarray) -> Kernels:
        """The law of phi where eta is known."""
        x = (eta[:, None] - self._centre[0]) * self._grid.eta
        wide = self._square + x * x
        weight = self._weight * self._square / (wide * np.sqrt(wide))
        weight = np.rint(weight * (65536.0 / weight.max(axis=1, keepdims=True)))
        step, axis = 2 * np.pi / self._grid.turn, self._axis[1]
        reach = min(self._reach(step), (self._grid.turn - 1) // 2)
        return Kernels(
            weight, self._centre[1], self._ratio * wide / (step * step), axis - reach, axis + reach
        )

    def about_axis(self, phi: np.ndarray | None) -> np.ndarray | None:
        """The same azimuths, as near to the axis as turns allow."""
        return None if phi is None else self._axis[1] + wrap(phi - self._axis[1], self._grid.turn)

    @staticmethod
    def _reach(step: float) -> int:
        return int(min(np.ceil(_ANGLE / step), LARGEST))


def _log(values: np.ndarray) -> np.ndarray:
    return arithmetic.log(values) / 2


def _steps(features: list[np.ndarray]) -> np.ndarray:
    """Features in steps of the network, (n, F)."""
    return np.rint(np.clip(np.stack(features, axis=1), -8.0, 8.0) * STEP)
