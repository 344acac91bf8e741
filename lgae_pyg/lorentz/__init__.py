"""Lorentz group: irreducible representations, Clebsch-Gordan coefficients, group elements, kinematics."""

from lgae_pyg.lorentz.clebsch_gordan import clebsch_gordan
from lgae_pyg.lorentz.equivariance import equivariance_error
from lgae_pyg.lorentz.group import boost, generators, random_lorentz, representation_matrix, rotation
from lgae_pyg.lorentz.irreps import Irrep, Irreps
from lgae_pyg.lorentz.kinematics import (
    azimuth,
    delta_r,
    energy,
    from_pt_eta_phi_m,
    from_relative_coordinates,
    mass,
    massless,
    minkowski_dot,
    minkowski_square,
    pseudorapidity,
    rapidity,
    relative_coordinates,
    spatial,
    transverse_momentum,
    wrap_angle,
)

__all__ = [
    "Irrep",
    "Irreps",
    "azimuth",
    "boost",
    "clebsch_gordan",
    "delta_r",
    "energy",
    "equivariance_error",
    "from_pt_eta_phi_m",
    "from_relative_coordinates",
    "generators",
    "mass",
    "massless",
    "minkowski_dot",
    "minkowski_square",
    "pseudorapidity",
    "random_lorentz",
    "rapidity",
    "relative_coordinates",
    "representation_matrix",
    "rotation",
    "spatial",
    "transverse_momentum",
    "wrap_angle",
]
