from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from tests.shared_data import shared
from tests.small_survey import BRICKS, EMPTY_COLUMNS, FLUX, SCALE, SIZE, write_small_survey
from tests.survey_server import HTML, Fault, Seen, SurveyServer, survey_server
from xsaga.errors import ImagingError
from xsaga.imaging.cutouts import CutoutBatch, CutoutSpec, CutoutStatus
from xsaga.imaging.http import HttpClient
from xsaga.imaging.http_faults import UnreachableError
from xsaga.imaging.http_limits import HttpOptions
from xsaga.imaging.service import MAX_BATCH, NoSuchLayerError, ServiceSource

QUICK = HttpOptions(rate=None, retries=2, backoff=0.001, read_timeout=10, deadline=10)


def no_sleep(_: float) -> None:
    """Waits take no time."""


SPEC = CutoutSpec(size=24)
CENTRE = BRICKS["1500p010"]
NOWHERE = (10.0, 60.0)


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_survey(tmp_path_factory.mktemp("survey") / "dr9")


@pytest.fixture
def source() -> Iterator[Callable[..., ServiceSource]]:
    made: list[ServiceSource] = []

    def make(
        server: SurveyServer,
        spec: CutoutSpec = SPEC,
        limits: HttpOptions = QUICK,
        **options: object,
    ) -> ServiceSource:
        one = ServiceSource(
            spec, HttpClient(limits, sleep=no_sleep), url=server.cutout_url, **options
        )  # type: ignore[arg-type]
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


def cut(source: ServiceSource, *positions: tuple[float, float]) -> CutoutBatch:
    """All cutouts as one batch in the order of the positions, each answered exactly once."""
    ra, dec = np.array(positions, dtype=np.float64).reshape(-1, 2).T
    batches = list(source.cutouts(ra, dec, np.arange(len(ra))))
    assert all(0 < len(batch) <= MAX_BATCH for batch in batches)
    index = np.concatenate([batch.index for batch in batches])
    assert sorted(index) == list(range(len(ra)))
    order = np.argsort(index)
    reasons = [text for batch in batches for text in batch.reason]
    origins = [text for batch in batches for text in batch.origin]
    return CutoutBatch(
        index=index[order],
        images=np.concatenate([batch.images for batch in batches])[order],
        coverage=np.concatenate([batch.coverage for batch in batches])[order],
        status=np.concatenate([batch.status for batch in batches])[order],
        reason=[reasons[row] for row in order],
        origin=[origins[row] for row in order],
    )


def eastward(pixels: float) -> tuple[float, float]:
    """Position so many pixels east of the centre of the first brick: towards its empty edge."""
    ra, dec = CENTRE
    return ra + pixels * SCALE / np.cos(np.radians(dec)), dec


TROUBLED = eastward(-20)
"""A position with data for which a test plans faults."""


def only_at(position: tuple[float, float], fault: Fault) -> Callable[[Seen], Fault | None]:
    return lambda seen: fault if seen.query["ra"] == f"{position[0]:.8f}" else None


def test_a_cutout_is_asked_for_and_read_as_it_should(survey, source) -> None:
    spec = CutoutSpec(size=23, pixel_scale=0.262, bands=("r", "g", "z"))
    with survey_server(survey) as server:
        one = source(server, spec)
        batch = cut(one, CENTRE)
    asked = server.seen[0].query
    assert asked["layer"] == "ls-dr9"
    assert (asked["bands"], asked["size"], asked["pixscale"]) == ("rgz", "23", "0.262")
    assert (float(asked["ra"]), float(asked["dec"])) == CENTRE
    assert batch.status.tolist() == [CutoutStatus.OK]
    assert batch.reason == [""]
    assert batch.origin == ["ls-dr9"]
    assert batch.coverage.tolist() == [[1, 1, 1]]
    assert batch.images.shape == (1, 3, 23, 23)
    assert batch.images.dtype == np.float32
    peaks = batch.images[0, :, 11, 11]
    assert peaks == pytest.approx([FLUX["r"], FLUX["g"], FLUX["z"]], rel=0.1)
    assert (one.spec, one.release) == (spec, "ls-dr9")


