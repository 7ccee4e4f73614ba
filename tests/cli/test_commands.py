"""Commands beside `run`, used as a person would."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image
from rich.console import Console

from tests.shared_data import shared
from tests.small_runs import SmallSky, targets_of, xsaga
from tests.small_survey import BRICKS, write_small_survey
from tests.survey_server import survey_server
from xsaga.config import RunConfig
from xsaga.config_file import read_config
from xsaga.run.progress import progress


def test_config_init_writes_the_defaults_once(tmp_path: Path) -> None:
    path = tmp_path / "lowz.toml"
    result = xsaga("config", "init", path)
    assert result.exit_code == 0
    assert read_config(path) == RunConfig()
    path.write_text("[cuts]\nname = 'saga2'\n")
    assert xsaga("config", "init", path).exit_code == 2
    assert read_config(path).cuts.name == "saga2"


def test_config_show_prints_what_a_file_comes_to(tmp_path: Path) -> None:
    path = tmp_path / "lowz.toml"
    path.write_text("[cuts]\nname = 'saga2'\n")
    result = xsaga("config", "show", path)
    shown = tmp_path / "shown.toml"
    shown.write_text(result.stdout)
    assert read_config(shown) == read_config(path)
    assert xsaga("config", "show", tmp_path).exit_code == 1  # a folder, but of no run


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_small_survey(tmp_path / "dr9")


RA, DEC = BRICKS["1500p010"]


def test_cutout_as_fits_holds_the_source_where_its_header_says(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "cutout.fits"
    result = xsaga("cutout", RA, DEC, "--bricks", tree, "--size", 48, "--out", out)
    assert result.exit_code == 0, result.output
    assert "g 100%, r 100%, z 100%" in result.output
    image, header = fits.getdata(out, header=True)
    assert image.shape == (3, 48, 48)
    assert header["BANDS"] == "grz"
    peak = np.array(np.unravel_index(image[1].argmax(), (48, 48)))
    assert np.abs(peak - (header["CRPIX2"] - 1, header["CRPIX1"] - 1)).max() <= 1


def test_cutout_as_png(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "cutout.png"
    assert xsaga("cutout", RA, DEC, "--bricks", tree, "--size", 48, "--out", out).exit_code == 0
    with Image.open(out) as picture:
        assert picture.size == (48, 48)
        assert np.asarray(picture)[24, 24].max() == 255  # the bright source in the middle
        assert np.asarray(picture)[:8].mean() < 100


def test_cutout_from_the_service_and_a_remote_tree(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "cutout.fits"
    with survey_server(tree) as server:
        service = ["--service", server.cutout_url, "--size", 48, "--out", out]
        assert xsaga("cutout", RA, DEC, *service).exit_code == 0
        of_service = fits.getdata(out)
        remote = ["--bricks", server.url, "--release", "ls-dr9", "--cache", tmp_path / "cache"]
        result = xsaga("cutout", RA, DEC, *remote, "--size", 48, "--out", out)
        assert result.exit_code == 0, result.output
    of_bricks = fits.getdata(out)
    assert np.corrcoef(of_service.ravel(), of_bricks.ravel())[0, 1] > 0.98
    assert list((tmp_path / "cache").rglob("*-image-r.fits.fz"))


def test_cutout_from_files_is_by_identifier(tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    assert xsaga("cutout", RA, DEC, "--bricks", tree, "--out", folder / "0.fits").exit_code == 0
    out = tmp_path / "again.fits"
    assert xsaga("cutout", RA, DEC, "--files", folder, "--size", 64, "--out", out).exit_code == 0
    whole, middle = fits.getdata(folder / "0.fits"), fits.getdata(out)
    assert np.array_equal(middle, whole[:, 40:104, 40:104])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((RA, 95.0), 2, "Dec within ±90"),
        ((200.0, 50.0), 1, "outside, no brick there"),
        ((RA, DEC, "--out", "picture.jpg"), 1, ".fits or .png"),
        ((RA, DEC, "--size", "4000"), 2, "1 to 3000 pixels"),
    ],
)
def test_a_cutout_that_cannot_be_is_one_line(
    tree: Path, arguments: tuple[object, ...], code: int, words: str
) -> None:
    result = xsaga("cutout", *arguments, "--bricks", tree)
    assert result.exit_code == code
    assert words in result.stderr
    assert not Path("cutout.fits").exists()


def test_real_northern_brick_without_r_says_so() -> None:
    result = xsaga("cutout", 95.95, 80.5, "--bricks", shared("realsky", "dr6-north"))
    assert result.exit_code == 1
    assert "no r image of brick 0959p805" in result.stderr


def test_simulate_refuses_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("…")
    result = xsaga("simulate", tmp_path, "--bricks", 1)
    assert result.exit_code == 1
    assert (tmp_path / "thesis.tex").exists()
    assert xsaga("simulate", tmp_path / "sky", "--center", "here").exit_code == 2


def test_every_command_explains_itself() -> None:
    for command in ("run", "tile", "fetch", "score", "rank", "status", "cutout", "simulate"):
        result = xsaga(command, "--help")
        assert result.exit_code == 0
        assert result.output.startswith("Usage: ")
    assert "Exit codes: 0 all done" in xsaga("--help").output


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_tells_count_rate_and_time_left(terminal: bool) -> None:
    times = iter([0.0, 20.0, 40.0, 60.0, 80.0, 100.0])
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=120)
    with progress("scoring", 400, console, lambda: next(times)) as advance:
        advance(100)
        advance(300)
    text = stream.getvalue()
    assert "scoring" in text
    assert "400" in text
    assert "/s" in text
    if not terminal:
        assert text.splitlines()[0] == "scoring: 100 of 400, 5/s, 60 s left"


def test_the_base_install_ends_a_run_without_the_page(
    small_sky: SmallSky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without jinja2 the lists are written and a line says what is missing."""
    import sys

    monkeypatch.setitem(sys.modules, "jinja2", None)
    result = xsaga("run", *small_sky.options, "--out", tmp_path / "RUN")
    assert result.exit_code == 0, result.output
    assert "pip install 'xsaga[report]'" in result.stderr
    assert len(targets_of(tmp_path / "RUN"))
