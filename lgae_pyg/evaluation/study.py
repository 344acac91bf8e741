"""The studies of a trained model by name, and what they have in common: options, folders, figures."""

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lgae_pyg.evaluation.study_results import StudyResults
from lgae_pyg.evaluation.subject import Subject


@dataclass(frozen=True)
class StudyOptions:
    """What a study is asked for.

    Args:
        jets: at most so many jets of each sample, a random choice that is the same each time; of signals the first
            ones.
        signals: letters of the classes that count as anomalous; by default those that
            :meth:`~lgae_pyg.evaluation.subject.Subject.other_classes` names.
        split: the split of the data set that the jets of the model's own kind are taken from.
        root: root folder of other jets of the same recipe.
        batch_size: jets per batch.
        resamples: bootstrap samples behind each statistical error.
        emd: add scores that need the exact energy mover's distance, which takes long.
        progress: show a progress bar.
    """

    jets: int = 20_000
    signals: Sequence[str] | None = None
    split: str = "test"
    root: str | os.PathLike[str] | None = None
    batch_size: int = 64
    resamples: int = 200
    emd: bool = False
    progress: bool = True


#: Modules of the studies, each with a function ``run(subject, options) -> StudyResults``, and of their figures,
#: each with ``FIGURES``, functions of the results by name. They are imported when they are used.
STUDIES = {
    "anomaly": ("lgae_pyg.evaluation.anomaly.study", "lgae_pyg.evaluation.anomaly.figures"),
    "latent": ("lgae_pyg.evaluation.latent.study", "lgae_pyg.evaluation.latent.figures"),
    "symmetry": ("lgae_pyg.evaluation.symmetry.study", "lgae_pyg.evaluation.symmetry.figures"),
    "generation": ("lgae_pyg.evaluation.generation.study", "lgae_pyg.evaluation.generation.figures"),
}

#: Figures of results that do not belong to one model, by their name.
OTHER_FIGURES = {"efficiency": "lgae_pyg.evaluation.efficiency.figures"}


def run_study(
    name: str, subject: Subject, options: StudyOptions, out: str | os.PathLike[str] | None = None
) -> StudyResults:
    """Runs a study and, into a folder, writes tables, arrays and figures.

    Args:
        name: one of :data:`STUDIES`.
        subject: the model that is studied.
        options: what is asked for.
        out: the folder; nothing is written when omitted.

    Raises:
        ValueError: if there is no study of that name, or it does not fit the model.
    """
    check_studies([name])
    results = importlib.import_module(STUDIES[name][0]).run(subject, options)
    if out is not None:
        results.save(out)
        draw_study(results, out, options.progress)
    return results


def draw_study(results: StudyResults, folder: str | os.PathLike[str], progress: bool = True) -> list[Path]:
    """Draws the figures of a study as PNG and PDF into ``folder/figures``, from its results alone.

    Returns:
        The files written. A figure function that returns ``None`` has nothing to draw for these results.
    """
    from matplotlib import pyplot as plt
    from tqdm import tqdm

    from lgae_pyg.evaluation.style import SETTINGS, save_figure

    module = OTHER_FIGURES.get(results.study) or STUDIES[results.study][1]
    figures = importlib.import_module(module).FIGURES
    paths = []
    with plt.rc_context(SETTINGS):
        for name in tqdm(figures, desc="draw", unit="figure", disable=None if progress else True, leave=False):
            figure = figures[name](results)
            if figure is not None:
                paths += save_figure(figure, Path(folder) / "figures", name)
    return paths


def check_studies(names: Sequence[str]) -> None:
    """Raises :class:`ValueError` if there is no study of one of these names."""
    unknown = [name for name in names if name not in STUDIES]
    if unknown:
        raise ValueError(f"there is no study {', '.join(unknown)}: choose some of {', '.join(STUDIES)}")
