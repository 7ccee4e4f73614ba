"""A real HTTP server on loopback that behaves like the Legacy Surveys servers, faults included.

``/viewer/fits-cutout`` answers as the cutout service does with pixels of a
brick tree; any other path serves the files below the root. It shares no code with xsaga, so that
tests compare two independent readings of the same pixels. To try the tool against it by hand::

    python -m tests.survey_server ../shared/realsky --port 8765
"""

from __future__ import annotations

import argparse
import io
import re
import select
import socket
import ssl
import struct
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

CUTOUT_PATH = "/viewer/fits-cutout"
LAYER, DEFAULT_BANDS = "ls-dr9", "grz"
MAX_SIZE, DEFAULT_SIZE, DEFAULT_SCALE = 3000, 256, 0.262


@dataclass(frozen=True)
class Seen:
    """One request as it came in."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    client_port: int
    """The same for requests over the same connection."""
    time: float


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer; what is not set stays as it would have been."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    """Added to the answer; an empty value takes a field out of it."""
    body: bytes | None = None
    size: int | None = None
    """Cut out this many pixels whatever was asked."""
    shift: float = 0.0
    """Cut out so many degrees farther east."""
    scale: float | None = None
    """Cut out with such pixels, arcsec."""
    bands: str | None = None
    edit: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None
    """Changes the pixels (of a brick tree)."""
    keep: int | None = None
    """Send only so many bytes of the body, and say so: a truncated file."""
    cut_after: int | None = None
    """Close the connection after so many bytes of the body."""
    reset: bool = False
    """Close hard (RST) where `cut_after` says."""
    trickle: float = 0.0
    """Seconds between bytes of the body."""
    trickle_headers: float = 0.0
    """Seconds between bytes of the headers."""
    delay: float = 0.0
    """Seconds before the first byte."""
    hang: bool = False
    """Never answer."""
    wait: threading.Event | None = None
    """Answer once this is set."""


HTML = Fault(
    headers={"Content-Type": "text/html"}, body=b"<html><body>Down for maintenance</body></html>"
)

Edit = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Sky(Protocol):
    """Where the pixels of the cutout service come from."""

    def fits(self, ra: float, dec: float, size: int, scale: float, bands: str) -> bytes | None:
        """FITS file of a cutout; None outside the footprint."""


FaultPlan = Sequence[Fault | None] | Callable[[Seen], Fault | None]


class BrickMosaic:
    """Pixels of all bricks of folders that have ``coadd/`` below them."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    @cached_property
    def _grids(self) -> list[tuple[Path, WCS, int, int]]:
        found = []
        for folder in self._folders:
            for brick in sorted((folder / "coadd").glob("*/*")):
                images = sorted(brick.glob("legacysurvey-*-image-*.fits*"))
                if images:
                    header = fits.getheader(images[0], 1)
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", FITSFixedWarning)
                        wcs = WCS(header)
                    found.append((brick, wcs, header["NAXIS1"], header["NAXIS2"]))
        return found

    def fits(
        self,
        ra: float,
        dec: float,
        size: int,
        scale: float,
        bands: str,
        edit: Edit = lambda image: image,
    ) -> bytes | None:
        """FITS file of a cutout; None outside all bricks."""
        cut = self.cutout(ra, dec, size, scale, bands)
        return None if cut is None else cutout_fits(edit(cut[0]), cut[1], bands)

    def cutout(
        self, ra: float, dec: float, size: int, scale: float, bands: str
    ) -> tuple[NDArray[np.float32], WCS] | None:
        """(band, y, x) on a TAN grid centred exactly on the position; None outside all bricks."""
        grid = WCS(naxis=2)
        grid.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        grid.wcs.crval = [ra, dec]
        grid.wcs.crpix = [size / 2 + 0.5, size / 2 + 0.5]
        grid.wcs.cd = [[-scale / 3600, 0], [0, scale / 3600]]
        rows, columns = np.mgrid[0:size, 0:size]
        sky = grid.all_pix2world(np.stack([columns.ravel(), rows.ravel()], axis=1), 0)
        image = np.zeros((len(bands), size, size), dtype=np.float32)
        touched = False
        for brick, wcs, width, height in self._grids:
            # a position far from a brick may be behind its tangent plane and still get pixels
            offset = (ra - wcs.wcs.crval[0] + 180) % 360 - 180
            if abs(dec - wcs.wcs.crval[1]) > 1 or abs(offset) * np.cos(np.radians(dec)) > 1:
                continue
            x, y = wcs.all_world2pix(sky, 0).T.reshape(2, size, size)
            inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
            if not inside.any():
                continue
            touched = True
            for plane, band in zip(image, bands, strict=True):
                self._fill(plane, brick, band, np.stack([y, x]), inside)
        return (image, grid) if touched else None

    @staticmethod
    def _fill(
        plane: NDArray[np.float32],
        brick: Path,
        band: str,
        where: NDArray[np.float64],
        inside: NDArray[np.bool_],
    ) -> None:
        path = brick / f"legacysurvey-{brick.name}-image-{band}.fits.fz"
        if not path.exists():
            return
        margin = 12
        low = np.maximum(np.floor(where[:, inside].min(axis=1)).astype(int) - margin, 0)
        high = np.ceil(where[:, inside].max(axis=1)).astype(int) + margin
        pixels = _section(path, low[0], high[0], low[1], high[1])
        local = where - low[:, None, None]
        values = map_coordinates(pixels, local, order=3, mode="nearest")
        # compression dithers empty pixels of some trees to nearly 0: invvar tells which are empty
        weights = path.with_name(path.name.replace("-image-", "-invvar-"))
        known = _section(weights, low[0], high[0], low[1], high[1]) if weights.exists() else pixels
        filled = map_coordinates((known != 0).astype(np.int8), local, order=0, mode="nearest")
        take = inside & (filled != 0) & (plane == 0)  # the first brick counts where two overlap
        plane[take] = values[take]


