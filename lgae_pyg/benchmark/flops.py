r"""Counted floating-point operations of a training step of an LGAE.

What is counted is the arithmetic that the model asks for, in the form in which the kernels of
:mod:`lgae_pyg.ops.backends` do it: every unordered pair of particles once. The count is the same for all
back-ends, so that the operations per second of two of them compare like their speeds. **Not counted**: what a
back-end computes again in its backward pass, padding, activations, square roots, absolute values and signs, the
choice of minima and maxima, sums over a batch of already counted gradients, the loss and the optimiser.

An addition, subtraction, multiplication or division of real numbers is one operation: a real multiply-add two, a
complex product six, a complex multiply-add eight, and one of a complex with a real number four. A sum of products
counts a multiply-add for each of its terms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lgae_pyg.nn.aggr import num_concatenated

COMPLEX_PRODUCT, COMPLEX_MULTIPLY_ADD = 6, 8


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of a forward and of a backward pass."""

    forward: int = 0
    backward: int = 0

    @property
    def total(self) -> int:
        """Operations of a training step."""
        return self.forward + self.backward

    def __add__(self, other: "Flops") -> "Flops":
        return Flops(self.forward + other.forward, self.backward + other.backward)

    def __rmul__(self, times: int) -> "Flops":
        return Flops(times * self.forward, times * self.backward)


def pair_flops(channels: int, bells: int, complex_momenta: bool, momentum_gradient: bool) -> Flops:
    r"""The neighbour sum (:mod:`lgae_pyg.ops.messages`), for one unordered pair of particles.

    With :math:`\tau` channels, :math:`K` bells, :math:`m` = 1 for real momenta and 2 for complex ones, and a
    multiply-add of a complex number with a component of a momentum of :math:`q` = 4 or 8 operations:

    Forward

    - difference :math:`p_{ij}`: :math:`4m`; square :math:`p_{ij}^2`: 7, or 15 for the real and 8 for the imaginary
      part;
    - bells :math:`1 / (1 + c_k^2 x)`: :math:`3mK`;
    - their mixtures, :math:`4\tau/m` for each of the :math:`m` arguments: :math:`2 \cdot 4\tau K`;
    - messages in both directions, each channel: :math:`f^0 s` 8, :math:`f^0 v` 32, :math:`\langle p, v \rangle`
      :math:`4q`, times :math:`f^1` 8, :math:`f^1 s` 6, times :math:`p` :math:`4q`.

    Backward

    - features, both directions, each channel: as many as the messages; the steps are their transposes;
    - factors :math:`f^0, f^1`, both directions, each channel: :math:`8 + 32` and :math:`8 + 8`;
    - mixtures: gradients of the bells :math:`8\tau K`, of the weights :math:`8\tau K`, of the biases
      :math:`4\tau`;
    - bells: gradient times :math:`r_k^2` :math:`2mK`, and on to :math:`c_k^2` :math:`2mK`;
    - with the gradients of the momenta (there are none in an encoder), also: on to :math:`x` :math:`2mK`; from the
      messages in both directions, each channel, :math:`8q`; their difference :math:`4m`; through the square 5 or
      26, and added :math:`4m`; to both particles :math:`8m`.

    Args:
        channels: :math:`\tau`.
        bells: :math:`K`.
        complex_momenta: whether momenta, and with them the arguments of the bells, are complex.
        momentum_gradient: whether the momenta have gradients.
    """
    parts, momentum = (2, COMPLEX_MULTIPLY_ADD) if complex_momenta else (1, 4)
    messages = 2 * channels * (6 * COMPLEX_MULTIPLY_ADD + COMPLEX_PRODUCT + 8 * momentum)
    mixtures = 2 * 4 * channels * bells
    forward = 4 * parts + (23 if complex_momenta else 7) + 3 * parts * bells + mixtures + messages
    factors = 2 * channels * 7 * COMPLEX_MULTIPLY_ADD
    backward = messages + factors + 2 * mixtures + 4 * channels + 4 * parts * bells
    if momentum_gradient:
        backward += 2 * parts * bells + 2 * channels * 8 * momentum + 16 * parts + (26 if complex_momenta else 5)
    return Flops(forward, backward)


