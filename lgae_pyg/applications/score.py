"""``lgae_pyg.score(model, jets)``: arrays of scores, aligned with the jets."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from lgae_pyg.applications.score_job import ScoreJob, check_features, choose_card, short_names, stretches_of
from lgae_pyg.applications.score_model import Scorer, reference_codes
from lgae_pyg.applications.score_table import EVENT_COLUMNS, Scored, ScoreTable, joined, table_of
from lgae_pyg.checkpoint import Checkpoint
from lgae_pyg.data import JetData, JetStore
from lgae_pyg.data.flat import FlatJets
from lgae_pyg.data.units import unit_factor
from lgae_pyg.datasets.base import JetDataset
from lgae_pyg.datasets.readers import find_files


def score(
    model: str | os.PathLike[str] | Checkpoint | nn.Module,
    jets: Any,
    *,
    card: Any = None,
    latents: bool = False,
    reference: str | os.PathLike[str] | None = None,
    labels: bool = True,
    batch_size: int = 64,
    device: str = "cpu",
) -> ScoreTable:
    """Scores jets: probabilities of a tagger's classes, or an autoencoder's anomaly scores.

        table = lgae_pyg.score("runs/top", "jets.root")
        top = table["score"]  # as long as there are jets in the file
        good = table["status"] == ""

    The numbers are those of the studies ``tagging`` and ``anomaly``: momenta in the unit of the training,
    particles sorted and cut as there, float64. Jets that no network can read have NaN, and their ``status`` says
    why.

    Args:
        model: a checkpoint or the folder of a run, by path or loaded
            (:func:`~lgae_pyg.checkpoint.load_checkpoint`), or a module.
        jets: files, folders or patterns, one or several; a data set (:class:`~lgae_pyg.datasets.JetFiles`, what
            :func:`~lgae_pyg.datasets.from_numpy` gives), a :class:`~lgae_pyg.data.JetStore`,
            :class:`~lgae_pyg.data.flat.FlatJets`, or a list of :class:`~lgae_pyg.data.JetData` (in the model's
            unit where they state none).
        card: what is in the files: a preset, a YAML file or its entries; that of the training, where it fits, or
            recognised when omitted.
        latents: give the codes of an autoencoder, too (``table.latents``).
        reference: fit scores of the codes on ordinary jets: ``"train"``, the training split of the model, or
            files; the jets themselves are never fitted on. Only for checkpoints by path.
        labels: whether classes are read from the files.
        batch_size: jets per batch.
        device: where the network computes: ``cpu``, ``cuda``, ``cuda:1`` or ``auto`` (a GPU where there is one).

    Returns:
        The table, a row per jet in their order.

    Raises:
        OSError: a file or checkpoint is not there.
        ValueError: for jets or a model that cannot be used; it says why.
    """
    scorer = Scorer.of(model, latents, batch_size, device)
    codes = None
    if reference is not None:
        if not isinstance(model, str | os.PathLike):
            raise ValueError("scores of the codes need to know the training: give the checkpoint by its path")
        codes = reference_codes(model, reference, card, batch_size)
        scorer = scorer.fitted(codes)
    if _are_paths(jets):
        files = find_files(jets)
        card = choose_card(card, files, scorer.card, labels)
        check_features(scorer, card)
        job = ScoreJob("", tuple(files), card, latents, codes, batch_size)
        pieces = job.pieces()
        parts = [
            part
            for numbers in stretches_of(range(len(pieces)), pieces, 1)
            for _, part in job.scored(scorer, [pieces[number] for number in numbers])
        ]
        about = {**scorer.about(), "card": card.to_dict(), "notes": job.notes(scorer)}
        for note in set(about["notes"]) - set(scorer.notes()):
            warnings.warn(note, stacklevel=2)
        return table_of(joined(parts or [Scored({})]), about, short_names(files))
    flat, names, checked = _flat(jets, scorer.unit)
    about = {**scorer.about(), "notes": scorer.notes()}
    return table_of(replace(scorer(flat, checked=checked), class_names=names), about, [""])


def _are_paths(jets: Any) -> bool:
    """Whether jets are meant by the names of files."""
    if isinstance(jets, str | os.PathLike):
        return True
    return (
        isinstance(jets, list | tuple) and bool(jets) and all(isinstance(one, str | os.PathLike) for one in jets)
    )


def _flat(jets: Any, unit: str) -> tuple[FlatJets, Sequence[str], bool]:
    """Jets in memory in a unit, the names of their classes, and whether they say their own unit."""
    names: Sequence[str] = ()
    if isinstance(jets, JetDataset):
        names, jets = jets.class_names, jets.store
    if isinstance(jets, list | tuple) and jets and all(isinstance(one, JetData) for one in jets):
        jets = JetStore.from_jets(jets)
    if isinstance(jets, JetStore):
        names = names or jets.meta.get("class_names", ())
        stated = jets.unit is not None
        return _of_store(jets, unit), names, stated
    if isinstance(jets, FlatJets):
        factor = unit_factor(jets.unit, unit)
        p4 = jets.p4 if factor == 1 else jets.p4 * np.asarray(factor, jets.p4.dtype)
        return replace(jets, p4=p4, unit=unit), names, True
    raise ValueError(
        f"jets are given as {type(jets).__name__}: give files, a data set, a JetStore, FlatJets or a list of "
        "JetData (arrays: lgae_pyg.datasets.from_numpy(p4, unit='GeV'))"
    )


def _of_store(store: JetStore, unit: str) -> FlatJets:
    store = store if store.unit in (None, unit) else store.in_unit(unit)
    batch = store.batch(slice(None))
    particles = {}
    if "x" in store.particle_fields:
        names = store.meta.get("x_names") or range(batch.x.shape[1])
        particles = {str(name): column.numpy() for name, column in zip(names, batch.x.T)}
    kept = ("y", "weight", "jet_id", *EVENT_COLUMNS)
    jets = {name: store.jet_field(name).numpy() for name in kept if name in store.jet_fields}
    rows = jets.pop("jet_id", None)
    options = {} if rows is None else {"rows": rows.flatten()}
    return FlatJets(batch.pos.numpy(), batch.ptr.numpy(), particles, jets, unit=unit, **options)
