"""Convolutions of images that halve or double their size, with the padding that TensorFlow calls 'same'."""

from torch import Tensor, nn
from torch.nn.functional import pad

#: Rows or columns added (left, right, top, bottom): none before the image, one after it.
AFTER = (0, 1, 0, 1)


class HalvingConv2d(nn.Conv2d):
    r"""Convolution with kernel 3 and stride 2, and TensorFlow's padding ``same``.

    .. math:: y_{o, i j} = b_o + \sum_{c} \sum_{k, l = 0}^{2} W_{o c k l}\, x_{c,\, 2 i + k,\, 2 j + l}

    Pixels beyond the image are zero. Of an image of even size, TensorFlow pads no row before and one after; the
    usual ``padding=1`` of PyTorch has the same shapes, but is shifted by a pixel. (The layers of the CNNAE,
    arXiv:2212.07347, Appendix A.3.)

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.

    Shapes:
        - **input:** :math:`(B, C_\text{in}, H, W)`, :math:`H` and :math:`W` even
        - **output:** :math:`(B, C_\text{out}, H / 2, W / 2)`
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(pad(x, AFTER))


class DoublingConv2d(nn.ConvTranspose2d):
    r"""Transposed convolution with kernel 3 and stride 2, and TensorFlow's padding ``same``.

    .. math:: y_{o, m n} = b_o + \sum_{c} \sum_{k, l = 0}^{2} \sum_{i:\, 2 i + k = m} \sum_{j:\, 2 j + l = n}
        W_{c o k l}\, x_{c, i j}

    Without the bias it is the adjoint of :class:`HalvingConv2d` with the same weights. The row and the column that
    :math:`2 i + k = H` would add after the image are cut off.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.

    Shapes:
        - **input:** :math:`(B, C_\text{in}, H, W)`
        - **output:** :math:`(B, C_\text{out}, 2 H, 2 W)`
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # its size is no choice
        return pad(super().forward(x), [-amount for amount in AFTER])
