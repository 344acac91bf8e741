"""Which particle belongs to which jet: layers, aggregations and models are told, or say what is missing."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.nn import Linear, Sequential, global_add_pool
from torch_geometric.nn.aggr import Aggregation

from lgae_pyg.data import JetData
from lgae_pyg.models import CNNAE, GNNAE, LGAE, LinearAE, ShellLGAE
from lgae_pyg.nn import GraphNetConv, LMPConv, complete_graph
from lgae_pyg.nn.aggr import LinearAggregation, MixAggregation, build_aggregation

IRREPS = "1x(0,0)+1x(1/2,1/2)"
SMALL = {"encoder_channels": (2, 2), "decoder_channels": (2, 2), "mlp_depth": 1, "mlp_width": 1}
LAYERS = ["LMPConv", "GraphNetConv"]
MODELS = {
    "LGAE-mix": lambda: LGAE(**SMALL),
    "LGAE-min&max": lambda: LGAE("min&max", **SMALL),
    "LGAE-mean-slots": lambda: LGAE("mean", decode="slots", **SMALL),
    "ShellLGAE": lambda: ShellLGAE(**SMALL),
    "LinearAE": lambda: LinearAE().fit_moment(torch.diag(torch.arange(30.0).double() + 1)),
    "GNNAE-JL": lambda: GNNAE().double(),
    "GNNAE-PL": lambda: GNNAE("particle").double(),
    "CNNAE": lambda: CNNAE(pixels=8, channels=4).double(),
}


def layer(name: str, backend: str = "auto") -> Callable[..., Tensor]:
    """A layer as a function of momenta and of how jets are told apart."""
    if name == "GraphNetConv":
        conv = GraphNetConv(4, (5,), (3,), backend=backend).double()
        return lambda pos, *given, **graph: conv(pos, *given, **graph)
    conv = LMPConv(IRREPS, IRREPS, num_bells=4, mlp_depth=1, backend=backend, scale="TeV").double()

    def call(pos: Tensor, *given: Tensor, **graph: Tensor) -> Tensor:
        return conv(torch.cat([torch.ones_like(pos[:, :1]), pos], -1), pos, *given, **graph)

    return call


@pytest.mark.parametrize("backend", ["auto", "dense", "edge_list"])
@pytest.mark.parametrize("name", LAYERS)
def test_all_ways_of_telling_jets_apart_agree(name: str, backend: str, jets: Batch) -> None:
    conv = layer(name, backend)
    expected = conv(jets.pos, ptr=jets.ptr)
    edges = complete_graph(jets.ptr, self_loops=name == "GraphNetConv")
    assert torch.equal(conv(jets.pos, batch=jets.batch), expected)
    assert torch.equal(conv(jets.pos, jets.batch), expected)  # as PyG's Sequential passes it
    assert torch.equal(conv(jets.pos, ptr=jets.ptr.int()), expected)
    torch.testing.assert_close(conv(jets.pos, edge_index=edges), expected, rtol=1e-9, atol=1e-12)
    one = conv(jets.pos, batch=torch.zeros_like(jets.batch))
    assert (one - expected).abs().max() > 1e-3 * expected.abs().max()


@pytest.mark.parametrize("name", LAYERS)
def test_layers_want_one_of_them(name: str, jets: Batch) -> None:
    conv = layer(name)
    edges = complete_graph(jets.ptr)
    for graph in ({}, {"ptr": jets.ptr, "batch": jets.batch}, {"edge_index": edges, "ptr": jets.ptr}):
        with pytest.raises(ValueError, match=r"pass one of edge_index, ptr and batch.*batch=batch\.batch"):
            conv(jets.pos, **graph)
    with pytest.raises(ValueError, match=r"torch\.tensor\(\[0, 30\]\)"):
        conv(jets.pos[:30])


@pytest.mark.parametrize("backend", ["auto", "dense", "edge_list"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_refuse_what_does_not_fit(name: str, backend: str) -> None:
    conv, pos = layer(name, backend), torch.randn(4, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"sorted by graph, but batch falls at node 2.*argsort"):
        conv(pos, batch=torch.tensor([0, 1, 0, 1]))
    for ptr in ([0, 2], [0, 2, 5], [1, 4], [0, 3, 2, 4], [0, -1, 4]):
        with pytest.raises(ValueError, match=r"ptr must rise from 0 to the number of nodes, 4"):
            conv(pos, ptr=torch.tensor(ptr))
    for batch in ([0, 0, 1], [0, 0, 1, 1, 1]):
        with pytest.raises(ValueError, match="but there are 4"):
            conv(pos, batch=torch.tensor(batch))
    with pytest.raises(ValueError, match="graphs from -1 to 1"):
        conv(pos, batch=torch.tensor([-1, 0, 1, 1]))
    with pytest.raises(ValueError, match="vector of integers"):
        conv(pos, ptr=torch.tensor([0.0, 4.0]))
    with pytest.raises(ValueError, match="do not fit"):
        conv(pos, ptr=torch.tensor([], dtype=torch.long))


@pytest.mark.parametrize("name", LAYERS)
def test_jets_without_particles_change_nothing_for_layers(name: str) -> None:
    conv, pos = layer(name), torch.randn(5, 4, dtype=torch.float64)
    expected = conv(pos, ptr=torch.tensor([0, 2, 5]))
    assert torch.equal(conv(pos, ptr=torch.tensor([0, 0, 2, 2, 5, 5])), expected)
    assert torch.equal(conv(pos, batch=torch.tensor([1, 1, 3, 3, 3])), expected)


def test_in_a_sequential_of_pyg(jets: Batch) -> None:
    """Beside PyG's own layers, with the batch vector, as a tagger; gradients reach all of it."""
    network = Sequential("x, pos, batch", [
        (LMPConv(IRREPS, "4x(0,0)+4x(1/2,1/2)", num_bells=4, scale="TeV"), "x, pos, batch -> x"),
        (LMPConv("4x(0,0)+4x(1/2,1/2)", "4x(0,0)+4x(1/2,1/2)", num_bells=4, scale="TeV"), "x, pos, batch -> x"),
        (lambda x: x[:, :4].real, "x -> s"),
        (GraphNetConv(4, (8,), (8, 4)), "s, batch -> s"),
        (global_add_pool, "s, batch -> s"),
        torch.nn.ReLU(),
        Linear(4, 2),
    ]).double()  # fmt: skip
    x = torch.cat([torch.ones(jets.num_nodes, 1), jets.pos], -1)
    out = network(x, jets.pos, jets.batch)
    assert out.shape == (12, 2)
    alone = [network(x[jets.batch == k], jets.pos[jets.batch == k], jets.batch[jets.batch == k] * 0)
             for k in range(12)]  # fmt: skip
    torch.testing.assert_close(out, torch.cat(alone), rtol=1e-9, atol=1e-12)
    out.square().sum().backward()
    missing = [name for name, value in network.named_parameters() if value.grad is None]
    assert not [name for name in missing if "(1/2,1/2)" not in name]  # vectors of the last level are not used
    network.reset_parameters()


