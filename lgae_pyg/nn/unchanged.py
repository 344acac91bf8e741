"""Whether modules are still what their classes say, so that a kernel may do their work from their parameters."""

from collections.abc import Iterable
from typing import TypeGuard, TypeVar, cast

from torch import Tensor, nn
from torch.nn.modules import module as registry
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.aggr import Aggregation, SumAggregation

M = TypeVar("M", bound=nn.Module)

PLAIN = (nn.Parameter, Tensor, type(None))
#: Steps of message passing that a layer may define, and what PyG calls around them.
STEPS = ("message", "aggregate", "update", "message_and_aggregate")
MESSAGE_HOOKS = tuple(f"_{step}_forward{when}_hooks" for step in (*STEPS, "propagate") for when in ("_pre", ""))


def is_exactly(module: nn.Module | None, kind: type[M]) -> TypeGuard[M]:
    """Whether calling a module does what its class does from plain parameters, and nothing else.

    It does not where the class is another one (a subclass, an adapter, a parametrization), where its ``forward``
    was replaced or its parameters are something else than tensors, and where hooks are called with it: pruning,
    weight and spectral normalisation, forward and backward hooks, also those that PyTorch calls with all modules.

    Args:
        module: the module, or none.
        kind: its class.
    """
    if type(module) is not kind:
        return False
    state = vars(module)  # written out: asked some hundred times in a training step
    if (
        "forward" in state
        or state["_forward_hooks"]
        or state["_forward_pre_hooks"]
        or state["_backward_hooks"]
        or state["_backward_pre_hooks"]
        or registry._global_forward_hooks
        or registry._global_forward_pre_hooks
        or registry._global_backward_hooks
        or registry._global_backward_pre_hooks
    ):
        return False
    for part in state["_parameters"].values():
        if type(part) not in PLAIN:
            return False
    return True


def as_kind(kind: type[M], modules: Iterable[nn.Module]) -> list[M]:
    """The modules of a container, whose types PyTorch does not know, as those that they were built as. Nothing is
    checked: they may have been replaced since.

    Args:
        kind: their class.
        modules: the container.
    """
    return cast("list[M]", list(modules))


def passes_messages_as(
    conv: MessagePassing, kind: type[MessagePassing], aggregation: type[Aggregation] = SumAggregation
) -> bool:
    """Whether ``propagate`` of a layer does what that of its class does: no step was overridden or has hooks,
    messages are aggregated as they were, and nobody wants them explained.

    Args:
        conv: the layer, of that class or one derived from it.
        kind: the class.
        aggregation: how the class aggregates messages.
    """
    state = vars(conv)
    overridden = any(step in state or getattr(type(conv), step) is not getattr(kind, step) for step in STEPS)
    hooks = any(state.get(name) for name in MESSAGE_HOOKS)
    return not (overridden or hooks or conv.explain) and is_exactly(conv.aggr_module, aggregation)
