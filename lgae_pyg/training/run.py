"""A training from its resolved configuration to its run folder."""

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ProgressBar
from torch import nn

from lgae_pyg.data.store import raw_files
from lgae_pyg.datasets import asked_classes
from lgae_pyg.files import remove_partial
from lgae_pyg.lock import locked
from lgae_pyg.models import LinearAE, build_model, contract_of, registry, warm_start_from_linear
from lgae_pyg.models.warm_start import check_warm_start
from lgae_pyg.processes import INTERRUPTED, leads
from lgae_pyg.registry import check_choice
from lgae_pyg.training.classes import is_tagger, with_classes
from lgae_pyg.training.cluster import cluster_environment, companions, devices_and_nodes
from lgae_pyg.training.configuration import read_config
from lgae_pyg.training.data import JetDataModule
from lgae_pyg.training.folder import RunFolder, advice, begin, open_folder, settle
from lgae_pyg.training.guard import NonFiniteError, NonFiniteGuard
from lgae_pyg.training.keep import AtomicCheckpointIO, RunCheckpoints
from lgae_pyg.training.loggers import build_logger
from lgae_pyg.training.memory import keep_freed_memory
from lgae_pyg.training.optimization import build_optimizer
from lgae_pyg.training.panels import Panels
from lgae_pyg.training.progress import progress_callbacks, quieten, show, show_log
from lgae_pyg.training.record import EpochRecorder
from lgae_pyg.training.signals import GracefulStop, TrainingInterrupted
from lgae_pyg.training.tasks import Task, build_task

DONE, NOT_FINITE = 0, 3

PRECISIONS = {
    "float64": ("64-true", torch.float64),
    "mixed": ("64-true", torch.float64),
    "float32": ("32-true", torch.float32),
}
NEEDED = ("seed", "name", "model", "data", "loader", "loss", "trainer", "logger")


def train(config: Mapping[str, Any], folder: str | Path, command: str = "lgae train") -> int:
    """Trains a model, or goes on with a training that was interrupted.

    Args:
        config: resolved configuration, as ``configs/train.yaml`` lays it out; plain values.
        folder: the run folder: ``config.yaml``, ``metrics.csv``, ``checkpoints/best.ckpt``,
            ``checkpoints/last.ckpt``, ``wandb/``.
        command: how the user called this, for the message that says how to go on.

    Returns:
        The exit status: 0 the training is complete; 3 a loss or gradient was not finite; 75 it was stopped by
        a signal and can be continued.

    Raises:
        ValueError: a wrong configuration.
        OSError: the run folder, or the data, cannot be used.
    """
    quieten()
    show_log()
    keep_freed_memory()
    config = read_config(config)
    check_config(config)
    with locked(Path(folder)):
        if leads():
            for place in (Path(folder), Path(folder) / "checkpoints"):
                remove_partial(place)
        try:
            return train_in(Path(folder), config, command)
        finally:
            settle(Path(folder))


def train_in(folder: Path, config: Mapping[str, Any], command: str) -> int:
    """Trains in a folder that no other training uses; see :func:`train`."""
    run = open_folder(folder, config)
    if run.finished:
        show(f"{run.path} is already trained ({run.finished}): raise its limits, or {advice(run.path)}")
        return DONE
    if run.last is None:
        config = with_classes(config)
    pl.seed_everything(config["seed"], verbose=False)
    task = build_module(config)  # first: what it refuses would otherwise be found out after the jets are made
    data = JetDataModule(config["data"], **config["loader"], seed=config["seed"])
    config, task = number_classes(config, task, data, run)
    prepare(task, data, config)
    seen = begin(run, config, data)
    watch = watched(config)
    identity = (config["name"], run.wandb_id)
    logger = build_logger(config["logger"], run.path, *identity, config, watch, watch in task.rising)
    if logger is not None:
        logger.describe(task.model)
    status = 1
    with GracefulStop() as stop:
        try:
            fit(config, run, data, task, logger, stop, seen)
            status = DONE
        except TrainingInterrupted as interruption:
            status = INTERRUPTED
            show(f"Stopped by {stop.name} {interruption}; saved {run.checkpoints / 'last.ckpt'}.")
            show(f"Go on exactly from there: {command} resume=true")
        except NonFiniteError as error:
            status = NOT_FINITE
            print(f"Stopped: {error}", file=sys.stderr, flush=True)
        finally:
            if logger is not None:
                logger.finish(status)
    stop.pass_on()
    return status


