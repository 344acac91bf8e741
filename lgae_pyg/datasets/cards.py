"""Data cards: which columns of a file are what, written down in YAML."""

from __future__ import annotations

import dataclasses
import fnmatch
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lgae_pyg.datasets.readers import FORMATS
from lgae_pyg.datasets.weaver import from_weaver, is_weaver
from lgae_pyg.files import plain, read_yaml
from lgae_pyg.places import card_file
from lgae_pyg.places import preset_names as preset_names
from lgae_pyg.registry import check_choice, check_keys
from lgae_pyg.vocabulary import FILE_UNITS

#: What JetNet's names of files say of the number of particles: ``g.hdf5`` holds 30, ``g150.hdf5`` up to 150.
VERSION = re.compile(r"(150|200)(?=\.hdf5$)")
#: The ways to give a momentum; with pt, eta or y, phi also ``m`` or ``E``, without which it is massless.
MOMENTA = (
    ("E", "px", "py", "pz"),
    ("px", "py", "pz", "m"),
    ("px", "py", "pz"),
    ("pt", "eta", "phi"),
    ("pt", "eta", "phi", "m"),
    ("pt", "eta", "phi", "E"),
    ("pt", "y", "phi"),
    ("pt", "y", "phi", "m"),
    ("pt", "y", "phi", "E"),
    ("ptrel", "etarel", "phirel"),
    ("ptrel", "etarel", "phirel", "m"),
)
_KEYS = {
    "labels": ("column", "values", "names", "one_hot", "constant", "files"),
    "jet_ref": ("pt", "eta", "phi", "mass", "energy"),
    "links": ("particle", "jet", "jets", "references", "ids"),
    "split": ("column", "files", "train", "val", "test"),
}