def test_positions_keep_their_digits(survey, source) -> None:
    position = (150.12345678, 1.00012345)
    with survey_server(survey) as server:
        cut(source(server), position)
    asked = server.seen[0].query
    assert (float(asked["ra"]), float(asked["dec"])) == pytest.approx(position, abs=1e-8)


def test_north_is_up_and_east_is_left(survey, source) -> None:
    with survey_server(survey) as server:
        west, south = cut(source(server), eastward(-5), (CENTRE[0], CENTRE[1] - 7 * SCALE)).images
    # the source of the brick appears east (left, low x) and north (up, high y) of them
    assert np.unravel_index(west[1].argmax(), west[1].shape) == pytest.approx((12, 7), abs=1)
    assert np.unravel_index(south[1].argmax(), south[1].shape) == pytest.approx((19, 12), abs=1)


def test_parts_without_data_are_counted(survey, source) -> None:
    edge = SIZE / 2 - EMPTY_COLUMNS
    with survey_server(survey) as server:
        batch = cut(source(server), eastward(edge), eastward(edge + 30), eastward(0))
    statuses = [CutoutStatus.PARTIAL, CutoutStatus.OUTSIDE, CutoutStatus.OK]
    assert batch.status.tolist() == statuses
    assert batch.coverage[:, 1] == pytest.approx([0.5, 0, 1], abs=0.05)
    assert [bool(reason) for reason in batch.reason] == [True, True, False]
    assert not batch.images[1].any()


def test_many_positions_come_in_bounded_batches(survey, source) -> None:
    positions = [eastward(step / 4) for step in range(3 * MAX_BATCH // 2)]
    with survey_server(survey) as server:
        batch = cut(source(server), *positions)
        assert (batch.status == CutoutStatus.OK).all()
        assert len(server.seen) == len(positions)
        assert server.peak <= QUICK.connections
        assert len({seen.client_port for seen in server.seen}) <= QUICK.connections
    # each image is that of its own position: the source moves left as the position moves east
    column = batch.images[:, 1].max(axis=1).argmax(axis=1)
    seen = np.arange(len(positions)) / 4 < 10
    expected = 12 + np.arange(len(positions)) / 4
    assert column[seen] == pytest.approx(expected[seen], abs=1.01)


def test_no_positions_give_no_batches(survey, source) -> None:
    with survey_server(survey) as server:
        nothing = np.array([], dtype=np.float64)
        assert list(source(server).cutouts(nothing, nothing, nothing.astype(np.int64))) == []
        assert server.seen == []


def test_only_as_much_is_asked_for_as_fits_in_memory(survey, source) -> None:
    too_many = threading.Event()
    answers: list[bytes] = []
    with survey_server(survey) as server, HttpClient(QUICK) as http:
        query = {"ra": "150.125", "dec": "1", "layer": "ls-dr9", "size": "24"}
        answers.append(http.get(server.cutout_url, query).body)

    def counted(_: Seen) -> Fault:
        if len(server.seen) > 3 * MAX_BATCH:
            too_many.set()
        return Fault(body=answers[0])

    count = 20 * MAX_BATCH
    with survey_server(survey, faults=counted) as server:
        one = source(server)
        batches = one.cutouts(
            np.full(count, CENTRE[0]), np.full(count, CENTRE[1]), np.arange(count)
        )
        assert (next(batches).status == CutoutStatus.OK).all()
        # nobody takes the next batch: the requests have to stop by themselves
        assert not too_many.wait(1)
        batches.close()


def test_an_unknown_layer_stops_everything(survey, source) -> None:
    with survey_server(survey) as server:
        one = source(server, layer="ls-dr99")
        with pytest.raises(NoSuchLayerError, match="no layer 'ls-dr99'"):
            cut(one, *[CENTRE] * 200)
        assert len(server.seen) < 100


def test_sizes_that_would_be_clipped_are_refused() -> None:
    with HttpClient(QUICK) as http:
        for size in (3001, 0):
            with pytest.raises(ImagingError, match="cutout service gives 1 to 3000"):
                ServiceSource(CutoutSpec(size=size), http)
        with pytest.raises(ImagingError, match="not an http or https address"):
            ServiceSource(SPEC, http, url="viewer/fits-cutout")


def not_finite(image: NDArray[np.float32]) -> NDArray[np.float32]:
    image[1, 3, 4] = np.nan
    return image


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(size=25), "25 x 25 pixels, wanted 24 x 24"),
        (Fault(size=256), "256 x 256 pixels, wanted 24 x 24"),
        (Fault(bands="gz"), "bands gz, wanted grz"),
        (Fault(edit=not_finite), "not finite"),
        (HTML, "not a FITS file"),
        (Fault(body=b""), "empty file"),
        (Fault(body=b"SIMPLE"), "FITS"),
        (Fault(keep=2880 + 1000), "truncated"),
        (Fault(keep=1000), "truncated"),
        (Fault(body=b"x" * 2_000_000), "an answer of 2000000 bytes"),
    ],
    ids=["size", "default", "bands", "nan", "html", "empty", "start", "cut", "header", "long"],
)
def test_an_unusable_answer_is_corrupt_with_a_reason(survey, source, fault, reason) -> None:
    with survey_server(survey, faults=only_at(TROUBLED, fault)) as server:
        batch = cut(source(server), CENTRE, TROUBLED, eastward(1))
    assert batch.status.tolist() == [CutoutStatus.OK, CutoutStatus.CORRUPT, CutoutStatus.OK]
    assert reason in batch.reason[1]
    assert not batch.images[1].any()
    assert not batch.coverage[1].any()


