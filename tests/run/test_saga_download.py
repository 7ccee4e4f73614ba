"""The SAGA tables over HTTP, from a server that misbehaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.saga_files import write_saga_like_tables
from tests.survey_server import HTML, Fault, survey_server
from xsaga.catalog.saga_tables import SAGA_TABLES, saga_catalogs
from xsaga.errors import CatalogError
from xsaga.imaging.http import HttpClient
from xsaga.imaging.http_limits import HttpOptions
from xsaga.run.saga_download import fetch_saga_tables

NAMES = [table.name for table in SAGA_TABLES]
QUICK = HttpOptions(
    rate=None, connect_timeout=2, read_timeout=2, deadline=5, download_deadline=5, retries=2
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    write_saga_like_tables(folder / "data")
    return folder


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def http(waits: list[float]) -> Iterator[HttpClient]:
    now = 0.0

    def clock() -> float:
        return now

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        waits.append(seconds)

    with HttpClient(QUICK, clock=clock, sleep=sleep, jitter=lambda: 1.0) as client:
        yield client


def test_tables_are_fetched_once(served: Path, tmp_path: Path, http: HttpClient) -> None:
    said: list[str] = []
    with survey_server(served) as server:
        for _ in range(2):
            fetch_saga_tables(server.url + "/data/", tmp_path / "cache", http, said.append)
        assert server.paths() == [f"/data/{name}" for name in NAMES]
    assert [words.rpartition("/")[2] for words in said] == NAMES
    for name in NAMES:
        assert (tmp_path / "cache" / name).read_bytes() == (served / "data" / name).read_bytes()
    assert len(saga_catalogs(tmp_path / "cache")) == 3


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(status=503, headers={"Retry-After": "7"}),
        HTML,
        Fault(keep=20_000),
        Fault(cut_after=20_000),
        Fault(cut_after=20_000, reset=True),
        Fault(headers={"Content-Length": ""}, keep=20_000),
    ],
    ids=["500", "retry-after", "html-200", "short", "cut", "reset", "short-without-length"],
)
def test_a_bad_answer_is_asked_for_again(
    served: Path, tmp_path: Path, http: HttpClient, waits: list[float], fault: Fault
) -> None:
    with survey_server(served, faults=[None, fault]) as server:
        fetch_saga_tables(server.url + "/data", tmp_path, http, lambda _: None)
        assert [path.rpartition("/")[2] for path in server.paths()] == [
            NAMES[0],
            NAMES[1],
            NAMES[1],
            NAMES[2],
        ]
    assert sorted(path.name for path in tmp_path.iterdir()) == NAMES
    assert waits == ([7.0] if fault.status == 503 else [0.5])


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(status=500), "HTTP status 500 (3 tries)"),
        (Fault(status=404), "HTTP status 404;"),
        (HTML, "not a table of the SAGA survey: it begins with '<html>"),
        (Fault(keep=900_000), "of 75,704 rows (3 tries)"),
    ],
    ids=["500", "404", "html-200", "short"],
)
def test_what_cannot_be_had_is_one_line_and_leaves_nothing(
    served: Path, tmp_path: Path, http: HttpClient, fault: Fault, words: str
) -> None:
    with (
        survey_server(served, faults=lambda seen: fault if "C2" in seen.path else None) as server,
        pytest.raises(CatalogError) as caught,
    ):
        fetch_saga_tables(server.url + "/data", tmp_path, http, lambda _: None)
    message = str(caught.value)
    assert words in message
    assert "/data/saga-dr3-tableC2.txt: " in message
    assert message.endswith("by other means and give their folder with --saga-tables FOLDER")
    assert "\n" not in message
    assert [path.name for path in tmp_path.iterdir()] == [NAMES[0]]


def test_an_answer_that_trickles_ends_at_the_deadline(served: Path, tmp_path: Path) -> None:
    options = HttpOptions(rate=None, read_timeout=5, download_deadline=0.3, retries=0)
    with (
        survey_server(served, faults=[Fault(trickle=0.05)]) as server,
        HttpClient(options) as http,
        pytest.raises(CatalogError, match=r"no complete answer within 0\.3 s"),
    ):
        fetch_saga_tables(server.url + "/data", tmp_path, http, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_copy_is_fetched_again(served: Path, tmp_path: Path, http: HttpClient) -> None:
    for name in NAMES:
        (tmp_path / name).write_bytes((served / "data" / name).read_bytes())
    (tmp_path / NAMES[2]).write_text("Title: The SAGA Survey\n")
    with survey_server(served) as server:
        fetch_saga_tables(server.url + "/data", tmp_path, http, lambda _: None)
        assert server.paths() == [f"/data/{NAMES[2]}"]
