"""Calls every kernel with every wrong thing; ``test_kernel_door.py`` runs it in a process of its own.

Each argument of each operator is replaced by wrong ones in turn. A call must raise an error by name, or give what
it gives for tidy copies of the same arguments; what was read from elsewhere would differ.
"""

import os
import resource
import sys
from collections.abc import Callable, Iterator
from itertools import count

import torch
from torch import Tensor

from lgae_pyg.nn import LMPConv
from lgae_pyg.ops.backends import (  # noqa: F401
    compiled,
    compiled_convolution,
    compiled_edges,
    compiled_level,
    compiled_lorentz,
    compiled_nodes,
    compiled_tensors,
)
from lgae_pyg.ops.mixing import MixedIrrep
from lgae_pyg.ops.steps import Steps
from lgae_pyg.ops.tensor_levels import Table

OPS = torch.ops.lgae_pyg
ERRORS = (ValueError, TypeError, RuntimeError)
NODES, PTR = 6, torch.tensor([0, 2, 2, 6])
draws = count()


def draw(*shape: int, dtype: torch.dtype = torch.complex128) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(next(draws)))


def real(*shape: int) -> Tensor:
    return draw(*shape, dtype=torch.float64)


def calls() -> dict[str, tuple[Callable, list]]:
    """Every operator with right arguments."""
    momenta = {"real": real(NODES, 4), "complex": draw(NODES, 4)}
    found: dict[str, tuple[Callable, list]] = {}
    for kind, p in momenta.items():
        mixed = 8 if kind == "real" else 4
        common = [draw(NODES, 10), p, real(3 + 4 * mixed), 3, PTR]
        found[f"neighbour sum, {kind}"] = OPS.neighbour_sum, common
        found[f"neighbour sum, {kind}, backward"] = OPS.neighbour_sum_backward, [draw(NODES, 20), *common, True]
    p = momenta["complex"]
    parameters = [real(3), real(3), real(3), real(2, 2, 3), real(2, 2), real(2, 10, 2), real(2, 8, 2)]
    parameters += [real(5, 4), real(5), real(4, 5), real(4)]
    common = [draw(NODES, 10), p, parameters, [1.0] * 9, [2, 5, 1], 0.1, True, True, False, PTR]
    found["level"] = OPS.lmp_level, common
    found["level, backward"] = OPS.lmp_level_backward, [draw(NODES, 10), draw(NODES, 20), *common, True]
    common = [real(NODES, 3), real(NODES, 4), real(NODES, 4), real(4 + 2 * 5), [4, 2], 0.2, False, PTR]
    found["edge network"] = OPS.edge_sum, common
    found["edge network, backward"] = OPS.edge_sum_backward, [real(NODES, 2), *common]
    common = [draw(NODES, 10), [real(3, 2, 2), real(1, 2, 2)], [0, 2, 1, 3, 2, 2, 4, 1]]
    found["mixing"] = OPS.mix_channels, common
    found["mixing, backward"] = OPS.mix_channels_backward, [draw(NODES, 7), *common, True]
    found["extremum"] = OPS.extremum, [draw(NODES, 10), PTR, [2, 1, 2, 4], True, False, 1e-12]
    found["extremum, backward"] = OPS.extremum_backward, [draw(3, 10), real(NODES, 8), PTR, [2, 1, 2, 4]]
    return found | lorentz_calls() | convolution_calls() | tensor_calls()


def lorentz_calls() -> dict[str, tuple[Callable, list]]:
    """The kernels of LorentzNet's block, which are no operators."""
    hidden, x = 3, real(NODES, 4)
    terms = [x, real(NODES, hidden), real(NODES, hidden)]
    count = 2 * hidden + hidden * (hidden + 1) + hidden + 1 + hidden * (hidden + 2)
    common = [*terms, real(count), True, True, 2.0, PTR]
    *_, kept = compiled_lorentz.lorentz_sum(*common)
    upstream = [real(NODES, hidden), real(NODES, 4), kept]
    found: dict[str, tuple[Callable, list]] = {
        "LorentzNet": (lambda *given: compiled_lorentz.lorentz_sum(*given)[:2], common),
        "LorentzNet, backward": (compiled_lorentz.lorentz_sum_backward, [*upstream, *common]),
    }
    common = [*terms, real(hidden, 2), PTR]
    *_, sums = compiled_lorentz.moments(*common)
    found["moments"] = compiled_lorentz.moments, common
    found["moments, backward"] = moments_gradients, [real(hidden), real(hidden), sums, *common]
    return found


