"""Weights & Biases, without ever asking for anything or waiting for a network that is not there."""

import netrc
import os
import secrets
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from lgae_pyg.registry import check_keys

KEYS = ("wandb", "project", "entity", "tags", "panels_every")


def wandb_mode() -> str:
    """Returns ``"online"``, ``"offline"`` or ``"disabled"``.

    ``WANDB_MODE`` decides if it is set; but without a key (``WANDB_API_KEY``, or an entry for the server in
    the netrc file that ``wandb login`` writes) a run is never online: logging in would ask on the terminal.
    """
    mode = os.environ.get("WANDB_MODE", "online")
    if mode in ("offline", "dryrun"):
        return "offline"
    if mode == "disabled":
        return mode
    return "online" if has_wandb_key() else "offline"


def has_wandb_key() -> bool:
    """Returns whether the user is logged in to W&B."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    files = [os.environ.get("NETRC"), "~/.netrc", "~/_netrc"]
    for file in (Path(name).expanduser() for name in files if name):
        try:
            if file.exists():
                return netrc.netrc(file).authenticators(host) is not None
        except (netrc.NetrcParseError, OSError):
            continue
    return False


def build_logger(
    config: Mapping[str, Any], folder: Path, name: str, run_id: str | None, resolved: Mapping[str, Any]
) -> Any:
    """Makes the W&B logger of a run and starts, or continues, the W&B run.

    Args:
        config: the group ``logger``: ``wandb`` (whether to use it), ``project``, ``entity``, ``tags``.
        folder: the run folder; W&B's files go to its subfolder ``wandb``.
        name: name of the run.
        run_id: id of the W&B run to continue; a new one is drawn when omitted.
        resolved: the resolved configuration, shown beside the run.

    Returns:
        A ``WandbLogger``; ``None`` if W&B is switched off or not installed (the latter with a warning).
    """
    check_keys("logger", config, KEYS)
    mode = wandb_mode() if config.get("wandb", True) else "disabled"
    if mode == "disabled":
        return None
    try:
        import wandb  # noqa: F401
    except ImportError:
        warnings.warn(
            "wandb is not installed, so the run is logged to metrics.csv only; pip install 'lgae-pyg[wandb]'",
            stacklevel=2,
        )
        return None
    from lightning.pytorch.loggers import WandbLogger

    arguments = {
        "project": config.get("project") or "lgae_pyg",
        "entity": config.get("entity"),
        "tags": list(config.get("tags") or []),
        "name": name,
        "id": run_id or secrets.token_hex(4),
        "resume": "allow",
        "dir": str(folder),
        "config": dict(resolved),
    }
    run = start(arguments, mode)
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return WandbLogger(project=arguments["project"], save_dir=str(folder), experiment=run)


def start(arguments: dict[str, Any], mode: str) -> Any:
    """Starts a W&B run; offline if the server cannot be reached."""
    import wandb

    settings = wandb.Settings(console="off", silent=True, init_timeout=30)
    try:
        return wandb.init(**arguments, mode=mode, settings=settings)
    except wandb.errors.Error as error:
        if mode == "offline":
            raise
        warnings.warn(f"W&B does not answer ({error}); the run is kept offline", stacklevel=2)
        return start(arguments, "offline")


def finish(logger: Any, exit_code: int) -> None:
    """Ends the W&B run of a logger, so that all of it is on disk (or uploaded)."""
    if logger is not None:
        logger.experiment.finish(exit_code=exit_code)
