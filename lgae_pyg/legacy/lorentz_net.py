"""Weights of the published LorentzNet code (sdogsq/LorentzNet-release) in our model."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lgae_pyg.legacy.arguments import count, flag, number
from lgae_pyg.legacy.state_dicts import checked_state
from lgae_pyg.models.taggers.lorentz_net import LorentzNet

#: Counters of batches, which older files lack.
IGNORED = (r".*\.num_batches_tracked",)
#: Layers of a block, the original's and ours.
_LAYERS = {
    "edge_input": "phi_e.0",
    "edge_norm": "phi_e.1",
    "edge_output": "phi_e.3",
    "gate": "phi_m.0",
    "node_mlp": "phi_h",
    "shift_mlp": "phi_x",
}
_OUTPUT = {"0": "0", "2": "3", "3": "3"}


def load_lorentz_net(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> LorentzNet:
    """Builds a :class:`~lgae_pyg.models.LorentzNet` from a state dict of the published code.

    The model gives the release's numbers on single jets: it clamps the updates of the coordinates (which breaks
    the symmetry; ``clamp: false`` in ``config`` leaves it out), takes absolute masses, and reads the beams beside
    the particles. The release divides by the size of the largest jet of a batch where ours divides by the jet's
    own; ``readout: padded_mean`` in ``config`` does as the release. Momenta are in GeV (``model.unit``).

    Args:
        state: the state dict, of any precision, with or without the prefix ``module.``.
        config: the original's arguments: ``n_hidden``, ``n_layers``, ``n_scalar``, ``n_class`` (2), ``c_weight``
            (0.005), ``dropout`` (0.2). With ``n_scalar`` 2 the scalars are those of the top tagger, the masses of
            particles and of the two beams; with any other number they are read from the field ``x`` of the batch
            and there are no beams, as in the quark tagger; ``add_beams`` says otherwise.

    Returns:
        the model, float64, in evaluation mode.

    Raises:
        ValueError: for a missing or wrong argument, and a missing, unknown, misshapen or not finite weight; the
            message names it.
    """
    scalars = count(config, "n_scalar", default=2)
    beams = flag(config, "add_beams", scalars == 2)
    if beams and scalars < 2:
        raise ValueError(f"the original's argument 'n_scalar' is {scalars}, but beams need two scalars at least")
    clamp = number(config, "clamp", 100.0)
    model = LorentzNet(
        num_classes=count(config, "n_class", default=2),
        hidden=count(config, "n_hidden", default=72),
        layers=count(config, "n_layers", default=6),
        step=number(config, "c_weight", 5e-3),
        dropout=number(config, "dropout", 0.2),
        beams=beams,
        masses="absolute" if beams else "none",
        extra_scalars=scalars - 2 if beams else scalars,
        clamp=clamp or None,
        readout=config.get("readout", "mean"),
    ).double()
    model.unit = "GeV"
    shapes, places = {}, {}
    for name, value in model.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            places[name] = _original_name(name)
            shapes[places[name]] = tuple(value.shape)
    found = checked_state(state, shapes, "LorentzNet", IGNORED)
    model.load_state_dict({name: found[key] for name, key in places.items()}, strict=False)
    return model.eval()


def _original_name(name: str) -> str:
    """The original's key for a name of ours."""
    _, part, *rest = name.split(".")
    if part == "embedding":
        return f"embedding.{rest[0]}"
    if part == "classifier":
        return f"graph_dec.{_OUTPUT[rest[0]]}.{rest[1]}"
    block, layer, *last = rest
    return ".".join([f"LGEBs.{block}", _LAYERS[layer], *last])
