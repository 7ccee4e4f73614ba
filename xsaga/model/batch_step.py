"""All that is done to one batch of cutouts, from pixels to logits, as one module.

Every engine runs this: as it is, converted, or captured. Members share the stretched images.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from xsaga.model.device import DTYPES, Precision
from xsaga.model.network import CutoutNetwork, inference_copy
from xsaga.model.novelty import FeatureSpace, image_statistics
from xsaga.model.preprocess import Stretch


class BatchStep(nn.Module):
    """The members of an ensemble, the stretch before and the distance beside them.

    Parameters
    ----------
    networks : sequence of CutoutNetwork
        Members; they are copied.
    stretch : Stretch
        What the members were trained on.
    device : torch.device
        Where to run.
    precision : Precision
        Of the convolutions.
    feature_space : FeatureSpace, optional
        Of the first member, to tell how unfamiliar images are.

    Attributes
    ----------
    members : int
        Number of networks.
    bands : int
        Image planes.
    quantities : int
        Of the catalog's photometry that the members take.
    """

    softening: torch.Tensor

    def __init__(
        self,
        networks: Sequence[CutoutNetwork],
        stretch: Stretch,
        *,
        device: torch.device,
        precision: Precision,
        feature_space: FeatureSpace | None = None,
    ) -> None:
        super().__init__()
        self.stretch = stretch
        self.dtype = DTYPES[precision]
        self.members = len(networks)
        self.bands = networks[0].architecture.bands
        self.quantities = networks[0].architecture.photometry
        self.networks = nn.ModuleList(inference_copy(each, device, self.dtype) for each in networks)
        self.space = None if feature_space is None else feature_space.to(device)
        softening = torch.tensor(stretch.softening, device=device)[:, None, None]
        self.register_buffer("softening", softening)

    def forward(self, pixels: torch.Tensor, photometry: torch.Tensor | None = None) -> torch.Tensor:
        """Run the members.

        Parameters
        ----------
        pixels : Tensor of float16 or float32, shape (N, bands, size, size)
            Nanomaggies per pixel.
        photometry : Tensor of float32, shape (N, quantities), optional
            NaN where it is not known; for members that take any.

        Returns
        -------
        Tensor of float32, shape (N, members + 2)
            Logits; how unfamiliar the image is (NaN without a feature space); 1 where its pixels
            are finite, else 0; and −1 for an image that holds nothing but zeros. Where it is not
            1 the rest is of no use.
        """
        return self.of_stretched(self.stretch.of(pixels.float()).to(self.dtype), pixels, photometry)

    def of_stretched(
        self, stretched: torch.Tensor, pixels: torch.Tensor, photometry: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Do the same with images that are stretched already."""
        first, *others = self.networks
        assert isinstance(first, CutoutNetwork)  # noqa: S101
        seen = first.seen(stretched)
        logits = [
            first.logits(first.joined(seen, photometry)),
            *(network(stretched, photometry) for network in others),
        ]
        if self.space is None:
            distance = torch.full_like(logits[0], torch.nan)
        else:
            # Features without photometry: whether a cutout is familiar, its pixels alone tell.
            statistics = image_statistics(pixels, self.softening)
            distance = self.space.distance(first.joined(seen), statistics)
        light = pixels.float().abs().sum((1, 2, 3))
        state = (light < torch.inf).float() - 2 * (light == 0).float()
        return torch.stack([*logits, distance, state], dim=1)
