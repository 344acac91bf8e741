"""Which symmetries a model has, measured."""
