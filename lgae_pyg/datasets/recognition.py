"""What is in a file of jets: the preset that fits it, or a card that is proposed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lgae_pyg.data import DataFileError
from lgae_pyg.datasets.cards import Card, preset_names, read_card
from lgae_pyg.datasets.columns import CardColumns
from lgae_pyg.datasets.readers import Column, Reader, open_reader, recognise
from lgae_pyg.datasets.readers.base import ManyTables
from lgae_pyg.datasets.readers.store import StoreReader
from lgae_pyg.vocabulary import SPLITS

#: Endings of the names of columns, in small letters, by what the columns are.
_ENDINGS = {
    "px": ("px",),
    "py": ("py",),
    "pz": ("pz",),
    "E": ("e", "energy", "en"),
    "pt": ("pt",),
    "eta": ("eta",),
    "phi": ("phi",),
    "m": ("m", "mass"),
    "y": ("rapidity", "rap"),
    "etarel": ("etarel", "eta_rel"),
    "phirel": ("phirel", "phi_rel"),
    "ptrel": ("ptrel", "pt_rel"),
}
_LABELS = ("label", "labels", "y", "target", "class", "truth", "is_signal", "is_signal_new", "jet_label", "signal")


def fitting_presets(path: str, labels: bool = True) -> list[Card]:
    """Presets whose format and columns a file has, the one with most columns first; of a store, its own card.

    Args:
        path: the file.
        labels: whether classes and published splits are read; without, a file need not have them.
    """
    if recognise(path) == "store":
        return [card_of_store(path) if labels else card_of_store(path).without_labels()]
    fits = []
    for name in preset_names():
        card = read_card(name) if labels else read_card(name).without_labels()
        try:
            columns = CardColumns(card, path)
            card.file_class(path)
        except ValueError:
            continue
        fits.append((len(columns.needed) + len(columns.series) * len(columns.needed), card))
    return [card for _, card in sorted(fits, key=lambda one: -one[0])]


def recognise_card(path: str, labels: bool = True) -> Card:
    """The preset that fits a file best; ``labels`` as in :func:`fitting_presets`.

    Raises:
        OSError: the file cannot be opened.
        DataFileError: none fits, or the file is broken.
    """
    try:
        reader = open_reader(path)
        inside = ", ".join(list(reader.columns)[:20])
    except ManyTables as error:  # a preset may know which
        inside = str(error)
    if fits := fitting_presets(path, labels):
        return fits[0]
    without = fitting_presets(path, labels=False) if labels else []
    near = (
        f"But for its labels it is {without[0].name}: --no-labels of lgae score, or a card of the entries "
        f"base: {without[0].name} and labels: {{constant: NAME}}. "
        if without
        else ""
    )
    raise DataFileError(
        f"{path} is not recognised; it holds: {inside}. {near}Say what its columns are in a card "
        "(--card FILE.yaml; data.card=FILE.yaml of lgae train; card='FILE.yaml' in Python); "
        "`lgae data inspect` shows what is inside and proposes one."
    )


def card_of_store(path: str) -> Card:
    """What the fields of a store are, as it says itself.

    Raises:
        DataFileError: it is damaged, or does not say its unit.
    """
    store = StoreReader(path)
    split = {"column": "split", **{name: place for place, name in enumerate(SPLITS)}}
    return Card(
        {name: name for name in ("E", "px", "py", "pz")},
        name="store",
        about=store.meta.get("origin", ""),
        format="store",
        unit=store.unit,
        labels={"column": "y", "names": "class_names"} if "y" in store.columns else {},
        weight="weight" if "weight" in store.columns else "",
        features=store.group("x"),
        observers=store.group("observers"),
        jet_ref=store.group("jet_ref"),
        split=split if "split" in store.columns else {},
    )


@dataclass
class Proposal:
    """A card made by guessing from names and values, and what could not be guessed."""

    card: Card | None
    doubts: list[str] = field(default_factory=list)


def propose(reader: Reader) -> Proposal:
    """A card for a file that no preset fits, from the names and the values of its columns."""
    columns = list(reader.columns.values())
    doubts: list[str] = []
    values: dict[str, Any] = {}
    if lists := [one for one in columns if len(one.shape) == 1 and _is_number(one)]:
        values = _from_lists(lists, {one.name for one in columns if one.shape == ()})
    if not values and (series := _series(columns)):
        values = {"series": series, "momenta": {key: key for key in series}}
    if not values:
        values = _from_array(reader, [one for one in columns if len(one.shape) == 2 and _is_number(one)], doubts)
    if not values:
        return Proposal(None, ["the columns of the particles' momenta: no names or values that look like them"])
    flat = [one for one in columns if one.shape == ()]
    label = next((one.name for one in flat if one.name.lower() in _LABELS), "")
    one_hot = [one.name for one in flat if re.match(r"label_|is_?[A-Z]|isFrom", one.name)]
    if label:
        values["labels"] = {"column": label}
    elif len(one_hot) > 1:
        values |= {
            "labels": {"one_hot": one_hot},
            "class_names": [name.removeprefix("label_") for name in one_hot],
        }
    else:
        doubts.append("labels: no column looks like a class; give labels: {constant: NAME} or {files: {...}}")
    if label:
        doubts.append("class_names: names of the classes, in the order of their numbers")
    values |= {"format": reader.format, "table": reader.table, "name": "proposed"}
    card = Card.from_dict(values)
    unit, why = _unit(reader.path, card)
    doubts.append(why)
    return Proposal(Card.from_dict(values | {"unit": unit}), doubts)


def _is_number(column: Column) -> bool:
    return bool(re.match(r"(float|int|uint|bool)", column.dtype))


def _what(name: str) -> tuple[str, str] | None:
    """What a column is by the end of its name, and the rest of the name."""
    low = name.lower()
    for what, endings in sorted(_ENDINGS.items(), key=lambda one: -max(map(len, one[1]))):
        for ending in endings:
            if low == ending or re.search(rf"[._/]{ending}$", low):
                return what, name[: len(name) - len(ending)]
    return None


def _from_lists(lists: list[Column], flat: set[str]) -> dict[str, Any]:
    """Momenta from columns of lists with names that end alike, such as part_px, part_py, ..."""
    groups: dict[str, dict[str, str]] = {}
    for column in lists:
        if found := _what(column.name):
            groups.setdefault(found[1], {}).setdefault(found[0], column.name)
    wishes = (
        ("px", "py", "pz", "E"),
        ("px", "py", "pz", "m"),
        ("pt", "eta", "phi", "m"),
        ("pt", "eta", "phi", "E"),
        ("px", "py", "pz"),
        ("pt", "eta", "phi"),
        ("pt", "y", "phi"),
        ("ptrel", "etarel", "phirel"),
    )
    for wish in wishes:
        for prefix in sorted(groups, key=lambda one: (bool(re.search("gen|aux|truth", one)), -len(groups[one]))):
            group = groups[prefix]
            if set(wish) <= set(group):
                found: dict[str, Any] = {"momenta": {key: group[key] for key in wish}}
                jets = {
                    key: name
                    for name in sorted(flat)
                    if (what := _what(name))
                    and "jet" in name.lower()
                    and (key := {"m": "mass", "E": "energy"}.get(what[0], what[0]))
                    in ("pt", "eta", "phi", "mass", "energy")
                }
                return found | ({"jet_ref": jets} if jets else {})
    return {}


def _series(columns: list[Column]) -> dict[str, str]:
    """Numbered columns, such as E_0, PX_0, ... or part_e1, ..."""
    patterns: dict[str, str] = {}
    for column in columns:
        if column.shape == () and (match := re.fullmatch(r"(.*?)(_?)([01])(_?)(.*)", column.name)):
            stem = (match[1] + match[5]).strip("_")
            if found := _what(stem):
                patterns.setdefault(found[0], f"{match[1]}{match[2]}{{}}{match[4]}{match[5]}")
    for wish in (("E", "px", "py", "pz"), ("px", "py", "pz"), ("pt", "eta", "phi", "m"), ("pt", "eta", "phi")):
        if set(wish) <= set(patterns):
            return {key: patterns[key] for key in wish}
    return {}


def _from_array(reader: Reader, arrays: list[Column], doubts: list[str]) -> dict[str, Any]:
    """Momenta from an array (jets, particles, numbers): the order of its last axis is found from its values."""
    for column in arrays:
        if column.shape[-1] is None or column.shape[-1] < 3:
            continue
        try:
            chunk = next(reader.chunks([column.name], rows=100))[column.name]
        except StopIteration:
            return {}
        import awkward as ak

        flat = np.asarray(chunk if isinstance(chunk, np.ndarray) else ak.to_numpy(ak.flatten(chunk, axis=1)))
        rows = flat.reshape(-1, flat.shape[-1]).astype(np.float64)
        rows = rows[(rows != 0).any(axis=1) & np.isfinite(rows).all(axis=1)]
        if order := _order_of(rows):
            more = [f"{column.name.replace('/', '_')}_{i}" for i in range(len(order), column.shape[-1])]
            doubts.append(
                f"the order {', '.join(order)} on the last axis of '{column.name}' was guessed from its values"
            )
            return {"axes": {column.name: [*order, *more]}, "momenta": {key: key for key in order}}
    return {}


def _order_of(rows: np.ndarray) -> list[str]:
    if not len(rows):
        return []
    if rows.shape[1] >= 4:
        for order in (["E", "px", "py", "pz"], ["px", "py", "pz", "E"]):
            e = rows[:, order.index("E")]
            p = np.linalg.norm(rows[:, [order.index(name) for name in ("px", "py", "pz")]], axis=1)
            if (e >= p * (1 - 1e-5)).mean() > 0.99 and (rows[:, order.index("px")] < 0).any():
                return order
    pt, eta, phi = rows[:, 0], rows[:, 1], rows[:, 2]
    if (pt >= 0).all() and np.abs(eta).max() < 10 and np.ptp(phi) <= 2 * np.pi + 1e-3 and np.abs(phi).max() < 6.3:
        return ["pt", "eta", "phi"]
    return ["px", "py", "pz"] if (rows[:, :3] < 0).any(axis=0).all() else []


def _unit(path: str, card: Card) -> tuple[str, str]:
    """A unit in which the jets have a plausible momentum, and a sentence on it."""
    from lgae_pyg.datasets.assembly import assemble

    try:
        source = CardColumns(card, path)
        jets = assemble(source, next(source.chunks(200)), 0)
        pt = np.hypot(*np.add.reduceat(jets.p4[:, 1:3].astype(np.float64), jets.ptr[:-1][jets.sizes > 0]).T)
        median = float(np.median(pt[np.isfinite(pt)]))
    except (ValueError, StopIteration):
        return "GeV", "unit: GeV is taken"
    unit = "MeV" if median > 14_000 else "TeV" if median < 14 else "GeV"
    return unit, f"unit: {unit} was guessed, since the median pT of the jets is {median:.4g}"
