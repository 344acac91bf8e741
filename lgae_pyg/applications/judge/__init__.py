"""What a score is worth: the verdict of our studies of taggers and of anomalies on anybody's scores."""

from lgae_pyg.applications.judge.files import judge_file
from lgae_pyg.applications.judge.verdict import Verdict, judge

__all__ = ["Verdict", "judge", "judge_file"]
