"""How far a cutout is from all that a model was trained on.

Two distances, each Mahalanobis' from the training cutouts and in units of the largest that a good
cutout has: one in the network's feature space (Lee et al. 2018, arXiv:1807.03888), one in a few
numbers that describe the pixels themselves. The second is there because a network learns to look
past what does not bear on its question: noise that is too smooth, a band that is missing or
pixels of another size hardly move its features. The cutout is unfamiliar if either is above 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from xsaga.errors import ModelError
from xsaga.model.broken_cutouts import FAULTS, Fault, uncovered
from xsaga.model.device import DTYPES, Precision, exact_float32
from xsaga.model.images import ImageArray
from xsaga.model.network import CutoutNetwork, inference_copy
from xsaga.model.preprocess import Stretch

FALSE_ALARMS = 0.005
"""Share of good cutouts that the limits are set to flag."""

STATISTICS = 3
"""Numbers of `image_statistics` for each band."""

_ROWS = 12
"""Rows that the statistics of the noise use, evenly spread: 1,700 pixels of 144² say enough."""

_FAINT_CENTRE = 0.1
"""Softenings below which the logarithm of the central flux goes on as its tangent."""

_REFERENCE, _HELD_OUT, _FAULTY = 10_000, 6_000, 500
"""Images used, at most: to find mean and covariance; for limits and false alarms; per fault."""


@dataclass(frozen=True)
class Novelty:
    """What a card says of a model's feature space; shares of images that are flagged.

    Parameters
    ----------
    false_alarms : dict of str to float
        Of good cutouts that were used neither for training nor for the limits, ``complete`` and
        ``uncovered`` (up to half of the pixels without data).
    catches : dict of str to float
        Of the same cutouts with each fault of `xsaga.model.broken_cutouts.FAULTS`.
    images : int
        Good cutouts that the shares of false alarms come from.

    Raises
    ------
    ModelError
        If a share is not in [0, 1].
    """

    false_alarms: dict[str, float]
    catches: dict[str, float]
    images: int

    def __post_init__(self) -> None:
        for name, share in {**self.false_alarms, **self.catches}.items():
            if not 0 <= share <= 1:
                raise ModelError(f"novelty: {name} is {share}: a share is 0 to 1")


@dataclass(frozen=True)
class Cloud:
    """Where good cutouts lie in some space.

    Parameters
    ----------
    mean : Tensor of float32, shape (D,)
        Their centre.
    whitening : Tensor of float32, shape (D, D)
        Makes the distance of a good cutout at most 1, but for false alarms.
    """

    mean: torch.Tensor
    whitening: torch.Tensor

    def distance(self, points: torch.Tensor) -> torch.Tensor:
        """Distance of points (N, D) from the centre, (N,)."""
        return ((points - self.mean) @ self.whitening).square().sum(dim=1).sqrt()


@dataclass(frozen=True)
class FeatureSpace:
    """Where good cutouts lie in a network's features and in the statistics of their pixels.

    Parameters
    ----------
    features : Cloud
        In the features of the first member.
    statistics : Cloud
        In `image_statistics`.
    """

    features: Cloud
    statistics: Cloud

    def distance(self, features: torch.Tensor, statistics: torch.Tensor) -> torch.Tensor:
        """How unfamiliar cutouts are.

        Parameters
        ----------
        features : Tensor of float32, shape (N, D)
            Of the first member.
        statistics : Tensor of float32, shape (N, 3 · bands)
            From `image_statistics`.

        Returns
        -------
        Tensor of float32, shape (N,)
            The larger of the two distances; above 1 a cutout is unfamiliar.
        """
        return torch.maximum(self.features.distance(features), self.statistics.distance(statistics))

    def to(self, device: torch.device) -> FeatureSpace:
        """Give the same on a device."""
        return FeatureSpace(
            *(
                Cloud(cloud.mean.to(device), cloud.whitening.to(device))
                for cloud in (self.features, self.statistics)
            )
        )


def image_statistics(images: torch.Tensor, softening: torch.Tensor) -> torch.Tensor:
    """Describe the pixels of cutouts in a few numbers for each band.

    Parameters
    ----------
    images : Tensor of float, shape (N, bands, size, size)
        Nanomaggies per pixel; pixels that are 0 hold no data.
    softening : Tensor of float32, shape (bands, 1, 1)
        Of the stretch, near the noise of a pixel.

    Returns
    -------
    Tensor of float32, shape (N, 3 · bands)
        How rough the image is: the logit of the mean of d/(d + 1), d the second difference of
        pixels along a row in softenings, so that smooth sources count little and bright ones not
        much; how much rougher with every second pixel, which tells noise that is not independent
        from pixel to pixel; and the logarithm of the mean flux of the central pixels, in
        softenings.
    """
    size = int(images.shape[-1])  # a constant, also where this is traced
    step = max(1, size // _ROWS)
    rows = images[:, :, step // 2 :: step].float() / softening
    has_data = rows != 0
    near, far = (_roughness(rows, has_data, lag) for lag in (1, 2))
    half = max(1, size // 32)
    middle = slice(size // 2 - half, size // 2 + half)
    centre = (images[:, :, middle, middle].float() / softening).mean((2, 3))
    tangent = (centre - _FAINT_CENTRE) / (_FAINT_CENTRE * math.log(10))
    faint = math.log10(_FAINT_CENTRE) + tangent
    bright = centre.clamp(min=_FAINT_CENTRE).log10()
    flux = torch.where(centre < _FAINT_CENTRE, faint, bright)
    return torch.cat([near, far - near, flux], dim=1)


def _roughness(rows: torch.Tensor, has_data: torch.Tensor, lag: int) -> torch.Tensor:
    left, middle, right = (
        slice(None, -2 * lag),
        slice(lag, -lag),
        slice(2 * lag, None),
    )
    difference = (rows[..., left] + rows[..., right] - 2 * rows[..., middle]).abs()
    counted = has_data[..., left] & has_data[..., middle] & has_data[..., right]
    bounded = difference / (difference + 1) * counted
    mean = bounded.sum((2, 3)) / counted.sum((2, 3)).clamp(min=1)
    bounded_mean = mean.clamp(1e-3, 1 - 1e-3)
    return (bounded_mean / (1 - bounded_mean)).log()  # torch's own logit is in no other engine


Change = Callable[[torch.Tensor], torch.Tensor]
Points = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Features and statistics, (N, D) each."""


