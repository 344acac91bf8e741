"""The published LGN tagger written out from its description, in its own bases, for one jet; slow and plain.

Features are dictionaries of complex (n, channels, dim) by label (k, n), in the order in which the original walks.
"""

from itertools import pairwise

import torch

from lgae_pyg.legacy.lgn_basis import original_coupling

ACTIVATIONS = {"leakyrelu": torch.nn.functional.leaky_relu, "elu": torch.nn.functional.elu}


def couplings(a, b, limit):
    """The labels of a product, in the original's order."""
    ks, ns = (range(abs(one - other), min(one + other, limit - 1) + 1, 2) for one, other in zip(a, b))
    return [(k, n) for k in ks for n in ns]


def walked(labels):
    """The order of a set of sorted labels, which depends on how it was filled."""
    found = set()
    for label in sorted(labels):
        found.add(label)
    return list(found)


def sizes(config):
    """Channels, maxdim, max_zf, bells, input scalars."""
    return (config["num_channels"], config.get("maxdim", 3), config.get("max_zf", 1),
            2 * config.get("num_basis_fn", 10), 1 + config.get("add_beams", True))  # fmt: skip


def levels(config):
    """For each level the incoming labels, in order, and the numbers of blocks of each outgoing one."""
    channels, limit, degree, _, _ = sizes(config)
    order = walked([(0, 0), (1, 1)]) if config.get("pmu_in") else [(0, 0)]
    for _ in channels[1:]:
        blocks = {}
        pairs = [(a, (e, e)) for a in order for e in range(degree + 1)] + [(a, b) for a in order for b in order]
        for pair in pairs:
            for label in couplings(*pair, limit):
                blocks[label] = blocks.get(label, 0) + 1
        for label in order:
            blocks[label] = blocks.get(label, 0) + 1
        yield order, blocks
        order = walked(blocks)
        if config.get("mlp", True):
            order = [label for label in order if label != (0, 0)] + [(0, 0)]


def random_state(config, generator):
    """Weights of the original's names and shapes."""
    channels, _, degree, bells, scalars = sizes(config)
    draw = lambda *shape: 0.4 * torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    if config.get("pmu_in"):
        state = {"input_func_atom.weights.(0, 0)": draw(2, channels[0], scalars)}
        state["input_func_atom.weights.(1, 1)"] = draw(2, channels[0], 1)
    else:
        state = {"input_func_atom.lin.weight": draw(2 * channels[0], scalars)}
        state["input_func_atom.lin.bias"] = draw(2 * channels[0])
    total = channels[0] * (2 if config.get("pmu_in") else 1)
    for level, ((_, blocks), (before, after)) in enumerate(zip(levels(config), pairwise(channels))):
        radial = f"rad_funcs.rad_funcs.{level}"
        state |= {f"{radial}.{name}": draw(1, 1, 1, bells) for name in "abc"}
        for e in range(degree + 1):
            state[f"{radial}.linear.{e}.weight"] = draw(2 * before, bells)
            state[f"{radial}.linear.{e}.bias"] = draw(2 * before)
        for label, count in blocks.items():
            key = f"lgn_cg.atom_levels.{level}.cat_mix.mix_reps.weights.({label[0]}, {label[1]})"
            state[key] = draw(2, after, count * before)
        widths = [2 * after] + config.get("mlp_depth", 3) * [2 * after * config.get("mlp_width", 2)] + [2 * after]
        for number, (fan_in, fan_out) in enumerate(pairwise(widths) if config.get("mlp", True) else ()):
            state[f"lgn_cg.mlp_levels.{level}.linear.{number}.weight"] = draw(fan_out, fan_in)
            state[f"lgn_cg.mlp_levels.{level}.linear.{number}.bias"] = draw(fan_out)
        total += after * len(blocks)
    state["output_layer_atom.lin.weight"], state["output_layer_atom.lin.bias"] = draw(2, 2 * total), draw(2)
    return state


def canonical(p):
    t, x, y, z = p.to(torch.complex128).unbind(-1)
    return torch.stack([t, (x - 1j * y) / 2**0.5, z, -(x + 1j * y) / 2**0.5], -1)


def coupled(x, y, a, b, c):
    return torch.einsum("zxy,...x,...y->...z", original_coupling(a, b, c).to(torch.complex128), x, y)


def zonal(p, degree):
    found = {(0, 0): torch.full((*p.shape[:-1], 1), 1 + 1j), (1, 1): canonical(p)}
    for e in range(2, degree + 1):
        product = coupled(found[e - 1, e - 1], found[1, 1], (e - 1, e - 1), (1, 1), (e, e))
        found[e, e] = (2 * e / (e + 1)) ** 0.5 * product
    return found


