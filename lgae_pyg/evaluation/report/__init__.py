"""One self-contained HTML page on one run or several."""

from lgae_pyg.evaluation.report.collect import RunContent, collect_run, collect_runs
from lgae_pyg.evaluation.report.join import joined_tables
from lgae_pyg.evaluation.report.page import write_report

__all__ = ["RunContent", "collect_run", "collect_runs", "joined_tables", "write_report"]