def product_flops(channels: int) -> Flops:
    r"""The products of a particle's features with themselves (:func:`lgae_pyg.ops.levels.mix_products`).

    For each channel, forward: :math:`s^2` 6, :math:`\langle v, v\rangle` 32, :math:`s\,v` 24; backward:
    :math:`2 g s^*` 2 + 8, :math:`2 g v^*` 2 + 32, and for :math:`s\,v` 32 to each factor.
    """
    forward = 5 * COMPLEX_PRODUCT + 4 * COMPLEX_MULTIPLY_ADD
    return Flops(channels * forward, channels * (2 + 2 + 13 * COMPLEX_MULTIPLY_ADD))


def mixing_flops(rows: int, columns: int, dim: int = 1, input_gradient: bool = True) -> Flops:
    """A complex matrix that mixes channels of irreps of a dimension: a multiply-add for each entry and component.

    Backward, as many for the gradients of the weights, and as many for those of the input if it has any.
    """
    once = COMPLEX_MULTIPLY_ADD * rows * columns * dim
    return Flops(once, (2 if input_gradient else 1) * once)


def perceptron_flops(sizes: Sequence[int]) -> Flops:
    r"""A perceptron with layers of these sizes: :math:`2 \sum_l n_{l-1} n_l`, and backward twice that."""
    forward = 2 * sum(fan_in * fan_out for fan_in, fan_out in pairwise(sizes))
    return Flops(forward, 2 * forward)


def scalar_vector_mixing(scalars: tuple[int, int], vectors: tuple[int, int], input_gradient: bool = True) -> Flops:
    """A mixing of scalars and of four-vectors, each given by its numbers of output and input channels."""
    return mixing_flops(*scalars, 1, input_gradient) + mixing_flops(*vectors, 4, input_gradient)


def level_flops(
    channels: int, channels_out: int, config: Mapping[str, Any], decoder: bool, particles: int, pairs: int
) -> Flops:
    r"""One level of message passing (:class:`lgae_pyg.nn.LMPConv` in closed form).

    Neighbour sum, products, mixing of :math:`5\tau` scalars and :math:`4\tau` four-vectors, perceptron.

    Args:
        channels: :math:`\tau`.
        channels_out: :math:`\tau'`.
        config: configuration of the LGAE.
        decoder: whether momenta are complex and have gradients.
        particles: number of particles of all jets.
        pairs: number of unordered pairs of all jets.
    """
    mixing = scalar_vector_mixing((channels_out, 5 * channels), (channels_out, 4 * channels))
    node = product_flops(channels) + mixing
    if config["mlp_depth"]:
        ends = 2 * channels_out
        node += perceptron_flops([ends, *[ends * config["mlp_width"]] * config["mlp_depth"], ends])
    return particles * node + pairs * pair_flops(channels, config["num_bells"], decoder, decoder)


def lgae_flops(config: Mapping[str, Any], sizes: Sequence[int]) -> Flops:
    """A training step of an :class:`~lgae_pyg.models.LGAE` on a batch.

    The levels, the mixings of inputs, code and outputs; a mixing of the input momenta has no gradients of its
    input.

    Args:
        config: the model's attribute ``config``.
        sizes: number of particles of each jet of the batch.

    Raises:
        ValueError: for irreps beyond scalars and four-vectors, or behaviour of the published code: not counted.
    """
    if config["max_weight"] != 1 or any(config["behaviour"].values()):
        raise ValueError("only LGAEs of scalars and four-vectors, with the clean behaviour, are counted")
    slots, jets, parts = config["num_particles"], len(sizes), num_concatenated(config["aggregation"])
    decoded = [slots] * jets if config["decode"] == "slots" else sizes
    code = (config["latent_scalars"], config["latent_vectors"])
    total = Flops()
    for channels, counts, decoder in (
        (config["encoder_channels"], sizes, False),
        (config["decoder_channels"], decoded, True),
    ):
        particles, pairs = sum(counts), sum(n * (n - 1) // 2 for n in counts)
        scalars = 2 if decoder else 2 + config["extra_scalars"]
        total += particles * scalar_vector_mixing((channels[0], scalars), (channels[0], 1), decoder)
        for before, after in pairwise(channels):
            total += level_flops(before, after, config, decoder, particles, pairs)
    last = config["encoder_channels"][-1]
    if config["aggregation"] == "mix":
        total += jets * scalar_vector_mixing((code[0], last * slots), (code[1], last * slots))
    else:
        total += sum(sizes) * scalar_vector_mixing((code[0], last), (code[1], last))
    total += jets * scalar_vector_mixing((slots, parts * code[0]), (slots, parts * code[1]))
    last = config["decoder_channels"][-1]
    return total + sum(decoded) * scalar_vector_mixing((1, last), (1, last))
