"""Tagging: how well the scores of a tagger tell its classes apart, one against all others."""

import numpy as np
import torch
from numpy.typing import NDArray

from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.sample import Sample, batches_of
from lgae_pyg.evaluation.study import Study, StudyOptions, of_taggers
from lgae_pyg.evaluation.subject import LeftOut, Subject, run_model
from lgae_pyg.lorentz.kinematics import mass, transverse_momentum
from lgae_pyg.metrics.classification import classes_of, confusion_matrix
from lgae_pyg.metrics.equal_mass import FEWEST, equal_mass_with_error
from lgae_pyg.metrics.roc import SIGNAL_EFFICIENCIES, figures_of_merit
from lgae_pyg.ops.jets import jet_sum
from lgae_pyg.progress import steps
from lgae_pyg.tables import Table, with_errors
from lgae_pyg.training.tagging_panels import class_name

EXPLANATION = (
    "Each class against all others by its own score, the softmax of its logit (of two classes only the second: "
    "the first has the same curve, reversed). AUC: area under the ROC curve; rejection: 1 / background "
    "efficiency at a signal efficiency (inf: none passes; its error is nan where none passes in some draw); "
    f"equal mass: AUC among jets of one mass, in bins of 10 GeV with at least {FEWEST} jets of either kind (nan: "
    "there is none); accuracy: share of jets whose class has the largest score, of all classes; ±: bootstrap "
    "standard errors over jets, of the accuracy binomial"
)
#: Bootstrap samples behind the error at equal mass, which takes long, at most.
FEW_RESAMPLES = 40


def run(subject: Subject, options: StudyOptions) -> Results:
    """Scores jets of the split and measures what the scores are worth.

    The arrays hold ``scores``, true classes ``y``, ``mass`` and ``pt`` in GeV of each jet, and the ``confusion``
    matrix, numbers of jets whose rows are true classes.

    Args:
        subject: a tagger.
        options: see :class:`~lgae_pyg.evaluation.study.StudyOptions`.

    Raises:
        LeftOut: if the jets have no classes, only one, or one that the model has no logit for.
        ValueError: if a score is NaN.
        OSError: if jets are missing.
    """
    sample = subject.background(options.sample, options.split, options.root)
    y = true_classes(sample)
    with steps(batches_of([sample], options.batch_size), options.progress, "tagging") as tick:
        found = list(run_model(subject.model, sample.store, options.batch_size, tick))
    scores = torch.cat([logits.double().softmax(-1) for _, logits in found]).numpy()
    totals = subject.unit_in_gev * torch.cat([jet_sum(batch.pos, batch.ptr) for batch, _ in found])
    kinematics = {"mass": mass(totals).numpy(), "pt": transverse_momentum(totals).numpy()}
    check_classes(subject, scores, y)
    names = [class_name(sample.class_names, number) for number in range(scores.shape[1])]
    about = subject.description([sample]) | {"classes": names, "shown": classes_of(y, len(names))}
    counts = confusion_matrix(scores, y)
    rows = [_row(number, scores, y, kinematics["mass"], options.resamples) for number in about["shown"]]
    rows = [(subject.label, names[number], *row) for number, row in zip(about["shown"], rows)]
    rejections = {f"rejection_{place:g}": f"rejection at {100 * place:g} %" for place in SIGNAL_EFFICIENCIES}
    numbers = {"auc": "AUC", **rejections, "auc_equal_mass": "AUC, equal mass", "accuracy": "accuracy"}
    columns = {"model": "model", "signal": "signal", **with_errors(numbers)}
    table = Table("tagging", f"{EXPLANATION}. {about['caption']}", columns, tuple(rows))
    tables = {
        "tagging": table,
        "tagging_confusion": _confusion_table(subject.label, counts, names, about["caption"]),
    }
    arrays = {"scores": scores, "y": y, "confusion": counts, **kinematics, **sample.identities()}
    return Results("tagging", tables, arrays, about)


def true_classes(sample: Sample) -> NDArray[np.int64]:
    """The class number of each jet.

    Raises:
        LeftOut: if there are none, or only one.
    """
    if "y" not in sample.store.jet_fields or len(sample.store.jet_field("y").unique()) < 2:
        raise LeftOut("its jets have no class numbers, or only one")
    return sample.store.jet_field("y").flatten().numpy()


def check_classes(subject: Subject, scores: NDArray, y: NDArray) -> None:
    """Raises :class:`~lgae_pyg.evaluation.subject.LeftOut` for jets of a class that the model does not know."""
    if y.max() >= scores.shape[1]:
        raise LeftOut(
            f"its jets have the class number {y.max()}, but {subject.label} knows {scores.shape[1]} classes"
        )


def _row(number: int, scores: NDArray, y: NDArray, masses: NDArray, resamples: int) -> tuple[float, ...]:
    signal, score = y == number, scores[:, number]
    merits = figures_of_merit(score[~signal], score[signal], resamples)
    keys = ["auc", *(f"rejection_{place:g}" for place in SIGNAL_EFFICIENCIES)]
    pairs = [np.stack([score[kind], masses[kind]], -1) for kind in (~signal, signal)]
    accuracy = float((scores.argmax(1) == y).mean())
    error = (accuracy * (1 - accuracy) / len(y)) ** 0.5
    numbers = (merits[f"{key}{end}"] for key in keys for end in ("", "_error"))
    return (*numbers, *equal_mass_with_error(*pairs, min(resamples, FEW_RESAMPLES)), accuracy, error)


def _confusion_table(label: str, counts: NDArray, names: list[str], caption: str) -> Table:
    columns = {"model": "model", "true": "true class", "jets": "jets"}
    columns |= {f"as_{number}": f"taken for {name}" for number, name in enumerate(names)}
    rows = [
        (label, name, int(row.sum()), *(row / max(row.sum(), 1)).tolist())
        for name, row in zip(names, counts) if row.sum()
    ]  # fmt: skip
    about = "Shares of the jets of each true class whose largest score is that of each class; rows sum to one"
    return Table("tagging_confusion", f"{about}. {caption}", columns, tuple(rows))


STUDY = Study(
    "tagging", run, compared={"tagging": "Tagging"}, figures="lgae_pyg.evaluation.tagging.figures", fits=of_taggers
)
