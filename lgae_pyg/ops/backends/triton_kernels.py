r"""The Triton kernels of the neighbour sum: one forward, two backward.

A program handles one jet (or every ``splits``-th tile of its particles) and a few channels. Its own particles
stand along the last axis of a tile, one to a lane; the other particles of the jet are walked along the axis
before, which is spread over the warps and summed once, at the end. Channels, vector components and bells are
leading axes, held by each thread alone, so that the walk exchanges nothing between threads, and one resonance
:math:`1 / (1 + c_k^2 x)` serves all channels of the program. Loads need no masks: places beyond the end read the
last particle or channel, and what they give is dropped with the pairs :math:`i = j`. There are no atomics: every
run gives the same bits.
"""

import triton
import triton.language as tl

from lgae_pyg.ops.backends import triton_pairs as pairs


@triton.jit
def forward_kernel(
    scalars, vectors, momenta, width, table, ptr,
    scalar_from_scalar, vector_from_vector, scalar_from_vector, vector_from_scalar,
    nodes, channels, groups, splits,
    COMPLEX: tl.constexpr,
    OWN: tl.constexpr, OTHER: tl.constexpr, CHANNELS: tl.constexpr, BELLS: tl.constexpr,
):  # fmt: skip
    r"""The four sums of the own particles i, with :math:`e = p_i - p_j` and j the other particles."""
    begin = tl.load(ptr + tl.program_id(0) // splits)
    count = (tl.load(ptr + tl.program_id(0) // splits + 1) - begin).to(tl.int32)
    place = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)[:, None, None]
    channel = tl.minimum(place, channels - 1)
    mixture = table + tl.program_id(1) * (groups * BELLS + 1) * (2 if COMPLEX else 4) * CHANNELS
    scalars, vectors = scalars + 2 * begin * channels, vectors + 8 * begin * channels
    for start in range((tl.program_id(0) % splits) * OWN, count, splits * OWN):
        i = start + tl.arange(0, OWN)[None, None, :] + tl.full((1, OTHER, 1), 0, tl.int32)
        p_r, p_i = pairs.load_momenta(momenta + begin, tl.minimum(i, count - 1), nodes, COMPLEX)
        ss_r = tl.full((CHANNELS, OTHER, OWN), 0.0, p_r.dtype)
        vv_r = tl.full((4, CHANNELS, OTHER, OWN), 0.0, p_r.dtype)
        ss_i, sv_r, sv_i = ss_r, ss_r, ss_r
        vv_i, vs_r, vs_i = vv_r, vv_r, vv_r
        for other in range(0, count, OTHER):
            j = other + tl.arange(0, OTHER)[None, :, None]
            keep = (i != j) & (j < count)
            j = tl.minimum(j, count - 1)
            q_r, q_i = pairs.load_momenta(momenta + begin, j, nodes, COMPLEX)
            e_r, e_i = p_r - q_r, p_i - q_i
            f0_r, f0_i, f1_r, f1_i, _, _, _, _ = pairs.radial_factors(
                e_r, e_i, keep, width, mixture, groups, COMPLEX, False, CHANNELS, BELLS
            )
            s_r, s_i = pairs.load_scalars(scalars, j, channel, channels)
            v_r, v_i = pairs.load_vectors(vectors, j, channel, channels)
            a_r, a_i = pairs.product(f0_r, f0_i, s_r, s_i)
            ss_r, ss_i = ss_r + a_r, ss_i + a_i
            b_r, b_i = pairs.product(f0_r[None, :, :, :], f0_i[None, :, :, :], v_r, v_i)
            vv_r, vv_i = vv_r + b_r, vv_i + b_i
            b_r, b_i = pairs.product_pair(v_r, v_i, pairs.lower(e_r), pairs.lower(e_i), COMPLEX)
            a_r, a_i = pairs.product(f1_r, f1_i, pairs.total(b_r, 0), pairs.total(b_i, 0))
            sv_r, sv_i = sv_r + a_r, sv_i + a_i
            a_r, a_i = pairs.product(f1_r, f1_i, s_r, s_i)
            b_r, b_i = pairs.product_pair(a_r[None, :, :, :], a_i[None, :, :, :], e_r, e_i, COMPLEX)
            vs_r, vs_i = vs_r + b_r, vs_i + b_i
        own = (i < count) & (place < channels)
        pairs.store_scalars(scalar_from_scalar + 2 * begin * channels, i, channel, channels, own, ss_r, ss_i)
        pairs.store_vectors(vector_from_vector + 8 * begin * channels, i, channel, channels, own, vv_r, vv_i)
        pairs.store_scalars(scalar_from_vector + 2 * begin * channels, i, channel, channels, own, sv_r, sv_i)
        pairs.store_vectors(vector_from_scalar + 8 * begin * channels, i, channel, channels, own, vs_r, vs_i)


@triton.jit
def gradient_kernel(
    scalars, vectors, momenta, width, table, ptr, ss, vv, sv, vs,
    grad_scalars, grad_vectors, grad_momenta,
    nodes, channels, groups, splits,
    COMPLEX: tl.constexpr, MOMENTA: tl.constexpr,
    OWN: tl.constexpr, OTHER: tl.constexpr, CHANNELS: tl.constexpr, BELLS: tl.constexpr,
):  # fmt: skip
    r"""Gradients of the own particles i as sources of the others j, with :math:`e = p_j - p_i`.

    Gradients of the sums are ``ss, vv, sv, vs``. Those of the momenta (if ``MOMENTA``) gather both directions of
    the pair: partial sums over the channels of the program, where channels beyond the last have weight 0.
    """
    begin = tl.load(ptr + tl.program_id(0) // splits)
    count = (tl.load(ptr + tl.program_id(0) // splits + 1) - begin).to(tl.int32)
    place = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)[:, None, None]
    channel = tl.minimum(place, channels - 1)
    mixture = table + tl.program_id(1) * (groups * BELLS + 1) * (2 if COMPLEX else 4) * CHANNELS
    at, to = 2 * begin * channels, 8 * begin * channels
    for start in range((tl.program_id(0) % splits) * OWN, count, splits * OWN):
        i = start + tl.arange(0, OWN)[None, None, :] + tl.full((1, OTHER, 1), 0, tl.int32)
        inside = tl.minimum(i, count - 1)
        p_r, p_i = pairs.load_momenta(momenta + begin, inside, nodes, COMPLEX)
        if MOMENTA:
            s_r, s_i = pairs.load_scalars(scalars + at, inside, channel, channels)
            v_r, v_i = pairs.load_vectors(vectors + to, inside, channel, channels)
            a_r, a_i, b_r, b_i, c_r, c_i, d_r, d_i = pairs.load_adjoints(
                ss + at, vv + to, sv + at, vs + to, inside, channel, channels
            )
        gs_r = tl.full((CHANNELS, OTHER, OWN), 0.0, p_r.dtype)
        gv_r = tl.full((4, CHANNELS, OTHER, OWN), 0.0, p_r.dtype)
        gp_r = tl.full((4, 1, OTHER, OWN), 0.0, p_r.dtype)
        gs_i, gv_i, gp_i = gs_r, gv_r, gp_r
        for other in range(0, count, OTHER):
            j = other + tl.arange(0, OTHER)[None, :, None]
            keep = (i != j) & (j < count)
            j = tl.minimum(j, count - 1)
            q_r, q_i = pairs.load_momenta(momenta + begin, j, nodes, COMPLEX)
            e_r, e_i = q_r - p_r, q_i - p_i
            f0_r, f0_i, f1_r, f1_i, g0_r, g0_i, g1_r, g1_i = pairs.radial_factors(
                e_r, e_i, keep, width, mixture, groups, COMPLEX, MOMENTA, CHANNELS, BELLS
            )
            aj_r, aj_i, bj_r, bj_i, cj_r, cj_i, dj_r, dj_i = pairs.load_adjoints(
                ss + at, vv + to, sv + at, vs + to, j, channel, channels
            )
            ns_r, ns_i, nv_r, nv_i = pairs.source_gradient(
                aj_r, aj_i, bj_r, bj_i, cj_r, cj_i, dj_r, dj_i, f0_r, f0_i, f1_r, f1_i, e_r, e_i, COMPLEX
            )
            gs_r, gs_i, gv_r, gv_i = gs_r + ns_r, gs_i + ns_i, gv_r + nv_r, gv_i + nv_i
            if MOMENTA:
                sj_r, sj_i = pairs.load_scalars(scalars + at, j, channel, channels)
                vj_r, vj_i = pairs.load_vectors(vectors + to, j, channel, channels)
                f_r, f_i, h_r, h_i = pairs.couple(
                    s_r, s_i, v_r, v_i, aj_r, aj_i, bj_r, bj_i, cj_r, cj_i, dj_r, dj_i
                )
                fj_r, fj_i, hj_r, hj_i = pairs.couple(
                    sj_r, sj_i, vj_r, vj_i, a_r, a_i, b_r, b_i, c_r, c_i, d_r, d_i
                )
                m_r, m_i = pairs.momentum_gradient(
                    f_r + fj_r, f_i + fj_i, h_r - hj_r, h_i - hj_i, e_r, e_i,
                    f1_r, f1_i, g0_r, g0_i, g1_r, g1_i, COMPLEX,
                )  # fmt: skip
                gp_r, gp_i = gp_r - m_r, gp_i - m_i
        own = (i < count) & (place < channels)
        pairs.store_scalars(grad_scalars + at, i, channel, channels, own, gs_r, gs_i)
        pairs.store_vectors(grad_vectors + to, i, channel, channels, own, gv_r, gv_i)
        if MOMENTA:
            pairs.store_momenta(grad_momenta + begin, tl.program_id(1), i, nodes, i < count, gp_r, gp_i, COMPLEX)


@triton.jit
def radial_kernel(
    scalars, vectors, momenta, width, table, ptr, ss, vv, sv, vs,
    grad_width, grad_weight, grad_bias,
    nodes, channels, groups, splits,
    COMPLEX: tl.constexpr,
    OWN: tl.constexpr, OTHER: tl.constexpr, CHANNELS: tl.constexpr, BELLS: tl.constexpr,
):  # fmt: skip
    r"""Gradients of the radial parameters of one channel and one group of bells, with :math:`e = p_i - p_j`.

    A partial sum of each program, over its own particles i and their sources j. Gradients of the sums are
    ``ss, vv, sv, vs``.
    """
    begin = tl.load(ptr + tl.program_id(0) // splits)
    count = (tl.load(ptr + tl.program_id(0) // splits + 1) - begin).to(tl.int32)
    channel = tl.program_id(1) + tl.full((1, 1, 1), 0, tl.int32)
    k = tl.program_id(2) * BELLS + tl.arange(0, BELLS)[:, None, None, None]
    at, to = 2 * begin * channels, 8 * begin * channels
    squared_width = tl.load(width + k)
    mixture = table + tl.program_id(1) // CHANNELS * (groups * BELLS + 1) * (2 if COMPLEX else 4) * CHANNELS
    w0_r, w0_i = pairs.load_mixture(mixture, 0, k, tl.program_id(1) % CHANNELS, COMPLEX, CHANNELS)
    w1_r, w1_i = pairs.load_mixture(mixture, 1, k, tl.program_id(1) % CHANNELS, COMPLEX, CHANNELS)
    gb0_r = tl.full((1, OTHER, OWN), 0.0, squared_width.dtype)
    gw0_r = tl.full((BELLS, 1, OTHER, OWN), 0.0, squared_width.dtype)
    gb0_i, gb1_r, gb1_i = gb0_r, gb0_r, gb0_r
    gw0_i, gw1_r, gw1_i, gc = gw0_r, gw0_r, gw0_r, gw0_r
    for start in range((tl.program_id(0) % splits) * OWN, count, splits * OWN):
        i = start + tl.arange(0, OWN)[None, None, :] + tl.full((1, OTHER, 1), 0, tl.int32)
        inside = tl.minimum(i, count - 1)
        p_r, p_i = pairs.load_momenta(momenta + begin, inside, nodes, COMPLEX)
        a_r, a_i, b_r, b_i, c_r, c_i, d_r, d_i = pairs.load_adjoints(
            ss + at, vv + to, sv + at, vs + to, inside, channel, channels
        )
        for other in range(0, count, OTHER):
            j = other + tl.arange(0, OTHER)[None, :, None]
            keep = (i != j) & (j < count) & (i < count)
            j = tl.minimum(j, count - 1)
            q_r, q_i = pairs.load_momenta(momenta + begin, j, nodes, COMPLEX)
            s_r, s_i = pairs.load_scalars(scalars + at, j, channel, channels)
            v_r, v_i = pairs.load_vectors(vectors + to, j, channel, channels)
            e_r, e_i = p_r - q_r, p_i - q_i
            f0_r, f0_i, h_r, h_i = pairs.couple(s_r, s_i, v_r, v_i, a_r, a_i, b_r, b_i, c_r, c_i, d_r, d_i)
            h_r, h_i = pairs.adjoint_pair(h_r, h_i, e_r, e_i, COMPLEX)
            f0_r, f0_i = pairs.kept(f0_r, keep, squared_width), pairs.kept(f0_i, keep, squared_width)
            f1_r = pairs.kept(pairs.total(h_r, 0), keep, squared_width)
            f1_i = pairs.kept(pairs.total(h_i, 0), keep, squared_width)
            gb0_r, gb0_i, gb1_r, gb1_i = gb0_r + f0_r, gb0_i + f0_i, gb1_r + f1_r, gb1_i + f1_i
            r_r, r_i, t_r, t_i = pairs.resonances(e_r, e_i, squared_width, COMPLEX)
            f0_r, f0_i = f0_r[None, :, :, :], f0_i[None, :, :, :]
            f1_r, f1_i = f1_r[None, :, :, :], f1_i[None, :, :, :]
            gw0_r, gw0_i = gw0_r + f0_r * r_r, gw0_i + f0_i * r_i
            gw1_r, gw1_i = gw1_r + f1_r * r_r, gw1_i + f1_i * r_i
            gc -= (w0_r * f0_r + w1_r * f1_r) * t_r + (w0_i * f0_i + w1_i * f1_i) * t_i
    program = tl.program_id(0).to(tl.int64)
    row = program * 2 * channels + tl.program_id(1)
    pairs.store_bells(grad_width + (program * channels + tl.program_id(1)) * groups * BELLS, k, gc)
    pairs.store_weights(grad_weight, row, k, groups * BELLS, gw0_r, gw0_i, COMPLEX)
    pairs.store_weights(grad_weight, row + channels, k, groups * BELLS, gw1_r, gw1_i, COMPLEX)
    if tl.program_id(2) == 0:
        pairs.store_bias(grad_bias, row, gb0_r, gb0_i, COMPLEX)
        pairs.store_bias(grad_bias, row + channels, gb1_r, gb1_i, COMPLEX)


#: Whether the kernels run in Triton's interpreter, on the CPU.
INTERPRETED = not isinstance(forward_kernel, triton.JITFunction)
