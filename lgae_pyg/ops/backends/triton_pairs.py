r"""Parts of the Triton kernels: arithmetic, loads and stores, radial factors and couplings of a tile of pairs.

Complex numbers are pairs of real tensors, ``_r`` and ``_i``. Tiles of scalars are :math:`(C, J, I)`, of vectors
:math:`(4, C, J, I)` and of bells :math:`(K, 1, J, I)`: channels, other particles, own particles last. Where
momenta are real (not ``COMPLEX``), the ``_i`` of a momentum is never read.
"""

import triton
import triton.language as tl


@triton.jit
def total(x, axis: tl.constexpr):
    """The sum over an axis (``tl.sum``, but it can be interpreted even if triton was imported for compiling)."""
    return tl.reduce(x, axis, tl.standard._sum_combine)


@triton.jit
def lower(v):
    """Lowers the index of vectors with the metric diag(1, -1, -1, -1)."""
    return tl.where(tl.arange(0, 4)[:, None, None, None] == 0, v, -v)


@triton.jit
def product(a_r, a_i, b_r, b_i):
    """The product a b."""
    return a_r * b_r - a_i * b_i, a_r * b_i + a_i * b_r


@triton.jit
def adjoint(a_r, a_i, b_r, b_i):
    """The product a conj(b): how the gradient a of a product with b passes to the other factor."""
    return a_r * b_r + a_i * b_i, a_i * b_r - a_r * b_i


@triton.jit
def product_pair(a_r, a_i, e_r, e_i, COMPLEX: tl.constexpr):
    """The product of a and the vector of a pair, real or complex."""
    if COMPLEX:
        return a_r * e_r - a_i * e_i, a_r * e_i + a_i * e_r
    else:
        return a_r * e_r, a_i * e_r


@triton.jit
def adjoint_pair(a_r, a_i, e_r, e_i, COMPLEX: tl.constexpr):
    """The product of a and the conjugate vector of a pair, real or complex."""
    if COMPLEX:
        return a_r * e_r + a_i * e_i, a_i * e_r - a_r * e_i
    else:
        return a_r * e_r, a_i * e_r


@triton.jit
def reciprocal(x):
    r"""The reciprocal of :math:`x \ge 1`.

    In double precision, two Newton steps from the one in single precision (0 beyond its range, 3e38): half the
    instructions of a division, and no branches.
    """
    if x.dtype == tl.float64:
        r = (1.0 / x.to(tl.float32)).to(tl.float64)
        r += r * (1.0 - x * r)
        return r + r * (1.0 - x * r)
    else:
        return 1.0 / x


@triton.jit
def load_scalars(base, node, channel, channels):
    """Scalars of particles of one jet, ``(C, J, I)``."""
    place = base + 2 * (node * channels + channel)
    return tl.load(place), tl.load(place + 1)


@triton.jit
def load_vectors(base, node, channel, channels):
    """Vectors of particles of one jet, ``(4, C, J, I)``."""
    place = base + 2 * (4 * (node * channels + channel)[None, :, :, :] + tl.arange(0, 4)[:, None, None, None])
    return tl.load(place), tl.load(place + 1)


@triton.jit
def load_momenta(base, node, nodes, COMPLEX: tl.constexpr):
    """Momenta of particles of one jet, ``(4, 1, J, I)``. In memory the particles stand last."""
    place = base + tl.arange(0, 4)[:, None, None, None] * nodes + node[None, :, :, :]
    p_r = tl.load(place)
    p_i = p_r
    if COMPLEX:
        p_i = tl.load(place + 4 * nodes)
    return p_r, p_i


@triton.jit
def store_scalars(base, node, channel, channels, mask, z_r, z_i):
    """Sums ``(C, J, I)`` over the other particles and writes the scalars of the own ones."""
    place = base + 2 * (node * channels + channel)
    tl.store(place, total(z_r, 1)[:, None, :], mask)
    tl.store(place + 1, total(z_i, 1)[:, None, :], mask)


@triton.jit
def store_vectors(base, node, channel, channels, mask, z_r, z_i):
    """Sums ``(4, C, J, I)`` over the other particles and writes the vectors of the own ones."""
    place = base + 2 * (4 * (node * channels + channel)[None, :, :, :] + tl.arange(0, 4)[:, None, None, None])
    tl.store(place, total(z_r, 2)[:, :, None, :], mask[None, :, :, :])
    tl.store(place + 1, total(z_i, 2)[:, :, None, :], mask[None, :, :, :])


@triton.jit
def square(e_r, e_i, COMPLEX: tl.constexpr):
    """The Minkowski square of vectors of pairs, ``(1, J, I)``."""
    lowered = lower(e_r)
    y_r = total(lowered * e_r, 0)
    y_i = y_r
    if COMPLEX:
        y_r -= total(lower(e_i) * e_i, 0)
        y_i = 2 * total(lowered * e_i, 0)
    return y_r, y_i


@triton.jit
def signed(value, y, keep):
    """The value times the sign of y (0 at 0), and 0 where it is not kept."""
    return tl.where(keep & (y > 0), value, tl.where(keep & (y < 0), -value, 0.0))


