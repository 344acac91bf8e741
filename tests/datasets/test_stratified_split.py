"""Splits by seed, class by class."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lgae_pyg.datasets import stratified_split


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=5, max_size=5).filter(any),
    st.tuples(st.integers(0, 10), st.integers(0, 10), st.integers(1, 10)),
    st.integers(0, 2**31),
)
def test_splits_are_disjoint_exhaustive_and_stratified(sizes, shares, seed):
    y = torch.repeat_interleave(torch.arange(5), torch.tensor(sizes))
    fractions = [share / sum(shares) for share in shares]
    parts = [stratified_split(y, split, fractions, seed) for split in ("train", "val", "test")]
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(len(y)))
    for part, fraction in zip(parts, fractions):
        for number, size in enumerate(sizes):
            assert abs((y[part] == number).sum() - fraction * size) <= 1
    # The jets of a class are cut alike whatever other classes there are.
    for number in y.unique().tolist():
        alone = stratified_split(y[y == number], "train", fractions, seed)
        first = int((y < number).sum())
        assert torch.equal(parts[0][y[parts[0]] == number] - first, alone)
