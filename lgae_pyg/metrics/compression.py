"""How much smaller than the jet its code is."""


def compression_rates(latent_size: int, num_particles: int, side_information: int = 0) -> dict[str, float]:
    r"""The size of the code in percent of the size of the jet, by both definitions in use.

    A jet of :math:`N` particles is :math:`4 N` numbers if four-momenta are counted, as the published
    percentages of the LGAE do (:math:`2 (\tau_S + 4 \tau_V) / 4N`: 61.67 % for one complex scalar and nine
    complex vectors at :math:`N = 30`), and :math:`3 N` if the particles are known to be massless, as the
    percentages of the other autoencoders in arXiv:2212.07347 do. What the decoder is told besides the code
    (the number of particles of the jet) is part of the price.

    Args:
        latent_size: the number of real numbers in the code of one jet.
        num_particles: the number of particles :math:`N` that a jet is made of.
        side_information: further real numbers that the decoder is given.

    Returns:
        ``four_momenta`` and ``three_momenta``, in percent: :math:`100\, L / 4N` and :math:`100\, L / 3N`
        with :math:`L` the sum of the code and the side information.
    """
    numbers = latent_size + side_information
    return {
        "four_momenta": 100.0 * numbers / (4 * num_particles),
        "three_momenta": 100.0 * numbers / (3 * num_particles),
    }
