"""Weights & Biases, which may fail in any way without a training noticing it.

What the configuration leaves open is taken from W&B's environment variables and settings files, and then from the
defaults of this package.
"""

import configparser
import contextlib
import math
import netrc
import os
import secrets
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from lightning.pytorch.loggers import Logger

from lgae_pyg.checkpoint import BEST, HEADER, read_checkpoint
from lgae_pyg.files import first_line
from lgae_pyg.models import contract_of
from lgae_pyg.processes import leads

#: Arguments of ``wandb.init`` and the variables that W&B reads for them.
VARIABLES = {key: f"WANDB_{key.upper()}" for key in ("project", "entity", "job_type", "tags", "name", "dir")}
VARIABLES["group"] = "WANDB_RUN_GROUP"


def wandb_setting(name: str) -> str | None:
    """Returns what W&B's environment, or else its settings files, say of a setting, such as ``base_url``.

    The files are ``wandb/settings`` in the working folder (or ``WANDB_DIR``) and ``~/.config/wandb/settings``.
    """
    if value := os.environ.get(f"WANDB_{name.upper()}"):
        return value
    local = Path(os.environ.get("WANDB_DIR") or ".")
    user = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb")
    for folder in (local / ".wandb", local / "wandb", user):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read((folder / "settings").expanduser())
        except (configparser.Error, OSError, UnicodeError, RuntimeError):  # W&B passes over it too
            continue
        if value := parser.get("default", name, fallback=None):
            return value
    return None


def wandb_mode() -> str:
    """Returns ``"online"``, ``"offline"`` or ``"disabled"``.

    W&B's settings decide (``WANDB_MODE``, ``wandb offline``); but a run is never online where nobody is logged in
    (:func:`has_wandb_key`): W&B would ask on the terminal.
    """
    mode = wandb_setting("mode") or "online"
    if mode == "disabled" or (wandb_setting("disabled") or "").lower() in ("true", "1", "yes", "y", "on", "t"):
        return "disabled"
    if mode in ("offline", "dryrun"):
        return "offline"
    return "online" if has_wandb_key() else "offline"


def has_wandb_key() -> bool:
    """Returns whether the user is logged in to the W&B server that W&B's settings name.

    A login is ``WANDB_API_KEY``, an identity token, or an entry for the server in the netrc file that
    ``wandb login`` writes.
    """
    if wandb_setting("api_key") or wandb_setting("identity_token_file"):
        return True
    server = urlparse(wandb_setting("base_url") or "https://api.wandb.ai")
    for name in (os.environ.get("NETRC"), "~/.netrc", "~/_netrc"):
        try:
            if name and (file := Path(name).expanduser()).exists():
                logins = netrc.netrc(file)
                return any(logins.authenticators(host or "") for host in (server.netloc, server.hostname))
        except (netrc.NetrcParseError, OSError, RuntimeError):
            continue
    return False


def run_arguments(config: Mapping[str, Any], folder: Path, name: str, run_id: str | None) -> dict[str, Any]:
    """Returns the arguments of ``wandb.init`` for the run of a training.

    A value of the configuration stands above W&B's environment variables (:data:`VARIABLES`, ``WANDB_RUN_ID``),
    and these above the defaults here.

    Args:
        config: the group ``logger``.
        folder: the run folder; W&B's files go to its subfolder ``wandb``.
        name: name of the run.
        run_id: id of the W&B run to continue; omitted, it is ``WANDB_RUN_ID`` or a new one.
    """
    chosen = {key: config[key] for key in VARIABLES if config.get(key)}
    defaults = {"project": "lgae_pyg", "name": name, "dir": str(folder)}
    for key, value in defaults.items():
        from_files = key != "name" and key != "dir" and wandb_setting(key)
        if not os.environ.get(VARIABLES[key]) and not from_files:
            chosen.setdefault(key, value)
    return {**chosen, "id": run_id or os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4), "resume": "allow"}


def build_logger(
    config: Mapping[str, Any],
    folder: Path,
    name: str,
    run_id: str | None,
    resolved: Mapping[str, Any],
    watch: str = "val/loss",
    rising: bool = False,
) -> "RunLogger | None":
    """Starts, or continues, the W&B run of a training.

    Args:
        config: the group ``logger``: ``wandb`` (whether to use it), ``project``, ``entity``, ``group``,
            ``job_type``, ``tags``.
        folder: the run folder.
        name: name of the run.
        run_id: id of the W&B run to continue.
        resolved: the resolved configuration, shown beside the run.
        watch: the value that says which epoch is best.
        rising: whether more of it is better.

    Returns:
        ``None`` if W&B is switched off, not installed or does not start (the latter two with a warning), and in
        all processes of a training but the first.
    """
    mode = wandb_mode() if config.get("wandb", True) else "disabled"
    if mode == "disabled" or not leads():
        return None
    try:
        import wandb  # noqa: F401
    except ImportError:
        warnings.warn(
            "wandb is not installed, so the run is logged to metrics.csv only; pip install 'lgae-pyg[wandb]'",
            stacklevel=2,
        )
        return None
    run = start({**run_arguments(config, folder, name, run_id), "config": dict(resolved)}, mode)
    return None if run is None else RunLogger(run, folder / "checkpoints" / BEST, watch, rising)