@triton.jit
def kept(value, keep, squared_width):
    """The value in the precision of the bells, 0 where it is not kept."""
    return tl.where(keep, value, 0.0).to(squared_width.dtype)


@triton.jit
def resonances(e_r, e_i, squared_width, COMPLEX: tl.constexpr):
    r"""Resonances :math:`r = 1 / (1 + c^2 x)` for the two parts and :math:`x r^2`, ``(K, 1, J, I)``."""
    y_r, y_i = square(e_r, e_i, COMPLEX)
    x_r = tl.abs(y_r).to(squared_width.dtype)[None, :, :, :]
    x_i = tl.abs(y_i).to(squared_width.dtype)[None, :, :, :]
    r_r = reciprocal(1.0 + squared_width * x_r)
    r_i = r_r
    if COMPLEX:
        r_i = reciprocal(1.0 + squared_width * x_i)
    return r_r, r_i, x_r * r_r * r_r, x_i * r_i * r_i


@triton.jit
def store_bells(base, k, z):
    """Sums ``(K, 1, J, I)`` over the pairs and writes one value for each bell."""
    tl.store(base + k, total(total(z, 3), 2)[:, :, None, None])


@triton.jit
def store_weights(base, row, k, bells, z_r, z_i, COMPLEX: tl.constexpr):
    """Writes gradients of a row of weights; complex arguments share them between the parts."""
    if COMPLEX:
        store_bells(base + row * bells, k, z_r + z_i)
    else:
        store_bells(base + 2 * row * bells, k, z_r)
        store_bells(base + (2 * row + 1) * bells, k, z_i)


@triton.jit
def store_bias(base, row, z_r, z_i, COMPLEX: tl.constexpr):
    """Sums ``(1, J, I)`` over the pairs and writes the gradients of a bias."""
    place = tl.arange(0, 1)[:, None, None]
    if COMPLEX:
        tl.store(base + row + place, total(total(z_r + z_i, 2), 1)[:, None, None])
    else:
        tl.store(base + 2 * row + place, total(total(z_r, 2), 1)[:, None, None])
        tl.store(base + 2 * row + 1 + place, total(total(z_i, 2), 1)[:, None, None])


@triton.jit
def load_mixture(table, degree: tl.constexpr, k, lane, COMPLEX: tl.constexpr, CHANNELS: tl.constexpr):
    """Weights of bells (or the biases, in the last row) for the two parts; complex arguments share them."""
    if COMPLEX:
        value = tl.load(table + (2 * k + degree) * CHANNELS + lane)
        return value, value
    else:
        place = table + (4 * k + 2 * degree) * CHANNELS + lane
        return tl.load(place), tl.load(place + CHANNELS)


@triton.jit
def radial_factors(
    e_r, e_i, keep, width, table, groups,
    COMPLEX: tl.constexpr, SLOPES: tl.constexpr, CHANNELS: tl.constexpr, BELLS: tl.constexpr,
):  # fmt: skip
    r"""Factors :math:`f^0, f^1` of pairs, ``(C, J, I)``, and (``SLOPES``) their derivatives by :math:`y`."""
    y_r, y_i = square(e_r, e_i, COMPLEX)
    x_r, x_i = tl.abs(y_r).to(width.dtype.element_ty), tl.abs(y_i).to(width.dtype.element_ty)
    lane = tl.arange(0, CHANNELS)[:, None, None]
    f0_r, f0_i = load_mixture(table, 0, groups * BELLS, lane, COMPLEX, CHANNELS)
    f1_r, f1_i = load_mixture(table, 1, groups * BELLS, lane, COMPLEX, CHANNELS)
    zero = tl.full(x_r.shape, 0.0, x_r.dtype)
    f0_r, f0_i, f1_r, f1_i = f0_r + zero, f0_i + zero, f1_r + zero, f1_i + zero
    g0_r = tl.full(f0_r.shape, 0.0, x_r.dtype)
    g0_i, g1_r, g1_i = g0_r, g0_r, g0_r
    for group in range(0, groups):
        for member in tl.static_range(BELLS):
            k = group * BELLS + member
            squared_width = tl.load(width + k)
            w0_r, w0_i = load_mixture(table, 0, k, lane, COMPLEX, CHANNELS)
            w1_r, w1_i = load_mixture(table, 1, k, lane, COMPLEX, CHANNELS)
            r_r = reciprocal(1.0 + squared_width * x_r)
            r_i = r_r
            if COMPLEX:
                r_i = reciprocal(1.0 + squared_width * x_i)
            f0_r, f0_i, f1_r, f1_i = f0_r + w0_r * r_r, f0_i + w0_i * r_i, f1_r + w1_r * r_r, f1_i + w1_i * r_i
            if SLOPES:
                t_r, t_i = squared_width * r_r * r_r, squared_width * r_i * r_i
                g0_r, g0_i, g1_r, g1_i = g0_r - w0_r * t_r, g0_i - w0_i * t_i, g1_r - w1_r * t_r, g1_i - w1_i * t_i
    g0_r, g0_i = signed(g0_r, y_r, keep), signed(g0_i, y_i, keep)
    g1_r, g1_i = signed(g1_r, y_r, keep), signed(g1_i, y_i, keep)
    f0_r, f0_i = tl.where(keep, f0_r, 0.0), tl.where(keep, f0_i, 0.0)
    f1_r, f1_i = tl.where(keep, f1_r, 0.0), tl.where(keep, f1_i, 0.0)
    return (
        f0_r.to(e_r.dtype), f0_i.to(e_r.dtype), f1_r.to(e_r.dtype), f1_i.to(e_r.dtype),
        g0_r.to(e_r.dtype), g0_i.to(e_r.dtype), g1_r.to(e_r.dtype), g1_i.to(e_r.dtype),
    )  # fmt: skip


