"""One jet as a PyTorch Geometric graph."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch_geometric.data import Data

from lgae_pyg.data.rounding import coarser, format_of, moved_rounding, rounding_at_rest
from lgae_pyg.data.units import UNITS_IN_GEV, unit_factor
from lgae_pyg.lorentz.kinematics import energy, spatial
from lgae_pyg.registry import check_choice

#: The mark of a jet whose momenta were changed after they had been checked: the order of its particles is meant.
MOVED = -1

Jets = TypeVar("Jets", bound=Data)


class JetData(Data):
    r"""A jet: the set of its particles' four-momenta :math:`p_i = (E, p_x, p_y, p_z)_i`.

    The momenta live in the field ``pos``, because PyTorch Geometric derives the number of nodes, and with it
    ``batch`` and ``ptr`` of a batch, from the names it knows. The property :attr:`p4` is the same tensor
    under the name that physicists use. Edges are not stored: every particle sees every other, and the
    networks derive what they need from ``ptr``.

    Args:
        pos: Four-momenta, in the unit of the data set.
        y: Class number of the jet, its place among the data set's ``class_names``.
        jet_id: Row of the jet in its file.
        jet_ref: Transverse momentum, pseudorapidity, azimuth and mass of the jet as its file gives them, in
            the unit of the data set. For comparisons, never an input of a network.
        x: Lorentz-invariant numbers of each particle (charge, particle type), where there are any.
        unit: Unit of the momenta, ``"GeV"``, ``"TeV"`` or ``"PeV"``, kept as a number, ``unit_in_gev``, so that it
            is collated like the rest. Models refuse jets in another unit than theirs, and look at jets that state
            none for plausibility.
        rounding: Spacing :math:`\epsilon` of the format in which the momenta were given, and the four-velocity
            :math:`u` of the frame in which they were, as jets of a store have it: the energy of a particle was
            rounded at :math:`p \cdot u`, whatever observer sees it now. By it networks tell masses from rounding.

    Shapes:
        - **pos**, **p4**: :math:`(n, 4)`
        - **y**, **jet_id**: :math:`(1,)`, in a batch :math:`(B,)`
        - **jet_ref**: :math:`(1, 4)`, in a batch :math:`(B, 4)`
        - **x**: :math:`(n, k)`
        - **unit_in_gev**: :math:`(1,)`, in a batch :math:`(B,)`
        - **rounding**: :math:`(1, 5)`, in a batch :math:`(B, 5)`
    """

    @property
    def p4(self) -> Tensor:
        """Four-momenta, shape (n, 4), in :attr:`unit`: the field ``pos`` under its physical name."""
        return self.pos

    @p4.setter
    def p4(self, value: Tensor) -> None:
        self.pos = value

    @property
    def unit(self) -> str | None:
        """The unit of the momenta; ``None`` if it is not stated.

        Raises:
            ValueError: the jets of a batch are in several units.
        """
        if "unit_in_gev" not in self:
            return None
        if getattr(self, "_unit", None) is None:  # known to batches of a store: a GPU need not be waited for
            self._unit = unit_named(self.unit_in_gev)
        return self._unit

    @unit.setter
    def unit(self, value: str) -> None:
        check_choice("unit", value, UNITS_IN_GEV)
        self.unit_in_gev, self._unit = unit_numbers(value, self._jets), value

    @property
    def _jets(self) -> int:
        """How many jets these are: of a batch, all of it."""
        number = getattr(self, "num_graphs", None)
        return 1 if number is None else int(number)

    @property
    def given(self) -> torch.dtype:
        """The precision in which the momenta were given, which a conversion to a higher one does not raise, from
        :attr:`rounding`. That of ``pos``, if nothing else is known."""
        if getattr(self, "_given", None) is None and "rounding" in self:  # batches of a store know it
            self._given = format_of(self["rounding"])
        known = getattr(self, "_given", None)
        return self.pos.dtype if known is None else coarser(known, self.pos.dtype)

    @given.setter
    def given(self, value: torch.dtype) -> None:
        rounding = rounding_at_rest(value, self._jets).to(self.pos.device)
        if "rounding" in self:
            rounding[:, 1:] = self["rounding"][:, 1:]
        self.rounding, self._given = rounding, value

    _mark: Any

    def __setattr__(self, key: str, value: Any) -> None:
        super().__setattr__(key, value)
        if key == "pos" and getattr(self, "_mark", None) is not None:
            self._mark = MOVED

    def to(self, *args: Any, **kwargs: Any) -> JetData:
        """On another device, as of PyTorch Geometric; jets that were checked need not be checked again there."""
        return _still_marked(self, super().to, *args, **kwargs)

    def cpu(self, *args: str) -> JetData:
        """As :meth:`to`, to the processor."""
        return _still_marked(self, super().cpu, *args)

    def cuda(self, *args: Any, **kwargs: Any) -> JetData:
        """As :meth:`to`, to a GPU."""
        return _still_marked(self, super().cuda, *args, **kwargs)

    def pin_memory(self, *args: str) -> JetData:
        """In memory that is copied to a GPU faster; as :meth:`to`."""
        return _still_marked(self, super().pin_memory, *args)

    def in_unit(self, unit: str) -> JetData:
        """The jet, or the batch, in another unit: a copy with other ``pos`` and ``jet_ref``.

        Raises:
            ValueError: if the jet does not state its unit, or for an unknown unit.
        """
        if self.unit is None:
            raise ValueError("the unit of the jet is not known: state it first, jet.unit = 'GeV'")
        checked, factor, converted = check_mark(self), unit_factor(self.unit, unit), copy.copy(self)
        converted.pos = self.pos * factor
        if "jet_ref" in self:
            converted.jet_ref = self.jet_ref * reference_factors(self.jet_ref, factor)
        converted.unit_in_gev, converted._unit = self.unit_in_gev / factor, unit
        if checked:
            set_mark(converted)
        return converted

    def validate(self, raise_on_error: bool = True) -> bool:
        """Checks that this is a jet a network can read: at least one particle, finite, positive energies, E first.

        Args:
            raise_on_error: Raise for the first problem instead of returning ``False``.

        Returns:
            ``True`` if nothing is wrong.

        Raises:
            ValueError: names the field, the particle and the mend.
        """
        problem = problem_with(self.pos if "pos" in self else None)
        if problem is None:
            return super().validate(raise_on_error)
        if raise_on_error:
            raise ValueError(problem)
        return False


def transform_jets(jets: Jets, transform: Tensor) -> Jets:
    r"""A copy of jets whose momenta are Lorentz transformed, :math:`p_i \to \Lambda p_i`, computed in float64.

    All else is that of the jets, also what a detector would measure anew (``jet_ref``, ``x``). Where jets have a
    ``rounding``, it keeps the frame in which they were given.

    Args:
        jets: a jet, or a batch of jets.
        transform: :math:`\Lambda` (:func:`~lgae_pyg.lorentz.boost`, :func:`~lgae_pyg.lorentz.rotation`, or a
            product of such), one for all jets, or one for each jet of a batch.

    Shapes:
        - **transform**: :math:`(4, 4)` or :math:`(B, 4, 4)`

    Raises:
        ValueError: the transform has another shape.
    """
    matrix, number = transform.to(jets.pos.device, torch.float64), len(jets.ptr) - 1 if "ptr" in jets else 1
    if matrix.shape not in ((4, 4), (number, 4, 4)):
        raise ValueError(f"the transform has the shape {tuple(matrix.shape)}, not (4, 4) or ({number}, 4, 4)")
    moved = copy.copy(jets)
    if "rounding" in jets:
        moved.rounding = moved_rounding(jets.rounding, matrix)
    if matrix.dim() == 3 and "batch" in jets:
        matrix = matrix[jets.batch]
    moved.pos = (matrix @ jets.pos.double().unsqueeze(-1)).squeeze(-1).to(jets.pos.dtype)
    return moved


def jet_name(jet: Data, class_names: Sequence[str] = ()) -> str:
    """Class and row of a jet in its file, for messages: ``"g 1234"``, or ``"class 0 1234"`` without names.

    Args:
        jet: a single jet; what it lacks of ``y`` and ``jet_id`` is left out.
        class_names: names of the classes, as in ``store.meta["class_names"]``; the place is the class number.
    """
    name = "jet"
    if "y" in jet and torch.as_tensor(jet.y).numel() == 1:
        number = int(jet.y)
        name = class_names[number] if 0 <= number < len(class_names) else f"class {number}"
    return f"{name} {int(jet.jet_id)}" if "jet_id" in jet else name


def unit_of(jets: Any) -> str | None:
    """The unit that a jet or a batch states, in a graph of any kind; ``None`` if it states none.

    Raises:
        ValueError: the jets of a batch are in several.
    """
    stated = getattr(jets, "unit", None)
    if stated is None or isinstance(stated, str):
        return stated
    return unit_named(torch.cat([unit_numbers(unit, 1) for unit in stated]))


def unit_numbers(unit: str, jets: int) -> Tensor:
    """The unit as ``unit_in_gev`` of so many jets, (J,)."""
    check_choice("unit", unit, UNITS_IN_GEV)
    return torch.full((jets,), UNITS_IN_GEV[unit], dtype=torch.float64)


def unit_named(unit_in_gev: Tensor) -> str:
    """The unit of ``unit_in_gev``.

    Raises:
        ValueError: there are several, or it has no name.
    """
    names = {value: name for name, value in UNITS_IN_GEV.items()}
    found = [names.get(round(value, 3), f"{value} GeV") for value in unit_in_gev.unique().tolist()]
    if len(found) != 1:
        raise ValueError(f"the jets are in {' and '.join(found)}: bring all to one unit, jet.in_unit('TeV')")
    check_choice("unit", found[0], UNITS_IN_GEV)
    return found[0]


def reference_factors(reference: Tensor, factor: float) -> Tensor:
    """What pt, eta, phi and mass of ``jet_ref`` are multiplied by when momenta are by ``factor``."""
    return reference.new_tensor([factor, 1.0, 1.0, factor])


def set_mark(jets: JetData) -> None:
    """Marks momenta as checked, so that models need not look at them again."""
    jets._mark = jets.pos, _state(jets.pos)


def check_mark(jets: Any) -> bool:
    """Whether the momenta were marked as checked and not changed since."""
    mark = getattr(jets, "_mark", None)
    return isinstance(mark, tuple) and mark[0] is jets.pos and mark[1] == _state(jets.pos)


def _still_marked(jets: JetData, move: Callable[..., JetData], *args: Any, **kwargs: Any) -> JetData:
    marked = check_mark(jets)
    moved = move(*args, **kwargs)
    if marked:
        set_mark(moved)
    return moved


def _state(pos: Tensor) -> int:
    """Counts the in-place changes of a tensor, as far as PyTorch does."""
    return 0 if pos.is_inference() else pos._version


def problem_with(p4: Tensor | None, padding: bool = False) -> str | None:
    """Says in one sentence what is wrong with the momenta of a jet, or ``None``.

    Args:
        p4: the momenta.
        padding: whether rows of zeros are allowed.
    """
    if not isinstance(p4, Tensor):
        return "The jet has no momenta: make it as JetData(pos=p4), p4 of shape (particles, 4)."
    if p4.dim() != 2 or p4.size(-1) != 4:
        return f"The field 'pos' must hold (E, px, py, pz) per particle; its shape is {tuple(p4.shape)}."
    if not p4.is_floating_point():
        return f"The field 'pos' must hold floating-point numbers, not {p4.dtype}: use pos.double()."
    if len(p4) == 0:
        return "The jet has no particle: leave it out."
    broken = ~torch.isfinite(p4).all(dim=-1)
    if broken.any():
        return f"The field 'pos' is not finite for particle {_first(broken)}: leave the jet out."
    order = "the columns must be (E, px, py, pz) in this order"
    far = energy(p4) < 0.9 * torch.linalg.vector_norm(spatial(p4), dim=-1)
    last = p4[..., 3] > 0.999 * torch.linalg.vector_norm(p4[..., :3], dim=-1)
    if 2 * far.sum() > len(p4) and 2 * last.sum() > len(p4):
        return f"The field 'pos' looks like (px, py, pz, E): {order}, pos[:, [3, 0, 1, 2]]."
    negative = energy(p4) < 0
    if negative.any():
        return f"The field 'pos' has a negative energy for particle {_first(negative)}: {order}."
    absent = energy(p4) == 0
    if absent.any() and not padding:
        return (
            f"The field 'pos' has no energy for particle {_first(absent)}: leave rows of padding out, "
            "pos[pos[:, 0] != 0]."
        )
    return None


def _first(flags: Tensor) -> int:
    return int(flags.nonzero()[0])
