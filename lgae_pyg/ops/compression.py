"""How small the codes are."""


def compression_rates(latent_size: int, num_particles: int, side_information: int = 0) -> dict[str, float]:
    r"""The size of a code in percent of the jet it stands for, by both definitions in use.

    A jet of :math:`N` particles is :math:`4 N` numbers if four-momenta are counted, as the published
    percentages of the LGAE do (:math:`2 (\tau_S + 4 \tau_V) / 4N`: 61.67 % for one complex scalar and nine
    complex vectors at :math:`N = 30`), and :math:`3 N` if the particles are known to be massless, as the
    percentages of the other autoencoders in arXiv:2212.07347 do. What the decoder is told besides the code
    (the number of particles of the jet) is part of the price, so it is given with and without.

    Args:
        latent_size: the number of real numbers in the code of one jet.
        num_particles: the number of particles :math:`N` that a jet is made of.
        side_information: further numbers that the decoder is given.

    Returns:
        ``four_vector`` (:math:`L / 4N`), ``massless`` (:math:`L / 3N`), and both ``..._with_side``, where
        :math:`L` includes the side information; in percent.
    """
    rates = {}
    for name, numbers in (("four_vector", 4), ("massless", 3)):
        size = numbers * num_particles
        rates[name] = 100.0 * latent_size / size
        rates[f"{name}_with_side"] = 100.0 * (latent_size + side_information) / size
    return rates
