"""``xsaga labels`` as a person meets it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from tests.saga_files import write_saga_like_tables
from tests.shared_data import shared
from tests.small_runs import xsaga
from tests.survey_server import survey_server
from xsaga.catalog.label_file import read_labels


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    write_saga_like_tables(folder / "data")
    return folder


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "gama.csv"
    pd.DataFrame({"RA": [10.0, 20, 30], "DEC": 1.0, "Z": [0.01, 0.1, 0.2], "NQ": [4, 3, 1]}).to_csv(
        path, index=False
    )
    return path


def test_saga_downloaded_and_joined_with_another_catalog(
    served: Path, tmp_path: Path, catalog: Path
) -> None:
    out = tmp_path / "labels.parquet"
    with survey_server(served) as server:
        tables = ("--saga-tables", server.url + "/data/", "--cache", tmp_path / "cache")
        result = xsaga("labels", "saga", catalog, *tables, "--out", out)
        assert result.exit_code == 0, result.stderr
        assert len(server.seen) == 3
    assert "fetching http://127.0.0.1" in result.stderr
    assert (
        "76,186 rows read: 76,110 usable, 1 below quality 3, 75 without redshift" in result.stdout
    )
    assert "r             labels  z < 0.03    share SAGA DR3" in result.stdout
    assert result.stdout.rstrip().endswith(f"groups of sky, to {out}")
    file = read_labels(out)
    assert file.record["z_limit"] == 0.03
    assert file.record["simulated"] is False
    assert [Path(item["path"]).name[-6:] for item in file.record["inputs"]] == [
        "C1.txt",
        "C2.txt",
        "C3.txt",
        "ma.csv",
    ]
    assert file.record["counts"]["labels"] == len(file.table)
    assert file.table["is_lowz"].sum() == file.record["counts"]["lowz"] == 600 + 101 + 1
    assert set(file.table["source"]) == {"saga-dr3-tableC1", "saga-dr3-tableC2", "gama"}
    assert file.table.loc[file.table["source"] != "gama", "host"].ne("").all()
    # the tables are there now: no server is needed
    assert xsaga("labels", "saga", *tables, "--out", out).exit_code == 0


def test_published_tables_and_the_sample(tmp_path: Path) -> None:
    names = ("saga-dr3-tableC1.txt", "saga-dr3-tableC2-sample.csv", "saga-dr3-tableC3.txt")
    out = tmp_path / "labels.parquet"
    result = xsaga("labels", *(shared("saga", name) for name in names), "--out", out)
    assert result.exit_code == 0, result.stderr
    table = read_labels(out).table
    assert len(table) == 101 + 1331 + 378 - 12  # twelve satellites are in the sample
    assert table["is_lowz"].sum() == 101 + 23 + 366
    fields = table.groupby("host")["group"].nunique()
    assert (fields == 1).all()
    assert (tmp_path / "labels-conflicts.csv").read_text().startswith("object,kept,label_id,ra")


def test_a_simulated_tree_is_called_simulated(tmp_path: Path) -> None:
    n = 6
    table = pa.table(
        {
            "source_id": np.arange(n) + 100,
            "ra": 180 + 0.01 * np.arange(n),
            "dec": np.zeros(n),
            "z": [0.01, 0.01, 0.2, 0.0, np.nan, np.nan],
            "z_quality": [4, 4, 4, 4, 0, 0],
            "is_lowz": [True, False, False, False, False, False],
            "shred": [False, True, False, False, False, False],
            "kind": ["galaxy", "galaxy", "galaxy", "star", "artefact", "galaxy"],
            "mag_r_true": np.full(n, 20.0),
        }
    )
    path = tmp_path / "redshifts-simulated.parquet"
    pq.write_table(table.replace_schema_metadata({"xsaga.simulation": "{}"}), path)
    sweep = tmp_path / "sweep.fits"
    Table(
        {
            "source_id": np.arange(n) + 100,
            "RA": 180 + 0.01 * np.arange(n),
            "DEC": np.zeros(n),
            "FLUX_R": np.full(n, 10.0, np.float32),
        }
    ).write(sweep)
    out = tmp_path / "labels.parquet"
    result = xsaga("labels", path, "--photometry", sweep, "--out", out, "--separation", 0)
    assert result.exit_code == 0, result.stderr
    assert "5 SIMULATED labels, 1 at z < 0.03" in result.stdout
    assert "1 labels are shreds" in result.stdout
    assert "5 rows match a source that gives photometry" in result.stdout
    file = read_labels(out)
    assert file.record["simulated"] is True
    assert file.table["label_id"].tolist() == [100, 101, 102, 103, 104]
    assert file.table["is_lowz"].tolist() == [True, False, False, False, False]
    assert file.table["mag_r"].to_numpy() == pytest.approx(20.0)


def test_the_limit_is_an_option_and_is_kept(tmp_path: Path, catalog: Path) -> None:
    out = tmp_path / "labels.parquet"
    options = ("--z-limit", "0.15", "--min-quality", "1", "--group-order", "3")
    assert xsaga("labels", catalog, "--out", out, *options).exit_code == 0
    file = read_labels(out)
    assert file.record["z_limit"] == 0.15
    assert file.table["is_lowz"].tolist() == [True, True, False]
    assert (file.table["group"] < 12 * 4**3).all()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "nothing to make labels from: give 'saga' or catalogs"),
        (("none.fits",), 1, "none.fits: no such file"),
        (("{catalog}", "--column", "z=REDSHIFT"), 1, "gama.csv: column 'REDSHIFT', wanted for z"),
        (("{catalog}", "--column", "zz=Z"), 2, "--column: unknown name 'zz'"),
        (("{catalog}", "--column", "z"), 2, "--column 'z': write NAME=COLUMN"),
        (("{catalog}", "--z-limit", "-1"), 2, "--z-limit -1"),
        (("{catalog}", "--min-quality", "9"), 1, "no row of the catalogs"),
        (("{catalog}", "--out", "labels.csv"), 2, "let it end in .parquet"),
        (("saga", "--saga-tables", "nowhere"), 1, "saga-dr3-tableC1.txt: no such file"),
        (("saga", "--saga-tables", "http://127.0.0.1:9/user?x"), 1, "--saga-tables FOLDER"),
        (("{catalog}", "--photometry", "none.fits"), 1, "none.fits: no such file"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path,
    catalog: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if "http" in str(arguments):
        monkeypatch.setattr("xsaga.run.labels.HttpClient", _hasty_client)
    result = xsaga("labels", *(word.format(catalog=catalog) for word in arguments))
    assert result.exit_code == code, result.stderr
    messages = [line for line in result.stderr.splitlines() if line.startswith("xsaga: ")]
    assert len(messages) == 1
    assert words in messages[0]
    assert not list(tmp_path.glob("labels*"))


def _hasty_client() -> object:
    from xsaga.imaging.http import HttpClient
    from xsaga.imaging.http_limits import HttpOptions

    return HttpClient(HttpOptions(retries=0))


def test_output_does_not_replace_an_input(tmp_path: Path, catalog: Path) -> None:
    out = tmp_path / "labels.parquet"
    assert xsaga("labels", catalog, "--out", out).exit_code == 0
    before = out.read_bytes()
    result = xsaga("labels", out, "--out", out)
    assert result.exit_code == 2
    assert "it is one of the inputs" in result.stderr
    assert out.read_bytes() == before
    again = tmp_path / "again.parquet"
    assert xsaga("labels", out, catalog, "--out", again).exit_code == 0
    assert read_labels(again).table["n_matched"].tolist() == [2, 2]
