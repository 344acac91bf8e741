"""Models and jets for the tests of applications: those of the tests of taggers."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "models" / "taggers"))
