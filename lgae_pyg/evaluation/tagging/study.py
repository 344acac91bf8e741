"""Tagging: how well the scores of a tagger tell its classes apart, one against all others."""

from typing import Any

import numpy as np
import torch

from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.study import Study, StudyOptions
from lgae_pyg.evaluation.subject import LeftOut, Subject, batches_of, run_model
from lgae_pyg.metrics.roc import SIGNAL_EFFICIENCIES, figures_of_merit
from lgae_pyg.progress import steps
from lgae_pyg.tables import Table, with_errors

EXPLANATION = (
    "Each class against all others by its own score, the softmax of its logit (of two classes only the second: "
    "the first has the same curve, reversed). AUC: area under the ROC curve; rejection: 1 / background efficiency "
    "at a signal efficiency; accuracy: share of jets whose class has the largest score, of all classes; ±: "
    "bootstrap standard errors over jets"
)


def run(subject: Subject, options: StudyOptions) -> Results:
    """Scores jets of the split and measures what the scores are worth.

    Args:
        subject: a tagger.
        options: see :class:`~lgae_pyg.evaluation.study.StudyOptions`.

    Raises:
        LeftOut: if the jets have no classes, or only one.
        ValueError: if a score is NaN.
        OSError: if jets are missing.
    """
    sample = subject.background(options.sample, options.split, options.root)
    if "y" not in sample.store.jet_fields or len(sample.store.jet_field("y").unique()) < 2:
        raise LeftOut("its jets have no class numbers, or only one")
    y = sample.store.jet_field("y").flatten().numpy()
    with steps(batches_of([sample], options.batch_size), options.progress, "tagging") as tick:
        runs = run_model(subject.model, sample.store, options.batch_size, tick)
        scores = torch.cat([logits.double().softmax(-1) for _, logits in runs]).numpy()
    names = [_name(sample.class_names, number) for number in range(scores.shape[1])]
    shown = [1] if len(names) == 2 else [number for number in range(len(names)) if (y == number).any()]
    about = subject.description([sample])
    about |= {"classes": names, "shown": shown}
    rows = tuple(_row(subject.label, names[number], y == number, scores, y, number, options) for number in shown)
    rejections = {f"rejection_{place:g}": f"rejection at {place:g}" for place in SIGNAL_EFFICIENCIES}
    numbers = with_errors({"auc": "AUC", **rejections, "accuracy": "accuracy"})
    columns = {"model": "model", "signal": "signal", **numbers}
    table = Table("tagging", f"{EXPLANATION}. {about['caption']}", columns, rows)
    return Results("tagging", {"tagging": table}, {"scores": scores, "y": y, **sample.identities()}, about)


def _row(
    label: str, name: str, signal: Any, scores: np.ndarray, y: np.ndarray, number: int, options: StudyOptions
) -> tuple:
    merits = figures_of_merit(scores[~signal, number], scores[signal, number], options.resamples)
    keys = ["auc", *(f"rejection_{place:g}" for place in SIGNAL_EFFICIENCIES)]
    accuracy = float((scores.argmax(1) == y).mean())
    error = (accuracy * (1 - accuracy) / len(y)) ** 0.5
    return (label, name, *(merits[f"{key}{end}"] for key in keys for end in ("", "_error")), accuracy, error)


def _name(names: Any, number: int) -> str:
    return names[number] if number < len(names) else f"class {number}"


def of_taggers(facts: Any) -> str | None:
    """Fits models that classify jets."""
    return None if facts.task == "classification" else f"{facts.label} is no tagger ({facts.task})"


STUDY = Study(
    "tagging", run, compared={"tagging": "Tagging"}, figures="lgae_pyg.evaluation.tagging.figures", fits=of_taggers
)
