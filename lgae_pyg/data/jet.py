"""One jet as a PyTorch Geometric graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from lgae_pyg.lorentz.kinematics import energy


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

    Shapes:
        - **pos**, **p4**: :math:`(n, 4)`
        - **y**, **jet_id**: :math:`(1,)`, in a batch :math:`(B,)`
        - **jet_ref**: :math:`(1, 4)`, in a batch :math:`(B, 4)`
        - **x**: :math:`(n, k)`
    """

    @property
    def p4(self) -> Tensor:
        """Four-momenta (n, 4): the field ``pos`` under its physical name."""
        return self.pos

    @p4.setter
    def p4(self, value: Tensor) -> None:
        self.pos = value

    def validate(self, raise_on_error: bool = True) -> bool:
        """Checks that this is a jet a network can read: at least one particle, finite, no negative energy.

        Args:
            raise_on_error: Raise for the first problem instead of returning ``False``.

        Returns:
            ``True`` if nothing is wrong.

        Raises:
            ValueError: names the field, the particle and the mend.
        """
        problem = _problem_with(self.pos if "pos" in self else None)
        if problem is None:
            return super().validate(raise_on_error)
        if raise_on_error:
            raise ValueError(problem)
        return False


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


def _problem_with(p4: Tensor | None) -> str | None:
    """Says in one sentence what is wrong with the momenta of a jet, or ``None``."""
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
    negative = energy(p4) < 0
    if negative.any():
        return (
            f"The field 'pos' has a negative energy for particle {_first(negative)}: "
            "the columns must be (E, px, py, pz) in this order."
        )
    return None


def _first(flags: Tensor) -> int:
    return int(flags.nonzero()[0])
