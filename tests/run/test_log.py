"""The log of a run whose writing was cut short."""

from __future__ import annotations

import json
from pathlib import Path

from xsaga.run.log import RunLog


def test_a_line_that_was_cut_short_takes_no_other_with_it(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = RunLog(path, lambda _: None)
    log.event("begin", "first words", tiles=3)
    with path.open("ab") as stream:
        stream.write(b'{"time": "2026-11-26", "event": "tile do')
    log.event("begin", tiles=4)
    log.event("end")
    assert [event["event"] for event in log.events()] == ["begin", "begin", "end"]
    assert [event.get("tiles") for event in log.events()] == [3, 4, None]
    assert json.loads(path.read_text(encoding="utf-8").splitlines()[-1])["event"] == "end"
