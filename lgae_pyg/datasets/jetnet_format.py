"""Reading jets in JetNet's file format: one HDF5 file per class, checked before anything is made of it."""

from __future__ import annotations

import os
from abc import ABC
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from lgae_pyg.data import DataFileError, JetStore
from lgae_pyg.data.flat import FlatJets
from lgae_pyg.data.gate import Admission, Rules, admit
from lgae_pyg.data.units import UNITS_IN_GEV
from lgae_pyg.datasets import streams
from lgae_pyg.datasets.base import JetDataset
from lgae_pyg.datasets.hdf5 import open_hdf5
from lgae_pyg.lorentz.kinematics import from_pt_eta_phi_m, massless

CLASSES = ("g", "q", "t", "w", "z")
"""Gluon, light quark, top quark, W boson, Z boson; the place in this list is the class number."""

PARTICLE_FIELDS = ("etarel", "phirel", "ptrel", "mask")
JET_FIELDS = ("pt", "eta", "mass", "num_particles")

SHORT_FILE = 30
"""Particles per jet in the files g.hdf5, ...; larger jets are in g150.hdf5, ..."""

LARGEST_ETA = 20.0
"""At larger pseudorapidities already 0.1 GeV of transverse momentum exceed the energy of any beam."""

_CHUNK = 20_000
_Columns = dict[str, np.ndarray]


class JetNetFormat(JetDataset, ABC):
    r"""Jets from files in JetNet's format (see :func:`read_class`).

    Subclasses may have other classes of jets than JetNet (:attr:`known_classes`) and longer files
    (:attr:`FILE_ENDS`).

    Args:
        root: Folder of the data set.
        classes: Which of the :attr:`known_classes`; their order does not matter.
        num_particles: How many of the leading particles of a jet are kept.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        fractions: Shares of the three splits.
        seed: Seed of the jets' azimuths and of the splits.
        max_jets: Read only that many jets of each class, the first ones.
        unit: Unit of the momenta.
        more: Further entries of the recipe.
        options: ``transform`` and ``force_reload`` of :class:`~lgae_pyg.datasets.base.JetDataset`.
    """

    known_classes: tuple[str, ...] = CLASSES
    """All classes that the files may be of; the place in it is the class number."""

    FILE_ENDS: Mapping[int, str] = {SHORT_FILE: "", 150: "150"}
    """Particles per jet of a file, and what its name ends with."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        classes: Sequence[str],
        num_particles: int,
        split: str,
        fractions: Sequence[float],
        seed: int,
        max_jets: int | None,
        unit: str,
        more: Mapping[str, Any],
        **options: Any,
    ) -> None:
        if num_particles < 1 or (max_jets is not None and max_jets < 1):
            raise ValueError("num_particles and max_jets must be at least 1.")
        recipe = {
            "classes": sort_classes(classes, self.known_classes),
            "num_particles": num_particles,
            "fractions": [float(fraction) for fraction in fractions],
            "seed": seed,
            "max_jets": max_jets,
            "unit": unit,
        }
        super().__init__(root, {**recipe, **more}, split, **options)
        # Files made before they kept names and origin say only whether their jets were generated.
        meta = self._store.meta
        self._store.meta = self._description(meta.get("generated", False)) | meta

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of their numbers."""
        return self.recipe["classes"]

    @property
    def raw_file_names(self) -> list[str]:
        """The file of each class; for few particles a longer file will do where there is no short one."""
        return [self._file_name(name) for name in self.classes]

    def _file_name(self, name: str) -> str:
        ends = [end for length, end in self.FILE_ENDS.items() if length >= self.recipe["num_particles"]]
        fitting = [f"{name}{end}.hdf5" for end in ends or [self.FILE_ENDS[max(self.FILE_ENDS)]]]
        return next((file for file in fitting if Path(self.raw_dir, file).is_file()), fitting[0])

    def missing_classes(self) -> list[str]:
        """Names of the classes whose file is not there."""
        return [letter for letter, path in zip(self.classes, self.raw_paths) if not Path(path).is_file()]

    def rows_per_class(self) -> int | None:
        """How many jets of each class are read; ``None`` means all."""
        return self.recipe["max_jets"]

    def build_store(self) -> JetStore:
        """Reads the class files one after another."""
        options = {key: self.recipe[key] for key in ("num_particles", "seed", "unit")}
        chunks, report = [], Admission()
        for letter, path in zip(self.classes, self.raw_paths):
            number = self.known_classes.index(letter)
            for chunk, admission in read_class(path, number, max_jets=self.rows_per_class(), **options):
                chunks.append(chunk)
                report += admission
        fields = {name: torch.cat([chunk.pop(name) for chunk in chunks]) for name in list(chunks[0])}
        sizes = fields.pop("sizes")
        ptr = torch.cat([torch.zeros(1, dtype=torch.long), sizes.cumsum(0)])
        meta = self._description(any(_is_generated(path) for path in self.raw_paths))
        meta["admission"] = report.to_dict()
        return JetStore(ptr, {"pos": fields.pop("pos")}, fields, meta)

    def _origin(self) -> str:
        """What the jets are called in captions."""
        return self.recipe["name"]

    def _description(self, generated: bool) -> dict[str, Any]:
        """What the classes are called and where the jets come from."""
        origin = self._origin() + (" (generated with Pythia 8)" if generated else "")
        return {"class_names": list(self.known_classes), "origin": origin}


