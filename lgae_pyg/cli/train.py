"""``lgae train``: trains a model from a Hydra configuration."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Leaves all words to Hydra: overrides as well as ``--help``, ``--cfg``, ``--multirun``."""
    parser.prefix_chars = "\0"  # no word begins like this, so none is taken for an option of argparse
    parser.add_argument("words", nargs="*", help="overrides, e.g. experiment=quickstart trainer.max_epochs=5")


def run(options: argparse.Namespace) -> int:
    """Trains.

    Returns:
        0 the training is complete; 1 an error that the message explains; 3 a loss or gradient was not finite;
        75 stopped by a signal, can be continued.
    """
    from lgae_pyg.training.main import main

    return main(options.words)
