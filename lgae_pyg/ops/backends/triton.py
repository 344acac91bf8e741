r"""GPU back-end of the neighbour sum: Triton kernels that keep nothing of the size of the pairs.

The forward pass walks the pairs of each jet with the radial factors in registers, and the backward pass walks
them again, so memory is :math:`O(n)`. The vectors :math:`p_{ij}` and the messages are formed from differences.
Triton is imported when the kernels first run; with ``TRITON_INTERPRET=1`` they run on the CPU, slowly, for tests.
"""

from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from lgae_pyg.ops.backends import door
from lgae_pyg.ops.backends.compiler import NAMES, CompilationError
from lgae_pyg.ops.bells import Bells, self_factor

#: Particles to a tile, one to a lane: the smaller tile for jets that fit into it.
TILES = (16, 32)
#: Bells to a group; their number is filled up with bells of weight 0.
GROUP = 4
#: Number of threads of a program over the lanes of a warp.
WARPS = 4


def why_unavailable() -> str | None:
    """Why the kernels cannot run here, or ``None`` if they can.

    They need the package ``triton`` and a CUDA device, or Triton's interpreter.
    """
    try:
        kernels = _kernels()
    except ImportError as error:
        return f"triton cannot be imported ({error}): pip install triton"
    if kernels.INTERPRETED or torch.cuda.is_available():
        return None
    return "no CUDA device (set TRITON_INTERPRET=1 before triton is imported to run the kernels on the CPU)"


def require_kernels(*_: object) -> None:
    """Raises CompilationError where the kernels cannot run."""
    if reason := why_unavailable():
        raise CompilationError(reason)