def check_config(config: Mapping[str, Any]) -> None:
    """Raises :class:`ValueError` for a configuration that no training can begin with, whatever the jets."""
    if missing := sorted(set(NEEDED) - set(config)):
        raise ValueError(f"configuration: missing {', '.join(missing)}")
    trainer = config["trainer"]
    check_choice("trainer.precision", trainer["precision"], PRECISIONS)
    if trainer["max_epochs"] is not None and trainer["max_epochs"] < 1 and trainer["max_epochs"] != -1:
        raise ValueError(
            f"trainer.max_epochs={trainer['max_epochs']} trains nothing: give 1 or more, or -1 for no limit"
        )
    if trainer["accelerator"] in ("gpu", "cuda") and not torch.cuda.is_available():
        raise ValueError("trainer.accelerator=gpu, but there is no CUDA GPU here: choose trainer=cpu")
    if config.get("warm_start") not in (None, "linear"):
        raise ValueError(f"warm_start={config['warm_start']} is unknown; choose linear or null")


def model_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the model, with the part of ``trainer.precision`` that is the model's own."""
    model = dict(config["model"])
    if config["trainer"]["precision"] == "mixed":
        model["mixed_precision"] = True
    return model


def build_module(config: Mapping[str, Any]) -> Task:
    """Builds the model with random initial weights, and the task that trains it.

    Raises:
        ValueError: a model, loss, optimiser or warm start that does not exist or does not fit the model.
    """
    model = build_model(model_config(config))
    if contract_of(model).config:
        registry.check_config(model)
    if config.get("warm_start") == "linear":
        check_warm_start(model)
    build_optimizer([nn.Parameter(torch.zeros(1))], config.get("optimizer") or {})
    options = {key: config.get(key) for key in ("optimizer", "schedule")}
    options["ema"] = config["trainer"].get("ema")
    task = build_task(model, config["loss"], **options, provenance={"config": config})
    check_choice("trainer.monitor", watched(config), ("val/loss", *task.columns))
    return task


def number_classes(
    config: Mapping[str, Any], task: Task, data: JetDataModule, run: RunFolder
) -> tuple[Mapping[str, Any], Task]:
    """Numbers the classes of the jets as a tagger is to know them.

    Where only the jets said how many there are, the configuration is completed, and the tagger built again. A
    training that goes on keeps the numbers it had.
    """
    if not is_tagger(config):
        return config, task
    if run.last is not None:
        data.name_classes(run.header.get("class_names", ()))
        model = {**config["model"], **{k: v for k, v in run.header["model"].items() if k == "num_classes"}}
        completed: Mapping[str, Any] = {**config, "model": model}
    else:
        completed = with_classes(config, data.name_classes(asked_classes(config["data"])))
    if completed["model"] != config["model"]:
        pl.seed_everything(config["seed"], verbose=False)
        task = build_module(completed)
    return completed, task


def watched(config: Mapping[str, Any]) -> str:
    """The value of the validation by which the best weights are chosen."""
    return config["trainer"].get("monitor") or "val/loss"


