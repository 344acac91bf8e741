"""How well jets are rebuilt: errors of particles and jets, and the equivariance error."""
