"""Units of momenta."""

from lgae_pyg.registry import check_choice

#: Each unit in GeV.
UNITS_IN_GEV = {"GeV": 1.0, "TeV": 1e3, "PeV": 1e6}


def unit_factor(source: str, target: str) -> float:
    """Returns the number that momenta in ``source`` are multiplied by to be in ``target``.

    Raises:
        ValueError: for an unknown unit.
    """
    for unit in (source, target):
        check_choice("unit", unit, UNITS_IN_GEV)
    return UNITS_IN_GEV[source] / UNITS_IN_GEV[target]
