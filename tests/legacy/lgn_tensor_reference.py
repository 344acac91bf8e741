"""The published LGAE code with tensors among its features (``maxdim`` above 2), in plain NumPy, in its own bases.

Nothing of the package is used: the coefficients of SU(2) come from ladder operators. Features are dictionaries of
complex (B, N, tau, dim) by label (k, n), in the order in which the original walks through them. What does not
depend on the irreps is in :mod:`lgn_reference`.
"""

from functools import cache

import lgn_reference as plain
import numpy as np

SCALAR, VECTOR = (0, 0), (1, 1)
ROOT = 0.5**0.5
#: Four-vectors in the original's basis.
CANONICAL = np.array([[1, 0, 0, 0], [0, ROOT, -1j * ROOT, 0], [0, 0, 0, 1], [0, -ROOT, -1j * ROOT, 0]])


def raising(two_j):
    """The raising operator of a spin, projections rising."""
    j, m = two_j / 2, np.arange(-two_j, two_j, 2) / 2
    return np.diag(np.sqrt(j * (j + 1) - m * (m + 1)), -1)


@cache
def su2(j1, j2, j):
    """Coefficients of doubled spins, (j1 + 1, j2 + 1, j + 1): the state that cannot be raised, then lowered."""
    up = np.kron(raising(j1), np.eye(j2 + 1)) + np.kron(np.eye(j1 + 1), raising(j2))
    projections = np.add.outer(np.arange(-j1, j1 + 1, 2), np.arange(-j2, j2 + 1, 2)).ravel()
    places = np.flatnonzero(projections == j)
    top = np.zeros(len(projections))
    top[places] = np.linalg.svd(up[:, places])[2][-1]
    states = [top * np.sign(top[places[-1]])]  # Condon and Shortley: positive where m1 = j1
    for m in range(j, -j, -2):
        lowered = up.T @ states[-1]
        states.append(lowered / np.sqrt((j * (j + 2) - m * (m - 2)) / 4))
    return np.stack(states[::-1], -1).reshape(j1 + 1, j2 + 1, j + 1)


@cache
def spins(label):
    """An irrep's basis (l, m) in terms of its two spins, (k + 1, n + 1, dim)."""
    k, n = label
    return np.concatenate([su2(k, n, spin) for spin in range(abs(k - n), k + n + 1, 2)], -1)


@cache
def coupling(a, b, c):
    """(dim c, dim a, dim b)."""
    left, right = (su2(a[part], b[part], c[part]) for part in (0, 1))
    paired = np.einsum("abz,dga,ehb->zdegh", spins(c), left, right)
    return np.einsum("zdegh,dex,ghy->zxy", paired, spins(a), spins(b))


def coupled(x, y, a, b, c):
    return np.einsum("zxy,...x,...y->...z", coupling(a, b, c), x, y)


def products(a, b, limit):
    """The labels of a product below a limit; none if a factor is not."""
    if max(*a, *b) >= limit:
        return []
    ranges = (range(abs(a[part] - b[part]), min(a[part] + b[part], limit - 1) + 1, 2) for part in (0, 1))
    ks, ns = map(list, ranges)
    return [(k, n) for k in ks for n in ns]


def walked(labels, scalar_last):
    """The order of a set of sorted labels, which depends on how it was filled; perceptrons put scalars last."""
    found = set()
    for label in sorted(labels):
        found.add(label)
    order = list(found)
    return [label for label in order if label != SCALAR] + [SCALAR] if scalar_last else order


def limits(config, channels):
    given = config["maxdim"] if isinstance(config["maxdim"], list) else [config["maxdim"]]
    return [given[min(level, len(given) - 1)] for level in range(len(channels) - 1)]


