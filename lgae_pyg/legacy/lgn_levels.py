r"""A level of the original LGN codes: the order of its irreps, the blocks of its mixing, its weights as ours.

The original concatenates products in the order in which it walks through the irreps of its features, that of a
Python set of their labels, the same in every Python from 3.8 on. With ``maxdim`` :math:`d` a level takes and makes
irreps of weight :math:`d - 1` at most.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lgae_pyg.legacy.lgn_basis import Label, factor, irrep_of, key_of, label_of
from lgae_pyg.lorentz.irreps import Irrep
from lgae_pyg.nn.lmp_conv import LMPConv
from lgae_pyg.ops.products import SCALAR, VECTOR, reachable

#: Constants that modules of the originals may carry along.
IGNORED = (r"(.*\.)?cg_dict\..*", r"(.*\.)?zonal_fns(_in)?\..*", r"(.*\.)?zero")


def walked(irreps: Sequence[Irrep], scalar_last: bool = False) -> list[Label]:
    """The order in which the original walks through irreps; its perceptrons put the scalars last."""
    order = list(set(sorted(map(label_of, irreps))))  # noqa: C414, the order of insertion counts where labels collide
    if scalar_last:
        order.remove(label_of(SCALAR))
        order.append(label_of(SCALAR))
    return order


def original_shape(weight: Tensor) -> tuple[int, ...]:
    """The original's shape of a weight: complex ones, (out, in, 2) here, are (2, out, in) there."""
    shape = tuple(weight.shape)
    return (2, *shape[:2]) if len(shape) == 3 else shape


def as_ours(weight: Tensor) -> Tensor:
    """A weight of the original with the axes in our order."""
    return weight.movedim(0, -1) if weight.dim() == 3 else weight


def level_shapes(conv: LMPConv, level: int, order: list[Label], nodes: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights of a level.

    Args:
        conv: the level.
        level: its number.
        order: the irreps that come in, as the original walks through them.
        nodes: what the original calls the levels, ``"atom_levels"`` or ``"node_levels"``.
    """
    radial, mixing = f"rad_funcs.rad_funcs.{level}", f"lgn_cg.{nodes}.{level}.cat_mix.mix_reps.weights"
    before, after = conv.radial.bias.shape[1], conv.irreps_out[0][0]
    bells, outputs = len(conv.radial.a), conv.radial.bias[0].numel()
    shapes: dict[str, tuple[int, ...]] = {f"{radial}.{name}": (1, 1, 1, bells) for name in "abc"}
    for degree in range(conv.max_degree + 1):
        shapes[f"{radial}.linear.{degree}.weight"] = (outputs, bells)
        shapes[f"{radial}.linear.{degree}.bias"] = (outputs,)
    for irrep in reachable(list(map(irrep_of, order)), conv.max_weight, conv.max_degree):
        blocks = _original_blocks(order, irrep, conv.max_degree)
        shapes[f"{mixing}.{key_of(label_of(irrep))}"] = (2, after, before * len(blocks))
    for hidden, place in enumerate(_linears(conv)):
        for kind, value in conv.mlp.layers[place].named_parameters():
            shapes[f"lgn_cg.mlp_levels.{level}.linear.{hidden}.{kind}"] = tuple(value.shape)
    return shapes


def level_weights(
    state: Mapping[str, Tensor], conv: LMPConv, level: int, order: list[Label], nodes: str
) -> dict[str, Tensor]:
    """The weights of a level under our names, without the prefix of the level; arguments as in
    :func:`level_shapes`. Irreps that our level does not make are left out."""
    radial, mixing = f"rad_funcs.rad_funcs.{level}", f"lgn_cg.{nodes}.{level}.cat_mix.mix_reps.weights"
    weights = {f"radial.{name}": state[f"{radial}.{name}"].flatten() for name in "abc"}
    for kind in ("weight", "bias"):
        parts = [state[f"{radial}.linear.{degree}.{kind}"] for degree in range(conv.max_degree + 1)]
        weights[f"radial.{kind}"] = torch.stack(parts).reshape(getattr(conv.radial, kind).shape)
    for _, irrep in conv.irreps_out:
        weight = as_ours(state[f"{mixing}.{key_of(label_of(irrep))}"])
        weights[f"mix.weights.{irrep}"] = _mixing(weight, conv, irrep, order)
    for hidden, place in enumerate(_linears(conv)):
        for kind in ("weight", "bias"):
            weights[f"mlp.layers.{place}.{kind}"] = state[f"lgn_cg.mlp_levels.{level}.linear.{hidden}.{kind}"]
    return weights


def _linears(conv: LMPConv) -> list[int]:
    layers = [] if conv.mlp is None else list(conv.mlp.layers)
    return [place for place, layer in enumerate(layers) if isinstance(layer, nn.Linear)]


def _original_blocks(order: list[Label], out: Irrep, max_degree: int) -> list[tuple]:
    """What the original concatenates in an irrep: messages, the particle itself, products with itself."""
    irreps = [irrep_of(label) for label in order]
    edges = [Irrep(degree / 2, degree / 2) for degree in range(max_degree + 1)]
    blocks: list[tuple] = [("message", edge, a) for a in irreps for edge in edges if out in a * edge]
    blocks += [("own",)] * (out in irreps)
    return blocks + [("square", a, b) for a in irreps for b in irreps if out in a * b]


def _mixing(weight: Tensor, conv: LMPConv, out: Irrep, order: list[Label]) -> Tensor:
    """The mixing matrix of an irrep, its blocks of channels in our order and for our couplings.

    Shapes:
        - weight, **output:** (out, in, 2)
    """
    theirs = _original_blocks(order, out, conv.max_degree)
    blocks: list[tuple] = [("message", one.left, one.right) for one in conv.message_couplings if one.out == out]
    blocks += [("own",)] * (("own",) in theirs)
    blocks += [("square", one.left, one.right) for one in conv.self_couplings if one.out == out]
    parts = torch.view_as_complex(weight.contiguous()).unflatten(1, (len(theirs), -1))
    columns = [_block_factor(block, out) * parts[:, theirs.index(block)] for block in blocks]
    return torch.view_as_real(torch.cat(columns, 1))


def _block_factor(block: tuple, out: Irrep) -> complex:
    kind, *pair = block
    if kind == "own":
        return 1.0
    if kind == "square":
        return factor(*pair, out)
    edge, node = pair
    return factor(node, edge, out, swapped=True) * _zonal_factor(edge)


def _zonal_factor(edge: Irrep) -> complex:
    """The original's zonal function of an edge over ours."""
    product = 1.0
    for degree in range(2, edge.weight + 1):
        product *= factor(Irrep((degree - 1) / 2, (degree - 1) / 2), VECTOR, Irrep(degree / 2, degree / 2))
    return product
