"""Particles told apart from those that an autoencoder rebuilds."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import torch

from lgae_pyg.applications.compression.block import Jets, Layout
from lgae_pyg.applications.compression.particles import Axis, JetIntegers, Walk, jets_on_grid, stored_order, wrap
from lgae_pyg.applications.compression.quantise import Grid, coordinates, quantise, restore
from lgae_pyg.checkpoint import load_checkpoint
from lgae_pyg.data.units import unit_factor
from lgae_pyg.models import contract_of
from lgae_pyg.models.registry import model_fingerprint
from lgae_pyg.models.result import Latent

#: Steps of the numbers of a code that are tried, as shares of their spread.
STEPS = (2.0**-5, 2.0**-8, 2.0**-11)


class Rebuilder:
    """An autoencoder that makes codes of jets, and jets of codes, in double precision.

    Args:
        model: an autoencoder whose decoder is told no more than the code and the number of particles.
        factor: what momenta in the unit of the file are multiplied by.

    Raises:
        ValueError: for other models.
    """

    def __init__(self, model: Any, factor: float = 1.0) -> None:
        facts = contract_of(model)
        told = facts.side_information <= 1 and facts.output_kind == "particles"
        if facts.task != "reconstruction" or not hasattr(model, "decode_like") or not told:
            raise ValueError(
                f"{facts.label} cannot be used: needed is an autoencoder whose decoder rebuilds particles from "
                "its code and their number alone (LinearAE, ShellLGAE, LGAE)"
            )
        self._label, self._factor = facts.label, factor
        self.slots = facts.num_particles or 1 << 20
        self.fingerprint = model_fingerprint(model)
        self._model = model.double().eval()
        self._model.check_inputs = False

    @classmethod
    def load(cls, path: str | os.PathLike[str], unit: str | None) -> Rebuilder:
        """The model of a checkpoint, for jets in that unit."""
        checkpoint = load_checkpoint(path)
        if unit is None:
            raise ValueError(
                "the unit of the jets is not known, which a model needs: state it, store.meta['unit'] = 'GeV'"
            )
        return cls(checkpoint.model, unit_factor(unit, checkpoint.unit))

    def describe(self) -> dict[str, Any]:
        """What the header says of it."""
        return {"label": self._label, "fingerprint": self.fingerprint}

    @torch.no_grad()
    def encode(self, p4: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Codes of jets.

        Shapes:
            - **p4**: :math:`(n, 4)`, jets one after another; **sizes**: :math:`(J,)`, none 0
            - **returns**: :math:`(J, k)`
        """
        latent = self._model.encode(self._batch(torch.from_numpy(p4.astype(np.float64)) * self._factor, sizes))
        parts = [torch.view_as_real(part) if part.is_complex() else part for part in latent]
        return torch.cat([part.flatten(1) for part in parts], 1).double().numpy()

    @torch.no_grad()
    def decode(self, code: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Jets of codes: so many particles, by falling pT; where there are fewer, the last again.

        Shapes:
            - **code**: :math:`(J, k)`; **sizes**: :math:`(J,)`, none 0
            - **returns**: :math:`(n, 4)`
        """
        like = self._batch(torch.ones(int(sizes.sum()), 4, dtype=torch.float64), sizes)
        result = self._model.decode_like(self._latent(torch.from_numpy(code)), like)
        p4, ptr = result.p4.double().numpy() / self._factor, result.ptr.numpy()
        with np.errstate(all="ignore"):
            pt = np.nan_to_num(np.hypot(p4[:, 1], p4[:, 2]))
        p4 = p4[np.lexsort((-pt, np.repeat(np.arange(len(sizes)), np.diff(ptr))))]
        place = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return p4[np.repeat(ptr[:-1], sizes) + np.minimum(place, np.repeat(np.diff(ptr) - 1, sizes))]

    def _batch(self, p4: torch.Tensor, sizes: np.ndarray) -> Any:
        from torch_geometric.data import Batch

        from lgae_pyg.data import JetData

        ptr = torch.from_numpy(np.concatenate([[0], np.cumsum(sizes)]))
        batch = Batch(_base_cls=JetData)
        batch.pos, batch.ptr = p4, ptr
        batch.batch = torch.repeat_interleave(ptr.diff())
        batch._num_graphs = len(sizes)
        return batch

    def _latent(self, code: torch.Tensor) -> Latent:
        """The numbers of codes as a latent, as this model makes them (seen on a jet)."""
        probe = torch.tensor([[2.0, 1, 0, 1], [3.0, 0, 1, 2]], dtype=torch.float64)
        latent, parts, place = self._model.encode(self._batch(probe, np.array([2]))), [], 0
        for part in latent:
            shape = (-1, *part.shape[1:], *([2] if part.is_complex() else []))
            width = math.prod(shape[1:])
            values = code[:, place : place + width].reshape(len(code), *shape[1:])
            parts.append(torch.view_as_complex(values.contiguous()) if part.is_complex() else values)
            place += width
        if place != code.shape[1]:
            raise ValueError(f"codes of {code.shape[1]} numbers for a model that makes {place}")
        return Latent(*parts)


class RebuiltWalk(Walk):
    """First the codes of the jets as whole numbers, then how far each particle is from the rebuilt one.

    A difference of 0 is a particle that was rebuilt within the bound. What comes out is on the grid like that of
    the plain coder, and is the same; so the numbers of the decoder only have to be so exact that they round to the
    same whole numbers, and the checksum of the momenta shows where they do not.

    Args:
        rebuilder: the model.
        steps: of the numbers of the code, (k,).
        rest: as for :class:`Walk`.
    """

    def __init__(self, rebuilder: Rebuilder, steps: np.ndarray, *rest: Any) -> None:
        super().__init__(*rest)
        self._rebuilder, self._steps = rebuilder, steps
        self._predicted = np.zeros((3, 0), dtype=np.int64)

    def _begin(self, jets: JetIntegers) -> None:
        rows = np.flatnonzero(jets.sizes)
        if not len(rows):
            return
        shown = np.minimum(jets.sizes[rows], self._rebuilder.slots)
        places = np.repeat(jets.first[rows], shown) + _ranks(shown)
        numbers = np.zeros((len(rows), len(self._steps)), dtype=np.int64)
        if self._known is not None:
            p4 = restore(self._known.particles.take(places), self._grid, np.float64)
            code = self._rebuilder.encode(p4, shown)
            numbers = np.rint(np.clip(np.nan_to_num(code / self._steps), -(2.0**40), 2.0**40)).astype(np.int64)
        for k in range(len(self._steps)):
            given = None if self._known is None else numbers[:, k]
            numbers[:, k] = self._stream.integers("code", given, len(rows), True, k)
        rebuilt = self._rebuilder.decode(numbers * self._steps, shown)
        self._predicted = np.zeros((3, int(jets.sizes.sum())), dtype=np.int64)
        self._predicted[:, places] = numbers_of(rebuilt, self._grid)

    def _rank(self, rank: int, rows: np.ndarray, jets: JetIntegers, axis: Axis) -> None:
        if rank >= self._rebuilder.slots:
            return super()._rank(rank, rows, jets, axis)
        places, out, turn = jets.first[rows] + rank, jets.particles, self._grid.turn
        pt, eta, phi = self._predicted[:, places]
        self._column(out, "pt", places, "far_pt", True, rank, lambda x: x - pt, lambda x: x + pt)
        self._column(out, "eta", places, "far_eta", True, rank, lambda x: x - eta, lambda x: x + eta)
        self._column(
            out, "phi", places, "far_phi", True, rank, lambda x: wrap(x - phi, turn), lambda x: (x + phi) % turn
        )
        self._others(rank, rows, places, out, axis)


def spread(rebuilder: Rebuilder, jets: Jets, layout: Layout) -> np.ndarray:
    """Root mean squares of the numbers of the codes of some jets, (k,); 1 where there is none."""
    integers, _ = quantise(jets.p4, layout.bounds, layout.grid)
    known = jets_on_grid(integers.take(stored_order(integers, jets.ptr)), jets.ptr)
    rows = np.flatnonzero(known.sizes)
    shown = np.minimum(known.sizes[rows], rebuilder.slots)
    places = np.repeat(known.first[rows], shown) + _ranks(shown)
    code = rebuilder.encode(restore(known.particles.take(places), layout.grid, np.float64), shown)
    size = np.sqrt(np.mean(np.square(code), axis=0))
    return np.where(np.isfinite(size) & (size > 1e-30), size, 1.0)


def numbers_of(p4: np.ndarray, grid: Grid) -> np.ndarray:
    """The nearest numbers of pT, eta and phi of rebuilt particles, (3, n); 0 where there are none."""
    with np.errstate(all="ignore"):
        pt, eta, phi, _ = coordinates(p4)
        values = np.log(pt) / grid.log_pt, eta / grid.eta, phi * (grid.turn / (2 * math.pi))
        return np.rint(np.clip(np.nan_to_num(np.stack(values), posinf=0, neginf=0), -1e9, 1e9)).astype(np.int64)


def _ranks(sizes: np.ndarray) -> np.ndarray:
    """0, 1, ... within each jet, (n,)."""
    return np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