# Aggregations.


def aggregations() -> dict[str, Aggregation]:
    names = ("min", "max", "mean", "sum", "softmax", "min&mean")
    built: dict[str, Aggregation] = {name: build_aggregation(name, IRREPS) for name in names}
    return built | {"mix": MixAggregation(IRREPS, IRREPS, 5).double()}


@pytest.mark.parametrize("name", aggregations())
def test_jets_without_particles_keep_their_rows(name: str) -> None:
    """At the beginning, in the middle and at the end, from ``ptr`` and from ``index`` with the number of jets."""
    aggregation, x = aggregations()[name], torch.randn(5, 5, dtype=torch.complex128)
    full = aggregation(x, ptr=torch.tensor([0, 2, 5]))
    ptr, index = torch.tensor([0, 0, 2, 2, 5, 5]), torch.tensor([1, 1, 3, 3, 3])
    for found in (aggregation(x, ptr=ptr), aggregation(x, index=index, dim_size=5)):
        assert found.shape[0] == 5
        torch.testing.assert_close(found[[1, 3]], full)
        assert not found[[0, 2, 4]].any()


@pytest.mark.parametrize("name", aggregations())
def test_unsorted_nodes_are_refused_or_summed_rightly(name: str) -> None:
    """Sums do not depend on the order; the others say what to do."""
    aggregation, x = aggregations()[name], torch.randn(5, 5, dtype=torch.complex128)
    index = torch.tensor([1, 0, 1, 0, 0])
    order = index.argsort(stable=True)
    expected = aggregation(x[order], index=index[order])
    if isinstance(aggregation, LinearAggregation):
        torch.testing.assert_close(aggregation(x, index=index), expected)
        return
    with pytest.raises(ValueError, match=r"falls at node 1.*argsort"):
        aggregation(x, index=index)


