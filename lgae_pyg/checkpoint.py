"""Self-describing checkpoints: one file holds all that is needed to use a model again.

A checkpoint is a file written by :func:`torch.save` that opens with ``weights_only=True``, which reads
tensors and plain values only and never runs code from the file. It holds two entries of ours:

* ``"lgae_pyg"``, the header: format number, model configuration, data recipe, unit of the momenta, versions,
  the resolved configuration of the training, epoch and metrics, all as plain values;
* ``"state_dict"``: parameters and buffers (fitted statistics among them), each name prefixed by ``"model."``.

Lightning's checkpoints carry the same two entries beside Lightning's own, so they are opened in the same way. A
file whose name ends in ``.safetensors`` holds the same as safetensors (:mod:`lgae_pyg.weights`), for others.
"""

import errno
import os
import pickle
import platform
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lgae_pyg.checksums import check_archive, seal_archive
from lgae_pyg.data.units import UNITS_IN_GEV
from lgae_pyg.files import first_line, plain, write_atomically
from lgae_pyg.models import build_model, check_config, contract_of, stated_unit
from lgae_pyg.places import BEST, LAST, find_checkpoint  # noqa: F401
from lgae_pyg.registry import check_choice
from lgae_pyg.version import __version__
from lgae_pyg.weights import read_weights, write_weights

FORMAT = 1
HEADER = "lgae_pyg"
PREFIX, DENSITY = "model.", "density."
#: Whole numbers up to this are believed in the configuration of a model, and so many bytes of buffers that are
#: made anew; larger ones need a larger file.
LARGEST, SPARE_BYTES = 10_000, 1 << 28
SAFETENSORS = ".safetensors"


class CheckpointError(ValueError):
    """A file that is not a checkpoint of this package, or one that cannot be used."""


@dataclass(frozen=True)
class Checkpoint:
    """A model together with where it comes from.

    Attributes:
        model: the network with its weights, in evaluation mode.
        path: the file that was read.
        data: recipe of the data set for :func:`lgae_pyg.datasets.build_dataset`; ``None`` if unknown.
        unit: unit of the momenta that the model takes and gives, e.g. ``"TeV"``.
        versions: versions of the packages that wrote the file.
        config: resolved configuration of the training; empty for a model saved by hand.
        epoch: number of completed epochs, ``None`` if unknown.
        metrics: the values of that epoch, e.g. ``{"val/loss": ...}``.
        class_names: names of the classes, of a tagger in the order of its logits; empty if unknown.
        trained_on: the files of the training's jets (all splits): SHA-256 of each file, and its name without
            folders; empty if unknown.
        detector: of a published anomaly detector, see :func:`lgae_pyg.publish`; empty otherwise.
        density: by what its score of codes of :math:`L` numbers is computed, ``mean`` of the shape :math:`(L,)`
            and ``matrix`` :math:`(L, L)`.
        format: format number of the file.
    """

    model: nn.Module
    path: Path
    data: dict[str, Any] | None = None
    unit: str = "TeV"
    versions: dict[str, str] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    epoch: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    class_names: Sequence[str] = ()
    trained_on: dict[str, str] = field(default_factory=dict)
    detector: dict[str, Any] = field(default_factory=dict)
    density: dict[str, Tensor] = field(default_factory=dict)
    format: int = FORMAT