def triton_neighbour_sum(
    scalars: Tensor,
    vectors: Tensor,
    momenta: Tensor,
    bells: Bells,
    ptr: Tensor,
    self_loops: bool,
    radial_dtype: torch.dtype | None = None,
    largest: int | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r"""The four sums of :class:`lgae_pyg.ops.messages.NeighbourSum`, in its order.

    Values and first derivatives are the same bits in every run. Nothing waits for the device.

    Args are those of :func:`lgae_pyg.ops.messages.neighbour_sum`, all of one precision, momenta complex if and
    only if the bells take complex arguments; and besides:
        radial_dtype: precision in which the bells and their mixture are evaluated, and the gradients of their
            parameters; that of the parameters when omitted. Differences, Minkowski products, messages and sums
            keep the precision of the features.
        largest: the size of the largest jet. It shapes the tiles and never changes the sums; the mean size
            stands in when omitted.

    Raises:
        ValueError: if types or shapes do not fit together, or the tensors are not where the kernels can run.
    """
    if bells.complex_argument != momenta.is_complex():
        raise ValueError("bells of complex arguments go with complex momenta, and bells of real ones with real")
    radial = radial_dtype or bells.weight.dtype
    parameters = (part.to(radial) for part in (bells.squared_width, bells.weight, bells.bias))
    sums = _neighbour_sum(scalars, vectors, momenta, *parameters, ptr, largest or 0)
    if not self_loops:
        return sums
    origin = self_factor(bells).to(scalars.dtype)
    return sums[0] + origin * scalars, sums[1] + origin.unsqueeze(-1) * vectors, sums[2], sums[3]


def _enter(scalars: Tensor, vectors: Tensor, momenta: Tensor, width: Tensor, weight: Tensor, bias: Tensor) -> list:
    """What the kernels read, checked and in order.

    Raises:
        ValueError: if types or shapes do not fit together, or the tensors are not where the kernels can run.
    """
    precision, (nodes, channels), device = door.precision_of("scalars", scalars), scalars.shape, scalars.device
    if not (scalars.is_cuda or (scalars.is_cpu and _kernels().INTERPRETED)):
        raise ValueError(f"the Triton kernels need tensors on a CUDA device, not on {device}")
    if vectors.dtype != scalars.dtype or momenta.dtype not in (scalars.dtype, precision):
        raise ValueError(
            f"scalars, vectors and momenta differ in precision: {scalars.dtype}, {vectors.dtype}, {momenta.dtype}"
        )
    if vectors.shape != (nodes, channels, 4) or momenta.shape != (nodes, 4):
        raise ValueError(
            f"shapes do not fit: scalars {tuple(scalars.shape)}, vectors {tuple(vectors.shape)}, "
            f"momenta {tuple(momenta.shape)}"
        )
    factors, bells = (2, channels) if momenta.is_complex() else (2, channels, 2), width.numel()
    if weight.shape != (*factors, bells) or bias.shape != factors or weight.dtype not in NAMES:
        raise ValueError(
            f"{channels} channels need bells of shape {(*factors, bells)}, float32 or float64, not "
            f"{tuple(weight.shape)} {weight.dtype}"
        )
    tensors = {"scalars": scalars, "vectors": vectors, "momenta": momenta}
    parameters = {"widths": (width, (bells,)), "weights": (weight, weight.shape), "biases": (bias, factors)}
    return [
        *(door.enter(name, tensor, tensor.shape, tensor.dtype, device) for name, tensor in tensors.items()),
        *(door.enter(name, part, shape, weight.dtype, device) for name, (part, shape) in parameters.items()),
    ]


def _kernels() -> ModuleType:
    from lgae_pyg.ops.backends import triton_kernels

    return triton_kernels


#: Arguments of the operators; ``largest`` is 0 if unknown.
INPUTS = "Tensor scalars, Tensor vectors, Tensor momenta, Tensor width, Tensor weight, Tensor bias, Tensor ptr, "
INPUTS += "SymInt largest"
SUMS = "Tensor scalar_from_scalar, Tensor vector_from_vector, Tensor scalar_from_vector, Tensor vector_from_scalar"


@door.operator("triton_neighbour_sum", f"({INPUTS}) -> (Tensor, Tensor, Tensor, Tensor)")
def _neighbour_sum(*inputs):
    """The four sums over :math:`j \\ne i`."""
    walk = _walk(*inputs)
    sums = [torch.zeros_like(part) for part in (walk.scalars, walk.vectors, walk.scalars, walk.vectors)]
    walk.launch(_kernels().forward_kernel, (walk.blocks,), *walk.inputs, *sums)
    return tuple(torch.view_as_complex(part) for part in sums)


@door.register_shapes(_neighbour_sum)
def _(scalars, vectors, *_):
    return tuple(_empty(part) for part in (scalars, vectors, scalars, vectors))


@door.operator(
    "triton_neighbour_sum_backward",
    f"({INPUTS}, {SUMS}, bool of_features, bool of_momenta, bool of_bells) -> ({', '.join(6 * ['Tensor'])})",
)
def _neighbour_sum_backward(*inputs):
    """Gradients of the first six arguments from those of the sums; empty where nobody asks for them."""
    (scalars, vectors, momenta, width, weight, bias, *_), upstream = inputs[:8], inputs[8:12]
    of_features, of_momenta, of_bells = inputs[12:]
    walk = _walk(*inputs[:8])
    like = zip(upstream, (scalars, vectors, scalars, vectors))
    sums = [_real(door.enter_gradient("a sum", up, to.shape, to.dtype, to.device)) for up, to in like]
    nodes, parameters = (scalars, vectors, momenta), (width, weight, bias)
    of_nodes = of_features or of_momenta
    gradients = _node_gradients(walk, sums, momenta, of_momenta) if of_nodes else _nothing(nodes)
    return gradients + (_bell_gradients(walk, sums, *parameters) if of_bells else _nothing(parameters))


@door.register_shapes(_neighbour_sum_backward)
def _(
    scalars, vectors, momenta, width, weight, bias, ptr, largest, ss, vv, sv, vs, of_features, of_momenta, of_bells
):
    needed = (of_features or of_momenta, of_features or of_momenta, of_momenta, of_bells, of_bells, of_bells)
    parts = (scalars, vectors, momenta, width, weight, bias)
    return tuple(_empty(part) if need else part.new_empty(0) for part, need in zip(parts, needed))


door.refuse_second_derivatives(_neighbour_sum_backward)


def _save(ctx: Any, inputs: tuple, output: tuple) -> None:
    *tensors, ctx.largest = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
    needed = ctx.needs_input_grad[:6]
    of_features, of_momenta, of_bells = any(needed[:2]), needed[2], any(needed[3:])
    found = _neighbour_sum_backward(*ctx.saved_tensors, ctx.largest, *gradients, of_features, of_momenta, of_bells)
    return (*(part if need else None for part, need in zip(found, needed)), None, None)


_neighbour_sum.register_autograd(_differentiate, setup_context=_save)


class _Walk(NamedTuple):
    """What every kernel takes: real views of the features, packed parameters, numbers and tile shapes."""

    scalars: Tensor
    vectors: Tensor
    momenta: Tensor
    width: Tensor
    table: Tensor
    ptr: Tensor
    numbers: tuple[int, int, int, int]
    constants: dict[str, int | bool]

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return self[:6]

    @property
    def programs(self) -> int:
        """Programs along the jets: the jets, each in ``splits`` parts."""
        return (len(self.ptr) - 1) * self.numbers[3]

    @property
    def blocks(self) -> int:
        """Blocks of channels."""
        return -(-self.numbers[1] // self.constants["CHANNELS"])

    def launch(self, kernel: Any, grid: tuple[int, ...], *tensors: Tensor, **constants: bool) -> None:
        """Starts a kernel on the programs and the further axes of the grid."""
        if not (self.programs and all(grid)):
            return
        programs = (self.programs, *grid)
        with torch.cuda.device_of(self.scalars):
            kernel[programs](
                *tensors,
                *self.numbers,
                **self.constants,
                **constants,
                num_warps=WARPS,
                num_stages=1,
                enable_fp_fusion=True,
            )


def _walk(
    scalars: Tensor,
    vectors: Tensor,
    momenta: Tensor,
    width: Tensor,
    weight: Tensor,
    bias: Tensor,
    ptr: Tensor,
    largest: int,
) -> _Walk:
    """Packs the arguments for the kernels, the momenta with the particles last; errors are those of the door."""
    parts = _enter(scalars, vectors, momenta, width, weight, bias)
    scalars, vectors, momenta, width, weight, bias = parts
    (nodes, channels), ptr = scalars.shape, door.enter_offsets(ptr, scalars)
    size = min(largest or -(-nodes // max(1, len(ptr) - 1)), nodes)  # no jet has more
    own = next((tile for tile in TILES if size <= tile), TILES[-1])
    lanes = min(channels, 2) or 1
    groups = max(1, -(-len(width) // GROUP))
    momenta = _real(momenta).permute(2, 1, 0) if momenta.is_complex() else momenta.T
    return _Walk(
        _real(scalars),
        _real(vectors),
        momenta.contiguous(),
        pad(width, (0, groups * GROUP - len(width))),
        _pack(weight, bias, groups * GROUP, lanes),
        ptr,
        (nodes, channels, groups, max(1, -(-size // own))),
        {
            "COMPLEX": len(momenta.shape) == 3,
            "OWN": own,
            "OTHER": WARPS * 32 // own,
            "CHANNELS": lanes,
            "BELLS": GROUP,
        },
    )


def _pack(weight: Tensor, bias: Tensor, bells: int, lanes: int) -> Tensor:
    r"""Weights, and the bias in a last row, in the order in which the kernels read them.

    Shapes:
        - weight: :math:`(L, \tau, 2, K)` or :math:`(L, \tau, K)`, bias: the same without K
        - **output:** (blocks of channels, bells + 1, L, 2 or 1, lanes)
    """
    degrees, channels = bias.shape[:2]
    rows = torch.cat([pad(weight, (0, bells - weight.shape[-1])), bias.unsqueeze(-1)], -1)
    rows = pad(rows.view(degrees, channels, -1, bells + 1), (0, 0, 0, 0, 0, -channels % lanes))
    return rows.view(degrees, -1, lanes, *rows.shape[2:]).permute(1, 4, 0, 3, 2).contiguous()


def _node_gradients(
    walk: _Walk, sums: list[Tensor], momenta: Tensor, of_momenta: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the features, and of the momenta from a partial sum of each block of channels."""
    of_scalars, of_vectors = torch.zeros_like(walk.scalars), torch.zeros_like(walk.vectors)
    partial = walk.momenta.new_zeros(walk.blocks if of_momenta else 0, *walk.momenta.shape)
    tensors = (*walk.inputs, *sums, of_scalars, of_vectors, partial)
    walk.launch(_kernels().gradient_kernel, (walk.blocks,), *tensors, MOMENTA=of_momenta)
    features = torch.view_as_complex(of_scalars), torch.view_as_complex(of_vectors)
    if not of_momenta:
        return *features, momenta.new_empty(0)
    total = partial.sum(0).permute(*range(momenta.is_complex() + 1, -1, -1)).contiguous()
    return *features, torch.view_as_complex(total) if momenta.is_complex() else total


def _bell_gradients(
    walk: _Walk, sums: list[Tensor], width: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Partial sums of each program, then their sum in the precision of the features."""
    channels, groups, programs, bells = walk.numbers[1], walk.numbers[2], walk.programs, len(walk.width)
    of_width = width.new_empty(programs, channels, bells)
    of_weight = weight.new_empty(programs, *weight.shape[:-1], bells)
    of_bias = bias.new_empty(programs, *bias.shape)
    walk.launch(_kernels().radial_kernel, (channels, groups), *walk.inputs, *sums, of_width, of_weight, of_bias)
    precision = walk.scalars.dtype
    return (
        of_width.sum((0, 1), dtype=precision)[: len(width)].to(width.dtype).clone(),
        of_weight.sum(0, dtype=precision)[..., : len(width)].to(weight.dtype).contiguous(),
        of_bias.sum(0, dtype=precision).to(bias.dtype),
    )


def _real(part: Tensor) -> Tensor:
    """A complex tensor as pairs of real numbers, one after the other in memory."""
    return torch.view_as_real(part.resolve_conj().contiguous())


def _empty(part: Tensor) -> Tensor:
    return torch.empty_like(part, memory_format=torch.contiguous_format)


def _nothing(parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(part.new_empty(0) for part in parts)