@pytest.mark.parametrize("name", aggregations())
def test_contradictions_are_refused(name: str) -> None:
    aggregation, x = aggregations()[name], torch.randn(4, 5, dtype=torch.complex128)
    index, ptr = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 2, 4])
    torch.testing.assert_close(aggregation(x, index, ptr), aggregation(x, ptr=ptr))
    for wrong in ((index, torch.tensor([0, 3, 4]), None), (None, torch.tensor([0, 2]), None), (index, ptr, 3)):
        with pytest.raises(ValueError):
            aggregation(x, *wrong)


# Models.


@pytest.mark.parametrize("with_ptr", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_jets_without_particles_change_nothing_for_models(name: str, with_ptr: bool, jets: Batch) -> None:
    """At the beginning, in the middle and at the end they keep their rows; the others and gradients stay."""
    model, sizes = MODELS[name](), [0, 5, 0, 7, 0]
    model.check_inputs = False  # which refuses jets without particles
    batch = Batch.from_data_list([JetData(pos=jets.pos[:size]) for size in sizes])
    if not with_ptr:
        del batch.ptr
    result = model(batch)
    others = model(Batch.from_data_list([JetData(pos=jets.pos[:size]) for size in (5, 7)]))
    for found, expected in zip(result.latent, others.latent):
        assert len(found) == 5 and torch.isfinite(torch.view_as_real(found) if found.is_complex() else found).all()
        torch.testing.assert_close(found[[1, 3]], expected, rtol=1e-9, atol=1e-11)
    graph = torch.repeat_interleave(result.ptr.diff())
    kept = result.p4[(graph == 1) | (graph == 3)]
    torch.testing.assert_close(kept, others.p4, rtol=1e-9, atol=1e-11)
    parameters = [p for p in model.parameters() if p.requires_grad]
    if parameters:
        kept.square().sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in parameters if p.grad is not None)


@pytest.mark.parametrize("name", MODELS)
def test_models_refuse_batches_that_contradict_themselves(name: str, jets: Batch) -> None:
    model, pos = MODELS[name](), jets.pos[:6]
    rightly = model(Data(pos=pos, batch=torch.tensor([0, 0, 0, 0, 1, 1]))).p4
    torch.testing.assert_close(model(Data(pos=pos, ptr=torch.tensor([0, 4, 6]))).p4, rightly)
    for graph in ({"batch": [0, 1, 0, 1, 0, 1]}, {"ptr": [0, 4]}, {"ptr": [0, 4, 5], "batch": [0, 0, 0, 0, 1, 1]},
                  {"ptr": [0, 3, 6], "batch": [0, 0, 0, 0, 1, 1]}, {"batch": [0, 0, 1]}):  # fmt: skip
        with pytest.raises(ValueError, match=r"sorted|ptr must rise|out of date|but there are 6"):
            model(Data(pos=pos, **{key: torch.tensor(value) for key, value in graph.items()}))


def test_complete_graph_from_a_batch_vector(jets: Batch) -> None:
    assert torch.equal(complete_graph(batch=jets.batch), complete_graph(jets.ptr))
    assert torch.equal(complete_graph(jets.ptr, True, jets.batch), complete_graph(jets.ptr, self_loops=True))
    for wrong, message in (({}, "Pass batch or ptr"), ({"batch": torch.tensor([1, 0])}, "sorted by graph")):
        with pytest.raises(ValueError, match=message):
            complete_graph(**wrong)