def logits(state, config, p4):
    """The original's two logits of one jet, momenta in GeV."""
    _, limit, degree, _, scalars = sizes(config)
    label = -torch.ones(len(p4), dtype=torch.float64)
    if scalars == 2:
        beams = torch.tensor([[2**0.5, 0, 0, 1], [2**0.5, 0, 0, -1]], dtype=torch.float64)
        p4, label = torch.cat([beams, p4]), torch.cat([torch.ones(2).double(), label])
    p = config.get("scale", 0.005) * p4
    square = lambda q: q[..., 0] ** 2 - (q[..., 1:] ** 2).sum(-1)  # noqa: E731
    inputs = torch.stack([square(p).abs().sqrt(), label], -1)[:, :scalars]
    mixed = lambda w, x: torch.einsum("oc,ncd->nod", torch.complex(*w), x)  # noqa: E731
    order = walked([(0, 0), (1, 1)]) if config.get("pmu_in") else [(0, 0)]
    if config.get("pmu_in"):
        given = {(0, 0): inputs.to(torch.complex128).unsqueeze(-1), (1, 1): canonical(p).unsqueeze(1)}
        features = {k: mixed(state[f"input_func_atom.weights.({k[0]}, {k[1]})"], given[k]) for k in order}
    else:
        linear = inputs @ state["input_func_atom.lin.weight"].T + state["input_func_atom.lin.bias"]
        features = {(0, 0): torch.view_as_complex(linear.unflatten(-1, (-1, 2))).unsqueeze(-1)}
    difference = p.unsqueeze(1) - p.unsqueeze(0)
    edges, invariant, history = zonal(difference, degree), square(difference), [features]
    for level, (order, blocks) in enumerate(levels(config)):
        radial = f"rad_funcs.rad_funcs.{level}"
        a, b, c = (state[f"{radial}.{name}"].flatten() for name in "abc")
        values = (a + b / (1 + c**2 * invariant.abs().unsqueeze(-1))) * (invariant != 0).unsqueeze(-1)
        found = {key: [] for key in blocks}
        for node in order:
            for e in range(degree + 1):
                factor = values @ state[f"{radial}.linear.{e}.weight"].T + state[f"{radial}.linear.{e}.bias"]
                factor = torch.view_as_complex(factor.unflatten(-1, (-1, 2)))
                edge = factor.unsqueeze(-1) * edges[e, e].unsqueeze(2)
                for key in couplings(node, (e, e), limit):
                    found[key].append(coupled(features[node].unsqueeze(0), edge, node, (e, e), key).sum(1))
        for key in order:
            found[key].append(features[key])
        for one in order:
            for other in order:
                for key in couplings(one, other, limit):
                    found[key].append(coupled(features[one], features[other], one, other, key))
        mixing = f"lgn_cg.atom_levels.{level}.cat_mix.mix_reps.weights"
        features = {k: mixed(state[f"{mixing}.({k[0]}, {k[1]})"], torch.cat(found[k], 1)) for k in walked(found)}
        if config.get("mlp", True):  # which puts the scalars last
            features[0, 0] = perceptron(state, config, level, features.pop((0, 0)))
        history.append(features)
    summed = torch.view_as_real(pooled(history)).flatten()
    return summed @ state["output_layer_atom.lin.weight"].T + state["output_layer_atom.lin.bias"]


def perceptron(state, config, level, scalars):
    x = torch.view_as_real(scalars.squeeze(-1)).flatten(-2)
    depth = config.get("mlp_depth", 3)
    for number in range(depth + 1):
        key = f"lgn_cg.mlp_levels.{level}.linear.{number}"
        x = x @ state[f"{key}.weight"].T + state[f"{key}.bias"]
        x = ACTIVATIONS[config.get("activation", "leakyrelu")](x) if number < depth else x
    return torch.view_as_complex(x.unflatten(-1, (-1, 2))).unsqueeze(-1)


def pooled(history):
    """Sums of the scalars of all levels and of the invariant squares of the other irreps."""
    others = [key for key in set().union(*[features.keys() for features in history]) if key != (0, 0)]
    columns = [features[0, 0].squeeze(-1) for features in history]
    for key in others:
        for features in history:
            if key in features:
                columns.append(invariant_square(features[key], key))
    return torch.cat(columns, -1).sum(0)


def invariant_square(v, key):
    total, place = 0, 0
    for spin in range(abs(key[0] - key[1]), sum(key) + 1, 2):
        block = v[..., place : place + spin + 1]
        signs = torch.tensor([(-1.0) ** number for number in range(spin + 1)]).to(torch.complex128)
        total, place = total + (signs * block * block.flip(-1)).sum(-1), place + spin + 1
    return total
