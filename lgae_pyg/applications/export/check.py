"""Whether an exported file gives the scores that the model gives in PyTorch."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lgae_pyg.applications.export.anomaly import PaddedAutoencoder
from lgae_pyg.applications.export.files import ExportError, Scorer
from lgae_pyg.applications.export.program import PaddedTagger
from lgae_pyg.data.flat import FlatJets
from lgae_pyg.data.gate import Rules, admit
from lgae_pyg.data.units import unit_factor
from lgae_pyg.lorentz.kinematics import from_pt_eta_phi_m
from lgae_pyg.ops.graphs import graph_sizes, pointers
from lgae_pyg.ops.jets import pad_jets

#: Jets that are compared at once.
BATCH = 20
#: Sizes of the jets that a fresh export is tried with: one particle, few, and more than there are neighbours.
TRIAL_SIZES = (1, 2, 3, 5, 8, 12, 17, 18, 24, 30, 40, 60)
PION, TEV = 0.13957, 1000.0


Program = PaddedTagger | PaddedAutoencoder


def limit_of(program: Program) -> float:
    """What numbers may be off by, through roundings alone."""
    numbers = (*program.model.parameters(), *program.model.buffers())
    low = any(one.dtype == torch.float32 for one in numbers)
    return program.limits[torch.float32 if low else torch.float64]


@dataclass(frozen=True)
class Comparison:
    """What a file gives beside what PyTorch gives.

    Attributes:
        file: numbers of the file, scores or what ``comparable`` makes of an autoencoder's, :math:`(J, C)`.
        model: those of the model on graphs, :math:`(J, C)`.
        decides: whether they are scores of classes.
    """

    file: NDArray
    model: NDArray
    decides: bool = True

    @property
    def largest(self) -> float:
        """The largest difference of two scores; NaN if one of them is NaN."""
        return float(np.abs(self.file - self.model).max(initial=0.0))

    @property
    def decisions(self) -> int:
        """Jets whose class of largest score is another one."""
        return int((self.file.argmax(1) != self.model.argmax(1)).sum())

    def __str__(self) -> str:
        decisions = f", other decisions {self.decisions}" if self.decides else " (in units of the jet's energy)"
        return f"{len(self.file)} jets: largest difference {self.largest:.1e}{decisions}"


def trial_jets(unit: str, dtype: torch.dtype, seed: int = 0) -> tuple[Tensor, Tensor]:
    r"""Two random jets of each of :data:`TRIAL_SIZES`, of massless particles and of pions.

    Returns:
        Momenta :math:`(n, 4)` in the unit and the precision, and the offsets of the jets.
    """
    source = torch.Generator().manual_seed(seed)
    sizes = torch.tensor(2 * TRIAL_SIZES)
    ptr = pointers(sizes)
    random = torch.rand(5, int(ptr[-1]), generator=source, dtype=torch.float64)
    jet = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
    axis = torch.rand(2, len(sizes), generator=source, dtype=torch.float64)[:, jet] - 0.5
    pt = TEV * random[0].pow(3) / sizes[jet] + 1.0
    eta, phi = 3 * axis[0] + (random[1] - 0.5), 6 * axis[1] + (random[2] - 0.5)
    p4 = from_pt_eta_phi_m(pt, eta, phi, PION * (random[3] > 0.5))
    return (unit_factor("GeV", unit) * p4).to(dtype), ptr


@torch.no_grad()
def compare(program: Program, score: Scorer, p4: Tensor, ptr: Tensor, spare: int = 0) -> Comparison:
    """Scores jets by a file, padded, and by the model, as graphs.

    Jets of many particles are cut for the model by the gate through which jets go in training. The padding of the
    file's jets is filled with numbers that would be seen if they entered anywhere.

    Args:
        program: what the file was made of.
        score: the file, from :func:`~lgae_pyg.applications.export.files.open_export`.
        p4: momenta in the unit of the program.
        ptr: offsets of the jets.
        spare: places beside those that the largest jet of some needs.

    Raises:
        ValueError: if a jet cannot be read.

    Shapes:
        - p4: :math:`(n, 4)`, ptr: :math:`(B+1,)`
    """
    sizes = graph_sizes(ptr.long())
    order = sizes.argsort(stable=True)  # jets of about one size together
    ours, theirs = [], []
    for some in order.split(BATCH):
        jets = torch.cat([p4[ptr[jet] : ptr[jet + 1]] for jet in some.tolist()]).to(program.dtype)
        count, part = sizes[some], pointers(sizes[some])
        padded, exists = pad_jets(jets, part, max(2, int(count.max()) + spare))
        given = score(torch.where(exists.unsqueeze(-1), padded, 7.0).numpy(), count.numpy())
        total = torch.where(exists, padded[..., 0], 0.0).sum(1).double().numpy()
        ours.append(program.comparable(given if isinstance(given, dict) else {"scores": given}, total))
        read, report = admit(FlatJets(jets.numpy(), part.numpy(), unit=program.unit), Rules(program.num_particles))
        if report.kept != len(some):
            raise ValueError(f"{len(some) - report.kept} of the jets cannot be read: leave them out")
        known = program.on_graphs(torch.from_numpy(read.p4), torch.from_numpy(read.ptr))
        theirs.append(program.comparable(known, total))
    place, decides = order.argsort().numpy(), isinstance(program, PaddedTagger)
    return Comparison(np.concatenate(ours)[place], np.concatenate(theirs)[place], decides)


def check_export(program: Program, score: Scorer) -> Comparison:
    """Compares a file with the model on :func:`trial_jets`, padded in two ways.

    Raises:
        ExportError: if scores differ by more than the program's limit, or a score depends on the padding by more.
    """
    jets, limit = trial_jets(program.unit, program.dtype), limit_of(program)
    found = compare(program, score, *jets)
    padded = compare(program, score, *jets, spare=5)
    apart = np.abs(found.file - padded.file).max()
    if not (found.largest <= limit and apart <= limit):
        raise ExportError(
            f"the file is not the model: {found}; by other padding {apart:.1e}; allowed are {limit:.0e}"
        )
    return found