def prepare(task: Task, data: JetDataModule, config: Mapping[str, Any]) -> None:
    """Gives a task what it needs to know of the jets, and the model the weights that follow from them."""
    model = task.model
    if task.facts.closed_form:
        model.fit(data.train.loader(data.eval_batch_size))
    model.to(PRECISIONS[config["trainer"]["precision"]][1])
    if config.get("warm_start") == "linear":
        linear = LinearAE(model.latent_vectors, model.num_particles, model.conserve_momentum)
        linear.fit(data.train.loader(data.eval_batch_size), weighting="transverse")
        warm_start_from_linear(model, linear)
    model.unit = data.train.unit
    task.class_names = tuple(data.train.class_names)
    known = {"data": data.train.recipe, "unit": data.train.unit, "class_names": task.class_names}
    known["trained_on"] = raw_files(data.train.store.meta)
    task.provenance |= known
    if task.facts.task == "classification":
        model.class_names = task.class_names
    if "y" in data.train.store.jet_fields:
        task.learn_from(data.train.store.jet_field("y"))


def build_trainer(config: Mapping[str, Any], run: RunFolder, callbacks: list, logger: Any) -> pl.Trainer:
    """Makes Lightning's trainer, with nothing of its own but the loop."""
    trainer = config["trainer"]
    devices, nodes = devices_and_nodes(trainer)
    return pl.Trainer(
        accelerator=trainer["accelerator"],
        devices=devices,
        num_nodes=nodes,
        strategy=trainer.get("strategy") or "auto",
        precision=PRECISIONS[trainer["precision"]][0],
        max_epochs=trainer["max_epochs"],
        gradient_clip_val=trainer.get("gradient_clip"),
        deterministic=trainer.get("deterministic") or None,
        logger=[logger] if logger is not None else False,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO(), cluster_environment()],
        enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
        enable_model_summary=False,
        num_sanity_val_steps=-1,  # the validation of the initial weights
        use_distributed_sampler=False,
        log_every_n_steps=sys.maxsize,
        default_root_dir=run.path,
    )


def fit(
    config: Mapping[str, Any], run: RunFolder, data: JetDataModule, module: Task, logger: Any, *watching: Any
) -> None:
    """Trains, and says what came of it; ``watching``: who asks for a stop, and what was seen of the jets."""
    options, (stop, seen) = config["trainer"], watching
    if options.get("threads"):
        torch.set_num_threads(options["threads"])
    recorder = EpochRecorder(run.path / "metrics.csv", module.columns)
    wandb_id = None if logger is None else logger.experiment.id
    limits = (options.get("patience"), options.get("max_minutes"))
    watch = watched(config)
    checkpoints = RunCheckpoints(run.checkpoints, recorder, stop, *limits, wandb_id, watch, watch in module.rising)
    every = None if logger is None else config["logger"].get("panels_every")
    panels = [Panels(logger, every)] if every else []
    shown = progress_callbacks(options.get("progress"))
    trainer = build_trainer(
        config, run, [seen, NonFiniteGuard(run.path), recorder, *panels, *shown, checkpoints], logger
    )
    show(describe_run(run, data, module.model, trainer.world_size))
    with companions(trainer, config, run.path):
        if not module.facts.closed_form:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*resuming from a checkpoint that ended before.*")
                trainer.fit(module, datamodule=data, ckpt_path=run.last)
        else:
            recorder.begin(0)
            trainer.validate(module, datamodule=data, verbose=False)
            recorder.write_row(trainer, module, {"epoch": 0, "step": 0})
            checkpoints.consider(trainer, module)
            checkpoints.finished = "the model has a closed form"
            checkpoints.save_last(trainer)
    best = f"best epoch {checkpoints.best_epoch}, {watch} {checkpoints.best:.6g}"
    show(f"Finished ({checkpoints.finished}): {best}: {run.best}")


def describe_run(run: RunFolder, data: JetDataModule, model: nn.Module, processes: int = 1) -> str:
    """Returns a line on what is about to be trained."""
    parameters = sum(p.numel() for p in model.parameters())
    begin = f"continues after epoch {run.epoch}" if run.last else "begins"
    together = f"; {processes} processes, each with batches of {data.batch_size}" if processes > 1 else ""
    return (
        f"{run.path} {begin}: {type(model).__name__} with {parameters:,} parameters, "
        f"{len(data.train):,} jets to train on and {len(data.val):,} to validate{together}"
    )
