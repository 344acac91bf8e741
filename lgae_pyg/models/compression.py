"""How small the codes are."""


def compression_rates(latent_size: int, num_particles: int, side_information: int) -> dict[str, float]:
    r"""Size of a code as a percentage of the jet it stands for.

    The paper's LGAE figures count :math:`4N` numbers per jet, its baselines :math:`3N` (massless particles have
    three); both are given. The number of particles of the jet is counted as side information where the decoder
    needs it.

    Args:
        latent_size: real numbers of the code.
        num_particles: :math:`N`.
        side_information: further numbers that travel with the code.

    Returns:
        ``four_vector`` (:math:`/4N`), ``massless`` (:math:`/3N`), and both ``..._with_side``.
    """
    rates = {}
    for name, numbers in (("four_vector", 4), ("massless", 3)):
        rates[name] = 100 * latent_size / (numbers * num_particles)
        rates[f"{name}_with_side"] = 100 * (latent_size + side_information) / (numbers * num_particles)
    return rates
