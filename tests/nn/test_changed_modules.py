"""What users change inside of a layer has its effect, the same under every back-end."""

from collections.abc import Callable
from types import MethodType

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrizations, prune
from torch_geometric.nn.aggr import MaxAggregation

from lgae_pyg.nn import GraphNetConv, LMPConv, LorentzianBell, MixReps
from lgae_pyg.nn.scalar_mlp import ScalarMLP
from lgae_pyg.nn.unchanged import is_exactly

BACKENDS = ("auto", "fused", "dense", "edge_list")
IRREPS = "2x(0,0)+2x(1/2,1/2)"
PTR = torch.tensor([0, 4, 5, 11])


class Adapted(nn.Module):
    """A linear layer with a term of low rank, as adapters add it: no subclass, and without the sizes of one."""

    def __init__(self, base: nn.Linear):
        super().__init__()
        self.base = base
        self.up = nn.Parameter(0.3 * torch.ones(base.out_features, 1, dtype=torch.float64))
        self.down = nn.Parameter(0.2 * torch.ones(1, base.in_features, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.down.T @ self.up.T


class Half(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 2


class Doubled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class DoubledMix(MixReps):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class DoubledBells(LorentzianBell):
    def forward(self, invariant: Tensor, present: Tensor | None = None) -> Tensor:
        return 2 * super().forward(invariant, present)


class FoldedBells(LorentzianBell):
    def folded(self, dtype: torch.dtype | None = None):
        bells = super().folded(dtype)
        return bells._replace(bias=3 * bells.bias)


class DoubledMessages(LMPConv):
    def message(self, x_j, pos_i, pos_j, present_i, present_j) -> Tensor:
        return 2 * super().message(x_j, pos_i, pos_j, present_i, present_j)


class DoubledEdges(GraphNetConv):
    def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return 2 * super().message(x_i, x_j)


def set_class(path: str, kind: type) -> Callable:
    """Makes a submodule one of a subclass, with the parameters that it has."""

    def change(conv: nn.Module) -> None:
        conv.get_submodule(path).__class__ = kind

    return change


def on(path: str, change: Callable[[nn.Module], object]) -> Callable:
    """Changes a submodule."""
    return lambda conv: change(conv.get_submodule(path))


def replaced(path: str, make: Callable[[nn.Module], nn.Module | None]) -> Callable:
    """Puts another module in the place of one."""

    def change(conv: nn.Module) -> None:
        parent, _, name = path.rpartition(".")
        setattr(conv.get_submodule(parent), name, make(conv.get_submodule(path)))

    return change


def attribute(path: str, name: str, value: object) -> Callable:
    return lambda conv: setattr(conv.get_submodule(path), name, value)


def silenced(module: nn.Module) -> None:
    module.register_forward_hook(lambda module, inputs, output: 0.5 * output)


def pre(module: nn.Module) -> None:
    module.register_forward_pre_hook(lambda module, inputs: (0.5 * inputs[0], *inputs[1:]))


def own_forward(module: nn.Module) -> None:
    module.forward = MethodType(lambda self, x, *rest: 0.5 * type(self).forward(self, x, *rest), module)


def changes_of_layer(path: str) -> dict[str, Callable]:
    """What can be done to a linear layer."""
    return {
        "hook": on(path, silenced),
        "pre-hook": on(path, pre),
        "own forward": on(path, own_forward),
        "subclass": set_class(path, Doubled),
        "adapted": replaced(path, Adapted),
        "without bias": on(path, lambda layer: layer.register_parameter("bias", None)),
        "pruned": on(path, lambda layer: prune.l1_unstructured(layer, "weight", 0.5)),
        "pruned, changed since": on(path, pruned_and_changed),
        "weight norm": on(path, normed),
        "spectral norm": on(path, lambda layer: nn.utils.spectral_norm(layer.eval())),
    }


def pruned_and_changed(layer: nn.Linear) -> None:
    """As after a step of training, before which the pruned weight was made for the last time."""
    prune.l1_unstructured(layer, "weight", 0.5)
    with torch.no_grad():
        layer.weight_orig *= 2


def normed(layer: nn.Linear) -> None:
    parametrizations.weight_norm(layer)
    with torch.no_grad():
        layer.parametrizations.weight.original0.mul_(2)


LMP = changes_of_layer("mlp.layers.2") | {
    "tanh": replaced("mlp.layers.1", lambda _: nn.Tanh()),
    "slope": attribute("mlp.layers.1", "negative_slope", 0.7),
    "slope of all": attribute("mlp", "slope", 0.7),
    "slope below zero": attribute("mlp.layers.1", "negative_slope", -0.5),
    "dropout": on("mlp.layers", lambda layers: layers.insert(2, nn.Dropout(0.5))),
    "another width": on("mlp.layers", lambda layers: layers.extend([nn.Linear(4, 3).double(), nn.Tanh(),
                                                                    nn.Linear(3, 4).double()])),
    "hook on all layers": on("mlp.layers", silenced),
    "hook on the perceptron": on("mlp", silenced),
    "another perceptron": replaced("mlp", lambda _: nn.Identity()),
    "no perceptron": attribute("", "mlp", None),
    "no residual": attribute("mlp", "residual", False),
    "no asinh": attribute("mlp", "squash", False),
    "perceptron in float32": attribute("mlp", "precision", torch.float32),
    "mixed precision": attribute("", "mixed_precision", True),
    "hook on the mixing": on("mix", silenced),
    "subclassed mixing": set_class("mix", DoubledMix),
    "hook on the bells": on("radial", silenced),
    "subclassed bells": set_class("radial", DoubledBells),
    "bells folded otherwise": set_class("radial", FoldedBells),
    "other bells": replaced("radial", lambda bells: nn.Sequential(bells, Half())),
    "constant bells": attribute("radial", "constant", True),
    "neighbours": attribute("", "neighbours", 2.0),
    "edges": attribute("", "scalar_edge", 1 + 1j),
    "self-loops": attribute("", "self_loops", True),
    "messages": set_class("", DoubledMessages),
    "hook on messages": lambda conv: conv.register_message_forward_hook(lambda conv, inputs, output: 2 * output),
    "maximum": attribute("", "aggr_module", MaxAggregation()),
}  # fmt: skip
GNN = changes_of_layer("edge_layers.1") | {
    "hook on a node layer": on("node_layers.0", silenced),
    "adapted node layer": replaced("node_layers.0", Adapted),
    "dropout": on("edge_layers", lambda layers: layers.insert(1, nn.Dropout(0.5))),
    "slope": attribute("", "slope", 0.7),
    "slope below zero": attribute("", "slope", -0.5),
    "messages": set_class("", DoubledEdges),
    "hook on messages": lambda conv: conv.register_message_forward_hook(lambda conv, inputs, output: 2 * output),
    "maximum": attribute("", "aggr_module", MaxAggregation()),
}
CASES = [("LMPConv", name) for name in LMP] + [("GraphNetConv", name) for name in GNN]


def run(layer: str, backend: str, change: Callable | None) -> list[Tensor]:
    """Output and gradients of a layer, by parameters that every back-end has."""
    torch.manual_seed(1)
    if layer == "LMPConv":
        options = {"mlp_depth": 1, "mlp_width": 1, "num_bells": 4, "neighbours": 4.0}
        conv = LMPConv(IRREPS, IRREPS, backend=backend, **options).double()
        inputs = (torch.randn(11, 10, dtype=torch.complex128), 3 * torch.randn(11, 4).double())
    else:
        conv = GraphNetConv(3, (4, 2), (5, 3), backend=backend).double()
        inputs = (torch.randn(11, 3).double(),)
    if change is not None:
        change(conv)
    torch.manual_seed(2)
    leaves = [part.requires_grad_() for part in inputs]
    out = conv(*leaves, ptr=PTR)
    wanted = [*leaves, *conv.parameters()]
    loss = out.abs().square().sum()
    return [out.detach(), *torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)]


@pytest.mark.parametrize(("layer", "name"), CASES)
def test_a_change_has_its_effect_under_every_backend(layer: str, name: str) -> None:
    change = (LMP if layer == "LMPConv" else GNN)[name]
    results = [run(layer, backend, change) for backend in BACKENDS]
    single = name in ("perceptron in float32", "mixed precision")
    difference = (results[-1][0] - run(layer, "edge_list", None)[0]).abs().max()
    assert difference > (1e-12 if single else 1e-3)
    for other in results[:-1]:
        for ours, theirs in zip(other, results[-1], strict=True):
            tolerance = 1e-4 if single else 1e-9
            largest = max(float(theirs.abs().max()), 1e-3)
            torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance * largest)


@pytest.mark.parametrize("layer", ["LMPConv", "GraphNetConv"])
def test_hooks_of_all_modules_are_called(layer: str) -> None:
    """Those that PyTorch calls with every module, under every back-end for every linear layer."""
    for backend in BACKENDS:
        seen: list[nn.Module] = []
        handle = register_module_forward_hook(
            lambda module, inputs, output, seen=seen: seen.append(module) if type(module) is nn.Linear else None
        )
        try:
            run(layer, backend, None)
        finally:
            handle.remove()
        assert len(seen) == {"LMPConv": 2, "GraphNetConv": 4}[layer]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mixed", [False, True])
def test_hooks_that_only_look_see_everything_and_change_nothing(backend: str, mixed: bool) -> None:
    seen: list[Tensor] = []
    results = []
    for looked in (False, True):
        torch.manual_seed(1)
        conv = LMPConv(IRREPS, IRREPS, mlp_depth=1, mlp_width=1, backend=backend, mixed_precision=mixed).double()
        if looked:
            conv.mlp.layers[0].register_forward_hook(lambda module, inputs, output: seen.append(output))
            conv.mlp.layers[2].register_full_backward_hook(lambda module, before, after: seen.append(after[0]))
        x, pos = torch.randn(11, 10, dtype=torch.complex128), torch.randn(11, 4).double()
        out = conv(x, pos, ptr=PTR)
        out.abs().sum().backward()
        results.append(out.detach())
    assert len(seen) == 2 and all(torch.isfinite(part).all() for part in seen)
    tolerance = 1e-5 if mixed else 1e-12
    torch.testing.assert_close(*results, rtol=tolerance, atol=tolerance)


def test_what_is_exactly_a_module() -> None:
    layer = nn.Linear(2, 2)
    assert is_exactly(layer, nn.Linear) and is_exactly(layer.eval(), nn.Linear)
    assert not is_exactly(None, nn.Linear) and not is_exactly(nn.ReLU(), nn.LeakyReLU)
    for name, change in changes_of_layer("0").items():
        if name != "without bias":
            holder = nn.Sequential(nn.Linear(4, 4).double())
            change(holder)
            assert not is_exactly(holder[0], nn.Linear), name
    handle = layer.register_forward_hook(lambda *_: None)
    assert not is_exactly(layer, nn.Linear)
    handle.remove()
    assert is_exactly(layer, nn.Linear)
    pruned = prune.l1_unstructured(nn.Linear(2, 2), "weight", 0.5)
    assert is_exactly(prune.remove(pruned, "weight"), nn.Linear)


def test_the_slope_of_a_perceptron() -> None:
    assert ScalarMLP(1, 2, 1).slope == 0.01 and ScalarMLP(1, 2, 1, "relu").slope == 0.0
    assert ScalarMLP(1, 2, 1, "silu").slope is None
