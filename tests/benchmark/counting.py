"""Numbers that count the operations done with them, and the neighbour sum written out with them, pair by pair."""

from __future__ import annotations

from itertools import combinations

import torch

METRIC = (1, -1, -1, -1)


class Real:
    """A real number whose operations are counted; signs, absolute values and conjugation are free."""

    count = 0

    def __init__(self, value):
        self.value = value.item() if isinstance(value, torch.Tensor) else float(value)

    def _counted(self, value):
        Real.count += 1
        return Real(value)

    def __add__(self, other):
        return self._counted(self.value + other.value)

    def __sub__(self, other):
        return self._counted(self.value - other.value)

    def __mul__(self, other):
        return self._counted(self.value * other.value)

    def __truediv__(self, other):
        return self._counted(self.value / other.value)

    def __neg__(self):
        return Real(-self.value)

    def __abs__(self):
        return Real(abs(self.value))

    def signed_like(self, other):
        """This number times the sign of another."""
        return Real(self.value * ((other.value > 0) - (other.value < 0)))


class Complex:
    """A complex number of two counted parts; its product with a real one has no imaginary part to multiply."""

    def __init__(self, re=None, im=None):
        self.re, self.im = re or Real(0), im or Real(0)

    def conj(self):
        return Complex(self.re, -self.im)

    def __neg__(self):
        return Complex(-self.re, -self.im)

    def __sub__(self, other):
        return Complex(self.re - other.re, self.im - other.im)

    def __add__(self, other):
        return Complex(self.re + other.re, self.im + other.im)

    def __mul__(self, other):
        if isinstance(other, Real):
            return Complex(self.re * other, self.im * other)
        return Complex(self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re)


def conj(x):
    return x if isinstance(x, Real) else x.conj()


def numbers(tensor):
    """A tensor as nested lists of counting numbers."""
    if tensor.dim():
        return [numbers(part) for part in tensor]
    return Complex(Real(tensor.real), Real(tensor.imag)) if tensor.is_complex() else Real(tensor)


def values(nested, like):
    """The values of nested lists of counting numbers as a tensor of the shape of another."""
    flat = []

    def walk(part):
        if isinstance(part, list):
            for one in part:
                walk(one)
        elif isinstance(part, Complex):
            flat.append(complex(part.re.value, part.im.value))
        else:
            flat.append(part.value)

    walk(nested)
    return torch.tensor(flat, dtype=like.dtype).view(like.shape)


def zeros(like):
    """Nested lists of zeros."""
    return numbers(torch.zeros_like(like))


def add_to(row, place, amount):
    row[place] = row[place] + amount


