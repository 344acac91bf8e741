"""The published LGAE code in plain NumPy, written from its description: closed forms, loops over nothing clever.

Features are complex, scalars (B, N, tau) and four-vectors (B, N, tau, 4). Weights carry the original's names.
"""

import numpy as np

METRIC = np.array([1.0, -1.0, -1.0, -1.0])
EPS = 1e-16
ACTIVATIONS = {
    "leakyrelu": lambda x: np.where(x > 0, x, 0.01 * x),
    "relu": lambda x: np.maximum(x, 0),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "logsigmoid": lambda x: -np.logaddexp(0, -x),
    "atan": np.arctan,
}
READOUTS = {
    "real": lambda z: z.real,
    "imag": lambda z: z.imag,
    "sum": lambda z: z.real + z.imag,
    "mean": lambda z: (z.real + z.imag) / 2,
}
DEFAULTS = {"num_basis_fn": 10, "mlp": True, "mlp_depth": 6, "mlp_width": 6, "activation": "leakyrelu"}
DEFAULTS |= {"scale": 1.0, "get_real_method": "sum", "tau_jet_scalars": 1, "jet_features": False}


def dot(a, b):
    return (METRIC * a * b).sum(-1)


def random_states(config, seed=0):
    """State dicts of random weights with the original's names and shapes, both networks."""
    rng = np.random.default_rng(seed)
    config = DEFAULTS | config
    parts = config["map_to_latent"].count("&") + 1
    slots = config["num_particles"]
    latent = (config["tau_latent_scalars"], config["tau_latent_vectors"])
    channels, decoder_channels = config["encoder_num_channels"], config["decoder_num_channels"]
    mixed = slots * channels[-1] if config["map_to_latent"] == "mix" else channels[-1]
    scalars = config["tau_jet_scalars"] + config["jet_features"]
    encoder = _stack_state(rng, config, channels, scalars, 2)
    encoder |= _mix_state(rng, "mix_reps", latent, (mixed, mixed))
    decoder = _mix_state(rng, "latent_to_graph", (slots, slots), tuple(parts * tau for tau in latent))
    decoder |= _stack_state(rng, config, decoder_channels, 1, 1)
    decoder |= _mix_state(rng, "mix_to_output", (config["tau_jet_scalars"], 1), (decoder_channels[-1],) * 2)
    return encoder, decoder


def _mix_state(rng, name, outputs, inputs):
    return {
        f"{name}.weights.{irrep}": rng.normal(size=(2, o, i)) / np.sqrt(2 * i)
        for irrep, o, i in zip(("(0, 0)", "(1, 1)"), outputs, inputs)
    }


def _stack_state(rng, config, channels, scalars, parts):
    state = _mix_state(rng, "input_func_node", (channels[0],) * 2, (scalars, 1))
    bells, depth = 2 * config["num_basis_fn"], config["mlp_depth"]
    for level, tau in enumerate(channels[:-1]):
        radial = f"rad_funcs.rad_funcs.{level}"
        state |= {f"{radial}.{name}": rng.normal(size=(1, 1, 1, bells)) for name in "abc"}
        for degree in (0, 1):
            state[f"{radial}.linear.{degree}.weight"] = 0.2 * rng.normal(size=(parts * tau, bells))
            state[f"{radial}.linear.{degree}.bias"] = 0.2 * rng.normal(size=parts * tau)
        name = f"lgn_cg.node_levels.{level}.cat_mix.mix_reps"
        state |= _mix_state(rng, name, (channels[level + 1],) * 2, (5 * tau,) * 2)
        if config["mlp"]:
            sizes = 2 * channels[level + 1] * np.array([1] + depth * [config["mlp_width"]] + [1])
            for number in range(depth + 1):
                key = f"lgn_cg.mlp_levels.{level}.linear.{number}"
                fan_in, fan_out = int(sizes[number]), int(sizes[number + 1])
                state[f"{key}.weight"] = rng.normal(size=(fan_out, fan_in)) / np.sqrt(fan_in)
                state[f"{key}.bias"] = 0.2 * rng.normal(size=fan_out)
    return state


def mix(state, name, scalars, vectors):
    first, second = (state[f"{name}.weights.{irrep}"] for irrep in ("(0, 0)", "(1, 1)"))
    scalars = np.einsum("oc,bnc->bno", first[0] + 1j * first[1], scalars)
    return scalars, np.einsum("oc,bncm->bnom", second[0] + 1j * second[1], vectors)


def radial(state, level, x, mask):
    """The complex factors of both degrees in the encoder, (B, N, N, tau) each."""
    name = f"rad_funcs.rad_funcs.{level}"
    a, b, c = (np.ravel(state[f"{name}.{letter}"]) for letter in "abc")
    bells = np.where(mask[..., None], a + b / (1 + c**2 * x[..., None] + EPS), 0)
    factors = []
    for degree in (0, 1):
        y = bells @ state[f"{name}.linear.{degree}.weight"].T + state[f"{name}.linear.{degree}.bias"]
        factors.append(y[..., 0::2] + 1j * y[..., 1::2])
    return factors


def constant_radial(state, level, shape):
    """Those of the decoder, whose bells are all masked: (1 + i) bias."""
    biases = (state[f"rad_funcs.rad_funcs.{level}.linear.{degree}.bias"] for degree in (0, 1))
    return [np.broadcast_to((1 + 1j) * bias, (*shape, len(bias))) for bias in biases]


