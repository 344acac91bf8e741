"""Convolutions with TensorFlow's padding, against explicit sums."""

import numpy as np
import torch

from lgae_pyg.nn import DoublingConv2d, HalvingConv2d


def halved(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The definition, pixel by pixel: kernel entry (k, l) looks at row 2 i + k and column 2 j + l."""
    jets, channels, rows, columns = x.shape
    y = np.empty((jets, len(weight), rows // 2, columns // 2))
    for i in range(rows // 2):
        for j in range(columns // 2):
            window = np.zeros((jets, channels, 3, 3))
            inside = x[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            window[:, :, : inside.shape[2], : inside.shape[3]] = inside
            y[:, :, i, j] = np.einsum("bckl,ockl->bo", window, weight) + bias
    return y


def doubled(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The definition of the transposed one: each pixel adds the kernel to rows 2 i + k, columns 2 j + l."""
    jets, _, rows, columns = x.shape
    y = np.zeros((jets, weight.shape[1], 2 * rows, 2 * columns))
    for i in range(rows):
        for j in range(columns):
            for k in range(min(3, 2 * rows - 2 * i)):
                for m in range(min(3, 2 * columns - 2 * j)):
                    y[:, :, 2 * i + k, 2 * j + m] += np.einsum("bc,co->bo", x[:, :, i, j], weight[:, :, k, m])
    return y + bias[:, None, None]


def test_both_are_their_definitions(generator: torch.Generator) -> None:
    for kind, definition in ((HalvingConv2d, halved), (DoublingConv2d, doubled)):
        layer = kind(2, 3).double()
        x = torch.randn(2, 2, 8, 6, generator=generator, dtype=torch.float64)
        arrays = [tensor.detach().numpy() for tensor in (x, layer.weight, layer.bias)]
        np.testing.assert_allclose(layer(x).detach().numpy(), definition(*arrays), rtol=0, atol=1e-13)


def test_an_impulse_shows_which_side_is_padded() -> None:
    """A kernel of nine different numbers, as TensorFlow places it: nothing before the image."""
    layer = HalvingConv2d(1, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(1.0, 10.0).view(1, 1, 3, 3))
        layer.bias.zero_()
    first, last = torch.zeros(2, 1, 1, 4, 4)
    first[0, 0, 0, 0] = last[0, 0, 3, 3] = 1.0
    assert layer(first).flatten().tolist() == [1, 0, 0, 0]
    assert layer(last).flatten().tolist() == [0, 0, 0, 5]


def test_the_transposed_one_is_the_adjoint(generator: torch.Generator) -> None:
    """<A x, y> = <x, A^T y>, with the same weights."""
    down, up = HalvingConv2d(3, 4).double(), DoublingConv2d(4, 3).double()
    up.weight = down.weight
    for layer in (down, up):
        torch.nn.init.zeros_(layer.bias)
    x = torch.randn(2, 3, 12, 8, generator=generator, dtype=torch.float64)
    y = torch.randn(2, 4, 6, 4, generator=generator, dtype=torch.float64)
    torch.testing.assert_close((down(x) * y).sum(), (x * up(y)).sum(), rtol=1e-13, atol=1e-13)
