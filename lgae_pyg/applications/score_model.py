"""What a trained model says of jets: probabilities of classes, anomaly scores, codes."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lgae_pyg import datasets
from lgae_pyg.applications.score_table import NO_NUMBER, Scored, column_name, jet_columns
from lgae_pyg.checkpoint import Checkpoint, load_checkpoint, unwrapped
from lgae_pyg.data import JetStore
from lgae_pyg.data.flat import FlatJets
from lgae_pyg.data.gate import Rules, admit, faults
from lgae_pyg.data.units import UNITS_IN_GEV
from lgae_pyg.datasets.cards import Card, read_card
from lgae_pyg.datasets.jet_files import collect
from lgae_pyg.datasets.reading import store_fields
from lgae_pyg.evaluation.anomaly.density import LatentDensity, Mahalanobis
from lgae_pyg.evaluation.anomaly.study import FITTED, model_scores, sample_codes
from lgae_pyg.evaluation.latent.codes import latent_invariants
from lgae_pyg.evaluation.sample import Sample
from lgae_pyg.evaluation.subject import Subject, run_model
from lgae_pyg.models import Latent, contract_of, stated_unit
from lgae_pyg.models.registry import model_fingerprint
from lgae_pyg.version import __version__

#: The reference sample that is the training split of the model itself.
TRAIN = "train"


@dataclass(frozen=True)
class Scorer:
    """A model that scores jets as the studies do: in float64, jets sorted, cut and in the unit of its training.

    Args:
        model: in evaluation mode and float64.
        label: its printed name.
        fingerprint: SHA-256 of its tensors, see :func:`model_fingerprint`.
        unit: the unit that it takes.
        rules: how its jets were sorted and cut.
        seed: of azimuths that are drawn where files have none.
        class_names: names of the classes it tells apart, if known.
        card: the data card of its training, if known.
        latents: give the codes, too.
        batch_size: jets per batch.
        density: of the codes of ordinary jets, where scores of the codes are wanted, or the model brings it along.
        detector: what the model says of itself as an anomaly detector
            (:attr:`~lgae_pyg.checkpoint.Checkpoint.detector`).
        trained_on: names of the files of its training by their SHA-256, if known.
        device: where the network computes.
    """

    model: nn.Module
    label: str
    fingerprint: str
    unit: str
    rules: Rules = Rules()  # noqa: RUF009
    seed: int = 0
    class_names: Sequence[str] = ()
    card: Card | None = None
    latents: bool = False
    batch_size: int = 64
    density: LatentDensity | Mahalanobis | None = None
    detector: Mapping[str, Any] = field(default_factory=dict)
    trained_on: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"

    @classmethod
    def of(
        cls,
        model: str | os.PathLike[str] | Checkpoint | nn.Module,
        latents: bool = False,
        batch_size: int = 64,
        device: str = "cpu",
    ) -> Scorer:
        """A model as it is scored with; a module is copied, not changed.

        Args:
            model: a checkpoint or the folder of a run, by path or loaded, or a module.
            latents: give the codes, too.
            batch_size: jets per batch.
            device: see :func:`choose_device`.

        Raises:
            ValueError: a tagger is asked for codes, or there is no such device.
            OSError: there is no such checkpoint.
        """
        found = load_checkpoint(model) if isinstance(model, str | os.PathLike) else model
        unit: str | None
        if isinstance(found, Checkpoint):
            network, recipe, unit, names = found.model, found.data or {}, found.unit, found.class_names
            files, detector, density = found.trained_on, found.detector, density_of(found)
        else:
            network, recipe, unit, names = unwrapped(found), {}, stated_unit(unwrapped(found)), ()
            files, detector, density = {}, {}, None
            if unit is None:
                unit = contract_of(network).unit
                warnings.warn(f"the unit of the model is not known, {unit} is taken: set model.unit", stacklevel=3)
        facts, card = contract_of(network), card_of(recipe)
        if latents and facts.task == "classification":
            raise ValueError(f"{facts.label} is a tagger and has no codes: leave the latents out")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        device = choose_device(device)
        return cls(
            copy.deepcopy(network).eval().double().to(device),
            facts.label,
            model_fingerprint(network),
            unit,
            Rules(facts.num_particles or recipe.get("num_particles"), recipe.get("order", "pt")),
            recipe.get("seed", 0),
            list(names or recipe.get("classes") or (card.class_names if card else ())),
            card,
            latents,
            batch_size,
            density,
            detector,
            trained_on=files,
            device=device,
        )

    def fitted(self, codes: Tensor) -> Scorer:
        """The same with scores of the codes, fitted on those of ordinary jets (:func:`reference_codes`), to which
        thresholds of others do not belong."""
        return replace(self, density=LatentDensity(codes.double().numpy()), detector={})

    @property
    def facts(self) -> Any:
        """What the model offers."""
        return contract_of(self.model)

    def about(self) -> dict[str, Any]:
        """What a score file says of the model."""
        known: dict[str, Any] = {"model": self.label, "model_sha256": self.fingerprint, "task": self.facts.task}
        known |= {"model_unit": self.unit, "unit": "GeV", "version": __version__, "rules": vars(self.rules)}
        known |= {"detector": dict(self.detector)} if self.detector else {}
        if self.facts.task == "classification":
            names = [self.class_name(number) for number in range(self.facts.num_classes)]
            return known | {"model_classes": names, "class_columns": self.class_columns}
        return known | {"headline": self.detector.get("score") or column_name(self.facts.anomaly_score)}

    def notes(self) -> list[str]:
        """What is to be known of the scores of any jets, in sentences."""
        if not self.detector:
            return []
        known = self.detector
        cuts = sorted(known["thresholds"].items(), reverse=True)
        shares = " and ".join(f"{share} above {value:.5g}" for share, value in cuts)
        return [
            f"The anomaly score is {known['score']}: of {known['jets']:,} ordinary jets ({known['ordinary']}) a "
            f"share of {shares}; of jets of other pT, radius or detector for other shares."
        ]

    def class_name(self, number: int) -> str:
        """The name of a class of the model, or its number where it has none."""
        return self.class_names[number] if number < len(self.class_names) else str(number)

    @property
    def class_columns(self) -> list[str]:
        """Names of the columns of a tagger's scores: of the classes; numbers where names would be alike."""
        numbers = range(self.facts.num_classes)
        names = [column_name(f"score_{self.class_name(number)}") for number in numbers]
        return names if len(set(names)) == len(names) else [f"score_{number}" for number in numbers]

    def __call__(self, jets: FlatJets, file: int = 0, where: str = "", checked: bool = True) -> Scored:
        """Scores jets; those that the gate drops have NaN.

        Args:
            jets: as they were read, in the model's unit.
            file: number of their file.
            where: its name, for messages.
            checked: whether the unit is known; if not, the model looks at the momenta for plausibility itself.

        Raises:
            DataFileError: if columns are no momenta.
            ValueError: if the model cannot read the jets; it says why.
        """
        columns, reasons = jet_columns(jets, file), faults(jets)
        sound, account = admit(jets, self.rules, where)
        places = np.flatnonzero(reasons == "")
        found: dict[str, np.ndarray] = {}
        error, latents = 0.0, list[str]()
        if len(places):
            store = collect([store_fields(sound)])
            store.meta = {"unit": self.unit, "admission": account.to_dict()} if checked else {}
            found, error, latents = self._scores(store)
            broken = ~np.all([np.isfinite(values) for values in found.values()], axis=0)
            reasons[places[broken]] = NO_NUMBER
        for name, values in found.items():
            columns[name] = np.full(len(jets), np.nan)
            columns[name][places] = np.where(broken, np.nan, values)
        statuses = list(dict.fromkeys(["", *reasons.tolist()]))
        columns["status"] = np.array([statuses.index(reason) for reason in reasons], dtype=np.int64)
        return Scored(columns, statuses, error, account, latents=latents)

    def _scores(self, store: JetStore) -> tuple[dict[str, np.ndarray], float, list[str]]:
        """Scores of checked jets by name, largest relative error of rebuilt momenta, names of the latents."""
        of = self._tagged if self.facts.task == "classification" else self._rebuilt
        parts, names = [], list[str]()
        for batch, result in run_model(self.model, store.to(torch.float64), self.batch_size, device=self.device):
            parts.append(of(batch, result))
            names = names or (latent_names(result.latent) if self.latents else [])
        found = {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in parts[0]}
        errors = found.pop("relative_momentum_error", np.zeros(1))
        codes = found.pop("codes", None)
        if codes is not None and self.density is not None:
            whole = np.isfinite(codes).all(1)
            scores = self.density.scores(codes[whole]) if whole.any() else {}
            for name, values in scores.items():
                found[name] = np.full(len(codes), np.nan)
                found[name][whole] = values
        latents = found.pop("latents", np.empty((0, 0)))
        found = {column_name(name): values for name, values in found.items()}
        found |= {f"latent_{place}": values for place, values in enumerate(latents.T)}
        return found, float(np.nanmax(errors, initial=0.0)), names

    def _tagged(self, batch: Any, logits: Tensor) -> dict[str, Tensor]:
        scores = logits.double().softmax(-1)
        found = dict(zip(self.class_columns, scores.unbind(-1)))
        return found | ({"score": scores[:, 1]} if scores.shape[1] == 2 else {})

    def _rebuilt(self, batch: Any, result: Any) -> dict[str, Tensor]:
        factor = UNITS_IN_GEV[self.unit]
        found = dict(model_scores(self.model, batch, result, factor))
        if result.latent is None and (self.latents or self.density is not None):
            raise ValueError(f"{self.label} does not show its codes: leave out latents and scores of them")
        if self.density is not None:
            found["codes"] = latent_invariants(result.latent).double()
        if self.latents:
            found["latents"] = latent_numbers(result.latent, factor)
        return found


