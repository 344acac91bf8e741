"""The autoencoder of jet images (CNNAE), the baseline that knows no particles."""

from typing import Any

import torch
from torch import Tensor, nn

from lgae_pyg.models.base import Autoencoder
from lgae_pyg.models.result import Images, Latent, Native, Reconstruction, offsets_of
from lgae_pyg.nn.same_conv import DoublingConv2d, HalvingConv2d
from lgae_pyg.ops.images import jet_images, pixel_momenta
from lgae_pyg.ops.jets import jet_sum


class CNNAE(Autoencoder):
    r"""Convolutional autoencoder of jet images (Hao et al., arXiv:2212.07347, Appendix A.3).

    A jet becomes an image of :math:`p_T^\text{rel}` over :math:`(\eta^\text{rel}, \phi^\text{rel})`, around the
    sum of its particles and divided by the sum :math:`S` of its pixels. Two convolutions of stride 2 and a linear
    map make the code of it, a linear map and two transposed convolutions the logits of a softmax over all pixels
    (:math:`C` channels, ReLU in between, none at the code):

    .. math:: 1 \times P^2 \to C \times (P/2)^2 \to C \times (P/4)^2 \to L \to C \times (P/4)^2
        \to C \times (P/2)^2 \to 1 \times P^2 \to \mathrm{softmax} .

    At the default sizes it has 1,718,456 parameters. Padding is TensorFlow's ``same``
    (:class:`~lgae_pyg.nn.HalvingConv2d`), and weights begin as those of Keras (Glorot, biases zero).

    The image does not depend on the order of the particles, nor on rotations about the beam axis; under other
    Lorentz transformations it changes, and the model is not equivariant. The decoder gives pixels, not
    particles: ``p4`` are the massless momenta of the pixels (:func:`~lgae_pyg.ops.images.pixel_momenta`), for
    which it is told :math:`S` and transverse momentum, pseudorapidity and azimuth of the jet.

    Parameters are kept ``channels_last``, in which the convolutions are faster. The model begins in float32;
    images are made in the precision of the momenta.

    Args:
        latent_size: numbers in the code :math:`L`.
        pixels: pixels :math:`P` along each side of the image, divisible by 4.
        max_radius: half the width of the image; 0.8 is that of the published script. JetNet's particles end at
            0.4, and large pixels cost accuracy: the mass of generated QCD jets, summed over the pixels of the true
            image, has relative errors with an IQR of 0.20 at 0.8, 0.075 at 0.5 and 0.045 at 0.4.
        channels: channels :math:`C` of the convolutions.

    Raises:
        ValueError: if a size is not positive, or the pixels not divisible by 4.

    Shapes:
        - **input:** a PyG batch with ``pos`` :math:`(n, 4)` and ``ptr`` :math:`(B+1,)`
        - **output:** :class:`~lgae_pyg.models.Reconstruction`, ``p4`` :math:`(B P^2, 4)`, ``native``
          :math:`(B, P^2)` with one row per jet, images that sum to one, and ``images`` :math:`(B, P, P)`, which
          sum to :math:`S`
    """

    has_native = True
    output_kind = "pixels"
    headline = "val/loss"
    anomaly_score = "mse_pixels"
    #: Jet pT, pseudorapidity, azimuth, and the sum of the pixels.
    side_information = 4

    def __init__(self, latent_size: int = 55, pixels: int = 40, max_radius: float = 0.8, channels: int = 128):
        super().__init__()
        sizes = {"latent_size": latent_size, "pixels": pixels, "max_radius": max_radius, "channels": channels}
        for name, size in sizes.items():
            if size <= 0:
                raise ValueError(f"{name} must be positive, not {size}")
        if pixels % 4:
            raise ValueError(f"pixels must be divisible by 4 (two layers halve the image), but are {pixels}")
        self.latent_size, self.pixels, self.max_radius = latent_size, pixels, max_radius
        self.image_grid = pixels, max_radius
        self.small = (pixels // 4, pixels // 4, channels)
        features = channels * (pixels // 4) ** 2
        self.contract = nn.Sequential(
            HalvingConv2d(1, channels), nn.ReLU(), HalvingConv2d(channels, channels), nn.ReLU()
        )
        self.to_code = nn.Linear(features, latent_size)
        self.from_code = nn.Linear(latent_size, features)
        self.expand = nn.Sequential(DoublingConv2d(channels, channels), nn.ReLU(), DoublingConv2d(channels, 1))
        self.reset_parameters()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # PyTorch's types lack it

    def reset_parameters(self) -> None:
        """Draws the initial weights as Keras does: Glorot's uniform ones, biases zero."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)

    @property
    def label(self) -> str:
        """A short printed name."""
        return f"CNNAE L={self.latent_size}"

    def images(self, batch: Any) -> tuple[Tensor, Tensor]:
        """The images of the jets, :math:`(B, P, P)`, and the momenta that they are relative to, :math:`(B, 4)`."""
        ptr = offsets_of(batch)
        axis = jet_sum(batch.pos, ptr)
        return jet_images(batch.pos, ptr, self.pixels, self.max_radius, axis), axis

    def encode(self, batch: Any) -> Latent:
        """Real codes :math:`(B, L)`, as scalars; no vectors."""
        self.check(batch)
        return self._encode(self._normalised(self.images(batch)[0]))

    def decode(self, latent: Latent) -> Tensor:
        """Images that sum to one, :math:`(B, P, P)`."""
        features = torch.relu(self.from_code(latent.scalars)).unflatten(1, self.small)
        logits = self.expand(features.permute(0, 3, 1, 2))
        return logits.flatten(1).softmax(-1).unflatten(1, (self.pixels, self.pixels))

    def forward(self, batch: Any) -> Reconstruction:
        target, axis = self.images(batch)
        normalised = self._normalised(target)
        return self._reconstruct(self._encode(normalised), normalised, target, axis)

    def decode_like(self, latent: Latent, batch: Any) -> Reconstruction:
        """Jets from codes; a batch gives the side information, momentum of each jet, and the sum of its pixels.

        ``decode_like(encode(batch), batch)`` is the model itself; give other codes to see what they stand for.
        """
        target, axis = self.images(batch)
        return self._reconstruct(latent, self._normalised(target), target, axis)

    def _reconstruct(self, latent: Latent, normalised: Tensor, target: Tensor, axis: Tensor) -> Reconstruction:
        output = self.decode(latent)
        ptr = torch.arange(len(axis) + 1, device=axis.device)
        native = Native(output.flatten(1), ptr, normalised.flatten(1), ptr)
        restored = output.to(target.dtype) * target.sum((1, 2), keepdim=True)
        momenta = pixel_momenta(restored, axis, self.max_radius).flatten(0, 1)
        images = Images(restored, target, axis, self.max_radius)
        return Reconstruction(momenta, self.pixels**2 * ptr, latent, native=native, images=images)

    def _normalised(self, images: Tensor) -> Tensor:
        """Images divided by their sums, in the precision of the parameters; an empty one stays empty."""
        sums = images.sum((1, 2), keepdim=True)
        return (images / sums.where(sums > 0, 1.0)).to(self.to_code.weight.dtype)

    def _encode(self, normalised: Tensor) -> Latent:
        features = self.contract(normalised.unsqueeze(1)).permute(0, 2, 3, 1)  # TensorFlow's order, no copy
        codes = self.to_code(features.flatten(1))
        return Latent(codes, codes.new_zeros(codes.shape[0], 0, 4))
