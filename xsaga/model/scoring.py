"""Probabilities of z < 0.03 for cutouts that match a model's card."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from xsaga.errors import ModelError
from xsaga.model.device import PrecisionChoice, resolve_device, resolve_precision
from xsaga.model.engine_trial import fastest_engine
from xsaga.model.engines import EngineChoice, EngineName
from xsaga.model.images import ImageArray, check_images
from xsaga.model.inference import BatchedNetworks
from xsaga.model.score_flags import ScoreFlag as ScoreFlag
from xsaga.model.weights import Model

SCALE_TOLERANCE = 1e-3
"""Relative difference of pixel scales that is taken as none: 0.14 pixels over 144."""


class CutoutGeometry(Protocol):
    """What cutouts look like, as far as a model cares."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands in the order of the image planes."""

    @property
    def pixel_scale(self) -> float:
        """Arcseconds per pixel."""

    @property
    def size(self) -> int:
        """Pixels on a side."""


@dataclass(frozen=True)
class Scores:
    """What a model says about N cutouts.

    Parameters
    ----------
    p_lowz : ndarray of float32, shape (N,)
        Calibrated probability of z < 0.03, of the mean of the members' logits.
    p_lowz_std : ndarray of float32, shape (N,)
        Spread of the ensemble: standard deviation of the probabilities that the calibration gives
        for each member's logit by itself; 0 for a single member.
    logit : ndarray of float32, shape (N,)
        Mean of the members' logits, not calibrated: for ranking and for a later calibration.
    distance : ndarray of float32, shape (N,)
        From all that the model was trained on, `xsaga.model.novelty.FeatureSpace.distance`: above
        1 the cutout is unfamiliar. NaN where the model cannot tell.
    flags : ndarray of int32, shape (N,)
        `ScoreFlag` bits that follow from the images alone: RESAMPLED, NOT_FINITE, UNFAMILIAR.
    """

    p_lowz: NDArray[np.float32]
    p_lowz_std: NDArray[np.float32]
    logit: NDArray[np.float32]
    distance: NDArray[np.float32]
    flags: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.p_lowz)