class Program:
    """The neighbour sum of one jet, pair by pair, forward and backward, as in the module's docstring."""

    def __init__(self, scalars, vectors, momenta, bells):
        self.complex_momenta = momenta.is_complex()
        self.tensors = scalars, vectors, momenta, *bells[:3]
        self.s, self.v, self.p = numbers(scalars), numbers(vectors), numbers(momenta)
        self.width = numbers(bells.squared_width)
        parts = 1 if self.complex_momenta else 2  # mixtures of the same argument for each degree and channel
        self.weight = [numbers(w) for w in bells.weight.reshape(-1, len(bells.squared_width))]
        self.bias = numbers(bells.bias.reshape(-1))
        self.parts, self.channels = parts, scalars.shape[1]
        self.pairs = list(combinations(range(len(scalars)), 2))

    def square(self, d):
        """The arguments of the bells: the square of a difference, or its real and imaginary part."""
        if not self.complex_momenta:
            total = d[0] * d[0]
            for mu in (1, 2, 3):
                total = total - d[mu] * d[mu]
            return [total]
        re, im = d[0].re * d[0].re - d[0].im * d[0].im, d[0].re * d[0].im
        for mu in (1, 2, 3):
            re = re - (d[mu].re * d[mu].re - d[mu].im * d[mu].im)
            im = im - d[mu].re * d[mu].im
        return [re, im * Real(2)]

    def mixtures(self, argument):
        """Bells of an argument, and their mixtures."""
        bells = [Real(1) / (Real(1) + abs(argument) * c) for c in self.width]
        mixed = []
        for weight, bias in zip(self.weight, self.bias):
            for w, bell in zip(weight, bells):
                bias = bias + w * bell
            mixed.append(bias)
        return bells, mixed

    def forward(self):
        """The four sums, in the order of NeighbourSum; keeps what the backward pass needs."""
        s, v = self.tensors[:2]
        sums = [zeros(s), zeros(v), zeros(s), zeros(v)]
        self.kept = {}
        for i, j in self.pairs:
            d = [a - b for a, b in zip(self.p[i], self.p[j])]
            square = self.square(d)
            bells, mixed = zip(*map(self.mixtures, square))
            flat = [x for pair in zip(*mixed) for x in pair] if self.complex_momenta else mixed[0]
            f = [Complex(*flat[2 * k : 2 * k + 2]) for k in range(2 * self.channels)]
            self.kept[i, j] = d, square, bells, f, {}
            for target, source, difference in ((i, j, d), (j, i, [-x for x in d])):
                for c in range(self.channels):
                    self.message(
                        sums, target, source, difference, f[c], f[self.channels + c], c, self.kept[i, j][4]
                    )
        return sums

    def message(self, sums, i, j, d, zero, one, c, kept):
        s, v = self.s[j][c], self.v[j][c]
        add_to(sums[0][i], c, zero * s)
        product, weighted = Complex(), one * s
        for mu in range(4):
            add_to(sums[1][i][c], mu, zero * v[mu])
            term = v[mu] * d[mu]
            product = product + term if mu == 0 else product - term
            add_to(sums[3][i][c], mu, weighted * d[mu])
        add_to(sums[2][i], c, one * product)
        kept[i, c] = product, weighted

    def backward(self, upstream, momentum_gradient):
        """Gradients of scalars, vectors, momenta, squared widths, weights and biases."""
        g = [numbers(part) for part in upstream]
        self.grads = [zeros(part) for part in self.tensors]
        self.grads[4] = [[Real(0) for _ in row] for row in self.weight]
        self.grads[5] = [Real(0) for _ in self.bias]
        for (i, j), (d, square, bells, f, kept) in self.kept.items():
            grad_f, grad_d = [Complex() for _ in f], []
            for target, source, difference in ((i, j, d), (j, i, [-x for x in d])):
                grad_d.append([Complex() if self.complex_momenta else Real(0) for _ in range(4)])
                for c in range(self.channels):
                    self.message_back(
                        g, target, source, difference, f, c, kept, grad_f, grad_d[-1], momentum_gradient
                    )
            arguments = self.radial_back(square, bells, grad_f, momentum_gradient)
            if momentum_gradient:
                self.momentum_back(i, j, d, square, arguments, grad_d)
        return self.grads

    def message_back(self, g, i, j, d, f, c, kept, grad_f, grad_d, momentum_gradient):
        grad_s, grad_v = self.grads[0][j], self.grads[1][j][c]
        zero, one = f[c].conj(), f[self.channels + c].conj()
        s, v, (product, weighted) = self.s[j][c].conj(), self.v[j][c], kept[i, c]
        add_to(grad_s, c, g[0][i][c] * zero)
        back, moment = g[2][i][c] * one, Complex()
        add_to(grad_f, c, g[0][i][c] * s)
        for mu in range(4):
            add_to(grad_v, mu, g[1][i][c][mu] * zero)
            signed = back if METRIC[mu] > 0 else -back
            add_to(grad_v, mu, signed * conj(d[mu]))
            moment = moment + g[3][i][c][mu] * conj(d[mu])
            add_to(grad_f, c, g[1][i][c][mu] * v[mu].conj())
            if momentum_gradient:
                self.add_part(grad_d, mu, g[3][i][c][mu], weighted)
                self.add_part(grad_d, mu, signed, v[mu])
        add_to(grad_s, c, moment * one)
        add_to(grad_f, self.channels + c, g[2][i][c] * product.conj())
        add_to(grad_f, self.channels + c, moment * s)

    def add_part(self, grad_d, mu, a, b):
        """Adds a b*, or its real part where momenta are real."""
        if self.complex_momenta:
            add_to(grad_d, mu, a * b.conj())
        else:
            grad_d[mu] = grad_d[mu] + a.re * b.re + a.im * b.im

    def radial_back(self, square, bells, grad_f, momentum_gradient):
        """Gradients of the parameters; returns those of the arguments."""
        flat = [part for f in grad_f for part in (f.re, f.im)]
        by_argument = [flat[0::2], flat[1::2]] if self.complex_momenta else [flat]
        arguments = []
        for x, kept, grads in zip(square, bells, by_argument):
            total = Real(0)
            for o, grad in enumerate(grads):
                add_to(self.grads[5], o, grad)
            for k, bell in enumerate(kept):
                slope = Real(0)
                for o, grad in enumerate(grads):
                    slope = slope + self.weight[o][k] * grad
                    add_to(self.grads[4][o], k, grad * bell)
                slope = slope * bell * bell
                self.grads[3][k] = self.grads[3][k] - slope * abs(x)
                if momentum_gradient:
                    total = total - slope * self.width[k]
            arguments.append(total)
        return arguments

    def momentum_back(self, i, j, d, square, arguments, grad_d):
        along = [(Real(2) * a).signed_like(x) for a, x in zip(arguments, square)]
        for mu in range(4):
            grad = grad_d[0][mu] - grad_d[1][mu]
            if self.complex_momenta:
                re, im = along[0] * d[mu].re + along[1] * d[mu].im, along[1] * d[mu].re - along[0] * d[mu].im
                through = Complex(re, im)
            else:
                through = along[0] * d[mu]
            grad = grad + through if METRIC[mu] > 0 else grad - through
            add_to(self.grads[2][i], mu, grad)
            self.grads[2][j][mu] = self.grads[2][j][mu] - grad


def counted(function, *arguments):
    """The result of a call, and the operations that it took."""
    Real.count = 0
    result = function(*arguments)
    return result, Real.count
