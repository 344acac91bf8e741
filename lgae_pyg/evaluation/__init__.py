"""Studies of trained models: tables, arrays and figures."""

from typing import TYPE_CHECKING

from lgae_pyg.lazy import loaded_on_use

if TYPE_CHECKING:
    from lgae_pyg.evaluation.results import Results
    from lgae_pyg.evaluation.sample import Sample
    from lgae_pyg.evaluation.study import (
        STUDIES,
        Study,
        StudyOptions,
        default_folder,
        draw_study,
        evaluate,
        evaluate_model,
        run_study,
    )
    from lgae_pyg.evaluation.subject import Subject
    from lgae_pyg.evaluation.symmetry.equivariance import Records, equivariance_scan, unit_records
    from lgae_pyg.evaluation.symmetry.precision import precision_scan
    from lgae_pyg.tables import Table

__all__ = [
    "STUDIES",
    "Records",
    "Results",
    "Sample",
    "Study",
    "StudyOptions",
    "Subject",
    "Table",
    "default_folder",
    "draw_study",
    "equivariance_scan",
    "evaluate",
    "evaluate_model",
    "precision_scan",
    "run_study",
    "unit_records",
]

__getattr__, __dir__ = loaded_on_use(
    __name__,
    {
        "Results": "lgae_pyg.evaluation.results",
        "Sample": "lgae_pyg.evaluation.sample",
        "STUDIES": "lgae_pyg.evaluation.study",
        "Study": "lgae_pyg.evaluation.study",
        "StudyOptions": "lgae_pyg.evaluation.study",
        "default_folder": "lgae_pyg.evaluation.study",
        "draw_study": "lgae_pyg.evaluation.study",
        "evaluate": "lgae_pyg.evaluation.study",
        "evaluate_model": "lgae_pyg.evaluation.study",
        "run_study": "lgae_pyg.evaluation.study",
        "Subject": "lgae_pyg.evaluation.subject",
        "Records": "lgae_pyg.evaluation.symmetry.equivariance",
        "equivariance_scan": "lgae_pyg.evaluation.symmetry.equivariance",
        "unit_records": "lgae_pyg.evaluation.symmetry.equivariance",
        "precision_scan": "lgae_pyg.evaluation.symmetry.precision",
        "Table": "lgae_pyg.tables",
    },
)