class Scorer:
    """A model, ready to score.

    Parameters
    ----------
    model : Model
        From `xsaga.model.weights.load_model`.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:<number>``.
    precision : {'auto', 'float32', 'bf16', 'float16'}
        Of the convolutions; ``auto`` is bf16 where the processor has it, else float32.
    batch_size : int, optional
        Images at a time; the scores do not depend on it (to 1e-5 in float32, 1e-3 in half
        precision). What suits the engine if not given.
    engine : {'eager', 'openvino', 'auto'}
        What runs the networks; ``auto`` is what `xsaga.model.engine_trial` finds the fastest here.

    Attributes
    ----------
    engine : str
        What was chosen.
    batch_size : int
        What was chosen.
    in_flight : int
        Images that are worked on at a time.
    device : torch.device
        What was chosen.
    precision : str
        What was chosen.

    Raises
    ------
    ModelError
        If device, precision, batch size or engine cannot be used.
    MissingExtraError
        If the engine is not installed.
    """

    def __init__(
        self,
        model: Model,
        *,
        device: str = "auto",
        precision: PrecisionChoice = "auto",
        batch_size: int | None = None,
        engine: EngineChoice = "eager",
    ) -> None:
        self.card = model.card
        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device)

        @cache
        def ready(name: EngineName) -> BatchedNetworks:
            return BatchedNetworks(
                model.networks,
                model.card.stretch,
                device=self.device,
                precision=self.precision,
                batch_size=batch_size,
                feature_space=model.feature_space,
                engine=name,
                size=model.card.size,
            )

        self.engine: EngineName = (
            engine
            if engine != "auto"
            else fastest_engine(
                model, ready, device=self.device, precision=self.precision, batch_size=batch_size
            )
        )
        self._networks = ready(self.engine)
        self.batch_size = self._networks.engine.batch_size
        self.in_flight = self.batch_size * self._networks.engine.slots

    def check(self, geometry: CutoutGeometry, release: str, *, resample: bool = False) -> bool:
        """Make sure that cutouts are what the model was trained on.

        Parameters
        ----------
        geometry : CutoutGeometry
            Bands, pixel scale and size of the cutouts.
        release : str
            Image release they come from.
        resample : bool
            Whether cutouts of another pixel scale or size may be resampled.

        Returns
        -------
        bool
            Whether the cutouts have to be resampled: then give `score` their pixel scale.

        Raises
        ------
        ModelError
            Naming the first thing that does not match and what to do.
        """
        card = self.card
        if tuple(geometry.bands) != card.bands:
            raise ModelError(
                f"model {card.name} needs bands {''.join(card.bands)} in this order, the cutouts "
                f"have {''.join(geometry.bands)}: ask for the model's bands"
            )
        if release not in card.image_release:
            raise ModelError(
                f"model {card.name} was made for images of {', '.join(card.image_release)}, the "
                f"cutouts are of {release or 'an unnamed release'}: choose that imaging or another "
                "model, say --release if it is that one, or allow any with --any-release"
            )
        same_scale = _same_scale(geometry.pixel_scale, card.pixel_scale)
        if same_scale and geometry.size == card.size:
            return False
        have = f"{geometry.size} pixels of {geometry.pixel_scale:g} arcsec"
        need = f"{card.size} pixels of {card.pixel_scale:g} arcsec"
        if not resample:
            raise ModelError(
                f"model {card.name} needs cutouts of {need}, these have {have}: fetch them so, or "
                "ask for resampling"
            )
        field = geometry.size * geometry.pixel_scale
        if field < card.field_of_view * (1 - SCALE_TOLERANCE):
            raise ModelError(
                f"model {card.name} sees {card.field_of_view:.2f} arcsec, cutouts of {have} hold "
                f"only {field:.2f}: fetch larger ones"
            )
        return True

    def score(
        self,
        images: ImageArray,
        *,
        rows: NDArray[np.int64] | None = None,
        pixel_scale: float | None = None,
        photometry: NDArray[np.floating] | None = None,
    ) -> Scores:
        """Score cutouts.

        Parameters
        ----------
        images : ImageArray, shape (N, bands, size, size)
            Nanomaggies per pixel, 0 where there is no data, row 0 south. Read batch by batch: a
            `numpy.memmap` is never loaded as a whole.
        rows : ndarray of int64, shape (M,), optional
            Which images to score; all if not given.
        pixel_scale : float, optional
            Arcseconds per pixel of `images`, which are then resampled to the model's grid. Not
            given, they must be of the model's size.
        photometry : ndarray, shape (M or N, quantities), optional
            Of the images that are scored, in their order, as
            `xsaga.model.photometry.catalog_photometry` gives it. Where it is not known, or not
            given, the image alone is scored.

        Returns
        -------
        Scores
            In the order of `rows`, or of `images`.

        Raises
        ------
        ModelError
            If images or photometry are not of the shape that the model needs.
        """
        card = self.card
        check_images(images, len(card.bands))
        to_grid = None
        if pixel_scale is not None:
            if not (math.isfinite(pixel_scale) and pixel_scale > 0):
                raise ModelError(f"pixel scale {pixel_scale}: give arcseconds per pixel")
            to_grid = (pixel_scale, card.pixel_scale, card.size)
        elif images.shape[-1] != card.size:
            raise ModelError(
                f"model {card.name} needs images of {card.size} pixels, these have "
                f"{images.shape[-1]}: fetch them so, or ask for resampling"
            )
        logits, distance = self._networks.logits_and_distances(
            images, rows=rows, to_grid=to_grid, photometry=photometry
        )
        mean = logits.mean(axis=1, dtype=np.float64)
        each = card.calibration.probability(logits)
        missing = np.isnan(logits).any(axis=1)
        flags = np.where(missing, ScoreFlag.NOT_FINITE, 0).astype(np.int32)
        flags |= np.where(distance > 1, ScoreFlag.UNFAMILIAR, 0).astype(np.int32)
        if to_grid is not None:
            flags |= np.int32(ScoreFlag.RESAMPLED)
        return Scores(
            p_lowz=card.calibration.probability(mean).astype(np.float32),
            p_lowz_std=each.std(axis=1).astype(np.float32),
            logit=mean.astype(np.float32),
            distance=distance,
            flags=flags,
        )

    def bare_loop(self, images: NDArray[np.floating]) -> Callable[[], None]:
        """Give a call that runs the engine on images that lie on its device, to measure it.

        Parameters
        ----------
        images : ndarray, shape (N, bands, size, size)
            Of the model's size; at least a batch of them is run, and as many batches as they fill.
        """
        return self._networks.bare_loop(images)


def scorers_for(
    model: Model,
    *,
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    batch_size: int | None = None,
    engine: EngineChoice = "eager",
) -> tuple[Scorer, ...]:
    """Make a model ready on every device that is meant.

    Parameters are those of `Scorer`.

    Returns
    -------
    tuple of Scorer
        One for each GPU where `device` is ``cuda``, or ``auto`` and there is any; else one.

    Raises
    ------
    ModelError
        If device, precision, batch size or engine cannot be used.
    """
    count = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    devices = [f"cuda:{number}" for number in range(count)] if count > 1 else [device]
    return tuple(
        Scorer(model, device=each, precision=precision, batch_size=batch_size, engine=engine)
        for each in devices
    )


def _same_scale(one: float, other: float) -> bool:
    return abs(one / other - 1) <= SCALE_TOLERANCE
