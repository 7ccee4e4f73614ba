"""What a user or a server keeps secret in an address ends up nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.small_runs import SmallSky, xsaga
from tests.survey_server import Fault, survey_server

HUSH = "hush"


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("option", ["--bricks", "--service"])
@pytest.mark.parametrize(
    "address",
    [
        f"https://me:{HUSH}@example.org/dr9/",
        f"https://{HUSH}@example.org/dr9/",
        f"https://example.org/dr9/?token={HUSH}",
        f"https://example.org/dr9/#{HUSH}",
        f"https://example.org:{HUSH}/dr9/",
        f"https://me:{HUSH}@[::1/dr9/",
    ],
)
def test_an_address_with_a_secret_is_refused_before_anything_is_written(
    sky: SmallSky, tmp_path: Path, option: str, address: str
) -> None:
    options = [*sky.options, option, address]
    if option == "--service":
        options += ["--bricks", ""]
    result = xsaga("run", *options, "--out", tmp_path / "RUN")
    assert result.exit_code == 2
    assert option in result.stderr
    assert HUSH not in result.output + result.stderr
    assert not list(tmp_path.iterdir())


def test_where_a_server_redirects_to_is_told_without_its_secrets(
    sky: SmallSky, tmp_path: Path
) -> None:
    run, web = tmp_path / "RUN", tmp_path / "web"
    web.mkdir()
    away = f"http://me:{HUSH}@other.test/viewer/?token={HUSH}#{HUSH}"
    with survey_server(web, faults=lambda _: Fault(status=302, headers={"Location": away})) as one:
        options = [*sky.options, "--bricks", "", "--service", one.cutout_url, "--retries", "0"]
        result = xsaga("run", *options, "--any-release", "--out", run)
    assert result.exit_code == 1
    assert "redirected to another host (http://other.test/viewer/)" in result.stderr
    assert len(result.stderr.strip().splitlines()[-1]) < 400
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert "other.test" in events[-1]["why"]
    assert HUSH.encode() not in everything_in(run)
    assert HUSH not in result.output + result.stderr
