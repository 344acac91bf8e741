"""Data sets of jets that are already in memory: arrays, padded or flat, and awkward arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch_geometric.data import Dataset

from lgae_pyg.data import JetData, JetStore
from lgae_pyg.data.admission import Admission
from lgae_pyg.data.flat import FlatJets
from lgae_pyg.data.gate import Rules, admit
from lgae_pyg.data.units import UNITS_IN_GEV
from lgae_pyg.datasets.base import JetDataset
from lgae_pyg.datasets.cards import FILE_UNITS, MOMENTA
from lgae_pyg.datasets.jet_files import collect
from lgae_pyg.datasets.momenta import four_momenta
from lgae_pyg.datasets.reading import store_fields
from lgae_pyg.registry import check_choice, check_keys
from lgae_pyg.vocabulary import SPLITS

_Columns = Mapping[str, Any]


class JetsInMemory(JetDataset):
    """A data set without files, as :func:`from_arrays` and its companions make it.

    It can be loaded, split, evaluated and saved (``store.save``), but not made again from its recipe.
    """

    raw_file_names = ()

    def __init__(
        self,
        store: JetStore,
        unit: str,
        split: str = "all",
        fractions: Sequence[float] = (0.6, 0.2, 0.2),
        seed: int = 0,
        transform: Callable[[JetData], JetData] | None = None,
    ) -> None:
        check_choice("split", split, (*SPLITS, "all"))
        self.recipe = {
            "name": "JetsInMemory",
            "unit": unit,
            "seed": seed,
            "fractions": [float(x) for x in fractions],
        }
        self.split = split
        Dataset.__init__(self, None, transform)
        self._whole = store
        self._store = store if split == "all" else store.select(self.split_ids(store))

    @property
    def summary(self) -> list[str]:
        """What was done to the jets on the way in, in sentences."""
        return Admission.from_dict(self._whole.meta.get("admission", {})).lines()

    def part(self, split: str) -> JetsInMemory:
        """The jets of one split: ``train``, ``val``, ``test``, or ``all``."""
        recipe = self.recipe
        return JetsInMemory(self._whole, self.unit, split, recipe["fractions"], recipe["seed"], self.transform)

    def download(self) -> None:
        """There is nothing to fetch."""

    def build_store(self) -> JetStore:
        """The jets themselves."""
        return self._whole

    def _download(self) -> None:
        pass

    def _process(self) -> None:
        pass


def from_arrays(
    p4: Any,
    ptr: Any,
    y: Any = None,
    *,
    unit: str,
    class_names: Sequence[str] = (),
    features: _Columns | None = None,
    observers: _Columns | None = None,
    weight: Any = None,
    num_particles: int | None = None,
    order: str = "pt",
    bad_jets: str = "drop",
    store_unit: str = "",
    **options: Any,
) -> JetsInMemory:
    r"""A data set of jets whose particles lie one after another.

    Args:
        p4: momenta (E, px, py, pz), or a mapping of columns, such as ``{"pt": ..., "eta": ..., "phi": ...}``, as a
            card has them (:data:`~lgae_pyg.datasets.cards.MOMENTA`, relative ones aside).
        ptr: first particle of each jet, and at the end the number of all.
        y: class number of each jet.
        unit: unit of the momenta: MeV, GeV, TeV or PeV.
        class_names: names of the classes, the place being the class number.
        features: columns with a value per particle, which become ``x``, by name.
        observers: columns with a value per jet, by name; never inputs.
        weight: weight of each jet.
        num_particles: jets are cut to that many leading particles; all are kept when ``None``.
        order: ``"pt"`` sorts particles by falling pT where they are not; ``"kept"`` leaves them.
        bad_jets: ``"drop"`` leaves out jets that no network can read, and counts them; ``"stop"`` raises.
        store_unit: unit of the data set; that of the momenta when empty (GeV for MeV).
        options: ``split``, ``fractions``, ``seed`` and ``transform`` of the data set.

    Returns:
        The data set; what the gate did is printed, and kept: ``summary``.

    Raises:
        ValueError: if shapes do not agree, columns are no momenta, or jets are bad.

    Shapes:
        - **p4**: :math:`(n, 4)`, columns :math:`(n,)`; **ptr**: :math:`(J + 1,)`; **y**, **weight**: :math:`(J,)`
    """
    ptr = np.asarray(ptr, dtype=np.int64)
    check_choice("unit", unit, FILE_UNITS)
    store_unit = store_unit or (unit if unit in UNITS_IN_GEV else "GeV")
    check_choice("unit", store_unit, UNITS_IN_GEV)
    momenta = _momenta(p4)
    scale = FILE_UNITS[unit] / UNITS_IN_GEV[store_unit]
    momenta = momenta if scale == 1 else momenta * np.asarray(scale, momenta.dtype)
    fields: dict[str, np.ndarray] = {}
    if y is not None:
        fields["y"] = _class_numbers(np.asarray(y), class_names)
    if weight is not None:
        fields["weight"] = np.asarray(weight, dtype=np.float32)
    if observers:
        fields["observers"] = np.stack([np.asarray(one, np.float32) for one in observers.values()], axis=1)
    columns = {name: np.asarray(values) for name, values in (features or {}).items()}
    jets, account = admit(
        FlatJets(momenta, ptr, columns, fields, unit=store_unit),
        Rules(num_particles, order, bad_jets),
        "the arrays",
    )
    if not len(jets):
        raise ValueError("no jet is left: " + "; ".join(account.lines()))
    store = collect(iter([store_fields(jets)]))
    store.meta = {
        "unit": store_unit,
        "class_names": list(class_names),
        "origin": "jets in memory",
        "x_names": list(columns),
        "observer_names": list(observers or ()),
        "admission": account.to_dict(),
    }
    for line in account.lines():
        print(line, file=sys.stderr)
    return JetsInMemory(store, store_unit, **options)


def from_numpy(
    p4: Any, mask: Any = None, y: Any = None, *, features: _Columns | None = None, **more: Any
) -> JetsInMemory:
    """A data set of padded jets.

    Args:
        p4: momenta (jets, particles, 4) as (E, px, py, pz), or a mapping of columns (jets, particles).
        mask: which particles are there, (jets, particles); where it is not given, those that are not zero.
        y: class number of each jet.
        features: columns (jets, particles) that become ``x``, by name.
        more: as for :func:`from_arrays`; ``unit`` is needed.

    Raises:
        ValueError: if shapes do not agree, columns are no momenta, or jets are bad.
    """
    momenta = _momenta(p4)
    if momenta.ndim != 3:
        raise ValueError(
            f"padded jets have the shape (jets, particles, 4), not {momenta.shape}; flat ones: from_arrays"
        )
    present = (momenta != 0).any(axis=-1) if mask is None else np.asarray(mask).astype(bool)
    if present.shape != momenta.shape[:2]:
        raise ValueError(f"the mask has the shape {present.shape}, not {momenta.shape[:2]}")
    ptr = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    columns = {name: np.asarray(values)[present] for name, values in (features or {}).items()}
    return from_arrays(momenta[present], ptr, y, features=columns, **more)


def from_awkward(p4: Any, y: Any = None, *, features: _Columns | None = None, **more: Any) -> JetsInMemory:
    """A data set of jets from awkward arrays with a list of particles in each jet.

    Args:
        p4: an array of records with the fields of a card's momenta (E, px, py, pz; pt, eta, phi, m; ...), or a
            mapping of arrays of these names. Further fields of the records are left aside.
        y: class number of each jet.
        features: arrays of lists that become ``x``, by name.
        more: as for :func:`from_arrays`; ``unit`` is needed.

    Raises:
        ValueError: if lists do not agree, columns are no momenta, or jets are bad.
    """
    import awkward as ak

    if not isinstance(p4, Mapping):
        known = {name for kind in MOMENTA for name in kind}
        p4 = {name: p4[name] for name in p4.fields if name in known}
        full = [kind for kind in MOMENTA if set(kind) <= set(p4)]
        if not full:
            raise ValueError(f"the records have {', '.join(p4) or 'no fields of momenta'}: {_kinds()}")
        p4 = {name: p4[name] for name in max(full, key=lambda kind: (kind == MOMENTA[0], len(kind)))}
    sizes = ak.to_numpy(ak.num(next(iter(p4.values())), axis=1))
    for name, values in (*p4.items(), *(features or {}).items()):
        if not np.array_equal(ak.to_numpy(ak.num(values, axis=1)), sizes):
            raise ValueError(f"'{name}' has not as many values in each jet as the other columns")
    flat = {name: ak.to_numpy(ak.flatten(values, axis=1)) for name, values in p4.items()}
    columns = {name: ak.to_numpy(ak.flatten(values, axis=1)) for name, values in (features or {}).items()}
    return from_arrays(flat, np.concatenate([[0], np.cumsum(sizes)]), y, features=columns, **more)


def _momenta(p4: Any) -> np.ndarray:
    """Four-momenta from an array of them, or from columns."""
    if isinstance(p4, Mapping):
        check_keys("momenta", p4, {name for kind in MOMENTA for name in kind})
        if "ptrel" in p4 or not any(set(p4) == set(kind) for kind in MOMENTA):
            raise ValueError(f"momenta are given as {', '.join(p4)}: {_kinds()}")
        columns = {name: np.asarray(values) for name, values in p4.items()}
        shape = next(iter(columns.values())).shape
        return four_momenta({name: values.reshape(-1) for name, values in columns.items()}).reshape(*shape, 4)
    momenta = np.asarray(p4)
    if momenta.ndim < 2 or momenta.shape[-1] != 4:
        raise ValueError(f"momenta have the shape (..., 4) as (E, px, py, pz), not {momenta.shape}")
    return momenta if momenta.dtype in (np.float32, np.float64) else momenta.astype(np.float64)


def _kinds() -> str:
    return "give one of " + "; ".join(", ".join(kind) for kind in MOMENTA if "ptrel" not in kind)


def _class_numbers(y: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    numbers = y.astype(np.int64)
    wrong = (numbers != y) | (numbers < 0) | (numbers >= (len(class_names) or np.iinfo(np.int64).max))
    if wrong.any():
        bad = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"jet {bad}: the class {y[bad]} is no number of {', '.join(class_names) or 'a class'}")
    return numbers
