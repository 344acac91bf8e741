"""Whether rebuilt jets, taken together, are distributed as the true ones."""
