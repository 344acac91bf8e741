"""Slices of complete graphs and their chunks are the pairs of the edge list, each once and in order."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lgae_pyg.ops.graphs import complete_graph, pointers
from lgae_pyg.ops.pair_chunks import Pairs, all_pairs, complete_pairs, edge_pairs

sizes_of_jets = st.lists(st.integers(0, 9), min_size=0, max_size=7)


def walked(pairs: Pairs) -> list[Tensor]:
    """The pairs of each chunk, with the numbers that the nodes have in the batch."""
    found, offset = [], 0
    for group, slices in zip(pairs.groups, pairs.chunks()):
        found += [group.indices(begin, end) + offset for begin, end in slices]
        offset += group.nodes
    return found


@given(sizes_of_jets, st.booleans(), st.integers(0, 200), st.integers(0, 200))
def test_slices_of_complete_graphs(sizes: list[int], self_loops: bool, first: int, second: int) -> None:
    ptr = pointers(torch.tensor(sizes, dtype=torch.long))
    edges = complete_graph(ptr, self_loops)
    begin, end = sorted(min(bound, edges.shape[1]) for bound in (first, second))
    assert torch.equal(complete_pairs(ptr, begin, end, self_loops), edges[:, begin:end])
    assert torch.equal(complete_pairs(ptr, begin, self_loops=self_loops), edges[:, begin:])


@given(sizes_of_jets, st.booleans(), st.integers(1, 100) | st.none(), st.booleans())
def test_chunks_hold_each_pair_once(sizes: list[int], self_loops: bool, limit: int | None, known: bool) -> None:
    ptr = pointers(torch.tensor(sizes, dtype=torch.long))
    edges = complete_graph(ptr, self_loops)
    pairs = all_pairs(ptr, self_loops, limit, sizes if known else None)
    chunks = walked(pairs)
    assert torch.equal(torch.cat(chunks, 1), edges)
    assert max(chunk.shape[1] for chunk in chunks) <= (limit or edges.shape[1])
    assert (pairs.nodes, pairs.count) == (sum(sizes), edges.shape[1])
    degrees = torch.cat([group.degrees() for group in pairs.groups])
    assert torch.equal(degrees, torch.bincount(edges[1], minlength=sum(sizes)))


@given(st.integers(1, 6), st.integers(0, 30), st.integers(1, 40) | st.none())
def test_chunks_of_given_edges(nodes: int, count: int, limit: int | None) -> None:
    edges = torch.randint(nodes, (2, count))
    pairs = edge_pairs(edges, nodes, limit)
    chunks = walked(pairs)
    assert torch.equal(torch.cat(chunks, 1), edges)
    assert max(chunk.shape[1] for chunk in chunks) <= (limit or count)
    assert torch.equal(pairs.groups[0].degrees(), torch.bincount(edges[1], minlength=nodes))


def test_small_jets_share_a_chunk_and_large_ones_are_cut() -> None:
    pairs = all_pairs(pointers(torch.tensor([1, 3, 4, 1, 7, 2])), max_pairs=20)
    assert [group.nodes for group in pairs.groups] == [9, 7, 2]
    assert pairs.chunks() == [[(0, 18)], [(0, 14), (14, 28), (28, 42)], [(0, 2)]]


@pytest.mark.parametrize("limit", [0, -3])
def test_a_chunk_holds_a_pair(limit: int) -> None:
    with pytest.raises(ValueError, match=f"at least one pair, not {limit}"):
        all_pairs(torch.tensor([0, 2]), max_pairs=limit)
    with pytest.raises(ValueError, match=f"at least one pair, not {limit}"):
        edge_pairs(torch.zeros(2, 1, dtype=torch.long), 1, max_pairs=limit)
