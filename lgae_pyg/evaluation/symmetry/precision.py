"""The equivariance error by precision of the arithmetic, against the limit that the inputs set."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

from lgae_pyg.evaluation.symmetry.equivariance import ANGLES, DRAWS, RAPIDITIES, Scan, network_function
from lgae_pyg.lorentz import boost, rotation
from lgae_pyg.models import Model, build_model
from lgae_pyg.tables import Table

PRECISIONS = ("float64", "mixed", "float32")
#: Rotations leave all sizes as they are, so few angles show what there is to see.
TRANSFORMATIONS = (
    *(("boost", rapidity) for rapidity in RAPIDITIES),
    *(("rotation", angle) for angle in ANGLES[1:10:3]),
)
EXPLANATION = (
    "Relative equivariance errors along z of the network alone, all particles together (norm), by precision. "
    "mixed: radial functions and perceptrons in float32, all else in float64; float32: momenta and arithmetic; "
    "limit: change of the float64 network's output if each component of its input changes by a random part of a "
    f"unit in the last place of float64 or float32, median of {DRAWS} draws"
)


def has_precisions(model: torch.nn.Module) -> bool:
    """Whether a model can be scanned by precision: one whose constructor has an argument ``mixed_precision``."""
    return isinstance(model, Model) and "mixed_precision" in model.config


def in_precisions(model: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """Copies of a model with the same parameters, in evaluation mode, by the names in ``PRECISIONS``.

    ``float64`` and ``mixed`` have parameters in float64. The copy that is built like the model keeps its
    back-end; the others take ``dense``, which gives the same numbers, so that no kernels are compiled for them.
    """
    copies = {}
    for name in PRECISIONS:
        config = dict(model.config, mixed_precision=name == "mixed")
        if name == "float32" or config["mixed_precision"] != model.config["mixed_precision"]:
            config |= {"backend": "dense"} if "backend" in config else {}
        copy = build_model(config)
        copy.load_state_dict(model.state_dict())
        copies[name] = copy.eval().to(torch.float32 if name == "float32" else torch.float64)
    return copies


def precision_scan(
    model: torch.nn.Module, batches: Iterable[Any], caption: str = "", tick: Callable[[], None] = lambda: None
) -> Table:
    r"""The equivariance error ``norm`` of the network in float64, mixed precision and float32.

    A boost makes the invariants :math:`p_{ij}^2` differences of numbers that are :math:`\gamma^2` times as large:
    momenta rounded by a relative :math:`\epsilon` change them by :math:`\sim \epsilon\, \gamma^2 E^2`, however
    exact the arithmetic. ``limit_float64`` and ``limit_float32`` show what that does: the relative change of the
    float64 network's output if each component of the transformed momenta is changed by a random part of a unit in
    the last place, of float64 or float32. (The former contains what float64 arithmetic adds, the latter does not.)

    Args:
        model: an autoencoder with an argument ``mixed_precision``; its copies are scanned.
        batches: the jets, in the unit of the model.
        caption: sentences that name data and model.
        tick: called after each transformation.

    Raises:
        ValueError: if the model has no such argument.
    """
    if not has_precisions(model):
        raise ValueError(f"{type(model).__name__} has no argument mixed_precision: there is nothing to compare")
    batches = list(batches)
    p4 = torch.cat([batch.pos for batch in batches]).double()
    units = {name: getattr(torch, name) for name in ("float64", "float32")}
    generators = {name: torch.Generator().manual_seed(0) for name in units}
    rows = []
    with torch.inference_mode():
        scans = {
            name: Scan(network_function(copy, batches), p4.float() if name == "float32" else p4)
            for name, copy in in_precisions(model).items()
        }
        for kind, parameter in TRANSFORMATIONS:
            transform = {"boost": boost, "rotation": rotation}[kind](parameter, "z")
            errors = [scan.errors(transform)["norm"] for scan in scans.values()]
            limits = [scans["float64"].rounding(generators[name], unit) for name, unit in units.items()]
            gamma = math.cosh(parameter) if kind == "boost" else 1.0
            rows.append((kind, parameter, gamma, *errors, *limits))
            tick()
    columns = {
        "kind": "transformation", "parameter": "rapidity / angle", "gamma": "γ",
        **{name: name for name in PRECISIONS},
        **{f"limit_{name}": f"limit, {name}" for name in units},
    }  # fmt: skip
    return Table("equivariance_precision", f"{EXPLANATION}. {caption}", columns, tuple(rows))
