r"""The network of the learned coder, in whole numbers: the same on every machine.

A recurrent unit reads the particles of a jet one after another. From its state come the law of the next pT, and,
once that is known, weights and widths of the kernels of the next angles (:mod:`.laws`). Numbers are steps of
:math:`2^{-10}`, weights too. Matrices are multiplied in float64, where sums of such products are exact in any
order (they stay below :math:`2^{53}`), so that any library of linear algebra gives the same; curves come from
tables, made by :mod:`.arithmetic`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from lgae_pyg.applications.compression import arithmetic
from lgae_pyg.weights import read_weights

#: Steps of numbers and weights, of keys and queries, and of logarithms.
STEP, KEY_STEP, LOG_STEP = 1 << 10, 1 << 6, 1 << 8
FILE, FORMAT = Path(__file__).with_name("learned_jets.safetensors"), 1
#: Features of a particle, and those that are known before its angles.
FEATURES, KNOWN = 11, 4
_LIMIT, _KEY_LIMIT, _REACH = 1 << 15, 511, 8 * STEP


class Network:
    """The network.

    Args:
        tensors: matrices ``NAME`` (in, out) and biases ``NAME_bias`` (out,) of whole numbers, for ``gru_input``,
            ``gru_state``, ``pt_1``, ``pt_2``, ``query_1``, ``query_2``, ``key_1``, ``key_2``; ``log_rate`` (E,),
            ``log_scale``, ``log_ratio`` (K,).
        fingerprint: of these.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], fingerprint: str) -> None:
        self._tensors = {name: values.astype(np.float64) for name, values in tensors.items()}
        self.fingerprint = fingerprint
        self.width = len(tensors["gru_state"])
        self.kernels, self.drops = len(tensors["log_scale"]), len(tensors["log_rate"])
        self.depth = tensors["key_2"].shape[1] // self.kernels
        steps = np.arange(-_REACH, _REACH + 1) / STEP
        e = arithmetic.exp(-np.abs(steps))
        self._sigmoid = np.rint(STEP * np.where(steps < 0, e / (1 + e), 1 / (1 + e)))
        square = e * e
        self._tanh = np.rint(STEP * np.sign(steps) * (1 - square) / (1 + square))

    def begin(self, jets: int) -> np.ndarray:
        """States of jets of which nothing is known, (jets, H)."""
        return np.zeros((jets, self.width))

    def advance(self, state: np.ndarray, features: np.ndarray) -> np.ndarray:
        """States after one more particle: of states (n, H) and features (n, 11), in steps."""
        inputs = self._layer("gru_input", features, rounded=False)
        inner = self._layer("gru_state", state, rounded=False)
        (reset, update, new), (reset2, update2, new2) = (np.split(part, 3, axis=1) for part in (inputs, inner))
        gate = _curve(self._sigmoid, reset + reset2)
        keep = _curve(self._sigmoid, update + update2)
        new = _curve(self._tanh, new + np.floor(gate * new2 / STEP))
        return new + np.floor((keep * (state - new) + STEP // 2) / STEP)

    def drop(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logarithms of weights and of rates of the falls of pT, (n, E) each, in steps of 1/256."""
        out = self._layer("pt_2", self._hidden("pt_1", state), LOG_STEP)
        return out[:, : self.drops], out[:, self.drops :] + self._tensors["log_rate"]

    def query(self, state: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, ...]:
        """What is asked of the earlier particles: query (n, D) in steps of 1/64; logarithms of the weights of the
        kernels about the axis, of all scales, and of the weights of all scales, (n, K) each, in steps of 1/256."""
        out = self._layer("query_2", self._hidden("query_1", np.concatenate([state, known], axis=1)), STEP)
        query = np.clip(np.floor((out[:, : self.depth] * KEY_STEP + STEP // 2) / STEP), -_KEY_LIMIT, _KEY_LIMIT)
        centre, scale, weight = np.split(out[:, self.depth :], 3, axis=1)
        scale = np.clip(scale, -3 * STEP, 3 * STEP) * 0.5 + self._tensors["log_scale"]
        return query, *(np.floor((part * LOG_STEP + STEP // 2) / STEP) for part in (centre, scale, weight))

    def key(self, state: np.ndarray) -> np.ndarray:
        """What a particle answers, (n, K, D), in steps of 1/64."""
        out = self._layer("key_2", self._hidden("key_1", state), KEY_STEP)
        return np.clip(out, -_KEY_LIMIT, _KEY_LIMIT).astype(np.float32).reshape(-1, self.kernels, self.depth)

    def ratios(self) -> np.ndarray:
        """Of each kernel the width in phi at the centre, in units of that in eta, (K,)."""
        return arithmetic.exp(self._tensors["log_ratio"] / STEP)

    def _hidden(self, name: str, values: np.ndarray) -> np.ndarray:
        return np.clip(self._layer(name, values), 0, _LIMIT)

    def _layer(self, name: str, values: np.ndarray, step: int = STEP, rounded: bool = True) -> np.ndarray:
        """Values times a matrix, and the bias, (n, out): in steps of 2^-20, or rounded to those of a number."""
        sums = values @ self._tensors[name] + self._tensors[name + "_bias"]
        return np.floor(sums / (STEP * STEP // step) + 0.5) if rounded else sums


def _curve(table: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Values of a curve at sums in steps of 2^-20."""
    return table[np.clip(np.floor(sums / STEP + 0.5), -_REACH, _REACH).astype(np.int64) + _REACH]


@lru_cache(maxsize=4)
def load(path: Path = FILE) -> Network:
    """The network of a file; without one, that of the package.

    Raises:
        ValueError: the file is damaged, or is no network of this format.
    """
    header, tensors = read_weights(path)
    if header.get("format") != FORMAT:
        raise ValueError(f"{path}: a network of format {header.get('format')}, needed is {FORMAT}")
    arrays = {name: tensor.numpy() for name, tensor in sorted(tensors.items())}
    digest = hashlib.sha256()
    for name, values in arrays.items():
        digest.update(f"{name} {values.shape} ".encode() + values.astype("<i4").tobytes())
    return Network(arrays, digest.hexdigest())