def convolution_calls() -> dict[str, tuple[Callable, list]]:
    """The kernels of ParticleNet's edge convolution, which are no operators."""
    own, edges = compiled_convolution, torch.tensor([[0, 5, 1, 1], [2, 5, 2, 0]])
    rows, columns, share = [real(4, 3), real(3), real(3)], [real(3) for _ in range(4)], real(NODES)
    before = [real(3, 5), real(4, 5), *(real(5) for _ in range(3))]

    def to_terms(*given) -> tuple:
        return own.edge_terms_backward(*given[:10], NODES, True, *given[10:])

    return {
        "edge terms": (own.edge_terms, [real(NODES, 3), real(NODES, 3), edges]),
        "edge moments": (own.edge_moments, rows[:1]),
        "edge layer": (own.edge_layer, [*rows, real(5, 3)]),
        "edge mean": (own.edge_mean, [*rows, edges, share]),
        "edge norm, sums": (own.edge_norm_sums, [real(4, 3), *rows, real(3)]),
        "edge mean, sums": (own.edge_norm_sums, [real(NODES, 3), *rows, real(3), edges, share]),
        "edge terms, backward": (to_terms, [real(4, 3), *rows, *columns, True, edges]),
        "edge terms, mean, backward": (to_terms, [real(NODES, 3), *rows, *columns, True, edges, edges, share]),
        "edge layer, backward": (own.edge_layer_backward, [real(4, 3), *rows, *columns, True, *before]),
        "edge layer, mean, backward": (
            own.edge_layer_backward,
            [real(NODES, 3), *rows, *columns, True, *before, edges, share],
        ),
    }


def tensor_calls() -> dict[str, tuple[Callable, list]]:
    """The kernels of levels on any irreps, which are no operators."""
    own = compiled_tensors
    sizes = {"num_bells": 3, "mlp_depth": 1, "mlp_width": 1}
    conv = LMPConv("1x(0,0)+1x(1/2,1/2)", "2x(0,0)+1x(1/2,1/2)", max_weight=2, **sizes)
    tables, plan = conv.tables, conv.mix.plan
    steps = [part for one in (tables.columns, tables.update) for part in ([*one.sizes], one.places, one.values)]
    parameters = [part.detach().double() for part in conv.parameters()]
    lists = [tables.counts, [number for irrep in plan for number in irrep], [4, 4, 4], 0, 0.1, True, True]
    features, kept = draw(NODES, 5), real(2 * tables.update.sizes[0] * (NODES + 16 * 3))
    common = [real(NODES, 4), PTR, *steps, parameters, *lists, False, True]

    def level(pos, ptr, *given) -> compiled_tensors.LevelCall:
        columns, update = (Steps(tuple(given[i]), *given[i + 1 : i + 3]) for i in (0, 3))
        parameters, counts, irreps, *more = given[6:]
        mixed = [MixedIrrep(*irreps[i : i + 4]) for i in range(0, len(irreps), 4)]
        return own.LevelCall(pos, ptr, columns, update, parameters, own.Options(counts, mixed, *more))

    table = Table.of([(0, 0, 1, 1j), (1, 2, 3, 1.0), (1, 0, 2, 0.5), (4, 2, 2, 2 - 1j)], 3, 5).steps
    numbers = [draw(NODES, 3), [*table.sizes], table.places, table.values]

    def steps_of(*given) -> Steps:
        return Steps(tuple(given[0]), *given[1:])

    return {
        "tensor level": (lambda x, *given: level(*given).forward(x, False)[0], [features, *common]),
        "tensor level, backward": (
            lambda up, kept, too, *given: present(level(*given).backward(up, kept, too)),
            [draw(NODES, 6), kept, True, *common],
        ),
        "products": (lambda x, *given: own.products(x, steps_of(*given)), numbers),
        "products, backward": (
            lambda up, x, *given: own.products_backward(up, x, steps_of(*given)),
            [draw(NODES, 5), *numbers],
        ),
    }


def present(gradients: tuple) -> list:
    return [part for part in gradients if part is not None]


def moments_gradients(*arguments: Tensor) -> list[Tensor]:
    grads = [torch.zeros(shape, dtype=torch.float64) for shape in ((NODES, 4), (NODES, 3), (NODES, 3), (3, 2))]
    compiled_lorentz.add_moments_gradients(grads, *arguments)
    return grads


def triton_calls() -> dict[str, tuple[Callable, list]]:
    from lgae_pyg.ops.backends import triton

    if triton.why_unavailable():
        return {}
    nodes, ptr = 3, torch.tensor([0, 2, 3])
    common = [draw(nodes, 1), draw(nodes, 1, 4), real(nodes, 4), real(2), real(2, 1, 2, 2), real(2, 1, 2), ptr, 0]
    upstream = [draw(nodes, 1), draw(nodes, 1, 4), draw(nodes, 1), draw(nodes, 1, 4)]
    return {
        "triton": (OPS.triton_neighbour_sum, common),
        "triton, backward": (OPS.triton_neighbour_sum_backward, [*common, *upstream, True, True, True]),
    }


def wrong(value: object) -> Iterator[object]:
    """Values of the same kind that are wrong, or unusual."""
    if isinstance(value, Tensor):
        if value.dtype == torch.int32:
            yield from wrong_places(value)
        elif value.dtype != torch.int64:
            yield from wrong_tensors(value)
        else:
            yield from wrong_offsets(value) if value.dim() == 1 else wrong_edges(value)
    elif isinstance(value, list):
        yield from ([], value[:-1], [*value, value[-1]])
        if isinstance(value[0], Tensor):
            for place in (0, -1):
                for other in wrong(value[place]):
                    yield [other if i == place % len(value) else part for i, part in enumerate(value)]
        else:
            kind = type(value[0])
            yield from ([kind(number)] * len(value) for number in (0, -1, 10**6))
            yield value[::-1]
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (0, -1, value + 1, 10**9)
    elif isinstance(value, float):
        yield from (0.0, -1.0, float("nan"), float("inf"))


