"""Choices of jets keep the shares of the classes and are nested."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lgae_pyg.datasets import stratified_choice


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 5), st.data())
@settings(max_examples=100, deadline=None)
def test_shares_are_kept_and_choices_are_nested(first: int, second: int, seed: int, data: st.DataObject) -> None:
    y = torch.tensor([0] * first + [3] * second)[torch.randperm(first + second)]
    jets = data.draw(st.integers(2, first + second))
    chosen = stratified_choice(y, jets, seed)
    assert len(chosen.unique()) == jets
    share = jets / len(y)
    assert abs(int((y[chosen] == 0).sum()) - share * first) <= 1
    larger = stratified_choice(y, min(jets + 3, len(y)), seed)
    assert set(chosen.tolist()) <= set(larger.tolist())


def test_ten_of_many_are_five_of_each() -> None:
    y = torch.arange(1000) % 2
    chosen = stratified_choice(y, 10, 0)
    assert y[chosen].sum() == 5
    assert torch.equal(chosen, stratified_choice(y, 10, 0))
    assert not torch.equal(chosen, stratified_choice(y, 10, 1))


@pytest.mark.parametrize("jets", [0, 1, 11])
def test_what_cannot_be_chosen(jets: int) -> None:
    with pytest.raises(ValueError, match="at least one of each class"):
        stratified_choice(torch.arange(10) % 2, jets, 0)
