"""Files of exports: written with what they mean, and read again."""

import contextlib
import importlib
import json
import logging
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lgae_pyg.applications.export.double import DECOMPOSITIONS
from lgae_pyg.files import first_line, write_atomically
from lgae_pyg.registry import check_choice
from lgae_pyg.vocabulary import EXPORT_FORMATS

#: Name of the description inside of a file.
KEY = "lgae_pyg"
#: Example from which shapes are learned; sizes that occur nowhere else in a model.
JETS, PARTICLES = 3, 21
#: A description is not longer than this.
MAX_BYTES = 1 << 20

#: Scores of padded jets, (B, N, 4) and (B,) to (B, C); of autoencoders also other arrays, by name.
Scorer = Callable[[NDArray, NDArray], NDArray | dict[str, NDArray]]


class ExportError(ValueError):
    """A model that cannot be exported as it is, or a file that is no export of this package."""


def write_export(program: Any, path: str | os.PathLike[str], description: dict[str, Any]) -> Path:
    """Writes a program as ONNX or as a program of :func:`torch.export.export`, by the ending of the file.

    Numbers of jets and of particles are left open (two places at least). ``.pt2`` files hold no pickles; example
    inputs, which would be one, are left out.

    Args:
        program: what the file computes.
        path: file to write.
        description: plain values that are kept with it.

    Raises:
        ExportError: if the network cannot be written in this format; the message says where it stopped.
        ImportError: without the packages for ONNX.
        ValueError: for another ending.
    """
    path = Path(path)
    check_choice("format", path.suffix, EXPORT_FORMATS)
    if path.suffix == ".onnx":
        need("onnx", "onnxscript", "onnxruntime")
    jets, particles = torch.export.Dim("jets", min=1), torch.export.Dim("particles", min=2)
    p4 = torch.ones(JETS, PARTICLES, 4, dtype=program.dtype)
    count, shapes = torch.full((JETS,), PARTICLES), ({0: jets, 1: particles}, {0: jets})
    text = json.dumps(description, sort_keys=True)
    with _quiet(), torch.no_grad():
        try:
            exported = torch.export.export(program, (p4, count), dynamic_shapes=shapes, strict=False)
            if path.suffix == ".onnx":
                content = _onnx(exported, program.outputs, text)
                return write_atomically(path, lambda file: file.write(content))
        except Exception as error:
            raise ExportError(f"{type(program.model).__name__} cannot be exported: {first_line(error)}") from error
        exported.example_inputs = None
        return write_atomically(path, lambda file: torch.export.save(exported, file, extra_files={KEY: text}))


def _onnx(exported: torch.export.ExportedProgram, outputs: Sequence[str], description: str) -> bytes:
    found = torch.onnx.export(
        exported.run_decompositions(DECOMPOSITIONS),
        input_names=["p4", "count"],
        output_names=list(outputs),
        dynamo=True,
        verbose=False,
    )
    assert found is not None  # with dynamo=True, a program comes back
    proto = found.model_proto
    for entry in (proto, *proto.graph.node):  # traces of this machine: file names, source lines
        del entry.metadata_props[:]
    for node in proto.graph.node:
        node.doc_string = ""
    entry = proto.metadata_props.add()
    entry.key, entry.value = KEY, description
    return proto.SerializeToString()


def read_description(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file of an export says of itself; nothing of it is run.

    Raises:
        ExportError: if it is no export of this package.
    """
    path = Path(path)
    check_choice("format", path.suffix, EXPORT_FORMATS)
    try:
        if path.suffix == ".onnx":
            need("onnx")
            import onnx

            proto = onnx.load(path, load_external_data=False)
            text = {entry.key: entry.value for entry in proto.metadata_props}[KEY]
        else:
            with zipfile.ZipFile(path) as archive:
                (name,) = [name for name in archive.namelist() if name.split("/")[1:] == ["extra", KEY]]
                with archive.open(name) as file:
                    text = file.read(MAX_BYTES).decode()
        return json.loads(text)
    except (ImportError, OSError):
        raise
    except Exception as error:
        raise ExportError(f"{path}: no export of lgae_pyg ({first_line(error)})") from error


def open_export(path: str | os.PathLike[str], threads: int | None = None) -> Scorer:
    """A function of padded jets, momenta :math:`(B, N, 4)` and counts :math:`(B,)`, that gives their scores; of an
    autoencoder a dictionary, ``scores`` and ``rebuilt``.

    An ``.onnx`` file is data: ONNX Runtime computes its operations and does nothing else. A ``.pt2`` file is a
    program: what PyTorch finds in it, it may run. Open only those that you made.

    Args:
        path: the file.
        threads: threads of ONNX Runtime; its own choice when omitted. PyTorch has ``torch.set_num_threads``.

    Raises:
        ExportError: if it is no export of this package, or a ``.pt2`` that holds pickles.
    """
    facts = read_description(path)
    path, dtype, outputs = Path(path), np.dtype(facts["dtype"]), list(facts.get("outputs", ("scores",)))
    outputs = sorted(outputs, key="scores".__ne__)  # as they come, whatever the order of the description
    if path.suffix == ".pt2":
        _refuse_pickles(path)
        program = torch.export.load(path).module()

        def scores_of_pytorch(p4: NDArray, count: NDArray) -> NDArray | dict[str, NDArray]:
            with torch.inference_mode():
                momenta = torch.from_numpy(np.ascontiguousarray(p4, dtype))
                found = program(momenta, torch.from_numpy(np.ascontiguousarray(count, np.int64)))
            return _named(outputs, [one.numpy() for one in (found if isinstance(found, tuple) else [found])])

        return scores_of_pytorch
    need("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads or 0, 3
    session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])

    def scores(p4: NDArray, count: NDArray) -> NDArray | dict[str, NDArray]:
        inputs = {"p4": np.asarray(p4, dtype), "count": np.asarray(count, np.int64)}
        return _named(outputs, session.run(outputs, inputs))

    return scores


def _named(names: Sequence[str], values: Sequence[NDArray]) -> NDArray | dict[str, NDArray]:
    return values[0] if len(names) == 1 else dict(zip(names, values))


def _refuse_pickles(path: Path) -> None:
    """PyTorch unpickles what an archive says is pickled, and its example inputs."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            parts = entry.filename.split("/")[1:]
            configured = parts[-1].endswith("_config.json") and b'"use_pickle": true' in archive.read(entry)
            if configured or (parts[:2] == ["data", "sample_inputs"] and entry.file_size):
                raise ExportError(f"{path} holds pickled objects ({entry.filename}), which ours never do")


def need(*names: str) -> None:
    """Raises :class:`ImportError`, saying what to install, unless these packages are there."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ImportError(f"{name} is missing: pip install 'lgae-pyg[export]'") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' talk of what is none of the user's business."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(None):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