def sort_classes(classes: Sequence[str], known: Sequence[str] = CLASSES) -> list[str]:
    """The classes in the order of their numbers, each once.

    Raises:
        ValueError: for an unknown class, or none.
    """
    classes = list(classes)
    unknown = [name for name in classes if name not in known]
    if unknown or not classes:
        raise ValueError(f"classes must be some of {', '.join(known)}, not {unknown or 'none'}.")
    return [name for name in known if name in classes]


def read_class(
    path: str | os.PathLike[str], number: int, num_particles: int, max_jets: int | None, seed: int, unit: str
) -> Iterator[tuple[dict[str, Tensor], Admission]]:
    r"""Reads the jets of one class file in chunks.

    The file holds ``particle_features`` (jets, particles, 4) with the columns etarel, phirel, ptrel, mask,
    and ``jet_features`` (jets, 4) with pt [GeV], eta, mass [GeV], num_particles (Kansal et al.,
    arXiv:2106.11535). The momenta are

    .. math::
        p_T = p_T^\mathrm{rel} p_T^\mathrm{jet}, \quad \eta = \eta^\mathrm{rel} + \eta^\mathrm{jet}, \quad
        \phi = \phi^\mathrm{rel} + \Phi, \quad p = (|\vec p|, \vec p)

    (Hao et al., arXiv:2212.07347, Sec. 4.1). The files do not keep the azimuth :math:`\Phi` of a jet: it is
    drawn uniformly by a generator seeded with (seed, class), one number per row of the file, so that it
    depends neither on the other classes nor on ``max_jets``. Particles with mask 0 are left out. The files
    are ordered by falling transverse momentum; a jet that is not is sorted, equal ones keeping their order,
    before it is cut to the leading particles. The particles are massless; the gate's report says what both cost
    of the jet masses of the file.

    Args:
        path: The file.
        number: Number of its class.
        num_particles: How many of the leading particles are kept.
        max_jets: Read only that many jets, the first ones.
        seed: Seed of the azimuths.
        unit: Unit of the momenta.

    Yields:
        Dicts of ``sizes`` (particles per jet), ``pos``, ``y``, ``jet_id`` and ``jet_ref``, each with the report of
        the gate (:func:`~lgae_pyg.data.gate.admit`).

    Shapes:
        - **pos**: :math:`(\sum n, 4)` float64
        - **sizes**, **y**, **jet_id**: :math:`(J,)`
        - **jet_ref**: :math:`(J, 4)` float64: pt, eta, phi, mass

    Raises:
        DataFileError: names the file, the jet and the field of the first thing that is wrong.
    """
    with open_class_file(path, num_particles) as (particles, jets):
        count = min(len(jets), max_jets or len(jets))
        azimuths = np.random.default_rng([seed, number, streams.AZIMUTHS]).uniform(-np.pi, np.pi, count)
        with tqdm(total=count, desc=Path(path).name, unit="jets", disable=None, leave=False) as bar:
            for first in range(0, count, _CHUNK):
                rows = slice(first, min(first + _CHUNK, count))
                particle_columns = _columns(particles[rows], PARTICLE_FIELDS)
                jet_columns = _columns(jets[rows], JET_FIELDS)
                _check_values(path, first, particle_columns, jet_columns)
                particle_columns, disordered = _by_falling_pt(particle_columns)
                read = _to_momenta(particle_columns, jet_columns, azimuths[rows], unit, first)
                jets_read, report = admit(read, Rules(num_particles), str(path))
                bar.update(rows.stop - rows.start)
                yield _chunk(jets_read, number), replace(report, sorted=report.sorted + disordered)


@contextmanager
def open_class_file(
    path: str | os.PathLike[str], num_particles: int = 1
) -> Iterator[tuple[h5py.Dataset, h5py.Dataset]]:
    """Opens a class file (:func:`~lgae_pyg.datasets.hdf5.open_hdf5`) and checks its layout.

    Args:
        path: The file.
        num_particles: The file must hold at least that many particles per jet.

    Yields:
        The tables ``particle_features`` and ``jet_features``.

    Raises:
        OSError: if the system does not let the file be read.
        DataFileError: if the file is broken or has another layout.
    """
    with open_hdf5(path) as file:
        particles, jets = _table(path, file, "particle_features"), _table(path, file, "jet_features")
        _check_layout(path, particles.shape, jets.shape, num_particles)
        yield particles, jets


def _is_generated(path: str | os.PathLike[str]) -> bool:
    """Whether a file carries the recipe of our generator."""
    with open_hdf5(path) as file:
        return "recipe" in file.attrs