@dataclass(frozen=True)
class Card:
    r"""What the columns of a file of jets are.

    Wherever a column is wanted, its name or a formula of columns may stand
    (:func:`~lgae_pyg.datasets.expressions.evaluate`); a name with ``?`` at its end is left out, with a word, where
    the file does not have it (features, observers, references, weight).

    Args:
        momenta: columns of the particles' momenta by what they are. One of: ``E, px, py, pz``; ``px, py, pz`` and
            ``m`` or nothing (massless); ``pt, phi``, ``eta`` or the rapidity ``y``, and ``m``, ``E`` or nothing;
            relative to the jet, ``ptrel`` (:math:`p_T/p_T^\mathrm{jet}`), ``etarel``
            (:math:`\eta - \eta^\mathrm{jet}`), ``phirel``, with ``pt`` and ``eta`` in ``jet_ref`` (without ``phi``
            there, the jets' azimuths are drawn).
        name: name of the card, for messages and captions.
        about: one sentence on the jets, for captions.
        format: ``root``, ``hdf5``, ``parquet``, ``npz`` or several; any where empty.
        table: tree or group of the file; the only one where empty.
        unit: unit of the momenta in the file: MeV, GeV, TeV or PeV.
        names: words that stand for others: ``{jet}`` in any column means ``names["jet"]``.
        axes: names for the places on the last axis of an array: ``X: [pt, y, phi, pdgid]``.
        series: numbered columns that make one padded column: ``E: E_{}`` for E_0, E_1, ...
        offsets: column of the first particle of each jet, where particles lie one after another.
        mask: which of the particles are there (larger than 0). Without it, padded particles are those of zeros.
        links: candidates that belong to jets by number, in a file of events: ``particle`` and ``jet``, the numbers
            of candidate and jet of each link, and ``jets``, a column of the jets; or ``references`` of the jets
            (ROOT's ``TRefArray``) to the ``ids`` of the candidates.
        labels: how the class is given: ``column`` of class numbers (or of ``values``, one for each class;
            ``names`` is an array of the file with the names of the classes);
            ``one_hot``, a column per class; ``constant``, the class of all; or ``files``, a class by pattern of
            file name.
        class_names: names of the classes, the place being the class number.
        weight: column of the weight of each jet or event.
        features: columns that become ``x``, by name; not scaled with the unit. A list names them as the columns.
        observers: columns of the jets that travel along and are never inputs, by name.
        jet_ref: ``pt, eta, phi`` and ``mass`` or ``energy`` of the jets as the file has them.
        selection: jets (or events) to take: where this is true.
        split: the published split: ``column``, and its values for ``train``, ``val``, ``test``; or ``files``, the
            same three as patterns of file names.

    Raises:
        ValueError: for keys that no card has (with a suggestion), and for what does not go together.
    """

    momenta: Mapping[str, str]
    name: str = "own"
    about: str = ""
    format: Sequence[str] = ()
    table: str = ""
    unit: str = "GeV"
    names: Mapping[str, str] = field(default_factory=dict)
    axes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    series: Mapping[str, str] = field(default_factory=dict)
    offsets: str = ""
    mask: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    class_names: Sequence[str] = ()
    weight: str = ""
    features: Mapping[str, str] = field(default_factory=dict)
    observers: Mapping[str, str] = field(default_factory=dict)
    jet_ref: Mapping[str, str] = field(default_factory=dict)
    selection: str = ""
    split: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        put = lambda key, value: object.__setattr__(self, key, value)  # noqa: E731
        put("format", [self.format] if isinstance(self.format, str) and self.format else list(self.format))
        for key in ("features", "observers"):
            value = getattr(self, key)
            if not isinstance(value, Mapping):
                put(key, {str(name).removesuffix("?"): str(name) for name in value})
        for key in [one.name for one in dataclasses.fields(self)]:
            put(key, plain(getattr(self, key), f"{self}: {key}"))
        for key in ("momenta", "features", "observers", "jet_ref", "series", "links"):
            put(key, {name: str(value) for name, value in getattr(self, key).items()})
        self._check()

    def __str__(self) -> str:
        return f"the card {self.name}"

    def _check(self) -> None:
        for key, known in _KEYS.items():
            check_keys(f"{self}: {key}", getattr(self, key), known)
        check_keys(f"{self}: momenta", self.momenta, {name for kind in MOMENTA for name in kind})
        if not any(set(self.momenta) == set(kind) for kind in MOMENTA):
            kinds = "; ".join(", ".join(kind) for kind in MOMENTA)
            raise ValueError(f"{self}: momenta are given as {', '.join(self.momenta)}; give one of: {kinds}")
        check_choice("unit", self.unit, FILE_UNITS)
        for one in self.format:
            check_choice(f"format in {self}", one, FORMATS)
        if "ptrel" in self.momenta and not {"pt", "eta"} <= set(self.jet_ref):
            raise ValueError(f"{self}: momenta relative to the jet need pt and eta of the jet in `jet_ref`")
        ways = [key for key in ("column", "one_hot", "constant", "files") if key in self.labels]
        if len(ways) > 1 or (self.labels and not ways):
            raise ValueError(f"{self}: labels are given by one of column, one_hot, constant, files, not by {ways}")
        for key, many in (
            ("one_hot", len(self.labels.get("one_hot", ()))),
            ("values", len(self.labels.get("values", ()))),
        ):
            if key in self.labels and many != len(self.class_names):
                raise ValueError(f"{self}: {many} entries of labels.{key} for {len(self.class_names)} class_names")
        for name in (self.labels.get("constant"), *self.labels.get("files", {}).values()):
            if name is not None:
                check_choice(f"class in {self}", name, self.class_names)
        if self.links and not (
            {"particle", "jet", "jets"} == set(self.links) or {"references", "ids"} == set(self.links)
        ):
            raise ValueError(f"{self}: links need particle, jet and jets, or references and ids")

    def filled(self) -> Card:
        """The card with ``{word}`` replaced by what ``names`` says."""
        if not self.names:
            return self
        values = {
            key: value if key == "names" else _fill(value, self.names) for key, value in self.to_dict().items()
        }
        return dataclasses.replace(self, **values | {"names": {}})

    def without_labels(self) -> Card:
        """The card with neither classes nor a published split: files need not have them."""
        return dataclasses.replace(self, labels={}, split={})

    def texts(self) -> dict[str, str]:
        """Every column or formula of the card by its place, such as ``momenta.px``."""
        found = {
            f"{key}.{name}": text
            for key in ("momenta", "features", "observers", "jet_ref", "links")
            for name, text in getattr(self, key).items()
        }
        found |= {key: getattr(self, key) for key in ("mask", "weight", "selection") if getattr(self, key)}
        if "column" in self.labels:
            found["labels.column"] = self.labels["column"]
        found |= {f"labels.one_hot[{i}]": text for i, text in enumerate(self.labels.get("one_hot", ()))}
        return found | ({"split.column": self.split["column"]} if "column" in self.split else {})

    def file_class(self, path: str) -> int | None:
        """Class number that a file's name or the card alone gives; ``None`` where the jets say it themselves.

        Raises:
            ValueError: no pattern of ``labels.files`` fits the name.
        """
        if "constant" in self.labels:
            return self.class_names.index(self.labels["constant"])
        if "files" not in self.labels:
            return None
        for pattern, name in self.labels["files"].items():
            if fnmatch.fnmatch(os.path.basename(path), pattern):
                return self.class_names.index(name)
        raise ValueError(
            f"{path}: no pattern in labels.files of {self} fits its name ({', '.join(self.labels['files'])}): "
            "add one"
        )

    def check_versions(self, paths: Sequence[str]) -> None:
        """Refuses two versions of a file of JetNet's layout beside each other, such as ``g.hdf5`` and
        ``g150.hdf5``: the jets of both are the same, with other numbers of particles, and would count twice.

        Raises:
            ValueError: it names both.
        """
        known: dict[tuple[str, str], str] = {}
        for path in paths if "particle_features" in self.axes else ():
            folder, name = os.path.split(path)
            plain, both = VERSION.sub("", name), self.labels.get("files", {})
            if name not in both or both[name] != both.get(plain):
                continue
            other = known.setdefault((folder, plain), path)
            if other != path:
                raise ValueError(
                    f"{other} and {path} hold the same jets, cut to other numbers of particles, and would count "
                    "twice: name the files of one kind"
                )

    def to_dict(self) -> dict[str, Any]:
        """The entries that say something, as plain values: what YAML holds."""
        values = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        return {key: value for key, value in values.items() if value or key == "momenta"}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Card:
        """A card from the entries of a YAML file; ``base`` names a preset that is changed by the rest.

        Raises:
            ValueError: for unknown keys and what does not go together.
        """
        values = dict(values)
        if "base" in values:
            base = read_card(values.pop("base")).to_dict()
            both = {
                key: {**base[key], **value}
                for key, value in values.items()
                if key == "names" and isinstance(base.get(key), Mapping)
            }
            values = {**base, **values, **both}
        known = {one.name for one in dataclasses.fields(cls)}
        check_keys(f"the card {values.get('name', '')}".rstrip(), values, known | {"base"})
        if "momenta" not in values:
            raise ValueError("a card needs `momenta`: the columns of the particles' momenta")
        return cls(**{key: value for key, value in values.items() if value is not None})

    def to_yaml(self) -> str:
        """The card as YAML that :func:`read_card` reads."""
        import yaml

        return yaml.safe_dump(
            self.to_dict(), sort_keys=False, allow_unicode=True, width=110, default_flow_style=None
        )


def read_card(card: str | os.PathLike[str] | Mapping[str, Any] | Card) -> Card:
    """A card by the name of a preset, from a YAML file, or from its entries.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no card, or no preset has that name.
    """
    if isinstance(card, Card):
        return card
    if isinstance(card, Mapping):
        return Card.from_dict(card)
    path = card_file(card)
    values = _load(path)
    try:
        return Card.from_dict(values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _load(path: Path) -> dict[str, Any]:
    try:
        values = read_yaml(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, Mapping):
        raise ValueError(f"{path} is no data card: it must hold `momenta: {{...}}` and what else belongs to it")
    if is_weaver(values):
        values, notes = from_weaver(values, path.stem)
        if notes:
            warnings.warn(f"{path} is a card of weaver: {'; '.join(notes)}", stacklevel=3)
    return {"name": path.stem, **values}


def _fill(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {_fill(key, names): _fill(entry, names) for key, entry in value.items()}
    if isinstance(value, list):
        return [_fill(entry, names) for entry in value]
    if isinstance(value, str):
        for word, meant in names.items():
            value = value.replace(f"{{{word}}}", meant)
    return value
