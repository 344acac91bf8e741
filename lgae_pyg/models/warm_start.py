"""Starting an LGAE from the closed-form linear autoencoder."""

import torch
from torch import Tensor, nn

from lgae_pyg.models.lgae import LGAE
from lgae_pyg.models.lgae_networks import LMPStack
from lgae_pyg.models.linear_ae import LinearAE
from lgae_pyg.nn.lmp_conv import LMPConv
from lgae_pyg.nn.mix_reps import MixReps
from lgae_pyg.nn.unchanged import as_kind

_VECTOR = "(1/2,1/2)"


def check_warm_start(model: nn.Module) -> None:
    """Refuses models that cannot start from a linear one.

    Raises:
        ValueError: if the model is not an LGAE with ``mix`` aggregation.
    """
    if not isinstance(model, LGAE):
        raise ValueError(f"only LGAE-Mix can start from LinearAE, not {type(model).__name__}: warm_start=null")
    if model.aggregation != "mix":
        raise ValueError(
            f"only LGAE-Mix can start from LinearAE, not aggregation '{model.aggregation}': warm_start=null"
        )


@torch.no_grad()
def warm_start_from_linear(model: LGAE, linear: LinearAE) -> LGAE:
    r"""Sets the weights of an LGAE-Mix so that it reproduces a fitted linear autoencoder exactly.

    The first vector channel of every level is passed through unchanged, and only it is read by the latent
    mixing and the output; all other weights stay as they are, ready to be used. Complex latent vectors
    :math:`z_{2k} + i z_{2k+1}` carry two real ones, and decoder weights :math:`E + iF` give, with the ``sum``
    read-out, :math:`(E + F) z_{2k} + (E - F) z_{2k+1}`, so :math:`E \pm F` are columns of the linear decoder.

    Args:
        model: an LGAE with ``mix`` aggregation; changed in place and returned.
        linear: a fitted :class:`LinearAE` of the same latent vectors, particles and momentum conservation.

    Raises:
        ValueError: if the two do not fit each other.
    """
    check_warm_start(model)
    for key in ("latent_vectors", "num_particles", "conserve_momentum"):
        if getattr(model, key) != getattr(linear, key):
            raise ValueError(f"{key} differs: {getattr(model, key)} (LGAE) and {getattr(linear, key)} (LinearAE)")
    if torch.isnan(linear.encoder).any():
        raise ValueError("LinearAE is not fitted: call fit(training batches) first")
    encoder, decoder = linear.encoder, linear.decoder
    even, odd = encoder[:, 0::2], encoder[:, 1::2]

    _pass_first_vector(model.encoder.stack)
    _pass_first_vector(model.decoder.stack)
    mixing = _weight(model.encoder.aggregation.mix).view(even.shape[1], len(even), -1, 2)
    mixing.zero_()
    mixing[:, :, 0, 0], mixing[:, :, 0, 1] = even.T, odd.T
    even, odd = decoder[:, 0::2], decoder[:, 1::2]
    parts = {
        "sum": ((even + odd) / 2, (even - odd) / 2),
        "mean": (even + odd, even - odd),
        "real": (even, -odd),
        "imag": (odd, even),
    }
    expansion = _weight(model.decoder.to_particles)
    expansion[..., 0], expansion[..., 1] = parts[model.readout]
    output = _weight(model.decoder.output)
    output.zero_()
    output[0, 0, 0] = 1.0
    return model


def _pass_first_vector(stack: LMPStack) -> None:
    """Lets the first vector channel through a stack of levels, untouched by messages and products."""
    first = _weight(stack.input)
    first[0].zero_()
    first[0, 0, 0] = 1.0
    for conv in as_kind(LMPConv, stack.convs):
        row = _weight(conv.mix)[0]
        row.zero_()
        row[conv.irreps_message.multiplicity(_VECTOR), 0] = 1.0


def _weight(mix: MixReps) -> Tensor:
    return mix.weights[_VECTOR]