def message_level(state, level, factors, difference, scalars, vectors):
    """Messages, products with itself, mixing."""
    edge_scalar = (1 + 1j) * factors[0]
    edge_vector = factors[1][..., None] * difference[..., None, :]
    from_vectors = 0.5 * dot(edge_vector, vectors[:, None]).sum(2)
    from_scalars = (edge_scalar * scalars[:, None]).sum(2)
    to_vectors = (edge_scalar[..., None] * vectors[:, None]).sum(2)
    lifted = (edge_vector * scalars[:, None, ..., None]).sum(2)
    own = vectors * scalars[..., None]
    all_scalars = [from_vectors, from_scalars, scalars, 0.5 * dot(vectors, vectors), scalars**2]
    all_vectors = [to_vectors, lifted, vectors, own, own]
    name = f"lgn_cg.node_levels.{level}.cat_mix.mix_reps"
    return mix(state, name, np.concatenate(all_scalars, -1), np.concatenate(all_vectors, -2))


def perceptron(state, level, scalars, config):
    flat = np.stack([scalars.real, scalars.imag], -1).reshape(*scalars.shape[:-1], -1)
    for number in range(config["mlp_depth"] + 1):
        key = f"lgn_cg.mlp_levels.{level}.linear.{number}"
        flat = flat @ state[f"{key}.weight"].T + state[f"{key}.bias"]
        if number < config["mlp_depth"]:
            flat = ACTIVATIONS[config["activation"]](flat)
    return flat[..., 0::2] + 1j * flat[..., 1::2]


def levels(state, config, channels, momenta, scalars, vectors, factors_of):
    difference = momenta[:, :, None] - momenta[:, None]
    scalars, vectors = mix(state, "input_func_node", scalars, vectors)
    for level in range(len(channels) - 1):
        factors = factors_of(level, difference)
        scalars, vectors = message_level(state, level, factors, difference, scalars, vectors)
        if config["mlp"]:
            scalars = perceptron(state, level, scalars, config)
    return scalars, vectors


def node_features(state, config, p4, extra=None, levels=levels):
    """The encoder's particles before the latent mixing."""
    config = DEFAULTS | config
    p = config["scale"] * p4
    mask = p4[..., 0] != 0
    if config["jet_features"]:
        p = np.concatenate([p, p.sum(1, keepdims=True)], 1)
        mask = np.concatenate([mask, np.ones_like(mask[:, :1])], 1)
    scalars = np.sqrt(np.abs(dot(p, p)))[..., None]
    if config["jet_features"]:
        total = p.sum(1, keepdims=True)
        scalars = np.concatenate([scalars, np.broadcast_to(dot(total, total)[..., None], scalars.shape)], -1)
    if extra is not None:
        scalars = np.concatenate([scalars, extra], -1)

    def factors_of(level, difference):
        x = np.abs(dot(difference, difference) + EPS)
        return radial(state, level, x, mask[:, :, None] & mask[:, None])

    channels = config["encoder_num_channels"]
    return levels(state, config, channels, p, scalars + 0j, p[:, :, None] + 0j, factors_of)


def picked(values, keys, choose):
    """Of each channel, and of real and imaginary part alone, the particle that its key chooses."""
    index = choose(keys, axis=1)[:, None]
    return np.take_along_axis(values, index.reshape(index.shape + (1,) * (values.ndim - index.ndim)), 1)[:, 0]


def aggregate(method, scalars, vectors):
    if "+" in method:
        parts = [aggregate(part, scalars, vectors) for part in method.split("+")]
        return tuple(sum(same) / len(parts) for same in zip(*parts))
    if "&" in method:
        parts = [aggregate(part, scalars, vectors) for part in method.split("&")]
        return tuple(np.concatenate(same, 1) for same in zip(*parts))
    if method in ("mean", "average"):
        return scalars.mean(1), vectors.mean(1)
    choose = {"min": np.argmin, "max": np.argmax}[method]
    chosen = []
    for part in (np.real, np.imag):
        s, v = part(scalars), part(vectors)
        key = s**2 if method == "max" else s
        chosen.append((picked(s, key, choose), picked(v, dot(v, v), choose)))
    (s_re, v_re), (s_im, v_im) = chosen
    return s_re + 1j * s_im, v_re + 1j * v_im


def encode(state, config, p4, extra=None, levels=levels):
    """Latent scalars (B, k) and vectors (B, k, 4)."""
    scalars, vectors = node_features(state, config, p4, extra, levels)
    if config["map_to_latent"] == "mix":
        jets = len(p4)
        flat = scalars.reshape(jets, 1, -1), vectors.reshape(jets, 1, -1, 4)
        return tuple(x[:, 0] for x in mix(state, "mix_reps", *flat))
    return aggregate(config["map_to_latent"], *mix(state, "mix_reps", scalars, vectors))


def decode(state, config, scalars, vectors, levels=levels):
    """Complex four-vectors (B, N, 4)."""
    config = DEFAULTS | config
    momenta = mix(state, "latent_to_graph", scalars[:, None], vectors[:, None])[1][:, 0]
    ones = np.full((*momenta.shape[:2], 1), 1 + 1j)
    channels = config["decoder_num_channels"]

    def factors_of(level, difference):
        return constant_radial(state, level, difference.shape[:3])

    features = levels(state, config, channels, momenta, ones, momenta[:, :, None], factors_of)
    return mix(state, "mix_to_output", *features)[1][:, :, 0]


def autoencode(states, config, p4, extra=None, levels=levels):
    """Codes, complex output and real output; ``levels`` is what takes a network's inputs through its levels."""
    encoder, decoder = states
    latent = encode(encoder, config, p4, extra, levels)
    output = decode(decoder, config, *latent, levels)
    return *latent, output, READOUTS[(DEFAULTS | config)["get_real_method"]](output)
