"""Studies of trained models: tables, arrays and figures."""

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
