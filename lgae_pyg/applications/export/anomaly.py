"""What a file of an exported autoencoder computes: anomaly scores and the rebuilt jet."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import pad

from lgae_pyg.applications.export.autoencoders import Rebuilt, padded_autoencoder
from lgae_pyg.applications.export.program import admitted
from lgae_pyg.applications.score_table import column_name
from lgae_pyg.data import JetData
from lgae_pyg.data.units import UNITS_IN_GEV, unit_factor
from lgae_pyg.evaluation.anomaly.density import Mahalanobis
from lgae_pyg.evaluation.anomaly.study import CONSERVED, model_scores
from lgae_pyg.evaluation.latent.codes import latent_invariants
from lgae_pyg.lorentz.kinematics import from_pt_eta_phi_m
from lgae_pyg.metrics.anomaly_scores import JET_SCORES, SPACES, image_scores, padded_scores, total_scores
from lgae_pyg.models import CNNAE, contract_of
from lgae_pyg.ops.images import pixel_momenta
from lgae_pyg.ops.jets import pad_jets
from lgae_pyg.registry import check_choice

#: Scores in units of energy, and of its square, by the beginning and the end of their names.
ENERGY = ("cartesian", "polar", "lorentz")


class PaddedAutoencoder(nn.Module):
    r"""A trained autoencoder with all that comes before and after it: unit, padding, the leading particles, model,
    and those anomaly scores of ``lgae score`` that need no assignment of particles.

    It computes in double precision as ``lgae score`` does (``CNNAE`` in its own). Jets that cannot be read have
    NaN, see :class:`~lgae_pyg.applications.export.program.PaddedTagger`.

    Args:
        model: a trained autoencoder; it is copied, in evaluation mode, to the CPU.
        unit: unit of the momenta that are given, and rebuilt.
        num_particles: jets are cut to so many particles; to the model's places when omitted.
        dtype: precision of the momenta that are given, and rebuilt.
        density: by what its score of the codes is computed, if that is known.

    Raises:
        ValueError: for an unknown unit, more particles than places, or a model that cannot be exported
            (:func:`~lgae_pyg.applications.export.autoencoders.padded_autoencoder`).

    Shapes:
        - **input:** p4 :math:`(B, N, 4)`, count :math:`(B,)`, int64
        - **output:** scores :math:`(B, S)`, in the order of :attr:`names`; rebuilt momenta :math:`(B, M, 4)`, zero
          where there is no particle
    """

    outputs = ("scores", "rebuilt")
    limits = {torch.float32: 1e-3, torch.float64: 1e-6}  # noqa: RUF012
    model: Any
    unit: str
    num_particles: int | None
    dtype: torch.dtype
    mean: Tensor
    matrix: Tensor

    def __init__(
        self,
        model: Any,
        unit: str = "GeV",
        num_particles: int | None = None,
        dtype: torch.dtype = torch.float32,
        density: Mahalanobis | None = None,
    ):
        super().__init__()
        self.network, slots = padded_autoencoder(model), model.num_particles
        check_choice("unit", unit, UNITS_IN_GEV)
        if slots and num_particles and num_particles > slots:
            raise ValueError(f"{model.label} has {slots} places, fewer than num_particles={num_particles}")
        model = copy.deepcopy(model).cpu().eval().requires_grad_(False)
        self.model = model if isinstance(model, CNNAE) else model.double()
        self.model.check_inputs = False
        self.unit, self.dtype, self.num_particles = unit, dtype, num_particles or slots
        self.with_density = density is not None
        if density is not None:
            self.register_buffer("mean", torch.from_numpy(density.mean))
            self.register_buffer("matrix", torch.from_numpy(density.matrix))
        self.facts = contract_of(model)
        jet = from_pt_eta_phi_m(*torch.linspace(1.0, 0.1, 3 * (self.num_particles or 20)).double().view(3, -1))
        with torch.no_grad():
            self.names = list(self._scores_on_graphs(jet, torch.tensor([0, len(jet)]))[0])

    def forward(self, p4: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        p4, exists, sound = admitted(p4, count, self.num_particles)
        if self.model.num_particles:
            spare = self.model.num_particles - p4.shape[1]
            p4, exists = pad(p4, (0, 0, 0, spare)), pad(exists, (0, spare))
        p4 = unit_factor(self.unit, self.model.unit) * p4
        found = self.network(self.model, p4, exists)
        rebuilt = torch.where(found.exists.unsqueeze(-1), found.p4.double(), 0.0)
        scores = self._scores(found._replace(p4=rebuilt), p4, exists)
        table = torch.stack([scores[name] for name in self.names], -1)
        rebuilt = (unit_factor(self.model.unit, self.unit) * rebuilt).to(self.dtype)
        sound = sound.unsqueeze(-1)
        return torch.where(sound, table, torch.nan), torch.where(sound.unsqueeze(-1), rebuilt, torch.nan)

    def _scores(self, found: Rebuilt, p4: Tensor, exists: Tensor) -> dict[str, Tensor]:
        """All scores by name, of momenta in the model's unit."""
        gev, total = UNITS_IN_GEV[self.model.unit], p4.sum(1)
        if found.images is not None:
            true, output = found.images
            total = pixel_momenta(true, total, self.model.max_radius).sum(1)
            scores = image_scores(output, true)
        else:
            ways = ["chamfer"] if self.facts.permutation_invariant else ["chamfer", "mse"]
            scores = padded_scores(gev * found.p4, found.exists, gev * p4, exists, SPACES, ways)
        scores |= total_scores(gev * found.p4.sum(1), gev * total)
        if self.with_density:
            apart = (found.invariants.double() - self.mean) @ self.matrix
            scores["latent_mahalanobis"] = apart.square().sum(-1).sqrt()
        return {column_name(name): values.double() for name, values in scores.items()}

    def _scores_on_graphs(self, p4: Tensor, ptr: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """The scores of the model itself, those that a file gives too; rebuilt momenta and offsets."""
        batch = JetData(pos=p4, ptr=ptr.long(), unit=self.model.unit)
        result = self.model(batch)
        found = model_scores(self.model, batch, result, UNITS_IN_GEV[self.model.unit])
        conserved = float(found.pop("relative_momentum_error").max()) <= CONSERVED
        left_out = JET_SCORES if conserved else ()
        scores: dict[str, Any] = {name: one for name, one in found.items() if not name.startswith("hungarian")}
        scores = {column_name(name): one for name, one in scores.items() if name not in left_out}
        if self.with_density:
            density = Mahalanobis(self.mean.numpy(), self.matrix.numpy())
            scores |= density.scores(latent_invariants(result.latent).double().numpy())
        return scores, result.p4, result.ptr

    def on_graphs(self, p4: Tensor, ptr: Tensor) -> dict[str, NDArray]:
        """What the model itself gives, on graphs, :math:`(n, 4)` and :math:`(B+1,)`."""
        factor = unit_factor(self.unit, self.model.unit)
        scores, rebuilt, offsets = self._scores_on_graphs(factor * p4.double(), ptr)
        rebuilt, _ = pad_jets(rebuilt.double() / factor, offsets, self.model.num_particles)
        table = np.stack([np.asarray(scores[name]) for name in self.names], -1)
        return {"scores": table, "rebuilt": rebuilt.numpy()}

    def comparable(self, outputs: Mapping[str, NDArray], energy: NDArray) -> NDArray:
        """Scores and momenta in units of the jet's energy (scores without unit in units of themselves): numbers of
        the order of one, in which a file is compared with the model, :math:`(B, C)`."""
        scores, rebuilt = outputs["scores"].astype(np.float64), outputs["rebuilt"].astype(np.float64)
        gev = energy * UNITS_IN_GEV[self.unit]
        columns = []
        for name, values in zip(self.names, scores.T):
            power = (1 if name.startswith("chamfer") else 2) * name.split("_", 1)[1].startswith(ENERGY)
            power = 2 if name.startswith("jet_") else power
            columns.append(values / (gev**power if power else np.maximum(1, np.abs(values))))
        flat = rebuilt.reshape(len(rebuilt), -1) / energy[:, None]
        return np.concatenate([np.stack(columns, -1), flat], -1)