@lru_cache(maxsize=64)
def _section(path: Path, y0: int, y1: int, x0: int, x1: int) -> NDArray[np.float64]:
    whole = _small_image(path)
    if whole is not None:
        return whole[y0:y1, x0:x1]
    with fits.open(path) as hdus:
        return np.asarray(hdus[1].section[y0:y1, x0:x1], dtype=np.float64)


@lru_cache(maxsize=64)
def _small_image(path: Path) -> NDArray[np.float64] | None:
    """An image of no more than a megapixel, else None."""
    with fits.open(path) as hdus:
        header = hdus[1].header
        if header["NAXIS1"] * header["NAXIS2"] > 1_000_000:
            return None
        return np.asarray(hdus[1].data, dtype=np.float64)


def cutout_fits(image: NDArray[np.float32], grid: WCS, bands: str) -> bytes:
    """FITS file as the viewer writes it."""
    header = grid.to_header()
    header["SURVEY"], header["VERSION"], header["IMAGETYP"] = "DECaLS", "DR9", "image"
    header["BANDS"] = bands
    for number, band in enumerate(bands):
        header[f"BAND{number}"] = band
    for first in (1, 2):
        for second in (1, 2):
            header.pop(f"PC{first}_{second}", None)
            header[f"CD{first}_{second}"] = grid.wcs.cd[first - 1, second - 1]
        header.pop(f"CDELT{first}", None)
    data = image if len(bands) > 1 else image[0]
    stream = io.BytesIO()
    fits.PrimaryHDU(np.ascontiguousarray(data), header).writeto(stream)
    return stream.getvalue()


