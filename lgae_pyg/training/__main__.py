"""``python -m lgae_pyg.training``: the same as ``lgae train``."""

import sys

from lgae_pyg.training.main import main

if __name__ == "__main__":
    sys.exit(main())
