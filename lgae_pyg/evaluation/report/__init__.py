"""One self-contained HTML page on one run or several."""

from typing import TYPE_CHECKING

from lgae_pyg.lazy import loaded_on_use

if TYPE_CHECKING:
    from lgae_pyg.evaluation.report.collect import RunContent, collect_run, collect_runs
    from lgae_pyg.evaluation.report.join import joined_tables
    from lgae_pyg.evaluation.report.page import write_report

__all__ = [
    "RunContent",
    "collect_run",
    "collect_runs",
    "joined_tables",
    "write_report",
]

__getattr__, __dir__ = loaded_on_use(
    __name__,
    {
        "RunContent": "lgae_pyg.evaluation.report.collect",
        "collect_run": "lgae_pyg.evaluation.report.collect",
        "collect_runs": "lgae_pyg.evaluation.report.collect",
        "joined_tables": "lgae_pyg.evaluation.report.join",
        "write_report": "lgae_pyg.evaluation.report.page",
    },
)