def test_unknown_bands_are_noticed(survey, source) -> None:
    with survey_server(survey) as server:
        batch = cut(source(server, CutoutSpec(size=24, bands=("g", "i", "z"))), CENTRE)
    assert batch.status.tolist() == [CutoutStatus.CORRUPT]
    assert "wanted giz" in batch.reason[0]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, headers={"Retry-After": "0"}),
        Fault(status=500),
        Fault(status=503),
        Fault(cut_after=3000),
        Fault(cut_after=3000, reset=True),
        Fault(headers={"Content-Length": "100000"}, cut_after=100),
        Fault(keep=4000),
        HTML,
    ],
    ids=["429", "500", "503", "cut", "reset", "wrong length", "truncated", "html"],
)
def test_a_passing_fault_leaves_no_trace(survey, source, fault) -> None:
    with survey_server(survey, faults=[fault, fault]) as server:
        batch = cut(source(server), CENTRE)
        assert len(server.seen) == 3
    assert batch.status.tolist() == [CutoutStatus.OK]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(status=400), "refused the request"),
        (Fault(status=403), "HTTP status 403"),
        (Fault(status=503), "HTTP status 503 (3 tries)"),
        (Fault(hang=True), "no byte from the server within 0.1 s"),
        (Fault(trickle=0.02), "no complete answer within 0.3 s"),
        (Fault(cut_after=3000), "(3 tries)"),
        (Fault(status=302, headers={"Location": "http://localhost:1/"}), "another host"),
    ],
    ids=["400", "403", "503", "silence", "trickle", "cut", "redirect"],
)
def test_no_answer_is_failed_with_a_reason(survey, source, fault, reason) -> None:
    limits = replace(QUICK, read_timeout=0.1, deadline=0.3)
    with survey_server(survey, faults=only_at(TROUBLED, fault)) as server:
        one = source(server, limits=limits)
        cut(one, CENTRE)  # the service is known to work
        batch = cut(one, CENTRE, TROUBLED, eastward(1))
    assert batch.status.tolist() == [CutoutStatus.OK, CutoutStatus.FAILED, CutoutStatus.OK]
    assert reason in batch.reason[1]


