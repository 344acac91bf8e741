"""Units of momenta."""

from lgae_pyg.registry import check_choice
from lgae_pyg.vocabulary import UNITS_IN_GEV as UNITS_IN_GEV


def unit_factor(source: str, target: str) -> float:
    """Returns the number that momenta in ``source`` are multiplied by to be in ``target``.

    Raises:
        ValueError: for an unknown unit.
    """
    for unit in (source, target):
        check_choice("unit", unit, UNITS_IN_GEV)
    return UNITS_IN_GEV[source] / UNITS_IN_GEV[target]
