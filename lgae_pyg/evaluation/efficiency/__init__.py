"""Data efficiency: errors against the number of training jets."""
