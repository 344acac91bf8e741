"""The count of floating-point operations, against programs that count what they do.

The neighbour sum and its gradients are written out pair by pair with numbers that count; that these programs
compute the right thing is checked against the plain definition and automatic differentiation.
"""

import pytest
import torch
from counting import Complex, Program, Real, counted, numbers, values
from torch.utils.flop_counter import FlopCounterMode

from lgae_pyg.benchmark.flops import (
    Flops,
    lgae_flops,
    mixing_flops,
    pair_flops,
    perceptron_flops,
    product_flops,
)
from lgae_pyg.models import LGAE
from lgae_pyg.nn import LorentzianBell, MixReps, ScalarMLP
from lgae_pyg.ops.graphs import complete_graph
from lgae_pyg.ops.levels import mix_products
from lgae_pyg.ops.messages import edge_neighbour_sum


@pytest.mark.parametrize("complex_momenta", [False, True])
@pytest.mark.parametrize("momentum_gradient", [False, True])
def test_pairs_against_a_program_that_counts(complex_momenta, momentum_gradient):
    particles, channels, bells = 4, 3, 5
    s, v, p = (
        torch.randn(particles, *shape, dtype=torch.complex128) for shape in ((channels,), (channels, 4), (4,))
    )
    p = p if complex_momenta else p.real.clone()
    folded = LorentzianBell(channels, bells, complex_argument=complex_momenta).double().folded()
    parts = [x.detach().requires_grad_() for x in (s, v, p, *folded[:3])]
    radial = folded._replace(squared_width=parts[3], weight=parts[4], bias=parts[5])
    edges = complete_graph(torch.tensor([0, particles]))
    expected = edge_neighbour_sum(*parts[:3], radial, edges)
    upstream = [torch.randn_like(part) for part in expected]
    gradients = torch.autograd.grad(expected, parts, upstream)

    program = Program(*(part.detach() for part in parts[:3]), folded._replace(masked=folded.bias))
    sums, forward = counted(program.forward)
    found, backward = counted(program.backward, upstream, momentum_gradient)

    for ours, reference in zip(sums, expected):
        torch.testing.assert_close(values(ours, reference), reference.detach())
    for place, (ours, reference) in enumerate(zip(found, gradients)):
        if place != 2 or momentum_gradient:
            torch.testing.assert_close(values(ours, reference), reference)
    pairs = particles * (particles - 1) // 2
    assert pairs * pair_flops(channels, bells, complex_momenta, momentum_gradient) == Flops(forward, backward)


def test_products_against_a_program_that_counts():
    s, v, g_square, g_length = (numbers(x) for x in torch.randn(4, dtype=torch.complex128).split(1))
    s, g_square, g_length = s[0], g_square[0], g_length[0]
    v, g_product = (numbers(torch.randn(4, dtype=torch.complex128)) for _ in range(2))

    def forward():
        length = Complex()
        for mu in range(4):
            length = length + v[mu] * v[mu] if mu == 0 else length - v[mu] * v[mu]
        return [s * s, length, *[s * x for x in v]]

    def backward():
        grad_s = (g_square * Real(2)) * s.conj() + Complex()
        twice, grad_v = g_length * Real(2), []
        for mu in range(4):
            through = twice * v[mu].conj()
            grad = Complex() + through if mu == 0 else Complex() - through
            grad_v.append(grad + g_product[mu] * s.conj())
            grad_s = grad_s + g_product[mu] * v[mu].conj()
        return [grad_s, *grad_v]

    out, first = counted(forward)
    grads, second = counted(backward)
    assert product_flops(1) == Flops(first, second)

    x = torch.cat(
        [values([s], torch.zeros(1, dtype=torch.complex128)), values(v, torch.zeros(4, dtype=torch.complex128))]
    )
    x = x.unsqueeze(0).requires_grad_()
    one = torch.eye(5, dtype=torch.float64)[3:5].unsqueeze(-1) * torch.tensor([1.0, 0.0])
    vector = torch.eye(4, dtype=torch.float64)[3:].unsqueeze(-1).expand(2, 4, 1) * torch.tensor([1.0, 0.0])
    mixed = mix_products(x, x.new_zeros(1, 10), one, vector)[0, :6]
    torch.testing.assert_close(values(out, mixed), mixed.detach())
    upstream = values([g_square, g_length, *g_product], mixed)
    (gradient,) = torch.autograd.grad(mixed, x, upstream)
    torch.testing.assert_close(values(grads, gradient), gradient)


def test_perceptron_against_torchs_counter():
    channels, depth, width, rows = 3, 4, 5, 7
    mlp = ScalarMLP(channels, depth, width).double()
    x = torch.randn(rows, channels, dtype=torch.complex128, requires_grad=True)
    with FlopCounterMode(display=False) as forward:
        out = mlp(x)
    with FlopCounterMode(display=False) as backward:
        torch.view_as_real(out).sum().backward()
    ends = 2 * channels
    found = rows * perceptron_flops([ends, *[ends * width] * depth, ends])
    assert found == Flops(forward.get_total_flops(), backward.get_total_flops())


@pytest.mark.parametrize("input_gradient", [False, True])
def test_mixing_against_torchs_counter(input_gradient):
    rows, columns, dim = 3, 5, 4
    weight = torch.randn(rows, columns, dtype=torch.complex128, requires_grad=True)
    x = torch.randn(columns, dim, dtype=torch.complex128, requires_grad=input_gradient)
    with FlopCounterMode(display=False) as forward:
        out = weight @ x
    with FlopCounterMode(display=False) as backward:
        torch.view_as_real(out).sum().backward()
    complex_by_real = 4  # torch counts a complex multiply-add like a real one
    found = mixing_flops(rows, columns, dim, input_gradient)
    assert found.forward == complex_by_real * forward.get_total_flops()
    assert found.backward == complex_by_real * backward.get_total_flops()


@pytest.mark.parametrize("aggregation", ["mix", "min&max"])
def test_matrices_of_a_model_are_those_that_it_has(aggregation):
    """Jets of one particle have no pairs: beside products, there is a multiply-add per weight and component."""
    model = LGAE(aggregation, mlp_depth=2, encoder_channels=(2, 3, 4), decoder_channels=(5, 3))
    jets, matrices, perceptrons = 7, 0, 0
    for module in model.modules():
        if isinstance(module, MixReps):
            matrices += sum(
                w[..., 0].numel() * irrep.dim for w, (_, irrep) in zip(module.weights.values(), module.irreps_out)
            )
        elif isinstance(module, torch.nn.Linear):
            perceptrons += module.weight.numel()
    products = jets * product_flops(2 + 3 + 5)
    found = lgae_flops(model.config, [1] * jets)
    assert found.forward == jets * (8 * matrices + 2 * perceptrons) + products.forward
    constant = 8 * 2 * (2 + 4)  # mixing of the input momenta into 2 channels, where the input has no gradient
    assert found.backward == jets * (2 * 8 * matrices - constant + 4 * perceptrons) + products.backward


def test_count_is_linear_in_pairs_and_refuses_what_it_does_not_know():
    config = LGAE().config
    one, two, both = (lgae_flops(config, sizes) for sizes in ([5], [9], [5, 9]))
    assert one + two == both
    with pytest.raises(ValueError, match="clean"):
        lgae_flops(LGAE(behaviour="original").config, [5])
    with pytest.raises(ValueError, match="scalars and four-vectors"):
        lgae_flops(LGAE(max_weight=2).config, [5])