def describe(
    model: nn.Module,
    data: Mapping[str, Any] | None = None,
    unit: str | None = None,
    config: Mapping[str, Any] | None = None,
    epoch: int | None = None,
    metrics: Mapping[str, float] | None = None,
    class_names: Sequence[str] = (),
    trained_on: Mapping[str, str] | None = None,
    detector: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns the header of a checkpoint; the arguments are those of :func:`save_checkpoint`."""
    facts = contract_of(model)
    if not facts.config:
        raise CheckpointError(f"{type(model).__name__} has no attribute 'config', so it could not be rebuilt")
    unit = unit or stated_unit(model)
    if unit is None:
        unit = facts.unit
        warnings.warn(
            f"the unit of {type(model).__name__} is not known, {unit} is written into its checkpoint: state it, "
            "model.unit = 'GeV' or save_checkpoint(..., unit='GeV')",
            stacklevel=3,
        )
    check_choice("unit", unit, UNITS_IN_GEV)
    header = {
        "format": FORMAT,
        "model": facts.config,
        "data": data,
        "unit": unit,
        "versions": package_versions(),
        "config": config or {},
        "epoch": epoch,
        "metrics": metrics or {},
        "class_names": list(class_names or getattr(model, "class_names", [])),
        "trained_on": trained_on or {},
        **({"detector": detector} if detector else {}),
    }
    return plain(header, HEADER)


def package_versions() -> dict[str, str]:
    """Returns the versions of Python, of this package and of what it computes with."""
    versions = {"lgae_pyg": __version__, "python": platform.python_version(), "torch": str(torch.__version__)}
    for name in ("torch-geometric", "lightning", "numpy"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def unwrapped(model: nn.Module) -> nn.Module:
    """The network inside of PyTorch's wrappers (``torch.compile``, data parallelism)."""
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        if isinstance(model, torch._dynamo.OptimizedModule):
            model = model._orig_mod
        elif isinstance(model, wrappers):
            model = model.module
        else:
            return model


def save_checkpoint(
    path: str | os.PathLike, model: nn.Module, density: Mapping[str, Tensor] | None = None, **description: Any
) -> Path:
    """Writes a model as a self-describing checkpoint, atomically.

    Args:
        path: file to write, by its suffix as safetensors; an older one is replaced.
        model: network with an attribute ``config`` that :func:`lgae_pyg.models.build_model` understands; around it
            there may be a wrapper of PyTorch (``torch.compile``, data parallelism).
        density: tensors, their shapes as those of :class:`Checkpoint`.
        **description: any of ``data`` (recipe of the data set), ``unit`` (of the momenta; the model's own when
            omitted, and a warning says so where that is only the default), ``config`` (resolved configuration of
            the training), ``epoch``, ``metrics``, ``class_names``, ``trained_on``, ``detector``; plain
            values, see :class:`Checkpoint`.

    Returns:
        The path.

    Raises:
        CheckpointError: the configuration does not make this model, so that another one would be loaded
            (:func:`lgae_pyg.models.check_config`).
        TypeError: something is no plain value.
    """
    model = unwrapped(model)
    header = describe(model, **description)
    try:
        check_config(model)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    if any(module._forward_hooks or module._forward_pre_hooks for module in model.modules()):
        warnings.warn(f"{type(model).__name__} has forward hooks, which are not in the checkpoint", stacklevel=2)
    state = {PREFIX + name: tensor for name, tensor in model.state_dict().items()}
    state |= {DENSITY + name: tensor for name, tensor in (density or {}).items()}
    if Path(path).suffix == SAFETENSORS:
        return write_weights(path, header, state)
    content = {HEADER: header, "state_dict": state}
    return write_checkpoint(path, content)


def write_checkpoint(path: str | os.PathLike, content: Mapping[str, Any]) -> Path:
    """Writes the content of a checkpoint with a checksum of the whole file, atomically.

    The checksum is in the comment of the zip archive, which :func:`torch.load` passes over; taking it costs about
    a second per gigabyte, writing and reading.
    """

    def write(file: Any) -> None:
        torch.save(content, file)
        seal_archive(file)

    return write_atomically(path, write)


def read_checkpoint(path: str | os.PathLike, map_location: Any = "cpu") -> dict[str, Any]:
    """Reads a checkpoint file without building the model, and checks that it is one of ours.

    Args:
        path: the file.
        map_location: device for the tensors, as in :func:`torch.load`.

    Returns:
        The content, with the entries ``"lgae_pyg"`` and ``"state_dict"`` at least.

    Raises:
        CheckpointError: the file is truncated or damaged (not one byte may have changed), is no checkpoint of this
            package or has a newer format.
    """
    if Path(path).suffix == SAFETENSORS:
        return _read_weights(path, map_location)
    try:
        check_archive(path)
    except ValueError as error:
        raise CheckpointError(f"{path}: damaged or truncated, or no checkpoint ({error})") from error
    try:
        content = torch.load(path, map_location=map_location, weights_only=True)
    except OSError as error:
        if error.errno != errno.EINVAL:  # what torch says of some truncated files
            raise
        raise CheckpointError(f"{path}: damaged or truncated ({error})") from error
    except Exception as error:
        raise _unreadable(path, error, map_location) from error
    if not isinstance(content, dict) or not isinstance(content.get(HEADER), dict):
        raise CheckpointError(f"{path}: not a checkpoint of lgae_pyg, the entry '{HEADER}' is missing")
    check_header(path, content)
    return content


def _read_weights(path: str | os.PathLike, map_location: Any) -> dict[str, Any]:
    try:
        header, state = read_weights(path)
    except OSError:
        raise
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    content = {HEADER: header, "state_dict": {name: one.to(map_location) for name, one in state.items()}}
    check_header(path, content)
    return content


def _unreadable(path: str | os.PathLike, error: Exception, map_location: Any) -> CheckpointError:
    """Says why a file could not be read; only one that was looked at and found so is called damaged."""
    if not zipfile.is_zipfile(path):  # those have been compared with their checksums
        return CheckpointError(f"{path}: damaged or truncated, or no checkpoint ({first_line(error)})")
    if isinstance(error, pickle.UnpicklingError):
        return CheckpointError(
            f"{path}: not a checkpoint of lgae_pyg; it holds something other than tensors and plain values, "
            "which is not read because it could run code"
        )
    return CheckpointError(f"{path}: whole, but cannot be loaded to '{map_location}': {first_line(error)}")


def check_header(path: str | os.PathLike, content: Mapping[str, Any]) -> None:
    """Raises :class:`CheckpointError` if the format is newer than ours or a part is missing."""
    header = content[HEADER]
    number = header.get("format")
    if not isinstance(number, int):
        raise CheckpointError(f"{path}: the format number is missing")
    if number > FORMAT:
        raise CheckpointError(
            f"{path}: format {number}, but this version ({__version__}) reads formats up to {FORMAT}; "
            f"it was written by lgae-pyg {header.get('versions', {}).get('lgae_pyg', '?')}: update lgae-pyg"
        )
    missing = [f"{HEADER}.{key}" for key in ("model", "unit") if key not in header]
    missing += [] if isinstance(content.get("state_dict"), dict) else ["state_dict"]
    if missing:
        raise CheckpointError(f"{path}: incomplete checkpoint, missing {', '.join(missing)}")


def load_checkpoint(path: str | os.PathLike, map_location: Any = "cpu") -> Checkpoint:
    """Builds the model of a checkpoint and returns it with its description.

    Args:
        path: a checkpoint file, or the folder of a run (see :func:`find_checkpoint`).
        map_location: device of the model, as in :func:`torch.load`.

    Raises:
        FileNotFoundError: there is no checkpoint at that path.
        CheckpointError: the file cannot be used; the message says why.
    """
    file = find_checkpoint(path)
    content = read_checkpoint(file, map_location)
    header = content[HEADER]
    state, density = (
        {name.removeprefix(start): one for name, one in content["state_dict"].items() if name.startswith(start)}
        for start in (PREFIX, DENSITY)
    )
    try:
        check_size(file, header["model"])
        model = build_model(header["model"])
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError(f"{file}: the model cannot be built again: {first_line(error)}") from error
    reference = next((t for t in state.values() if t.is_floating_point()), None)
    if reference is not None:
        model.to(device=reference.device, dtype=reference.dtype)
    load_state(file, model, state)
    model.unit = header["unit"]
    if header.get("class_names") and hasattr(model, "class_names"):
        model.class_names = tuple(header["class_names"])  # type: ignore[assignment]  # not a tensor: of a tagger
    known = set(Checkpoint.__dataclass_fields__) - {"model", "path", "density"}
    described = {key: header[key] for key in known if key in header}
    return Checkpoint(model=model.eval(), path=file, density=density, **described)


def check_size(path: Path, config: Mapping[str, Any]) -> None:
    """Refuses a configuration whose model would be far larger than the file that is to hold it, before any memory
    is asked for: the model is first built without memory.

    Raises:
        ValueError: it is; or the configuration makes no model.
    """
    held = os.path.getsize(path)
    for value in _numbers(config):
        if value > max(LARGEST, held):
            raise ValueError(f"its configuration says {value:,}, and the file has {held:,} bytes")
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        try:
            sketch = build_model(config)
        except (RuntimeError, NotImplementedError, TypeError):  # a model that cannot be built without memory
            return
    needed = sum(one.nbytes for one in (*sketch.parameters(), *sketch.buffers()))
    if needed > 16 * held + SPARE_BYTES:
        raise ValueError(f"its configuration asks for {needed:,} bytes, and the file has {held:,}")


def _numbers(value: Any) -> Iterator[int]:
    """The whole numbers in nested plain values."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, Mapping | list):
        for entry in value.values() if isinstance(value, Mapping) else value:
            yield from _numbers(entry)


def load_state(path: Path, model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Loads weights and buffers, all of them and nothing else."""
    expected = set(model.state_dict())
    given = set(state)
    for names, what in ((expected - given, "missing"), (given - expected, "not known to the model")):
        if names:
            listed = ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
            raise CheckpointError(f"{path}: {len(names)} entries of the state are {what}: {listed}")
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{path}: the weights do not fit the model: {reason}") from error


def load_model(path: str | os.PathLike, map_location: Any = "cpu") -> nn.Module:
    """Returns the model of a checkpoint in evaluation mode; nothing but the file is needed.

    Args:
        path: a checkpoint file, the folder of a run or of a published model, or the name of a shipped one
            (see :func:`find_checkpoint`).
        map_location: device of the model, as in :func:`torch.load`.
    """
    return load_checkpoint(path, map_location).model
