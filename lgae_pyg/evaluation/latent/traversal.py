"""Traversals: one number or vector of a jet's code is moved, and the code decoded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lgae_pyg.evaluation.latent.codes import Codes, is_sum
from lgae_pyg.evaluation.sample import Sample
from lgae_pyg.evaluation.subject import Subject
from lgae_pyg.lorentz.kinematics import mass, transverse_momentum
from lgae_pyg.losses import jet_sum
from lgae_pyg.models import Latent, contract_of
from lgae_pyg.ops.images import jet_images
from lgae_pyg.tables import Table

Array = NDArray[np.float64]

#: What a vector is multiplied by, and by how many standard deviations of all jets a number is shifted.
FACTORS = (0.0, 0.5, 1.0, 1.5, 2.0)
SHIFTS = (-2.0, -1.0, 0.0, 1.0, 2.0)
UNMOVED = 2
#: Images of particles: pixels along each side and half the width.
GRID = (80, 0.4)
#: So many of the latents that change the image most have images in the results.
SHOWN = 5
UNDEFINED = "undefined"
#: Momenta below this share of the true jet's energy are rounding errors of zero.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Move:
    """A latent that is moved: a part of a vector is scaled, or a number shifted.

    Args:
        name: printed name.
        kind: ``factor`` or ``shift``.
        place: of the vector or number in the code.
        imaginary: whether it is its imaginary part.
        unit: of a shift, the standard deviation.
    """

    name: str
    kind: str
    place: int
    imaginary: bool
    unit: float = 1.0

    @property
    def values(self) -> Sequence[float]:
        """Factors, or shifts in standard deviations."""
        return FACTORS if self.kind == "factor" else SHIFTS

    def apply(self, latent: Latent, value: float) -> Latent:
        """The code of one jet after the move by a value."""
        name = "vectors" if self.kind == "factor" else "scalars"
        numbers = getattr(latent, name).clone()
        part = torch.view_as_real(numbers)[..., int(self.imaginary)] if numbers.is_complex() else numbers
        if self.kind == "factor":
            part[:, self.place] *= value
        else:
            part[:, self.place] += value * self.unit
        return latent._replace(**{name: numbers})


def moves(codes: Codes) -> list[Move]:
    """All single moves of a code: each part of a vector scaled, each number that varies shifted."""
    vectors = [name for name in codes.vectors if not is_sum(name)]
    found = [Move(name, "factor", _place(name), name.startswith("Im")) for name in vectors]
    for name, values in codes.scalars.items():
        spread = float(values.std())
        if spread > 1e-9 * float(values.abs().max()):
            found.append(Move(name, "shift", _place(name), name.startswith("Im"), spread))
    return found


def _place(name: str) -> int:
    return int(name.rpartition("_")[2]) - 1


@torch.inference_mode()
def decode_moved(model: torch.nn.Module, batch: Any, move: Move) -> list[tuple[Tensor, Tensor]]:
    """The momentum and the image of one jet for each value of a move.

    Images are around the true jet's axis and in units of its transverse momentum; those of models that work in
    pixels have their grid.

    Shapes:
        - **output**: for each value :math:`(4,)` and :math:`(P, P)`
    """
    axis = jet_sum(batch.pos, batch.ptr)
    latent = model.encode(batch)
    found = []
    for value in move.values:
        result = model.decode_like(move.apply(latent, value), batch)
        pixels = contract_of(model).output_kind == "pixels"
        image = result.images.output if pixels else jet_images(result.p4, result.ptr, *GRID, axis.to(result.p4))
        found.append((jet_sum(result.p4, result.ptr)[0].double().cpu(), image[0].double().cpu()))
    return found


def middle_jet(codes: Codes) -> int:
    """The jet whose mass is the median (the lower one of two)."""
    masses = mass(codes.jets)
    return int(masses.argsort()[(len(masses) - 1) // 2])


def traversals(
    subject: Subject, sample: Sample, codes: Codes, about: Mapping[str, Any]
) -> tuple[Table, dict[str, Array], list[str]]:
    """Moves each latent of the jet of median mass in turn.

    Returns:
        table of the decoded masses and transverse momenta, arrays (``traversal/NAME``: images :math:`(5, P, P)` of
        the latents that change them most; ``traversal_truth``), and a sentence if something could not be decoded.
    """
    number = middle_jet(codes)
    batch = sample.store.batch([number])
    axis = jet_sum(batch.pos, batch.ptr)
    rows, images, change, undefined = [], {}, {}, 0
    for move in moves(codes):
        decoded = decode_moved(subject.model, batch, move)
        images[move.name] = torch.stack([image for _, image in decoded]).numpy()
        changes = image_changes(images[move.name])
        change[move.name] = float(np.nanmean(changes)) if np.isfinite(changes).any() else 0.0
        for value, (p4, image), moved in zip(move.values, decoded, changes):
            broken = not (torch.isfinite(p4).all() and torch.isfinite(image).all() and np.isfinite(moved))
            undefined += broken
            p4 = p4 * (p4.abs().max() > ROUNDING * axis[0, 0])
            numbers = [UNDEFINED] * 3 if broken else [*_mass_and_pt(subject.unit_in_gev * p4), float(moved)]
            rows.append((about["label"], move.name, move.kind, value, *numbers))
    strongest = sorted(change, key=change.__getitem__, reverse=True)[:SHOWN]
    grid = subject.facts.image_grid or GRID
    arrays = {f"traversal/{name}": images[name] for name in strongest}
    arrays["traversal_truth"] = jet_images(batch.pos, batch.ptr, *grid, axis)[0].double().numpy()
    arrays["traversal_width"] = np.array(grid[1])
    notes = [f"Moved codes without a finite jet: {undefined} ({UNDEFINED})."] if undefined else []
    return _table(rows, subject.unit_in_gev * axis[0], sample.name, notes, about), arrays, notes


def image_changes(images: Array) -> Array:
    r"""How far each image is from the unmoved one, :math:`\sum_{ab} |x_{ab} - x^0_{ab}|`; NaN if not finite.

    Shapes:
        - **images**: :math:`(V, P, P)`
        - **output**: :math:`(V,)`
    """
    changes = np.abs(images - images[UNMOVED]).sum((1, 2))
    return np.where(np.isfinite(changes), changes, np.nan)


def _mass_and_pt(p4: Tensor) -> list[float]:
    return [float(mass(p4)), float(transverse_momentum(p4))]


def _table(rows: list[tuple], jet: Tensor, sample: str, notes: list[str], about: Mapping[str, Any]) -> Table:
    columns = {
        "model": "model", "latent": "latent", "move": "move", "value": "value", "mass": "mass [GeV]",
        "pt": "pT [GeV]", "change": "change of image [jet pT]",
    }  # fmt: skip
    true_mass, true_pt = _mass_and_pt(jet)
    caption = (
        f"The {sample} jet of median mass (true mass {true_mass:.4g} GeV, pT {true_pt:.4g} GeV), decoded "
        "after one latent was moved: the part of a vector multiplied by a factor, a number shifted by standard "
        f"deviations of all {sample} jets. Signed mass and pT of the sum of the decoded particles or pixels; "
        "change: sum over pixels of the size of the difference from the image of the unmoved code. "
        + "".join(f"{note} " for note in notes)
    )
    return Table("latent_traversals", caption + about["caption"], columns, tuple(rows))