def fit_feature_space(
    network: CutoutNetwork,
    stretch: Stretch,
    images: ImageArray,
    *,
    reference: NDArray[np.int64],
    held_out: NDArray[np.int64],
    device: torch.device,
    precision: Precision = "float32",
    seed: int = 0,
) -> tuple[FeatureSpace, Novelty]:
    """Learn where good cutouts lie and measure how well others are told from them.

    Mean and covariance come from `reference` (and from a quarter of it with an uncovered side),
    the limits from the first half of `held_out`, the shares of false alarms and catches from its
    second half: order the rows by place on the sky, so that the halves are different places.

    Parameters
    ----------
    network : CutoutNetwork
        The first member of the ensemble.
    stretch : Stretch
        What it was trained on.
    images : ImageArray, shape (N, bands, size, size)
        Good cutouts, nanomaggies per pixel.
    reference : ndarray of int64
        Images the network was trained on.
    held_out : ndarray of int64
        Images it was not trained on, from another place on the sky; at least 100.
    device : torch.device
        Where to run.
    precision : Precision
        Of the convolutions.
    seed : int
        Of the faults.

    Returns
    -------
    FeatureSpace
        On the CPU; for `xsaga.model.weights.save_model`.
    Novelty
        What was measured; for the card.

    Raises
    ------
    ModelError
        If there are too few images, or one of them is not finite.
    """
    if len(held_out) < 100 or len(reference) < 100:
        raise ModelError(
            f"novelty: {len(reference)} training and {len(held_out)} held-out images are too few: "
            "give 100 or more of each"
        )
    look = _Look(network, stretch, images, device, precision)
    random = torch.Generator().manual_seed(seed)
    known = _spread(reference, _REFERENCE)
    half = len(held_out) // 2
    for_limits, for_rates = (
        _spread(part, _HELD_OUT // 2) for part in (held_out[:half], held_out[half:])
    )

    def aside(batch: torch.Tensor) -> torch.Tensor:
        return uncovered(batch, random)

    good = _joined(look.points(known), look.points(_spread(known, len(known) // 4), aside))
    clouds = [_cloud(points) for points in good]
    limits = _joined(
        look.points(for_limits), look.points(_spread(for_limits, len(for_limits) // 4), aside)
    )
    space = FeatureSpace(
        *(_within(cloud, points) for cloud, points in zip(clouds, limits, strict=True))
    )
    softening = torch.tensor(stretch.softening, device=device)[:, None, None]
    faulty = _spread(for_rates, _FAULTY)
    catches = {}
    for name, fault in FAULTS.items():

        def breaks(batch: torch.Tensor, fault: Fault = fault) -> torch.Tensor:
            return fault(batch, softening, random)

        catches[name] = _share(space, look.points(faulty, breaks))
    false_alarms = {
        "complete": _share(space, look.points(for_rates)),
        "uncovered": _share(space, look.points(for_rates, aside)),
    }
    return space, Novelty(false_alarms, catches, len(for_rates))


class _Look:
    """Features and statistics of images, changed on the way if asked for."""

    def __init__(
        self,
        network: CutoutNetwork,
        stretch: Stretch,
        images: ImageArray,
        device: torch.device,
        precision: Precision,
    ) -> None:
        self._network = inference_copy(network, device, DTYPES[precision])
        self._dtype = DTYPES[precision]
        self._stretch, self._images, self._device = stretch, images, device
        self._softening = torch.tensor(stretch.softening, device=device)[:, None, None]

    def points(self, rows: NDArray[np.int64], change: Change | None = None) -> Points:
        """Features and statistics of some images."""
        features, statistics = [], []
        with torch.inference_mode(), exact_float32(self._device):
            for chosen in np.array_split(rows, max(1, len(rows) // 64)):
                batch = np.ascontiguousarray(self._images[chosen], dtype=np.float32)
                pixels = torch.from_numpy(batch).to(self._device)
                if change is not None:
                    pixels = change(pixels)
                features.append(self._network.features(self._stretch.apply(pixels, self._dtype)))
                statistics.append(image_statistics(pixels, self._softening))
        both = (torch.cat(parts).double().cpu().numpy() for parts in (features, statistics))
        found = (next(both), next(both))
        for points in found:
            if not np.isfinite(points).all():
                row = rows[int(np.argmin(np.isfinite(points).all(axis=1)))]
                raise ModelError(f"novelty: image {row} is not finite: leave it out")
        return found


def _spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of the rows, evenly spread, in order."""
    count = min(len(rows), max(most, 1))
    return rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]


def _joined(one: Points, other: Points) -> Points:
    return np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]])


def _cloud(points: NDArray[np.float64]) -> Cloud:
    """Mean and inverse root of the covariance, shrunk as Ledoit & Wolf (2004, eq. 14) do."""
    mean, spread = points.mean(axis=0), points.std(axis=0)
    # A feature that never moves is given the scale of the others: any move of it counts.
    scale = np.maximum(spread, max(1e-3 * float(spread.max()), 1e-12))
    standard = (points - mean) / scale
    count, width = standard.shape
    covariance = standard.T @ standard / count
    level = np.trace(covariance) / width
    away = np.sum(covariance**2) / width - level**2
    scatter = np.mean(np.sum(standard**2, axis=1) ** 2) - np.sum(covariance**2)
    shrink = float(np.clip(scatter / (count * width * away), 0, 1)) if away > 0 else 1.0
    values, vectors = np.linalg.eigh((1 - shrink) * covariance + shrink * level * np.eye(width))
    root = vectors / np.sqrt(np.maximum(values, 1e-3 * level)) / scale[:, None]
    return Cloud(_float32(mean), _float32(root))


def _within(cloud: Cloud, points: NDArray[np.float64]) -> Cloud:
    """Scale a cloud so that half of the allowed false alarms lie beyond distance 1."""
    distance = cloud.distance(_float32(points)).numpy()
    limit = float(np.quantile(distance, 1 - FALSE_ALARMS / 2, method="higher"))
    return Cloud(cloud.mean, cloud.whitening / limit)


def _share(space: FeatureSpace, points: Points) -> float:
    features, statistics = (_float32(part) for part in points)
    return float((space.distance(features, statistics) > 1).double().mean())


def _float32(values: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))
