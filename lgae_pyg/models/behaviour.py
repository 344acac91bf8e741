"""Named deviations of the original LGAE code from the clean model, all off by default."""

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Behaviour:
    r"""Choices in which the published code (lgn-autoencoder) differs from the clean model.

    Args:
        self_loops: messages also come from the particle itself, :math:`j = i`.
        complex_scalar_edge: the degree-0 edge function is :math:`1 + i` instead of 1.
        ordered_products: both orders of :math:`F_i \otimes F_i` are kept, though they are equal.
        root_mass_input: the input scalar is :math:`\sqrt{|p^2|}` alone, rounding noise for massless particles;
            the clean model takes :math:`(1, p^2)`.
        constant_decoder_scalars: the decoded scalars are thrown away and replaced by :math:`1 + i`; the clean
            decoder takes (1, decoded scalar).
        constant_decoder_radial: the radial functions of the decoder are constants.
        max_by_square: the ``max`` aggregation picks the scalar with the largest square.
        masked_padding: particles of zero energy are padding; edges that touch them carry the bias of the radial
            functions (and act all the same). The clean model knows no padding.
        plain_sum: messages are summed as they are; in the clean model the sum is divided by ``num_particles``, a
            constant, so that messages are of the size of the particles.
        plain_mlp: the scalar perceptrons replace their input and take it as it is; in the clean model they add to
            it, and large scalars are tamed by :math:`\mathrm{asinh}` first.
        jet_as_particle: ``jet_inputs`` add the jet as one more particle, and to every particle the scalar
            :math:`4 P^2` (the jet is counted twice); the clean model gives every particle the vector :math:`P` and
            the scalars :math:`P^2`, :math:`p_i \cdot P`. Without ``jet_inputs`` it means nothing.
    """

    self_loops: bool = False
    complex_scalar_edge: bool = False
    ordered_products: bool = False
    root_mass_input: bool = False
    constant_decoder_scalars: bool = False
    constant_decoder_radial: bool = False
    max_by_square: bool = False
    masked_padding: bool = False
    plain_sum: bool = False
    plain_mlp: bool = False
    jet_as_particle: bool = False

    @classmethod
    def named(cls, choice: "str | dict[str, Any] | Behaviour") -> "Behaviour":
        """The behaviour called ``"clean"`` or ``"original"``, or one given option by option.

        Raises:
            ValueError: for an unknown name or option.
        """
        if isinstance(choice, Behaviour):
            return choice
        if choice == "clean":
            return cls()
        if choice == "original":
            return cls(**{field.name: True for field in fields(cls)})
        if isinstance(choice, str):
            raise ValueError(f"unknown behaviour '{choice}': choose clean, original, or a mapping of options")
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(choice) - known)
        if unknown:
            raise ValueError(f"unknown behaviour options {unknown}: choose among {sorted(known)}")
        return cls(**choice)

    def to_dict(self) -> dict[str, bool]:
        """The options as a plain dictionary, for configurations and checkpoints."""
        return asdict(self)