@triton.jit
def load_adjoints(ss, vv, sv, vs, node, channel, channels):
    """Gradients of the four sums, for particles of one jet."""
    ss_r, ss_i = load_scalars(ss, node, channel, channels)
    vv_r, vv_i = load_vectors(vv, node, channel, channels)
    sv_r, sv_i = load_scalars(sv, node, channel, channels)
    vs_r, vs_i = load_vectors(vs, node, channel, channels)
    return ss_r, ss_i, vv_r, vv_i, sv_r, sv_i, vs_r, vs_i


@triton.jit
def source_gradient(
    ss_r, ss_i, vv_r, vv_i, sv_r, sv_i, vs_r, vs_i, f0_r, f0_i, f1_r, f1_i, e_r, e_i, COMPLEX: tl.constexpr
):  # fmt: skip
    """Gradients of the source's scalar and vector from those of the sums of the target."""
    s_r, s_i = adjoint(ss_r, ss_i, f0_r, f0_i)
    v_r, v_i = adjoint_pair(vs_r, vs_i, e_r, e_i, COMPLEX)
    z_r, z_i = adjoint(total(v_r, 0), total(v_i, 0), f1_r, f1_i)
    s_r, s_i = s_r + z_r, s_i + z_i
    v_r, v_i = adjoint(vv_r, vv_i, f0_r[None, :, :, :], f0_i[None, :, :, :])
    z_r, z_i = adjoint(sv_r, sv_i, f1_r, f1_i)
    z_r, z_i = adjoint_pair(z_r[None, :, :, :], z_i[None, :, :, :], lower(e_r), lower(e_i), COMPLEX)
    return s_r, s_i, v_r + z_r, v_i + z_i


@triton.jit
def couple(s_r, s_i, v_r, v_i, ss_r, ss_i, vv_r, vv_i, sv_r, sv_i, vs_r, vs_i):
    r"""Sources (s, v) against the gradients of the sums of the target: the gradient of :math:`f^0`, and :math:`h`
    whose product with :math:`\bar e` is that of :math:`f^1`."""
    f_r, f_i = adjoint(ss_r, ss_i, s_r, s_i)
    b_r, b_i = adjoint(vv_r, vv_i, v_r, v_i)
    c_r, c_i = adjoint(sv_r[None, :, :, :], sv_i[None, :, :, :], v_r, v_i)
    d_r, d_i = adjoint(vs_r, vs_i, s_r[None, :, :, :], s_i[None, :, :, :])
    return f_r + total(b_r, 0), f_i + total(b_i, 0), lower(c_r) + d_r, lower(c_i) + d_i


@triton.jit
def momentum_gradient(
    f_r, f_i, h_r, h_i, e_r, e_i, f1_r, f1_i, g0_r, g0_i, g1_r, g1_i, COMPLEX: tl.constexpr
):  # fmt: skip
    r"""The gradient of :math:`e` from that of :math:`f^0` and from :math:`h`, summed over channels."""
    b_r, b_i = adjoint_pair(h_r, h_i, e_r, e_i, COMPLEX)
    y_r, y_i = f_r * g0_r + total(b_r, 0) * g1_r, f_i * g0_i + total(b_i, 0) * g1_i
    m_r, m_i = adjoint(h_r, h_i, f1_r[None, :, :, :], f1_i[None, :, :, :])
    if COMPLEX:
        b_r, b_i = adjoint(2 * y_r[None, :, :, :], 2 * y_i[None, :, :, :], lower(e_r), lower(e_i))
        return total(m_r + b_r, 1)[:, None, :, :], total(m_i + b_i, 1)[:, None, :, :]
    else:
        m_r = total(m_r + 2 * (y_r + y_i)[None, :, :, :] * lower(e_r), 1)[:, None, :, :]
        return m_r, m_r


@triton.jit
def store_momenta(base, part, node, nodes, mask, p_r, p_i, COMPLEX: tl.constexpr):
    """Sums ``(4, 1, J, I)`` over the other particles and writes partial sums of the own ones."""
    parts = 8 if COMPLEX else 4
    place = base + (part * parts + tl.arange(0, 4)[:, None, None, None]).to(tl.int64) * nodes + node[None, :, :, :]
    tl.store(place, total(p_r, 2)[:, :, None, :], mask[None, :, :, :])
    if COMPLEX:
        tl.store(place + 4 * nodes, total(p_i, 2)[:, :, None, :], mask[None, :, :, :])
