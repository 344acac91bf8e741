"""Jet images: the transverse momentum of a jet on a grid of relative pseudorapidity and azimuth."""

import torch
from torch import Tensor

from lgae_pyg.lorentz.kinematics import azimuth, pseudorapidity, relative_coordinates, transverse_momentum
from lgae_pyg.ops.graphs import node_to_graph
from lgae_pyg.ops.jets import jet_sum


def pixel_edges(pixels: int = 40, max_radius: float = 0.5) -> Tensor:
    """The ``pixels + 1`` edges of the pixels along one axis, from ``-max_radius`` to ``max_radius``."""
    steps = torch.arange(-pixels, pixels + 1, 2, dtype=torch.float64)
    return steps / pixels * max_radius


def pixel_centers(pixels: int = 40, max_radius: float = 0.5) -> Tensor:
    """The middles of the pixels along one axis."""
    edges = pixel_edges(pixels, max_radius)
    return (edges[1:] + edges[:-1]) / 2


def jet_images(
    p4: Tensor, ptr: Tensor, pixels: int = 40, max_radius: float = 0.5, axis: Tensor | None = None
) -> Tensor:
    r"""Images of the jets: the sum of :math:`p_T^{\text{rel}}` in each pixel.

    A pixel holds :math:`x_k \le x < x_{k+1}` along both axes; what lies outside the window is dropped, so
    the sum of an image is the sum of :math:`p_T^{\text{rel}}` inside its window. The window of 40 by 40
    pixels with half-width 0.5 is that of the images in arXiv:2212.07347, Fig. 2.

    Args:
        p4: momenta of all jets, one after another.
        ptr: where each jet begins, and where the last one ends.
        pixels: the number of pixels along each axis.
        max_radius: half the width of the window.
        axis: the momentum that the coordinates of each jet are relative to; the sum of the jet's own
            particles when omitted. Give the true jet to see a shift or a change of scale of its copy.

    Shapes:
        - **p4**: :math:`(\sum_i n_i, 4)`
        - **ptr**: :math:`(B + 1,)` long
        - **axis**: :math:`(B, 4)`
        - **output**: :math:`(B, P, P)`, indexed ``image[jet, phi, eta]``
    """
    jets = ptr.numel() - 1
    jet = node_to_graph(ptr)
    if axis is None:
        axis = jet_sum(p4, ptr)
    weight, eta, phi = relative_coordinates(p4, axis[jet]).unbind(-1)
    edges = pixel_edges(pixels, max_radius).to(p4)
    column = torch.bucketize(eta.contiguous(), edges, right=True) - 1
    row = torch.bucketize(phi.contiguous(), edges, right=True) - 1
    inside = (column >= 0) & (column < pixels) & (row >= 0) & (row < pixels)
    place = (jet * pixels + row) * pixels + column
    image = p4.new_zeros(jets * pixels * pixels).index_add(0, place[inside], weight[inside])
    return image.view(jets, pixels, pixels)


def pixel_momenta(images: Tensor, axis: Tensor, max_radius: float = 0.5) -> Tensor:
    r"""One massless momentum for each pixel, the way back from :func:`jet_images`.

    A pixel of intensity :math:`w` in the middle :math:`(\eta_a, \phi_b)` stands for

    .. math::
        p = w\, p_T^\text{jet} (\cosh \eta, \cos \phi, \sin \phi, \sinh \eta), \qquad
        \eta = \eta_a + \eta^\text{jet}, \quad \phi = \phi_b + \phi^\text{jet} .

    The sum over the pixels is the jet that the image shows: footnote 3 of arXiv:2212.07347, with the angles of
    the jet added before the sum, since the pseudorapidity of a massive sum is not shifted by them.

    Args:
        images: images of jets.
        axis: the momenta that the coordinates of the images are relative to.
        max_radius: half the width of the window.

    Shapes:
        - **images**: :math:`(B, P, P)`, indexed ``image[jet, phi, eta]``
        - **axis**: :math:`(B, 4)`
        - **output**: :math:`(B, P^2, 4)`, the pixels of a jet in the order of ``image.flatten()``
    """
    centers = pixel_centers(images.shape[-1], max_radius).to(images)
    eta = (pseudorapidity(axis).unsqueeze(-1) + centers).unsqueeze(-2)
    phi = (azimuth(axis).unsqueeze(-1) + centers).unsqueeze(-1)
    pt = images * transverse_momentum(axis).view(-1, 1, 1)
    components = (pt * torch.cosh(eta), pt * torch.cos(phi), pt * torch.sin(phi), pt * torch.sinh(eta))
    return torch.stack(components, dim=-1).flatten(1, 2)
