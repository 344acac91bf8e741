"""Makes jets with Pythia 8 and FastJet; the same as ``lgae generate``."""

import sys

from lgae_pyg.cli import main

if __name__ == "__main__":
    sys.exit(main(["generate", *sys.argv[1:]]))
