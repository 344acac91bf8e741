"""From the columns of a file to jets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lgae_pyg.data import DataFileError
from lgae_pyg.data.flat import FlatJets
from lgae_pyg.data.units import UNITS_IN_GEV
from lgae_pyg.datasets import streams
from lgae_pyg.datasets.cards import FILE_UNITS, Card
from lgae_pyg.datasets.columns import CardColumns
from lgae_pyg.datasets.layouts import LinkedJets, layout_of
from lgae_pyg.datasets.momenta import as_precise, four_momenta
from lgae_pyg.datasets.readers import refuse
from lgae_pyg.vocabulary import SPLITS


def assemble(
    source: CardColumns,
    chunk: Mapping[str, Any],
    first: int,
    unit: str = "GeV",
    azimuth_seed: tuple[int, ...] = (0,),
    first_event: int = 0,
) -> FlatJets:
    r"""The jets of a chunk of a file.

    Args:
        source: the file with its card.
        chunk: as :meth:`CardColumns.chunks` gives it.
        first: how many jets of the file came before (so are the jets numbered).
        unit: unit that the momenta are converted to.
        azimuth_seed: seed of the jets' azimuths, where momenta are relative to jets whose azimuth is not given.
            The azimuth of a jet depends on it and on the jet's number alone.
        first_event: how many events of the file came before, where jets are linked to candidates in events.

    Returns:
        The jets, unchecked: ``particles`` holds the features, ``jets`` the fields ``y``, ``weight``, ``jet_ref``
        (pt, eta, phi, mass), ``observers`` and ``split`` as far as the card gives them; of linked jets ``event``
        (row of the file, from 0) and ``jet_in_event`` (place among the jets of the event, from 0).

    Raises:
        DataFileError: if columns do not fit together, or a label is none.
    """
    card = source.card
    scale = FILE_UNITS[card.unit] / UNITS_IN_GEV[unit]
    read = {
        key: {name: source.value(text, chunk) for name, text in getattr(card, key).items()}
        for key in ("momenta", "features", "observers", "jet_ref")
    }
    template = next(iter(read["momenta"].values()))
    layout = layout_of(source, chunk, template, first)
    reference = {name: layout.of_jets(values, f"jet_ref.{name}") for name, values in read["jet_ref"].items()}
    columns = {name: layout.of_particles(values, f"momenta.{name}") for name, values in read["momenta"].items()}
    if "ptrel" in columns:
        if "phi" not in reference:
            reference["phi"] = draw_azimuths(azimuth_seed, first, layout.jets)
        columns = _absolute(columns, reference, layout.owner)
    p4 = as_precise(four_momenta(columns), columns)
    present = _present(source, chunk, layout, columns, p4)
    if scale != 1:
        p4 = p4 * np.asarray(scale, p4.dtype)
    features = {name: layout.of_particles(values, f"features.{name}") for name, values in read["features"].items()}
    fields = _labels(source, chunk, layout, first)
    if isinstance(layout, LinkedJets):
        fields |= {"event": first_event + layout.event, "jet_in_event": layout.jet_in_event}
    if card.weight:
        fields["weight"] = layout.of_jets(source.value(card.weight, chunk), "weight").astype(np.float32)
    if reference:
        fields["jet_ref"] = _reference(reference, scale)
    if read["observers"]:
        observed = [layout.of_jets(values, f"observers.{name}") for name, values in read["observers"].items()]
        fields["observers"] = np.stack(observed, axis=1).astype(np.float32)
    jets = FlatJets(p4, layout.ptr, features, fields, first + np.arange(layout.jets), unit)
    if present is not None:
        jets = jets.take_particles(present)
    if card.selection:
        jets = jets.take_jets(layout.of_jets(source.value(card.selection, chunk), "selection").astype(bool))
    return jets


def draw_azimuths(seed: tuple[int, ...], first: int, jets: int) -> np.ndarray:
    """Uniform azimuths of jets ``first``, ``first + 1``, ...; the same however the jets are cut into chunks."""
    bits = np.random.PCG64([*seed, streams.AZIMUTHS])
    bits.advance(first)
    return np.random.Generator(bits).uniform(-np.pi, np.pi, jets)


def _absolute(
    columns: dict[str, np.ndarray], reference: Mapping[str, np.ndarray], owner: np.ndarray
) -> dict[str, np.ndarray]:
    """pt, eta and phi of particles from those relative to their jets."""
    axis = {name: reference[name].astype(np.float64)[owner] for name in ("pt", "eta", "phi")}
    found = {
        "pt": columns["ptrel"].astype(np.float64) * axis["pt"],
        "eta": columns["etarel"] + axis["eta"],
        "phi": columns["phirel"] + axis["phi"],
    }
    return found | ({"m": columns["m"]} if "m" in columns else {})


def _present(source: CardColumns, chunk: Any, layout: Any, columns: Any, p4: np.ndarray) -> np.ndarray | None:
    """Which particles are there; ``None`` where all are."""
    if source.card.mask:
        mask = layout.of_particles(source.value(source.card.mask, chunk), "mask")
        if mask.dtype.kind == "f" and not np.isfinite(mask).all():
            bad = int(layout.owner[int(np.flatnonzero(~np.isfinite(mask))[0])])
            refuse(source.path, bad, source.card.mask, "is a mask and not finite")
        return mask > 0
    if not layout.padded:
        return None
    return (p4[:, 1:] != 0).any(axis=1) | (columns["E"] != 0 if "E" in columns else False)


def _reference(reference: Mapping[str, np.ndarray], scale: float) -> np.ndarray:
    """pt, eta, phi and mass of jets; NaN for what the file does not say."""
    jets = len(next(iter(reference.values())))
    pt, eta, phi = (
        np.asarray(reference.get(name, np.full(jets, np.nan)), np.float64) for name in ("pt", "eta", "phi")
    )
    mass = reference.get("mass")
    if mass is None and "energy" in reference:
        with np.errstate(all="ignore"):
            square = reference["energy"].astype(np.float64) ** 2 - (pt * np.cosh(eta)) ** 2
        mass = np.sign(square) * np.sqrt(np.abs(square))
    mass = np.full(jets, np.nan) if mass is None else np.asarray(mass, np.float64)
    return np.stack([pt * scale, eta, phi, mass * scale], axis=1)


def _labels(source: CardColumns, chunk: Mapping[str, Any], layout: Any, first: int) -> dict[str, np.ndarray]:
    """Class numbers ``y`` and the number of the published ``split``, as far as the card gives them."""
    card, fields = source.card, {}
    constant = card.file_class(source.path)
    if constant is not None:
        fields["y"] = np.full(layout.jets, constant)
    elif "column" in card.labels:
        values = layout.of_jets(source.value(card.labels["column"], chunk), "labels.column")
        fields["y"] = class_numbers(source.path, card, values, first)
    elif "one_hot" in card.labels:
        flags = np.stack(
            [layout.of_jets(source.value(text, chunk), text) for text in card.labels["one_hot"]], axis=1
        )
        wrong = (flags != 0).sum(axis=1) != 1
        if wrong.any():
            bad = int(np.flatnonzero(wrong)[0])
            refuse(
                source.path, first + bad, "labels.one_hot", f"has {int((flags[bad] != 0).sum())} classes, not one"
            )
        fields["y"] = (flags != 0).argmax(axis=1).astype(np.int64)
    if "column" in card.split:
        values = layout.of_jets(source.value(card.split["column"], chunk), "split.column")
        numbers = np.full(layout.jets, -1)
        for place, name in enumerate(SPLITS):
            if name in card.split:
                numbers[values == card.split[name]] = place
        fields["split"] = numbers
    return fields


def class_numbers(path: str, card: Card, values: np.ndarray, first: int) -> np.ndarray:
    """Class numbers from a column of numbers or words.

    Raises:
        DataFileError: for a value that is no class; it names the jet.
    """
    listed = card.labels.get("values") or (card.class_names if values.dtype.kind in "OUS" else None)
    if listed:
        found = np.full(len(values), -1)
        for number, value in enumerate(listed):
            found[
                np.asarray([str(one) == str(value) for one in values])
                if values.dtype.kind in "OUS"
                else values == value
            ] = number
        reason = f"which is none of {', '.join(map(str, listed))}"
    else:
        with np.errstate(invalid="ignore"):
            found = values.astype(np.int64)
        highest = len(card.class_names) or np.iinfo(np.int64).max
        found[(found != values) | (found < 0) | (found >= highest)] = -1
        reason = "which is no class number" + (f" of {', '.join(card.class_names)}" if card.class_names else "")
    if (found < 0).any():
        bad = int(np.flatnonzero(found < 0)[0])
        raise DataFileError(
            f"{path}, jet {first + bad} (from 0): '{card.labels['column']}' is {values[bad]}, {reason}. Leave "
            "such jets out with a `selection`, or name all classes in the card (labels.values, class_names)."
        )
    return found.astype(np.int64)
