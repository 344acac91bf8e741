"""Trains a model from a Hydra configuration; the same as ``lgae train``.

Examples::

    python train/train.py experiment=quickstart
    python train/train.py model=lgae_min_max trainer.max_epochs=100 optimizer.lr=5e-4
    python train/train.py --multirun model.latent_vectors=2,4,9
    python train/train.py --cfg job
"""

import sys

from lgae_pyg.training.main import main

if __name__ == "__main__":
    sys.exit(main(program="python train/train.py"))