def plan(config, channels):
    """Of each level: its limit, the labels that come in, and the number of blocks of each label that goes out."""
    order = walked([SCALAR, VECTOR], False)
    for limit in limits(config, channels):
        blocks = {}
        pairs = [(a, edge) for a in order for edge in (SCALAR, VECTOR)] + [(a, b) for a in order for b in order]
        made = [out for pair in pairs for out in products(*pair, limit)] + [a for a in order if max(a) < limit]
        for label in made:
            blocks[label] = blocks.get(label, 0) + 1
        yield limit, order, blocks
        order = walked(blocks, config["mlp"])


def random_states(config, seed=0):
    """State dicts of random weights with the original's names and shapes."""
    config = plain.DEFAULTS | config
    states = plain.random_states(config, seed)
    rng = np.random.default_rng(seed + 1)
    ends = ("encoder_num_channels", "mix_reps"), ("decoder_num_channels", "mix_to_output")
    for state, (name, end) in zip(states, ends):
        channels, slots = config[name], 1
        if end == "mix_reps" and config["map_to_latent"] == "mix":
            slots = config["num_particles"]
        for level, (_, _, blocks) in enumerate(plan(config, channels)):
            key = f"lgn_cg.node_levels.{level}.cat_mix.mix_reps.weights"
            state = {name: value for name, value in state.items() if not name.startswith(key)} | {
                f"{key}.{label}": draw(rng, channels[level + 1], count * channels[level])
                for label, count in blocks.items()
            }
        for label in blocks:
            if label not in (SCALAR, VECTOR):
                state[f"{end}.weights.{label}"] = draw(rng, 1, slots * channels[-1])
        yield state


def draw(rng, outputs, inputs):
    return rng.normal(size=(2, outputs, inputs)) / np.sqrt(2 * inputs)


def mixed(state, name, features):
    """Features mixed channel by channel, those that have weights."""
    found = {}
    for label, value in features.items():
        weight = state[f"{name}.weights.{label}"]
        found[label] = np.einsum("oc,bncd->bnod", weight[0] + 1j * weight[1], value)
    return found


def message_level(state, level, limit, factors, difference, features):
    found = {}
    edges = {SCALAR: np.full((*difference.shape[:3], 1), 1 + 1j), VECTOR: difference @ CANONICAL.T}
    for node, value in features.items():
        for (edge, zonal), factor in zip(edges.items(), factors):
            weighted = factor[..., None] * zonal[..., None, :]
            for out in products(node, edge, limit):
                found.setdefault(out, []).append(coupled(value[:, None], weighted, node, edge, out).sum(2))
    for node, value in features.items():
        if max(node) < limit:
            found.setdefault(node, []).append(value)
    for one, x in features.items():
        for other, y in features.items():
            for out in products(one, other, limit):
                found.setdefault(out, []).append(coupled(x, y, one, other, out))
    joined = {label: np.concatenate(found[label], -2) for label in walked(found, False)}
    return mixed(state, f"lgn_cg.node_levels.{level}.cat_mix.mix_reps", joined)


def levels(state, config, channels, momenta, scalars, vectors, factors_of):
    """Scalars (B, N, tau) and Cartesian four-vectors (B, N, tau, 4) after the last level."""
    difference = momenta[:, :, None] - momenta[:, None]
    given = {SCALAR: scalars[..., None], VECTOR: vectors @ CANONICAL.T}
    features = mixed(state, "input_func_node", {label: given[label] for label in walked(given, False)})
    for level, limit in enumerate(limits(config, channels)):
        features = message_level(state, level, limit, factors_of(level, difference), difference, features)
        if config["mlp"]:
            scalars = plain.perceptron(state, level, features.pop(SCALAR)[..., 0], config)
            features[SCALAR] = scalars[..., None]
    return features[SCALAR][..., 0], features[VECTOR] @ CANONICAL.conj()


def autoencode(states, config, p4, extra=None):
    """As in :mod:`lgn_reference`, the levels replaced."""
    return plain.autoencode(states, plain.DEFAULTS | config, p4, extra, levels)