def choose_device(name: str) -> str:
    """The device of a name: ``cpu``; ``cuda`` or ``cuda:1``, if it is there; ``auto``: ``cuda`` if there is one.

    Raises:
        ValueError: for another name, or a device that is not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or not (number.isdigit() or name == kind):
        raise ValueError(f"unknown device '{name}': choose cpu, cuda, cuda:1 (the second one), or auto")
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cuda" and int(number or 0) >= found:
        there = f"there are {found}, counted from 0" if found else "PyTorch finds no GPU here"
        raise ValueError(f"device '{name}' is not there ({there}): choose cpu, or auto, which takes what there is")
    return "cpu" if kind == "cpu" else name


def density_of(found: Checkpoint) -> Mahalanobis | None:
    """What a published model computes its score of the codes with.

    Raises:
        ValueError: it does not fit together.
    """
    if not found.density:
        return None
    mean, matrix = (found.density.get(name, torch.empty(0)).double().numpy() for name in ("mean", "matrix"))
    if mean.ndim != 1 or matrix.ndim != 2 or len(matrix) != len(mean) or not np.isfinite(matrix).all():
        raise ValueError(f"{found.path}: the density of its codes is damaged")
    return Mahalanobis(mean, matrix)


def latent_numbers(latent: Latent, unit_in_gev: float = 1.0) -> Tensor:
    """All real numbers of codes: scalars, then components of four-vectors in GeV; of complex ones first all real,
    then all imaginary parts. The names are those of :func:`latent_names`.

    Shapes:
        - **returns**: :math:`(B, F)` in float64
    """
    scalars, vectors = latent.scalars.detach().cpu(), latent.vectors.detach().cpu() * unit_in_gev
    parts = [part for values in (scalars, vectors) for part in _real_parts(values)]
    return torch.cat([part.flatten(1).double() for part in parts], 1)


def latent_names(latent: Latent) -> list[str]:
    """What the numbers of :func:`latent_numbers` are, such as ``Re v_1 pz``."""
    names = []
    for values, letter, axes in ((latent.scalars, "s", ("",)), (latent.vectors, "v", (" E", " px", " py", " pz"))):
        for kind in ("Re ", "Im ") if values.is_complex() else ("",):
            names += [f"{kind}{letter}_{k + 1}{axis}" for k in range(values.shape[1]) for axis in axes]
    return names


def _real_parts(values: Tensor) -> tuple[Tensor, ...]:
    return (values.real, values.imag) if values.is_complex() else (values,)


def card_of(recipe: Mapping[str, Any]) -> Card | None:
    """The data card of the jets that a recipe is of; ``None`` where it has none."""
    kind = getattr(datasets, str(recipe.get("name")), None)
    card = recipe.get("card") or getattr(kind, "card_name", None)
    return None if card is None else read_card(card)


def reference_codes(
    model: str | os.PathLike[str],
    reference: str | os.PathLike[str] = TRAIN,
    card: str | os.PathLike[str] | None = None,
    batch_size: int = 64,
) -> Tensor:
    """Invariants of the codes of ordinary jets, on which scores of the codes are fitted as in the anomaly study.

    Args:
        model: a checkpoint or the folder of a run.
        reference: ``"train"``, the training split of the model; or files of ordinary jets.
        card: what is in these files; recognised when omitted.
        batch_size: jets per batch.

    Raises:
        ValueError: the model does not show its codes, or the checkpoint does not say what it was trained on.
        OSError: the jets are not there.
    """
    own = os.fspath(reference) == TRAIN
    subject = Subject.load(model, jets=None if own else reference, card=None if own else card)
    sample = Sample.of("reference", subject.dataset(TRAIN if own else None)).choose(FITTED)
    codes = sample_codes(subject, sample, batch_size)
    if codes is None:
        raise ValueError(f"{subject.label} does not show its codes: leave the reference out")
    return torch.from_numpy(codes)
