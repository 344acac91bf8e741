"""A trained model as an anomaly detector: which score, computed with what, and where to cut."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lgae_pyg.applications.score import score as score_jets
from lgae_pyg.applications.score_model import reference_codes
from lgae_pyg.checkpoint import load_checkpoint
from lgae_pyg.evaluation.anomaly.density import Mahalanobis
from lgae_pyg.evaluation.sample import Sample
from lgae_pyg.evaluation.subject import Subject

#: Shares of ordinary jets that lie above the thresholds; and jets that must be left above the highest one.
SHARES, FEWEST = ("0.1", "0.01"), 10


def calibrate(
    source: str | os.PathLike[str], score: str, ordinary: Any = None, classes: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    r"""What makes a detector of a model: thresholds :math:`t` with
    :math:`P(s > t \mid \text{ordinary}) = 0.1, 0.01`, and what its score of the codes is computed with.

    Args:
        source: a checkpoint, or the folder of a run.
        score: a column of ``lgae score``.
        ordinary: jets for the thresholds; the test split of the training when omitted.
        classes: names of the classes that are ordinary among them; all when empty.

    Returns:
        ``score``, ``thresholds`` by share, number of ``jets`` and which were ``ordinary``, as plain values; and
        the tensors of :class:`~lgae_pyg.evaluation.anomaly.density.Mahalanobis` by name, for scores of the codes.

    Raises:
        ValueError: there is no such score or class, or there are too few jets.
        OSError: the jets are not there.
    """
    found, density = load_checkpoint(source), {}
    if score == "latent_mahalanobis":
        fit = Mahalanobis.fit(reference_codes(source).numpy())
        density = {"mean": torch.from_numpy(fit.mean), "matrix": torch.from_numpy(fit.matrix)}
        found.density.update(density)
    if ordinary is None:
        sample = Sample.of("ordinary", Subject.load(source).dataset("test"))
        ordinary, origin = sample.store, sample.origin
        ordinary.meta = {**ordinary.meta, "class_names": list(sample.class_names)}
    else:
        origin = f"jets of {os.path.basename(ordinary)}" if isinstance(ordinary, str | os.PathLike) else "jets"
    table = score_jets(found, ordinary)
    chosen = np.isfinite(table[score])
    names = table.meta["class_names"] or list(map(str, range(int(table["y"].max(initial=-1)) + 1)))
    if missing := [name for name in classes if name not in names]:
        raise ValueError(f"no ordinary jets of {', '.join(missing)}: there are {', '.join(names) or 'no classes'}")
    if classes:
        chosen &= np.isin(table["y"], [names.index(name) for name in classes])
        origin = f"{origin}: {', '.join(classes)}"
    values = table[score][chosen]
    if len(values) * float(SHARES[-1]) < FEWEST:
        raise ValueError(f"{len(values)} ordinary jets: thresholds need {FEWEST / float(SHARES[-1]):.0f} at least")
    thresholds = {share: float(np.quantile(values, 1 - float(share))) for share in SHARES}
    return {"score": score, "thresholds": thresholds, "jets": len(values), "ordinary": origin}, density
