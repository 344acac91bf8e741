"""The contract of models: what training, checkpoints, evaluation and reports may ask of every one."""

import inspect
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from lgae_pyg.data.check import check_batch
from lgae_pyg.files import plain
from lgae_pyg.models.result import offsets_of
from lgae_pyg.ops.compression import compression_rates

PACKAGE = "lgae_pyg.models."


class Model(nn.Module):
    """A network that takes a PyG batch of jets; derive from :class:`Autoencoder` or :class:`Tagger`.

    What is declared here is all that the rest of the package asks of a model, so a model of one's own that derives
    from it can be trained, saved, evaluated and reported from the command line
    (``lgae train model._target_=my_package.MyNet``). The values below are defaults; a class or an instance sets
    others.

    Attributes:
        config: the arguments of the constructor as plain values, recorded when the model is made;
            :func:`lgae_pyg.models.build_model` makes the same layers of it.
        task: what the model is trained for, ``reconstruction`` or ``classification``.
        headline: the value that a training shows beside its loss, a column of its ``metrics.csv``.
        unit: unit of the momenta that the model takes and gives; set by training and by checkpoints. Batches that
            state another are refused.
        momentum_scale: what momenta are multiplied by on the way in.
        mixed_precision: whether invariants are computed in float32 within a float64 model.
        permutation_invariant: whether the result does not depend on the order of the particles.
        num_particles: number of slots, the largest jet that fits; ``None`` for any number.
        closed_form: whether the model is fitted in one pass (:meth:`fit`) instead of trained.
        takes_padding: whether rows of zeros are particles that are not there.
        check_inputs: whether ``model(batch)`` and ``encode`` look at the batch first
            (:func:`~lgae_pyg.data.check.check_batch`); under ``torch.compile`` they never do.
        background_class: of taggers the number of the class of ordinary jets; ``None`` where there is none.
    """

    config: dict[str, Any]
    task: ClassVar[str]
    headline: ClassVar[str] = "val/loss"
    unit: str = "TeV"
    momentum_scale: float = 1.0
    mixed_precision: bool = False
    permutation_invariant: bool = True
    num_particles: int | None = None
    closed_form: bool = False
    takes_padding: bool = False
    check_inputs: bool = True
    background_class: int | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> "Model":
        """Records the arguments, so that no class has to keep them itself."""
        self = super().__new__(cls)
        self.__dict__["config"] = recorded_arguments(cls, args, kwargs)
        return self

    def __call__(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
        """Checks the batch, and runs the model."""
        self.check(batch)
        return super().__call__(batch, *args, **kwargs)

    def check(self, batch: Any) -> None:
        """Refuses a batch that the model cannot read (:func:`~lgae_pyg.data.check.check_batch`).

        Raises:
            ValueError: names the jet, the field and the mend.
        """
        if not self.check_inputs or torch.compiler.is_compiling():
            return
        order, slots = not self.permutation_invariant, self.num_particles
        check_batch(batch, offsets_of, self.unit, order, slots, self.takes_padding)

    @property
    def label(self) -> str:
        """A short printed name."""
        return type(self).__name__

    def fit(self, batches: Iterable[Any]) -> "Model":
        """Sets the parameters in one pass over the training jets, for models with a closed form.

        Raises:
            TypeError: for all others.
        """
        raise TypeError(f"{type(self).__name__} has no closed form: it is trained")

    def resolve(self, **values: Any) -> None:
        """Completes ``config`` with what arguments stand for that were left out."""
        self.config.update({key: _plain_or_same(value) for key, value in values.items() if key in self.config})


class Autoencoder(Model):
    """A model that compresses jets and rebuilds them: ``model(batch)`` is a
    :class:`~lgae_pyg.models.Reconstruction`.

    Attributes:
        latent_size: real numbers in the code of a jet; 0 if unknown.
        side_information: numbers that the decoder is told besides the code.
        has_native: whether results have ``native`` coordinates, in which losses may be taken.
        output_kind: what the result's momenta are: ``particles`` or ``pixels``.
        image_grid: pixels along each side and half the width of the images that a model of pixels makes.
        anomaly_score: the score that the model is judged by as an anomaly detector
            (:mod:`lgae_pyg.metrics.anomaly_scores`), fixed beforehand.
    """

    task = "reconstruction"
    headline = "val/mse"
    latent_size: int = 0
    side_information: int = 0
    has_native: bool = False
    output_kind: str = "particles"
    image_grid: tuple[int, float] | None = None
    anomaly_score: str = "chamfer_cartesian"

    def compression(self, num_particles: int | None = None) -> dict[str, float]:
        """Size of the code as a percentage of a jet of so many particles (the slots, when omitted); see
        :func:`~lgae_pyg.ops.compression.compression_rates`."""
        particles = num_particles or self.num_particles or 30
        return compression_rates(self.latent_size, particles, self.side_information)

    def encode(self, batch: Any) -> Any:
        """The codes of a batch of jets, a :class:`~lgae_pyg.models.Latent`."""
        return self(batch).latent


#: Name of a class of ordinary jets, by which a tagger becomes an anomaly detector.
BACKGROUND = "background"


class Tagger(Model):
    """A model that tells kinds of jets apart: ``model(batch)`` are logits, shape :math:`(B, C)`.

    One of whose classes is called ``background`` scores anomalies, by the probability that a jet is of another
    class (:attr:`background_class`, :meth:`anomaly_scores`): the anomaly study is for such taggers, too.

    Attributes:
        num_classes: number of classes :math:`C`; two or more.
        class_names: names of the classes, in the order of the logits; set by training and by checkpoints, empty if
            unknown.
    """

    task = "classification"
    headline = "val/auc"
    num_classes: int = 2
    class_names: tuple[str, ...] = ()
    anomaly_score: ClassVar[str] = "not_background"

    def scores(self, batch: Any) -> Tensor:
        """Probabilities of the classes, :math:`(B, C)`, rows that sum to one."""
        return self(batch).softmax(-1)

    @property
    def background_class(self) -> int | None:  # type: ignore[override]
        """Number of the class of ordinary jets; ``None`` where no class is called so."""
        return self.class_names.index(BACKGROUND) if BACKGROUND in self.class_names else None

    def anomaly_scores(self, logits: Tensor) -> Tensor:
        r"""The probability of all other classes than the background's,

        .. math:: s = 1 - p_\text{background} = \sum_{c \ne \text{background}} p_c ,

        in float64 and in the second form, which keeps its digits near 0.

        Raises:
            ValueError: no class is called ``background``.

        Shapes:
            - logits: :math:`(B, C)`, output: :math:`(B,)`
        """
        if self.background_class is None:
            raise ValueError(f"no class of {self.label} is called {BACKGROUND}: it scores no anomalies")
        others = [number for number in range(logits.shape[-1]) if number != self.background_class]
        return logits.double().softmax(-1)[:, others].sum(-1)


def stated_unit(model: nn.Module) -> str | None:
    """The unit that a model was given, by training or by hand, or that its class declares; ``None`` if none."""
    kinds = (vars(kind) for kind in type(model).__mro__ if kind is not Model)
    stated = any("unit" in names for names in (vars(model), *kinds))
    return cast("str | None", model.unit) if stated else None


def contract_of(model: nn.Module) -> Any:
    """What a model offers: itself, if it keeps the contract.

    Any other module is taken for an autoencoder; what it does not declare is as in :class:`Autoencoder`, and an
    unknown code is of size 0.
    """
    if isinstance(model, Model):
        return model
    names = (name for kind in (Model, Autoencoder) for name in kind.__annotations__ if name != "config")
    facts = {name: getattr(model, name, getattr(Autoencoder, name)) for name in names}
    facts["config"] = getattr(model, "config", {})
    facts["label"] = getattr(model, "label", facts["config"].get("name", type(model).__name__))
    return SimpleNamespace(**facts)


def recorded_arguments(cls: Any, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a constructor with their defaults, after the name of the class: ``name`` for a model of this
    package, ``_target_`` and where it is defined for others."""
    own = cls.__module__.startswith(PACKAGE)
    config = {"name": cls.__name__} if own else {"_target_": f"{cls.__module__}.{cls.__qualname__}"}
    signature = inspect.signature(cls.__init__)
    try:
        bound = signature.bind(None, *args, **kwargs)
    except TypeError:  # the constructor says it better; and copies are made without arguments
        return config
    bound.apply_defaults()
    for name, value in list(bound.arguments.items())[1:]:
        free = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        for key, entry in (value if free else {name: value}).items():
            config[key] = _plain_or_same(entry)
    return config


def _plain_or_same(value: Any) -> Any:
    try:
        return plain(value)
    except TypeError:
        return value
