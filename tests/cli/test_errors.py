"""Bad input, as a person at the command line meets it: one line, the right exit code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from tests.small_runs import SmallSky, status_of, xsaga
from tests.survey_server import survey_server


@pytest.fixture(scope="module")
def sky(small_sky: SmallSky) -> SmallSky:
    return small_sky


def run(sky: SmallSky, folder: Path, *changes: object) -> tuple[int, str]:
    """Run with some options changed; return the exit code and the one line of the error."""
    result = xsaga("run", *sky.options, "--out", folder / "RUN", *changes)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    messages = [line for line in result.stderr.splitlines() if line.startswith("xsaga: ")]
    assert len(messages) == (1 if result.exit_code in (1, 2) else 0), result.stderr
    return result.exit_code, "".join(messages)


def only_catalog(sky: SmallSky, path: Path) -> list[str]:
    """Options of a run over another catalog."""
    return ["--catalog", str(path), *sky.options[2:]]


def catalog(path: Path, **columns: object) -> Path:
    Table({name: np.atleast_1d(values) for name, values in columns.items()}).write(path)
    return path


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        (["--circle", "1,2"], 2, "give RA,DEC,RADIUS"),
        (["--circle", "10,95,1"], 2, "95"),
        (["--box", "0,10,5,5"], 2, "box"),
        (["--order", "12"], 2, "order"),
        (["--moc", "nowhere.fits"], 2, "nowhere.fits"),
        (["--desi-tiles", "nowhere.ecsv"], 2, "nowhere.ecsv"),
        (["--cuts", "saga9"], 2, "did you mean 'xsaga'"),
        (["--coefficient", "faint=20"], 2, "have no coefficient"),
        (["--tier", "0.1", "--tier", "0.5"], 2, "descending"),
        (["--weights", "nowhere"], 1, "no model 'nowhere'"),
        (["--device", "abacus"], 1, "device 'abacus'"),
        (["--files", "nowhere"], 2, "give one of --bricks"),
        (["--bricks", "nowhere"], 1, "no such folder"),
        (["--columns", "nowhere.toml"], 1, "nowhere.toml"),
        (["--column", "rra=RA"], 2, "did you mean"),
        (["--size", "64"], 1, "needs cutouts of 48 pixels"),
    ],
)
def test_a_wrong_option_is_one_line(
    sky: SmallSky, tmp_path: Path, changes: list[str], code: int, words: str
) -> None:
    got, message = run(sky, tmp_path, *changes)
    assert got == code, message
    assert words in message


def test_unknown_option_and_nothing_given(tmp_path: Path) -> None:
    result = xsaga("run", "--catlog", "x")
    assert result.exit_code == 2
    assert "--catalog" in result.stderr
    result = xsaga("run", "--out", tmp_path / "RUN")
    assert result.exit_code == 2
    assert "no catalog" in result.stderr
    assert xsaga("status", tmp_path).exit_code == 1


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"ra": [180.0], "flux_r": [1.0]}, "dec"),
        ({"ra": ["east"], "dec": [0.25]}, "east"),
        ({"ra": [[1.0, 2.0]], "dec": [0.25]}, "ra"),
    ],
)
def test_a_catalog_that_cannot_be_used_names_the_column(
    sky: SmallSky, tmp_path: Path, columns: dict[str, list[object]], words: str
) -> None:
    path = catalog(tmp_path / "sources.fits", **columns)
    result = xsaga("run", *only_catalog(sky, path), "--out", tmp_path / "RUN")
    assert result.exit_code == 1
    assert "sources.fits" in result.stderr
    assert words in result.stderr


def test_empty_and_truncated_catalogs(sky: SmallSky, tmp_path: Path) -> None:
    path = tmp_path / "sources.csv"
    path.write_text("ra,dec\n")
    result = xsaga("run", *only_catalog(sky, path), "--out", tmp_path / "RUN")
    assert result.exit_code == 1
    assert "the catalog is empty" in result.stderr
    whole = next((sky.tree / "sweep").rglob("*.fits")).read_bytes()
    path = tmp_path / "sources.fits"
    path.write_bytes(whole[: len(whole) // 2])
    result = xsaga("run", *only_catalog(sky, path), "--out", tmp_path / "RUN2")
    assert result.exit_code == 1
    assert "sources.fits" in result.stderr


def test_bad_positions_are_left_out_and_counted(sky: SmallSky, tmp_path: Path) -> None:
    path = catalog(
        tmp_path / "sources.fits",
        ra=[180.0, np.nan, 180.0, 180.0, 540.0],
        dec=[0.25, 0.25, 91.0, np.inf, 0.25],
    )
    options = [*only_catalog(sky, path), "--out", tmp_path / "RUN"]
    options[options.index("--r-max") : options.index("--r-max") + 2] = []
    assert xsaga("tile", *options).exit_code == 0
    counts = status_of(tmp_path / "RUN")["counts"]
    assert counts["read"] == 5
    assert counts["sources"] == 1
    assert sum(counts["rejected"].values()) == 4


def test_right_ascension_in_hours_is_suspected(sky: SmallSky, tmp_path: Path) -> None:
    path = catalog(tmp_path / "sources.fits", ra=np.linspace(0, 23.9, 20), dec=np.full(20, 0.25))
    result = xsaga("tile", *only_catalog(sky, path), "--out", tmp_path / "RUN")
    assert result.exit_code == 0
    assert "if they are hours" in result.stderr


def test_a_footprint_without_sources_ends_with_an_empty_list(sky: SmallSky, tmp_path: Path) -> None:
    code, _ = run(sky, tmp_path, "--circle", "20,-20,0.5")
    assert code == 0
    assert status_of(tmp_path / "RUN")["counts"]["sources"] == 0
    assert len(Table.read(tmp_path / "RUN" / "targets.parquet")) == 0


def test_sources_outside_the_imaging_fail_one_by_one(sky: SmallSky, tmp_path: Path) -> None:
    path = catalog(tmp_path / "sources.fits", ra=[20.0, 20.1], dec=[-20.0, -20.0])
    options = [*only_catalog(sky, path), "--out", tmp_path / "RUN"]
    options[options.index("--r-max") : options.index("--r-max") + 2] = []
    assert xsaga("run", *options).exit_code == 3
    counts = status_of(tmp_path / "RUN")["counts"]
    assert counts["failed"] == {"outside": 2}
    assert "no brick there" in xsaga("status", tmp_path / "RUN", "--failures").output


def test_weights_with_a_wrong_hash_are_refused(sky: SmallSky, tmp_path: Path) -> None:
    copy = tmp_path / "toy"
    copy.mkdir()
    for item in sky.weights.iterdir():
        (copy / item.name).write_bytes(item.read_bytes())
    content = bytearray((copy / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "weights.safetensors").write_bytes(bytes(content))
    code, message = run(sky, tmp_path, "--weights", copy)
    assert code == 1
    assert "SHA-256" in message


def test_images_of_another_release_are_scored_only_when_asked(
    sky: SmallSky, tmp_path: Path
) -> None:
    code, message = run(sky, tmp_path, "--release", "ls-dr10")
    assert code == 1
    assert "made for images of xsaga-sim, the cutouts are of ls-dr10" in message
    result = xsaga(
        "run", *sky.options, "--out", tmp_path / "RUN", "--restart",
        *("--release", "ls-dr10", "--any-release"),
    )  # fmt: skip
    assert result.exit_code == 0
    assert "not calibrated" in result.stderr


def test_other_sizes_are_resampled_only_when_asked(sky: SmallSky, tmp_path: Path) -> None:
    code, _ = run(sky, tmp_path, "--size", "64", "--resample")
    assert code == 0
    flags = Table.read(tmp_path / "RUN" / "targets.parquet")["score_flags"]
    assert ((flags & 4) > 0).all()


def from_service(sky: SmallSky, url: str, *changes: object) -> list[object]:
    options: list[object] = [option for option in sky.options if option != str(sky.tree)]
    options.remove("--bricks")
    options += ["--service", url, "--layer", "xsaga-sim", "--rate", "1000", "--timeout", "2"]
    return [*options, "--retries", "1", *changes]


def test_the_service_gives_the_same_list(sky: SmallSky, tmp_path: Path) -> None:
    assert xsaga("run", *sky.options, "--out", tmp_path / "BRICKS").exit_code == 0
    with survey_server(sky.tree, layer="xsaga-sim") as server:
        options = from_service(sky, server.cutout_url, "--out", tmp_path / "SERVICE")
        result = xsaga("run", *options)
    assert result.exit_code == 0, result.output
    bricks, service = (
        Table.read(tmp_path / name / "targets.parquet").to_pandas().set_index("source_id")
        for name in ("BRICKS", "SERVICE")
    )
    assert set(bricks.index) == set(service.index)
    assert np.corrcoef(bricks["p_lowz"], service["p_lowz"].reindex(bricks.index))[0, 1] > 0.9


def test_a_service_that_does_not_know_the_layer_stops_the_run(
    sky: SmallSky, tmp_path: Path
) -> None:
    with survey_server(sky.tree, layer="ls-dr9") as server:
        options = from_service(sky, server.cutout_url, "--out", tmp_path / "RUN")
        result = xsaga("run", *options)
    assert result.exit_code == 1
    assert "no layer 'xsaga-sim'" in result.stderr
    assert status_of(tmp_path / "RUN")["counts"]["waiting"] > 0


def test_a_service_that_is_gone_leaves_the_run_to_be_resumed(sky: SmallSky, tmp_path: Path) -> None:
    with survey_server(sky.tree, layer="xsaga-sim") as server:
        options = from_service(sky, server.cutout_url, "--out", tmp_path / "RUN")
    result = xsaga("run", *options, "--max-outage", "0")  # the server has gone
    assert result.exit_code == 1
    assert "127.0.0.1" in result.stderr
    counts = status_of(tmp_path / "RUN")["counts"]
    assert counts["waiting"] == counts["candidates"] > 0


def test_failed_requests_are_tried_again_on_request(sky: SmallSky, tmp_path: Path) -> None:
    from tests.survey_server import Fault, Seen

    refused: set[tuple[str, str]] = set()
    lasts = True

    def two_positions(seen: Seen) -> Fault | None:
        """Refuse the first two positions that are asked for, however often."""
        position = seen.query["ra"], seen.query["dec"]
        if len(refused) < 2:
            refused.add(position)
        return Fault(status=404) if lasts and position in refused else None

    with survey_server(sky.tree, layer="xsaga-sim", faults=two_positions) as server:
        options = from_service(sky, server.cutout_url, "--out", tmp_path / "RUN")
        result = xsaga("run", *options, "--connections", "1")
        assert result.exit_code == 3
        assert status_of(tmp_path / "RUN")["counts"]["failed"] == {"failed": 2}
        lasts = False
        assert xsaga("run", *options).exit_code == 3  # nothing is tried again by itself
        assert xsaga("run", *options, "--retry-failed").exit_code == 0
    assert status_of(tmp_path / "RUN")["counts"]["failed"] == {}
