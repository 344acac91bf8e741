r"""Complex channel mixing inside each irrep: the learnable linear equivariant map."""

import math
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from lgae_pyg.lorentz.irreps import Irreps
from lgae_pyg.ops.backends.choice import check_backend
from lgae_pyg.ops.mixing import MixedIrrep, mix_channels
from lgae_pyg.ops.products import as_complex


class MixReps(nn.Module):
    r"""Mixes the channels of each irrep with a complex matrix,

    .. math:: F'^{(m,n)}_{c'} = \sum_c W^{(m,n)}_{c'c} F^{(m,n)}_c ,

    by Schur's lemma the most general linear map that commutes with the Lorentz group (LGAE, arXiv:2212.07347,
    Sec. 3.2). There is no bias: it would not be equivariant.

    Complex weights are stored as real pairs, so that ``.to(dtype)`` keeps both parts.

    Args:
        irreps_in: irreps of the input, such as ``"8x(0,0)+8x(1/2,1/2)"``.
        irreps_out: irreps of the output; each must also be in the input.
        backend: ``auto`` and ``fused`` use a compiled kernel on the CPU, the others PyTorch.

    Raises:
        ValueError: if an output irrep is not in the input, or for an unknown back-end; when called, for features
            of another width.

    Shapes:
        - **input:** packed features :math:`(*, \text{irreps\_in.dim})`, complex (real ones are taken as such)
        - **output:** :math:`(*, \text{irreps\_out.dim})`, complex
    """

    def __init__(self, irreps_in: Irreps | str, irreps_out: Irreps | str, backend: str = "auto"):
        super().__init__()
        check_backend(backend)
        self.backend = backend
        self.irreps_in, self.irreps_out = Irreps(irreps_in), Irreps(irreps_out)
        self.weights = nn.ParameterDict()
        for channels, irrep in self.irreps_out:
            available = self.irreps_in.multiplicity(irrep)
            if available == 0:
                raise ValueError(f"MixReps cannot make {irrep}: it is not among the input irreps {self.irreps_in}")
            self.weights[str(irrep)] = nn.Parameter(torch.empty(channels, available, 2))
        widths = {irrep: channels * irrep.dim for channels, irrep in self.irreps_in}
        begins = dict(zip(widths, accumulate(widths.values(), initial=0)))
        #: The output irreps, in the order of the weights.
        self.plan = [
            MixedIrrep(begins[irrep], self.irreps_in.multiplicity(irrep), irrep.dim, channels)
            for channels, irrep in self.irreps_out
        ]
        self.reset_parameters()

    def reset_parameters(self, scales: dict[str, Sequence[float]] | None = None) -> None:
        r"""Draws weights of variance :math:`1/\text{fan-in}`, so that outputs are as large as inputs.

        Args:
            scales: optional factors for the input channels of an irrep, by its text, for channels that are
                known to be larger than the rest (sums over many neighbours).
        """
        with torch.no_grad():
            for name, weight in self.weights.items():
                nn.init.normal_(weight, std=1 / math.sqrt(2 * weight.shape[1]))
                if scales and name in scales:
                    weight.mul_(weight.new_tensor(scales[name]).view(1, -1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = as_complex(x)
        if x.shape[-1] != self.irreps_in.dim:
            raise ValueError(
                f"MixReps needs {self.irreps_in.dim} columns for {self.irreps_in}, but got {x.shape[-1]}"
            )
        return mix_channels(x, list(self.weights.values()), self.plan, self.backend)

    def extra_repr(self) -> str:
        return f"{self.irreps_in} -> {self.irreps_out}"
