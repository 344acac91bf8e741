"""Complete graphs and dense layouts of ragged batches."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lgae_pyg.ops.graphs import complete_graph, dense_layout, graph_sizes, node_slots, node_to_graph, pointers

sizes_of_jets = st.lists(st.integers(0, 9), min_size=1, max_size=6).map(torch.tensor)


@given(sizes_of_jets)
def test_sizes_and_offsets_are_inverse(sizes: torch.Tensor) -> None:
    ptr = pointers(sizes)
    assert torch.equal(graph_sizes(ptr), sizes)
    assert torch.equal(torch.bincount(node_to_graph(ptr), minlength=len(sizes)), sizes)


@given(sizes_of_jets, st.booleans())
def test_complete_graph_has_each_pair_once(sizes: torch.Tensor, self_loops: bool) -> None:
    ptr = pointers(sizes)
    source, target = complete_graph(ptr, self_loops).tolist()
    expected = {
        (i, j)
        for begin, end in zip(ptr.tolist(), ptr[1:].tolist())
        for i in range(begin, end)
        for j in range(begin, end)
        if self_loops or i != j
    }
    assert len(source) == len(expected)
    assert set(zip(target, source)) == expected


@given(sizes_of_jets, st.integers(0, 3))
def test_dense_layout_round_trip(sizes: torch.Tensor, spare: int) -> None:
    ptr = pointers(sizes)
    values = torch.randn(int(ptr[-1]), 2)
    layout = dense_layout(ptr, int(sizes.max()) + spare)
    dense = layout.scatter(values, fill=7.0)
    assert dense.shape == (len(sizes), int(sizes.max()) + spare, 2)
    assert torch.equal(layout.gather(dense), values)
    assert (dense == 7.0).all(-1).sum() == dense.shape[0] * dense.shape[1] - len(values)


def test_slots_count_from_zero_in_each_jet() -> None:
    assert node_slots(torch.tensor([0, 3, 3, 5])).tolist() == [0, 1, 2, 0, 1]


def test_too_large_a_jet_is_named() -> None:
    with pytest.raises(ValueError, match=r"jet 1 of the batch has 5 particles, but the model has 4 slots"):
        dense_layout(torch.tensor([0, 3, 8]), slots=4)
