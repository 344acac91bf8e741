"""Results of evaluations in the Weights & Biases run of the training that they are of."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lgae_pyg.checkpoint import HEADER, LAST, read_checkpoint
from lgae_pyg.training.keep import RUN_STATE
from lgae_pyg.training.loggers import log_row, run_arguments, start, wandb_mode


def has_checkpoint(folder: Path) -> bool:
    """Whether a run's folder holds the checkpoint that names its W&B run."""
    return (folder / "checkpoints" / LAST).exists()


def log_results(
    folder: Path, tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[Any]]]], figures: Mapping[str, Path]
) -> Path | str:
    """Adds tables and figures to the W&B run of a training, offline unless one is logged in.

    Tables go to ``results/NAME``, figures to ``figures/NAME``: of many tables there is a figure of the same name.

    Args:
        folder: of the run; its last checkpoint says which W&B run it is. A training without one gets a new one.
        tables: columns, no two alike, and rows by name.
        figures: PNG files by name.

    Returns:
        The folder of the offline files, or the address of the run.

    Raises:
        ValueError: if W&B is switched off (``WANDB_MODE=disabled``), or does not start.
        OSError: if there is no checkpoint.
        ImportError: if wandb is not installed.
    """
    import wandb

    mode = wandb_mode()
    if mode == "disabled":
        raise ValueError("Weights & Biases is switched off (WANDB_MODE=disabled): nothing can be added to the run")
    content = read_checkpoint(folder / "checkpoints" / LAST)
    config = content[HEADER]["config"]
    identity = content.get(RUN_STATE, {}).get("wandb_id")
    arguments = run_arguments(config.get("logger", {}), folder, config.get("name", folder.name), identity)
    run = start(arguments, mode)
    if run is None:
        raise ValueError("Weights & Biases does not start: nothing can be added to the run")
    try:
        entries: dict[str, Any] = {
            f"results/{name}": wandb.Table(columns=list(columns), data=[list(row) for row in rows])
            for name, (columns, rows) in tables.items()
        }
        entries |= {f"figures/{name}": wandb.Image(str(path)) for name, path in figures.items()}
        log_row(run, entries, content.get("global_step", 0) + 1)
        return Path(run.dir).parent if run.offline else run.url
    finally:
        run.finish()