def test_without_a_table_status_500_can_mean_both(survey, source) -> None:
    with survey_server(survey) as server:
        batch = cut(source(server), NOWHERE)
        assert len(server.seen) == 3
    assert batch.status.tolist() == [CutoutStatus.FAILED]
    assert "outside the footprint, or a fault of the service" in batch.reason[0]


def test_a_table_tells_outside_from_a_fault(survey, source) -> None:
    def covers(ra: float, dec: float) -> bool:
        return (ra, dec) != NOWHERE

    with survey_server(survey, faults=only_at(TROUBLED, Fault(status=500))) as server:
        one = source(server, covers=covers)
        cut(one, CENTRE)
        batch = cut(one, NOWHERE, TROUBLED, CENTRE)
    assert batch.status.tolist() == [CutoutStatus.OUTSIDE, CutoutStatus.FAILED, CutoutStatus.OK]
    assert batch.reason[0] == "outside the footprint of the survey"
    assert "HTTP status 500 (3 tries)" in batch.reason[1]
    tries = [seen.query["ra"] for seen in server.seen]
    assert tries.count(f"{NOWHERE[0]:.8f}") == 1  # known to be outside: not asked again
    assert tries.count(f"{TROUBLED[0]:.8f}") == 6  # with all retries, twice


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(status=503), "gave no usable answer, the last: .* HTTP status 503"),
        (Fault(status=404), "cannot be used: .* HTTP status 404"),
        (HTML, "gave no usable answer, the last: .* not a FITS file"),
    ],
    ids=["503", "404", "maintenance page"],
)
def test_a_service_that_never_works_stops_the_run(survey, source, fault, reason) -> None:
    with survey_server(survey, faults=lambda _: fault) as server:
        one = source(server)
        with pytest.raises(UnreachableError, match=reason):
            cut(one, *[CENTRE] * 500)
        one.close()
        assert len(server.seen) < 100


def test_an_outage_is_noticed_across_small_tiles(survey, source) -> None:
    with survey_server(survey) as server:
        one = source(server, limits=replace(QUICK, retries=0))
        cut(one, CENTRE)
    with pytest.raises(UnreachableError, match="connection refused"):
        cut(one, TROUBLED)


def test_scattered_failures_are_no_outage(survey, source) -> None:
    positions = [eastward(step) if step % 4 == 0 else TROUBLED for step in range(40)]
    limits = replace(QUICK, retries=0, connections=1)
    with survey_server(survey, faults=only_at(TROUBLED, Fault(status=503))) as server:
        batch = cut(source(server, limits=limits), *positions)
    assert (batch.status == CutoutStatus.FAILED).sum() == 30
    assert (batch.status == CutoutStatus.OK).sum() == 10


def test_close_ends_what_is_under_way(survey, source) -> None:
    asked = threading.Event()

    def hang(_: Seen) -> Fault:
        asked.set()
        return Fault(hang=True)

    with survey_server(survey, faults=hang) as server:
        one = source(server, limits=replace(QUICK, read_timeout=60, deadline=60))
        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(cut, one, CENTRE)
            assert asked.wait(10)
            one.close()
            # not a failure of the source, which would be kept
            with pytest.raises(UnreachableError, match="stopped"):
                found.result(10)


def test_real_pixels_come_through(source) -> None:
    root = shared("realsky", "south").parent
    with fits.open(shared("realsky", "cutouts", "field-a.fits")) as hdus:
        whole, header = hdus[0].data, hdus[0].header
    spec = CutoutSpec(size=145)
    with survey_server(root) as server:
        batch = cut(source(server, spec), (header["CRVAL1"], header["CRVAL2"]))
    assert batch.status.tolist() == [CutoutStatus.OK]
    edge = (509 - 145) // 2
    viewer = whole[:, edge:-edge, edge:-edge]  # the viewer's own cutout, across RA = 0
    for ours, theirs in zip(batch.images[0], viewer, strict=True):
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.99
        for shift in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            moved = np.roll(theirs, shift, (0, 1))
            assert np.abs(ours - theirs).mean() < np.abs(ours - moved).mean()
