"""What it takes to have a run's cutouts from bricks and from the service, measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xsaga.config import ImagingConfig
from xsaga.errors import ImagingError
from xsaga.imaging.brick_cache import RemoteTree
from xsaga.imaging.brick_index import open_regions
from xsaga.imaging.brick_speed import measure_bricks
from xsaga.imaging.brick_tree import BrickTree, image_path
from xsaga.imaging.cutouts import CutoutSource, CutoutSpec
from xsaga.imaging.rates import brick_download_seconds, positions_needed, service_rate
from xsaga.imaging.service import ServiceSource
from xsaga.run.imaging import brick_share, open_imaging, open_tree
from xsaga.run.imaging_choice import Cost, Place, only
from xsaga.run.survey_time import Survey

TRIED = 5
"""Bricks that are looked for in the cache."""


@dataclass(frozen=True)
class CostMeasures:
    """Measures both places on a few of the cutouts that a run needs.

    Parameters
    ----------
    config : ImagingConfig
        Names both.
    ra, dec : ndarray of float64, shape (N,)
        Some positions of the run in degrees; at least one.
    check : callable
        Raises an `XsagaError` where the model cannot use the imaging of a source.
    tell : callable
        Takes one line on what the user should know of.
    """

    config: ImagingConfig
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    check: Callable[[CutoutSource], object]
    tell: Callable[[str], None]

    def _now(self, place: Place) -> ImagingConfig:
        """Give the configuration of one place, not waited for: there is another."""
        return replace(only(self.config, place), max_outage=0.0)

    def service(self, survey: Survey) -> Cost:
        """Measure the service.

        Raises
        ------
        XsagaError
            It cannot be reached or used.
        """
        source = open_imaging(self._now("service"), tell=self.tell)
        try:
            self.check(source)
            if not isinstance(source, ServiceSource):
                raise ImagingError(f"{self.config.service}: no cutout service")
            if len(self.ra) < positions_needed(source):  # so few that it does not matter
                return Cost(survey.sources / self.config.rate, "not measured, for so few")
            rate = service_rate(source, self.ra, self.dec)
            return Cost(survey.sources / rate, f"{rate:.1f} cutouts/s")
        finally:
            source.close()

    def bricks(self, survey: Survey) -> Cost:
        """Measure bricks: downloading one, if they are not here, and cutting it.

        Raises
        ------
        XsagaError
            They cannot be reached or used.
        """
        source = open_imaging(self._now("bricks"), tell=self.tell)
        try:
            self.check(source)
        finally:
            source.close()
        tree = open_tree(self._now("bricks"), self.tell)
        try:
            download = download_seconds(tree, self.config.region, self.ra, self.dec)
            share = brick_share(self.config.memory)
            speed = measure_bricks(
                tree,
                CutoutSpec(self.config.size),
                workers=share.workers,
                max_bytes=share.max_bytes,
                densities=(max(1, round(survey.per_brick)),),
            )
        finally:
            tree.close()
        basis = f"{download + speed.seconds[0]:.1f} s a brick"
        basis += f", {download:.1f} s of it to download" if download else ""
        return Cost(survey.bricks * (download + speed.seconds[0]), basis)


def download_seconds(
    tree: BrickTree, region: str, ra: NDArray[np.float64], dec: NDArray[np.float64]
) -> float:
    """Measure how long a brick of some positions takes to download.

    Parameters
    ----------
    tree : BrickTree
        Where bricks are.
    region : {'auto', 'north', 'south'}
        As of the configuration.
    ra, dec : ndarray of float64, shape (N,)
        Degrees.

    Returns
    -------
    float
        Seconds; 0 where bricks are on this machine, or those that are tried are here already.
    """
    if not isinstance(tree, RemoteTree) or not len(ra):
        return 0.0
    for each in open_regions(tree, region):
        numbers, depth = each.home(ra, dec)
        for number in np.unique(numbers[depth > 0])[:TRIED].tolist():
            brick = each.brick(number)
            if (tree.root / image_path(brick.region, brick.name, "image", "r")).is_file():
                continue  # without reading it to compare its checksum
            if seconds := brick_download_seconds(tree, brick):
                return seconds
    return 0.0
