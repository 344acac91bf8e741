"""Studies of trained models: tables, arrays and figures."""

from lgae_pyg.evaluation.reconstruction.rebuilt import Jets, Reconstruction
from lgae_pyg.evaluation.reconstruction.study import default_folder, evaluate, evaluate_model
from lgae_pyg.evaluation.results import EvaluationResults
from lgae_pyg.evaluation.symmetry.equivariance import Records, equivariance_scan, unit_records
from lgae_pyg.evaluation.symmetry.precision import precision_scan
from lgae_pyg.tables import Table

__all__ = [
    "EvaluationResults",
    "Jets",
    "Reconstruction",
    "Records",
    "Table",
    "default_folder",
    "equivariance_scan",
    "evaluate",
    "evaluate_model",
    "precision_scan",
    "unit_records",
]