def wrong_offsets(ptr: Tensor) -> Iterator[Tensor]:
    last = int(ptr[-1])
    for values in ([0], [], [0, last - 1], [0, last + 1], [1, last], [0, last, 1, last], [-1, last]):
        yield torch.tensor(values, dtype=torch.int64)
    yield torch.tensor([0, -5, last])
    yield torch.tensor([0, 2**62, last])
    yield torch.tensor([-(2**63), 2**63 - 1, last])
    for dtype in (torch.int32, torch.uint8, torch.float64, torch.bool, torch.complex64):
        yield ptr.to(dtype)
    yield from (ptr.unsqueeze(0), ptr[-1], ptr.repeat_interleave(2)[::2], ptr.to("meta"))


def wrong_places(index: Tensor) -> Iterator[Tensor]:
    """Each of the numbers of a table that a kernel walks, out of its bounds."""
    for place in range(len(index)):
        for number in (-2, 10**6, -(2**31)):
            other = index.clone()
            other[place] = number
            yield other
    yield from (index[:-1], index[:0], index.flip(0), index.long(), index.double(), index.unsqueeze(0))
    yield from (torch.zeros_like(index), index.repeat_interleave(2)[::2], index.to("meta"))


def wrong_edges(edges: Tensor) -> Iterator[Tensor]:
    for number in (-1, NODES, 2**62, -(2**63)):
        yield torch.where(edges == edges.max(), number, edges)
    yield from (edges[:, :-1], edges[:, :0], edges[:1], edges.flatten(), edges.unsqueeze(0), edges.repeat(1, 2))
    yield from (edges.mT.contiguous().mT, edges.int(), edges.double(), edges.to("meta"), edges.bool())


def wrong_tensors(x: Tensor) -> Iterator[Tensor]:
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128):
        yield x.real.to(dtype)
    yield from (x.real.int(), x.real.bool(), torch.zeros_like(x), torch.full_like(x, torch.nan), 1e300 * x)
    yield from (x[:-1], torch.cat([x, x]), x[:0], x[..., :-1], x.flatten(), x.unsqueeze(0), x[..., :0])
    yield torch.cat([x, x], -1)
    yield x.mT.contiguous().mT if x.dim() > 1 else x.repeat_interleave(2)[::2]
    yield from (x[:1].expand_as(x), x.conj(), x.clone().requires_grad_(), x.to("meta"), x.to_sparse())
    if x.is_complex():
        yield x.conj().imag.to(x.dtype)
    released = x.clone()
    released.untyped_storage().resize_(0)
    yield released


def tidy(value: object) -> object:
    """The same numbers in memory of their own, in order."""
    if isinstance(value, list):
        return [tidy(part) for part in value]
    if isinstance(value, Tensor) and not value.is_meta:
        value = value.detach().resolve_conj().resolve_neg()
        return value.clone(memory_format=torch.contiguous_format)
    return value


def flat(results: object) -> list[Tensor]:
    return [results] if isinstance(results, Tensor) else [part for one in results for part in flat(one)]


def check(operator: Callable, arguments: list, compare: bool = True) -> bool:
    """Whether a call was refused. One that was not must give the numbers of tidy arguments."""
    try:
        found = flat(operator(*arguments))
    except ERRORS as error:
        assert str(error), type(error)
        return True
    if compare and not any(part.is_meta for part in found):
        for ours, theirs in zip(found, flat(operator(*tidy(arguments))), strict=True):
            same = torch.allclose(ours.detach(), theirs.detach(), rtol=0, atol=0, equal_nan=True)
            assert same, "numbers of something else"
    return False


def main() -> None:
    refused = accepted = 0
    interpreted = sys.argv[1:] == ["triton"]
    found = triton_calls() if interpreted else calls()
    for name, (operator, arguments) in found.items():
        print(name, flush=True)
        assert not check(operator, arguments), f"{name} refuses right arguments"
    if interpreted:  # seconds a call: of the wrong ones, the door alone
        sys.modules["lgae_pyg.ops.backends.triton"]._Walk.launch = lambda *_, **__: None
    for name, (operator, arguments) in found.items():
        for place, argument in enumerate(arguments):
            for number, other in enumerate(wrong(argument)):
                if os.environ.get("VERBOSE"):
                    print(name, place, number, flush=True)
                changed = [other if i == place else part for i, part in enumerate(arguments)]
                outcome = check(operator, changed, not interpreted)
                refused, accepted = refused + outcome, accepted + (not outcome)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    assert peak < 3, f"a wrong number took {peak:.1f} GiB"  # of arguments of some kB
    print("refused", refused, "accepted", accepted, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
