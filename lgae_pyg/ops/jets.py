"""Jets of different sizes, one after another or padded: sums over their particles, totals, checks."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lgae_pyg.ops.graphs import dense_layout, graph_sizes, node_to_graph


def jet_sum(values: Tensor, ptr: Tensor) -> Tensor:
    """The sum over the particles of each jet.

    Args:
        values: values of the particles of all jets, one jet after another.
        ptr: where each jet begins in that list, and where the last one ends.

    Shapes:
        - **values**: :math:`(\\sum_i n_i, *)`
        - **ptr**: :math:`(B + 1,)` long
        - **output**: :math:`(B, *)`
    """
    return RaggedJets.of(ptr, len(values)).sum(values)


class RaggedJets(NamedTuple):
    """Jets one after another. What sums over jets and spreads numbers of jets is written once for this and for
    :class:`PaddedJets`.

    Attributes:
        ptr: offsets of the jets, :math:`(B+1,)`.
        graph: the jet of each particle, :math:`(n,)`.
    """

    ptr: Tensor
    graph: Tensor

    @classmethod
    def of(cls, ptr: Tensor, particles: int) -> "RaggedJets":
        """The jets with these offsets and that many particles."""
        return cls(ptr, node_to_graph(ptr, particles))

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the particles of each jet, :math:`(n, *)` to :math:`(B, *)`."""
        total = values.new_zeros(self.ptr.numel() - 1, *values.shape[1:])
        return total.index_add(0, self.graph, values)

    def spread(self, values: Tensor) -> Tensor:
        """What a jet has, for each of its particles, :math:`(B, *)` to :math:`(n, *)`."""
        return values[self.graph]


class PaddedJets(NamedTuple):
    """Jets side by side, padded to one size; values of places without a particle count nowhere.

    Attributes:
        exists: whether a place holds a particle, :math:`(B, N)`.
    """

    exists: Tensor

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the particles of each jet, :math:`(B, N, *)` to :math:`(B, *)`."""
        real = self.exists.view(*self.exists.shape, *[1] * (values.dim() - 2))
        return torch.where(real, values, 0.0).sum(1)

    def spread(self, values: Tensor) -> Tensor:
        """What a jet has, for each of its places, :math:`(B, *)` to :math:`(B, 1, *)`, which is broadcast."""
        return values.unsqueeze(1)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the particles of each jet, :math:`(B, N, F)` to :math:`(B, F)`; 0 for none."""
        return self.sum(values) / self.exists.sum(1, keepdim=True).clamp(min=1).to(values.dtype)


def on_rows(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """A function of rows, such as a perceptron with batch normalisation, on values of any leading shape.

    Shapes:
        - values: :math:`(*, F)`
        - **output:** :math:`(*, G)`
    """
    return function(values.reshape(-1, values.shape[-1])).view(*values.shape[:-1], -1)


def pad_jets(p4: Tensor, ptr: Tensor, slots: int | None = None) -> tuple[Tensor, Tensor]:
    """Lays the jets side by side, the missing particles filled with zeros. Jets of one size are not copied.

    Args:
        p4: momenta of all jets, one after another, in any unit; or any other columns.
        ptr: where each jet begins, and where the last one ends.
        slots: the width of the result; the largest jet's number of particles when omitted.

    Shapes:
        - **p4**: :math:`(\\sum_i n_i, F)`
        - **ptr**: :math:`(B + 1,)` long
        - **output**: :math:`(B, S, F)` and a boolean mask :math:`(B, S)`, true for real particles
    """
    if slots is None:
        slots = int(graph_sizes(ptr).max())
        if slots * (len(ptr) - 1) == len(p4):  # all jets are as large as the largest
            jets = p4.unflatten(0, (-1, slots))
            return jets, torch.ones(jets.shape[:2], dtype=torch.bool, device=p4.device)
    mask = torch.arange(slots, device=ptr.device) < graph_sizes(ptr).unsqueeze(-1)
    return dense_layout(ptr, slots, len(p4)).scatter(p4), mask


def append_totals(p4: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    r"""Jets with one particle more, their total :math:`P`, as the last one.

    Shapes:
        - p4: :math:`(n, 4)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(n + B, 4)` and the offsets of the longer jets
    """
    longer = ptr + torch.arange(len(ptr), device=ptr.device)
    graph = node_to_graph(ptr, len(p4))
    places = torch.cat([torch.arange(len(p4), device=ptr.device) + graph, longer[1:] - 1])
    together = torch.cat([p4, jet_sum(p4, ptr)])
    return torch.zeros_like(together).index_copy(0, places, together), longer


def restore_total(p4: Tensor, total: Tensor, ptr: Tensor) -> Tensor:
    r"""Shifts the particles of each jet by equal parts, so that they sum to the total,

    .. math:: p'_i = p_i + \tfrac{1}{n} \Big( P - \sum_j p_j \Big) ,

    the smallest change (in least squares) that conserves the four-momentum; it is Lorentz equivariant.

    Shapes:
        - p4: :math:`(n, 4)`, total: :math:`(B, 4)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(n, 4)`
    """
    share = (total - jet_sum(p4, ptr)) / graph_sizes(ptr).clamp(min=1).unsqueeze(-1)
    return p4 + share[node_to_graph(ptr, len(p4))]


def check_momenta(*lists: Tensor) -> None:
    """Refuses lists that hold no four-momenta.

    Raises:
        ValueError: if one of them has not four columns.
    """
    for columns in (values.shape[-1] for values in lists):
        if columns != 4:
            raise ValueError(
                f"this loss compares four-momenta, but was given {columns} columns per particle: set "
                "loss.space=momenta, or choose mse, chamfer or hungarian"
            )


def check_jets(p4: Tensor, ptr: Tensor, target: Tensor, target_ptr: Tensor) -> None:
    """Refuses lists of jets that cannot be compared.

    Raises:
        ValueError: if the numbers of jets differ, a ``ptr`` does not describe its momenta, or a jet is empty.
    """
    if ptr.shape != target_ptr.shape:
        raise ValueError(
            f"{ptr.numel() - 1} reconstructed jets are compared with {target_ptr.numel() - 1} target jets"
        )
    if ptr is target_ptr and ptr.is_cuda:
        return  # the offsets of the batch that the model was given: not worth waiting for the GPU
    for name, momenta, offsets in (("reconstructed", p4, ptr), ("target", target, target_ptr)):
        sizes = graph_sizes(offsets)
        smallest, end = torch.stack([sizes.min(), offsets[-1]]).tolist()
        if end != momenta.shape[0]:
            raise ValueError(f"ptr of the {name} jets ends at {end}, but there are {len(momenta)} particles")
        if smallest < 1:
            raise ValueError(f"{name} jet {int(sizes.argmin())} of the batch has no particles: leave it out")