def start(arguments: dict[str, Any], mode: str) -> Any:
    """Starts a W&B run: offline if it cannot be online for whatever reason, and ``None`` if not even that."""
    import wandb

    known = getattr(wandb.Settings, "model_fields", {})
    limits = {"init_timeout": 30, "finish_timeout": 120}  # seconds
    limits = {key: value for key, value in limits.items() if key in known and not wandb_setting(key)}
    for attempt in dict.fromkeys((mode, "offline")):
        settings = wandb.Settings(console="off", silent=True, **limits)
        try:
            return wandb.init(**arguments, mode=attempt, settings=settings)
        except (Exception, SystemExit) as error:
            instead = "the run is kept offline" if attempt == "online" else "the run is logged to metrics.csv only"
            warnings.warn(f"W&B cannot be used {attempt} ({first_line(error)}); {instead}", stacklevel=2)
        with contextlib.suppress(Exception, SystemExit):
            wandb.teardown()  # the service holds on to the id of the run that failed
    return None


def log_row(run: Any, values: Mapping[str, Any], step: int) -> None:
    """Sends a row of values at a step, or at the first that is still to come: W&B drops what goes back."""
    run.log(dict(values), step=max(step, run.step), commit=True)


class RunLogger(Logger):
    """Lightning's way to a W&B run; what W&B does not take is lost to W&B only.

    W&B's step is the number of optimiser steps, which goes on where an interrupted training had stopped; W&B's own
    count would begin again. Each row carries the best values so far as ``best/...``, so they are in the summary.

    Args:
        run: the W&B run.
        best: the checkpoint of the best epoch so far, if there is one.
        watch: the value whose smallest, or largest, is best.
        rising: whether it is the largest.
    """

    def __init__(
        self, run: Any, best: Path | None = None, watch: str = "val/loss", rising: bool = False
    ) -> None:
        super().__init__()
        self.experiment = run
        self.watch, self.rising = watch, rising
        self.best: dict[str, float] = {}
        self._warned = False
        self.attempt(lambda: self._begin(best))

    @property
    def name(self) -> str | None:
        """Name of the W&B project."""
        return getattr(self.experiment, "project", None)

    @property
    def version(self) -> str | None:
        """Id of the W&B run."""
        return getattr(self.experiment, "id", None)

    def attempt(self, action: Callable[[], Any]) -> None:
        """Does something with the run; says once if that fails."""
        try:
            action()
        except (Exception, SystemExit) as error:
            if not self._warned:
                warnings.warn(
                    f"W&B does not take what is logged ({first_line(error)}); the training goes on, and "
                    "metrics.csv is complete",
                    stacklevel=3,
                )
            self._warned = True

    def log_hyperparams(self, *arguments: Any, **more: Any) -> None:
        """Nothing: the whole configuration is given to the run at its start."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Sends values, and the best so far."""
        self._take_if_best(metrics)
        self.attempt(lambda: self._send({**metrics, **self.best}, step))

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        """Sends pictures, figures or what else :class:`wandb.Image` takes."""
        import wandb

        self.attempt(lambda: self._send({key: [wandb.Image(image) for image in images]}, step))

    def describe(self, model: Any) -> None:
        """Puts the size of a model, and of its code, into the run's summary."""
        facts = contract_of(model)
        values = {"parameters": sum(p.numel() for p in model.parameters())}
        if getattr(facts, "latent_size", 0) and hasattr(model, "compression"):
            values["latent_size"] = facts.latent_size
            values |= {f"compression/{key}": value for key, value in model.compression().items()}
        self.attempt(lambda: self.experiment.summary.update(values))

    def finish(self, exit_code: int) -> None:
        """Ends the run, so that all of it is on disk (or uploaded)."""
        self.attempt(lambda: self.experiment.finish(exit_code=exit_code))

    def _begin(self, best: Path | None) -> None:
        self.experiment.define_metric("trainer/global_step")
        self.experiment.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        if best is not None and best.exists():
            header = read_checkpoint(best)[HEADER]
            self._take_if_best({**header["metrics"], "epoch": header["epoch"]})

    def _send(self, values: dict[str, Any], step: int | None) -> None:
        more = {} if step is None else {"trainer/global_step": step}
        log_row(self.experiment, {**values, **more}, step or 0)

    def _take_if_best(self, metrics: Mapping[str, Any]) -> None:
        sign = -1 if self.rising else 1
        if sign * metrics.get(self.watch, math.nan) < sign * self.best.get(f"best/{self.watch}", sign * math.inf):
            kept = {key: value for key, value in metrics.items() if key.startswith("val/") or key == "epoch"}
            self.best = {f"best/{key}": value for key, value in kept.items()}
