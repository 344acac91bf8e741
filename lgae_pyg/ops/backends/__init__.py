"""Back-ends of the neighbour sum, one file each; values and gradients agree with the plain definition."""