def _table(path: str | os.PathLike[str], file: h5py.File, name: str) -> h5py.Dataset:
    table = file[name] if name in file else None
    try:
        is_numbers = isinstance(table, h5py.Dataset) and table.dtype.kind in "fiu"
    except (TypeError, ValueError):  # a type of number that there is not
        is_numbers = False
    if not is_numbers:
        raise DataFileError(
            f"{path} has no table of numbers '{name}', as JetNet's format has (it holds: "
            f"{', '.join(map(str, file)) or 'nothing'}): download or generate the file again."
        )
    return table


def _check_layout(path: Any, particles: tuple[int, ...], jets: tuple[int, ...], num_particles: int) -> None:
    fits = len(particles) == 3 and particles[2] == 4 and len(jets) == 2 and jets[1] == 4
    if not fits or particles[0] != jets[0]:
        raise DataFileError(
            f"{path}: 'particle_features' has the shape {particles} and 'jet_features' {jets}, but JetNet's "
            "format has (jets, particles, 4) and (jets, 4): download or generate the file again."
        )
    if particles[0] == 0:
        raise DataFileError(f"{path} holds no jets: download or generate it again.")
    if num_particles > particles[1]:
        raise DataFileError(
            f"{path} holds {particles[1]} particles per jet, but num_particles = {num_particles} are asked "
            "for: ask for fewer, or use a file with more."
        )


def _columns(table: np.ndarray, names: Sequence[str]) -> _Columns:
    return dict(zip(names, np.moveaxis(table.astype(np.float64), -1, 0)))


def _check_values(path: Any, first: int, particles: _Columns, jets: _Columns) -> None:
    """Refuses numbers that no jet can have."""

    def refuse_if(wrong: np.ndarray, field: str, reason: str) -> None:
        if wrong.any():
            _refuse(path, first + int(np.argwhere(wrong)[0][0]), field, reason)

    for field, column in (*particles.items(), *jets.items()):
        refuse_if(~np.isfinite(column), field, "is not finite")
    mask = particles["mask"]
    refuse_if((mask != 0) & (mask != 1), "mask", "is neither 0 nor 1")
    refuse_if((mask == 0).all(axis=1), "mask", "leaves no particle")
    refuse_if((particles["ptrel"] < 0) & (mask == 1), "ptrel", "is negative, and so would be the energy")
    refuse_if(jets["pt"] <= 0, "pt", "is not positive, and so would be the energies")
    eta = np.abs(particles["etarel"] + jets["eta"][:, None]) * mask
    refuse_if(eta > LARGEST_ETA, "etarel", f"gives a pseudorapidity beyond {LARGEST_ETA:g}")


def _refuse(path: Any, row: int, field: str, reason: str) -> NoReturn:
    raise DataFileError(
        f"{path}, jet {row} (row from 0): the field '{field}' {reason}. "
        "Remove that jet, or download or generate the file again."
    )


def _to_momenta(
    particles: _Columns, jets: _Columns, azimuth: np.ndarray, unit: str, first: int
) -> FlatJets:
    """Four-momenta of the particles of each jet, in the model's unit; ``first`` is the row of the first jet."""
    present = particles["mask"] == 1
    sizes = present.sum(axis=1)
    relative = {name: torch.from_numpy(column[present]) for name, column in particles.items()}
    owner = torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes))
    gev = UNITS_IN_GEV[unit]
    pt, eta, mass = (torch.from_numpy(np.ascontiguousarray(jets[name])) for name in ("pt", "eta", "mass"))
    phi = torch.from_numpy(azimuth)
    p4 = from_pt_eta_phi_m(
        relative["ptrel"] * pt[owner] / gev, relative["etarel"] + eta[owner], relative["phirel"] + phi[owner]
    )
    jet_ref = torch.stack([pt / gev, eta, phi, mass / gev], dim=-1)
    ptr = np.concatenate([[0], np.cumsum(sizes)])
    rows = first + np.arange(len(sizes))
    return FlatJets(massless(p4).numpy(), ptr, jets={"jet_ref": jet_ref.numpy()}, rows=rows, unit=unit)


def _chunk(jets: FlatJets, number: int) -> dict[str, Tensor]:
    """The fields of some jets of a class, as tensors."""
    fields = {"sizes": jets.sizes, "pos": jets.p4, "jet_ref": jets.jets["jet_ref"]}
    fields |= {"y": np.full(len(jets), number), "jet_id": jets.rows}
    return {name: torch.from_numpy(values) for name, values in fields.items()}


def _by_falling_pt(particles: _Columns) -> tuple[_Columns, int]:
    """Sorts the jets that are not ordered, absent particles last; how many they are."""
    key = np.where(particles["mask"] == 1, particles["ptrel"], -1.0)
    disordered = np.flatnonzero((np.diff(key, axis=1) > 0).any(axis=1))
    if len(disordered) == 0:
        return particles, 0
    order = np.argsort(-key[disordered], axis=1, kind="stable")
    ordered = {name: column.copy() for name, column in particles.items()}
    for column in ordered.values():
        column[disordered] = np.take_along_axis(column[disordered], order, axis=1)
    return ordered, len(disordered)
