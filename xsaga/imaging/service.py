"""Cutouts from the cutout service of the Legacy Surveys viewer.

What the service does was read from its source: it answers faults with
status 200 and text, replaces what it does not know by defaults, and answers 500 both for faults
and for positions outside its footprint. Nothing it says is believed before it is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from xsaga.errors import ImagingError
from xsaga.imaging.cutout_fits import CutoutEmpty, CutoutUnusable, nonzero_coverage, read_cutout
from xsaga.imaging.cutouts import (
    CutoutBatch,
    CutoutSpec,
    CutoutStatus,
    ImagingFiles,
    batch_size,
    coverage_status,
    image_bytes,
)
from xsaga.imaging.fits_check import IncompleteFitsError, complete_stream
from xsaga.imaging.http import HttpClient
from xsaga.imaging.http_faults import HttpFailure, UnreachableError, shown
from xsaga.imaging.http_limits import HttpOptions
from xsaga.imaging.http_outage import PatientClient

PUBLIC_URL = "https://www.legacysurvey.org/viewer/fits-cutout"
DEFAULT_LAYER = "ls-dr9"

MAX_SIZE = 3000
"""Pixels on a side; the service clips larger cutouts without a word."""

MAX_BATCH = 64
"""Cutouts in a batch, at most: they arrive slowly."""

MORE_WORKERS = 4
"""Threads beyond the connections: so many requests may wait for their next try and block none."""

_BAD_REQUEST, _SERVER_ERROR = 400, 500
_HEADER_ROOM = 2**20


class NoSuchLayerError(ImagingError):
    """The service does not know the layer."""


@dataclass(frozen=True)
class _Answer:
    """Outcome of one position."""

    image: NDArray[np.float32] | None
    status: CutoutStatus
    reason: str


class ServiceSource:
    """Cutouts from the service, several requests at a time.

    Parameters
    ----------
    spec : CutoutSpec
        Geometry; at most `MAX_SIZE` pixels on a side.
    http : HttpClient
        Request layer with its limits; closed with the source.
    url : str
        Address of the service.
    layer : str
        Image layer, e.g. ``ls-dr9`` or ``ls-dr10-grz``.
    covers : callable, optional
        Tells from (ra, dec) in degrees whether a cutout there meets a brick of the survey. With
        it a position that the service refuses with status 500 is `OUTSIDE` or `FAILED` for sure,
        and is not asked for again where nothing is to be had. Without it an outage that answers
        with status 500 is noticed once the service has given a cutout.

    Raises
    ------
    ImagingError
        When the service cannot give such cutouts.
    """

    def __init__(
        self,
        spec: CutoutSpec,
        http: HttpClient,
        *,
        url: str = PUBLIC_URL,
        layer: str = DEFAULT_LAYER,
        covers: Callable[[float, float], bool] | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ImagingError(f"{shown(url)}: not an http or https address of a cutout service")
        if not 1 <= spec.size <= MAX_SIZE:
            raise ImagingError(
                f"cutouts of {spec.size} pixels: the cutout service gives 1 to {MAX_SIZE}; "
                "ask for smaller ones or take them from bricks"
            )
        if any(len(band) != 1 for band in spec.bands):
            raise ImagingError(f"bands {spec.bands}: the cutout service knows one-letter bands")
        self._spec = spec
        self._service = PatientClient(http, "the cutout service")
        self._limits = http.options
        self._tries = 1 + http.options.retries
        self._url = url
        self._layer = layer
        self._covers = covers
        self._max_answer = image_bytes(spec) + _HEADER_ROOM
        self._batch = min(MAX_BATCH, batch_size(spec))
        connections = http.options.connections
        # while a batch is being scored, as many answers as make the next one are waiting
        self._ahead = max(self._batch, connections)
        self._workers = ThreadPoolExecutor(connections + MORE_WORKERS, thread_name_prefix="cutouts")

    @property
    def spec(self) -> CutoutSpec:
        """Geometry of the cutouts it gives."""
        return self._spec

    @property
    def limits(self) -> HttpOptions:
        """How hard the service is asked."""
        return self._limits

    @property
    def release(self) -> str:
        """Image release: the layer."""
        return self._layer

    def order(self, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.int64]:
        """Leave positions in the order they have."""
        del dec
        return np.arange(len(ra))

    def cutouts(
        self, ra: NDArray[np.float64], dec: NDArray[np.float64], source_id: NDArray[np.int64]
    ) -> Iterator[CutoutBatch]:
        """Yield the cutouts of the given positions in batches, in the order they arrive.

        Parameters
        ----------
        ra, dec : ndarray of float64, shape (N,)
            Positions in degrees (ICRS).
        source_id : ndarray of int64, shape (N,)
            Not used: the service knows positions only.

        Raises
        ------
        NoSuchLayerError
            When the service does not know the layer.
        UnreachableError
            When the service is gone for longer than is waited for, or the source is closed.
        """
        del source_id
        waiting: dict[Future[_Answer], int] = {}
        arrived: list[tuple[int, _Answer]] = []
        asked = 0
        try:
            while asked < len(ra) or waiting or arrived:
                while asked < len(ra) and len(waiting) < self._ahead:
                    position = float(ra[asked]), float(dec[asked])
                    waiting[self._begin(*position)] = asked
                    asked += 1
                if len(arrived) >= self._batch or not waiting:
                    yield self._packed(arrived[: self._batch])
                    del arrived[: self._batch]
                    continue
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    arrived.append((waiting[future], future.result()))
                    del waiting[future]
        finally:
            for future in waiting:
                future.cancel()

    def files(
        self, ra: NDArray[np.float64], dec: NDArray[np.float64], source_id: NDArray[np.int64]
    ) -> ImagingFiles:
        """Name no files: what a service holds can only be asked for."""
        del ra, dec, source_id
        return ImagingFiles()

    def interrupt(self) -> None:
        """Cut the requests that are under way; no more are made."""
        self._service.close()

    def close(self) -> None:
        """Give back connections and workers; requests that are under way are cut."""
        self._service.close()
        self._workers.shutdown()  # what is queued fails at once

    def _begin(self, ra: float, dec: float) -> Future[_Answer]:
        try:
            return self._workers.submit(self._ask, ra, dec)
        except RuntimeError:  # another thread has closed it
            raise UnreachableError("the cutout service: asking it was stopped") from None

    def _ask(self, ra: float, dec: float) -> _Answer:
        """Get and check one cutout."""
        covered = None if self._covers is None else self._covers(ra, dec)
        query = {
            "ra": f"{ra:.8f}",  # 0.04 mas
            "dec": f"{dec:.8f}",
            "layer": self._layer,
            "pixscale": f"{self._spec.pixel_scale:.10g}",
            "bands": "".join(self._spec.bands),
            "size": str(self._spec.size),
        }
        final = (_BAD_REQUEST,) if covered is not False else (_BAD_REQUEST, _SERVER_ERROR)
        unclear = (_SERVER_ERROR,) if covered is None else ()
        corrupt = ""
        # a sound answer to another question is no outage, but a proxy may mix answers up
        for _ in range(self._tries):
            try:
                answer = self._service.get(
                    self._url,
                    query,
                    max_bytes=self._max_answer,
                    check=_not_fits,
                    final=final,
                    unclear=unclear,
                )
            except HttpFailure as failure:
                return _refused(failure, covered)
            if _is_layer_refusal(answer.body):
                raise NoSuchLayerError(
                    f"{shown(self._url)}: no layer '{self._layer}'; "
                    "give one that the viewer shows, e.g. ls-dr9 or ls-dr10-grz"
                )
            try:
                image = read_cutout(answer.body, self._spec, exact_size=True, centre=(ra, dec))
            except CutoutEmpty:
                return _Answer(None, CutoutStatus.OUTSIDE, "no data at this position")
            except CutoutUnusable as unusable:
                corrupt = str(unusable)
            else:
                return _Answer(image, CutoutStatus.OK, "")
        return _Answer(None, CutoutStatus.CORRUPT, corrupt)

    def _packed(self, answers: list[tuple[int, _Answer]]) -> CutoutBatch:
        size, bands = self._spec.size, len(self._spec.bands)
        images = np.zeros((len(answers), bands, size, size), dtype=np.float32)
        status = np.array([answer.status for _, answer in answers], dtype=np.int8)
        reason = [answer.reason for _, answer in answers]
        for image, (_, answer) in zip(images, answers, strict=True):
            if answer.image is not None:
                image[:] = answer.image
        coverage = nonzero_coverage(images)
        usable = status == CutoutStatus.OK
        status[usable] = coverage_status(coverage[usable])
        for row in np.flatnonzero(status == CutoutStatus.PARTIAL):
            reason[row] = "part of the cutout has no data"
        return CutoutBatch(
            index=np.array([index for index, _ in answers], dtype=np.int64),
            images=images,
            coverage=coverage,
            status=status,
            reason=reason,
            origin=[self._layer] * len(answers),
        )


def _refused(failure: HttpFailure, covered: bool | None) -> _Answer:
    """Outcome of a position whose request failed for good."""
    if failure.status == _BAD_REQUEST:
        return _Answer(None, CutoutStatus.FAILED, "the service refused the request as malformed")
    if failure.status == _SERVER_ERROR and covered is None:
        reason = f"{failure.reason}: outside the footprint, or a fault of the service"
        return _Answer(None, CutoutStatus.FAILED, reason)
    if failure.status == _SERVER_ERROR and not covered:
        return _Answer(None, CutoutStatus.OUTSIDE, "outside the footprint of the survey")
    # a complete answer that is no FITS file, or one that has not come
    status = CutoutStatus.CORRUPT if failure.status == 200 else CutoutStatus.FAILED
    return _Answer(None, status, failure.reason)


def _is_layer_refusal(body: bytes) -> bool:
    return body[:100].strip().lower().startswith(b"no such layer")


def _not_fits(body: bytes) -> str:
    """Say why an answer is worth asking for again."""
    if _is_layer_refusal(body):
        return ""
    try:
        complete_stream(body)
    except IncompleteFitsError as error:
        return str(error)
    return ""
