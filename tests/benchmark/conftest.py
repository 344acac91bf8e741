"""The scripts of train/benchmarks can be imported, here and in the processes that they start."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "train" / "benchmarks"))