class SurveyServer(ThreadingHTTPServer):
    """The server; `url` is its root, `seen` the requests so far."""

    block_on_close = True
    daemon_threads = False
    request_queue_size = 64
    scheme = "http"

    def __init__(
        self, root: Path, *, port: int, faults: FaultPlan, layer: str, sky: Sky | None
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.root = root.resolve()
        self.layer = layer
        self.seen: list[Seen] = []
        self.peak = 0
        """Most requests at any one time."""
        self.stopping = threading.Event()
        self._faults = faults
        self._lock = threading.Lock()
        self._busy = 0
        self._connections: set[socket.socket] = set()
        folders = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
        self.mosaic = BrickMosaic([path for path in folders if (path / "coadd").is_dir()])
        self.sky = sky or self.mosaic

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    @property
    def cutout_url(self) -> str:
        return self.url + CUTOUT_PATH

    def paths(self) -> list[str]:
        """Paths that were asked for, in order."""
        return [seen.path for seen in self.seen]

    def fault(self, seen: Seen) -> Fault:
        with self._lock:
            number = len(self.seen)
            self.seen.append(seen)
        if callable(self._faults):
            planned = self._faults(seen)
        else:
            planned = self._faults[number] if number < len(self._faults) else None
        return planned or Fault()

    @contextmanager
    def counted(self) -> Iterator[None]:
        with self._lock:
            self._busy += 1
            self.peak = max(self.peak, self._busy)
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1

    def process_request(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request) -> None:  # type: ignore[no-untyped-def]
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        """Clients that hang up are what these tests are about."""

    def stop(self) -> None:
        """End all handlers, also those that wait for a client, then the server."""
        self.stopping.set()
        self.shutdown()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: SurveyServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - name of the base
        """Requests are kept in `SurveyServer.seen`."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        seen = Seen(
            unquote(parts.path),
            query,
            dict(self.headers.items()),
            self.client_address[1],
            time.monotonic(),
        )
        with self.server.counted():
            fault = self.server.fault(seen)
            if fault.hang:
                self.server.stopping.wait()
                self.close_connection = True
                return
            if fault.wait is not None:
                while not (fault.wait.wait(0.02) or self.server.stopping.is_set()):
                    pass
            if fault.delay and not self._waited(fault.delay):
                self.close_connection = True
                return
            status, kind, body = self._answer(seen, fault)
            status = fault.status or status
            body = body if fault.body is None else fault.body
            self._send(status, {"Content-Type": kind, **fault.headers}, body[: fault.keep], fault)

    def _waited(self, seconds: float) -> bool:
        """Wait; False as soon as the client hangs up or the server stops."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.server.stopping.is_set():
                return False
            if select.select([self.connection], [], [], min(left, 0.05))[0]:
                return False  # no client sends anything before it has its answer
        return True

    def _answer(self, seen: Seen, fault: Fault) -> tuple[int, str, bytes]:
        if fault.body is not None or (fault.status or 200) != 200:
            return 200, "text/plain", b""
        if seen.path == CUTOUT_PATH:
            return self._cutout(seen.query, fault)
        path = (self.server.root / seen.path.lstrip("/")).resolve()
        if not path.is_relative_to(self.server.root) or not path.is_file():
            return 404, "text/html", b"<html>404 Not Found</html>"
        content = path.read_bytes()
        wanted = re.fullmatch(r"bytes=0-(\d+)", seen.headers.get("Range", ""))
        if wanted is not None:
            return 206, "application/octet-stream", content[: int(wanted[1]) + 1]
        return 200, "application/octet-stream", content

    def _cutout(self, query: dict[str, str], fault: Fault) -> tuple[int, str, bytes]:
        if query.get("layer", self.server.layer) != self.server.layer:
            return 200, "text/plain", b"no such layer"
        try:
            ra, dec = float(query["ra"]), float(query["dec"])
        except (KeyError, ValueError):
            return 400, "text/plain", b"need ra,dec"
        size = fault.size or min(int(query.get("size", DEFAULT_SIZE)), MAX_SIZE)
        bands = fault.bands or query.get("bands", DEFAULT_BANDS)
        if not set(bands) <= set(DEFAULT_BANDS):
            bands = DEFAULT_BANDS
        scale = fault.scale or float(query.get("pixscale", DEFAULT_SCALE))
        asked = ra + fault.shift, dec, size, scale, bands
        if fault.edit is not None:
            content = self.server.mosaic.fits(*asked, edit=fault.edit)
        else:
            content = self.server.sky.fits(*asked)
        if content is None:
            return 500, "text/html", b"<html>Server Error (500)</html>"
        return 200, "image/fits", content

    def _send(self, status: int, headers: dict[str, str], body: bytes, fault: Fault) -> None:
        self.send_response(status)
        headers = {"Content-Length": str(len(body)), **headers}
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        if not headers["Content-Length"]:  # then only the end of the connection tells
            self.close_connection = True
            self.send_header("Connection", "close")
        if fault.trickle_headers:
            self._trickle(b"X-Slow: " + b"." * 10_000, fault.trickle_headers)
        self.end_headers()
        if fault.cut_after is not None:
            self.wfile.write(body[: fault.cut_after])
            self.wfile.flush()
            if fault.reset:  # no lingering: the kernel sends RST instead of FIN
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
            self.close_connection = True
        elif fault.trickle:
            self._trickle(body, fault.trickle)
        else:
            self.wfile.write(body)

    def _trickle(self, body: bytes, seconds: float) -> None:
        self.flush_headers()
        for number in range(len(body)):
            self.wfile.write(body[number : number + 1])
            self.wfile.flush()
            if self.server.stopping.wait(seconds):
                break


@contextmanager
def survey_server(
    root: Path,
    *,
    faults: FaultPlan = (),
    port: int = 0,
    layer: str = LAYER,
    sky: Sky | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[SurveyServer]:
    """Serve `root` (a release or a region) until the block ends.

    `faults` says what goes wrong with each request, in the order they come in (None or the end of
    the list: nothing), or is asked for each request. Cutouts are made from the tree, or from `sky`.
    """
    server = SurveyServer(root, port=port, faults=faults, layer=layer, sky=sky)
    if tls is not None:
        server.scheme = "https"
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def main() -> None:
    """Serve a tree until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Cutout service and brick tree on loopback.")
    parser.add_argument("root", type=Path, help="root of a release, or of one region")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--layer", default=LAYER)
    arguments = parser.parse_args()
    with (
        survey_server(arguments.root, port=arguments.port, layer=arguments.layer) as server,
        suppress(KeyboardInterrupt),
    ):
        print(f"{server.cutout_url} and the files at {server.url}/", flush=True)  # noqa: T201
        threading.Event().wait()


if __name__ == "__main__":
    main()
