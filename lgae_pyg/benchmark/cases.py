"""What can be measured: models, back-ends, precisions and sizes, by name. Imports nothing heavy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any


@dataclass(frozen=True)
class Subject:
    """A model to be measured: an autoencoder of :data:`lgae_pyg.models.registry.MODELS`.

    Args:
        label: its name in tables and figures.
        config: its configuration, as :func:`lgae_pyg.models.build_model` takes it, without the number of
            particles, the back-end and the precision.
    """

    label: str
    config: Mapping[str, Any]


#: The models that can be measured; a further one is a further entry.
SUBJECTS = {
    "mix9": Subject("LGAE-Mix, τ = 9", {"name": "LGAE", "aggregation": "mix", "latent_vectors": 9}),
    "minmax4": Subject("LGAE-Min-Max, τ = 4", {"name": "LGAE", "aggregation": "min&max", "latent_vectors": 4}),
}
BACKENDS = ("fused", "dense", "edge_list")
PRECISIONS = ("float64", "mixed", "float32")

#: Sizes up to which a batch has :data:`MANY_JETS`; batches of larger jets have :data:`FEW_JETS`.
SMALL_JET = 60
MANY_JETS, FEW_JETS = 256, 64


@dataclass(frozen=True)
class Sizes:
    """Numbers of particles of the jets of a batch: uniform from ``smallest`` to ``largest``, both included."""

    smallest: int
    largest: int

    @classmethod
    def parse(cls, text: str) -> "Sizes":
        """Reads ``30`` (all jets alike), ``1-60`` or ``mixed``, which is ``1-60``.

        Raises:
            ValueError: if it is none of these.
        """
        first, _, last = ("1-60" if text == "mixed" else text).partition("-")
        try:
            sizes = cls(int(first), int(last or first))
        except ValueError:
            sizes = cls(0, 0)
        if not 0 < sizes.smallest <= sizes.largest:
            raise ValueError(f"particles: '{text}' is no number of particles: write 30, 1-60 or mixed")
        return sizes

    @property
    def mean(self) -> float:
        """The mean number of particles."""
        return (self.smallest + self.largest) / 2

    @property
    def alike(self) -> bool:
        """Whether all jets have the same number of particles."""
        return self.smallest == self.largest

    def __str__(self) -> str:
        return str(self.largest) if self.alike else f"{self.smallest}-{self.largest}"


@dataclass(frozen=True)
class Case:
    """One row of the benchmark."""

    model: str
    backend: str
    precision: str
    sizes: Sizes
    jets: int

    @property
    def group(self) -> tuple[str, Sizes, int]:
        """What it shares with the cases that it is compared with, and takes turns with."""
        return self.model, self.sizes, self.jets

    def __str__(self) -> str:
        return f"{self.model} {self.backend} {self.precision} n={self.sizes}"


def speed_cases(
    models: Sequence[str],
    backends: Sequence[str],
    precisions: Sequence[str],
    sizes: Sequence[Sizes],
    jets: int | None = None,
) -> list[Case]:
    """All combinations, those that are compared with each other one after another.

    Args:
        models: names from :data:`SUBJECTS`.
        backends: back-ends; all of :data:`BACKENDS` but ``edge_list`` for more than 30 particles when empty.
        precisions: from :data:`PRECISIONS`.
        sizes: numbers of particles.
        jets: jets of a batch; by the size of the jets when omitted.

    Raises:
        ValueError: for an unknown name, or no jets.
    """
    check_names("model", models, SUBJECTS)
    check_names("back-end", backends, BACKENDS)
    check_names("precision", precisions, PRECISIONS)
    if jets is not None and jets < 1:
        raise ValueError("jets must be at least 1")
    cases = []
    for model, size in product(models, sizes):
        few = jets or (MANY_JETS if size.largest <= SMALL_JET else FEW_JETS)
        default = [name for name in BACKENDS if name != "edge_list" or str(size) == "30"]
        cases += [Case(model, b, p, size, few) for p in precisions for b in (backends or default)]
    return cases


def check_names(what: str, names: Sequence[str], known: Sequence[str] | Mapping[str, Any]) -> None:
    """Raises :class:`ValueError` for names that are not known."""
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"unknown {what} {', '.join(unknown)}: choose some of {', '.join(known)}")
