from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from tests.small_runs import SmallSky, status_of, targets_of, xsaga
from tests.toy_model import toy_card
from xsaga.errors import ConfigError
from xsaga.model.base_rate import at_base_rate
from xsaga.run.base_rates import with_base_rate

CARD_RATE = toy_card().calibration.target_rate


def _scored(count: int = 4000) -> pd.DataFrame:
    random = np.random.default_rng(1)
    p = random.beta(0.2, 1.8, count)  # 0.1 on average
    return pd.DataFrame(
        {
            "p_lowz": p.astype(np.float32),
            "p_lowz_std": np.full(count, 0.01, dtype=np.float32),
            "score_flags": np.zeros(count, dtype=np.int32),
        }
    )


def test_the_cards_rate_changes_nothing() -> None:
    scored = _scored()
    same, words = with_base_rate(scored, "card", 0.1)
    assert same is scored
    assert words == "0.1 (card)"


def test_a_given_rate_moves_all_and_keeps_their_order() -> None:
    scored = _scored()
    moved, words = with_base_rate(scored, "0.01", 0.1)
    wanted, spread = at_base_rate(scored["p_lowz"], scored["p_lowz_std"], 0.1, 0.01)
    np.testing.assert_allclose(moved["p_lowz"], wanted, rtol=1e-6)
    np.testing.assert_allclose(moved["p_lowz_std"], spread, rtol=1e-6)
    assert moved.dtypes.equals(scored.dtypes)
    assert words == "0.01 (given; card 0.1)"
    order = np.argsort(scored["p_lowz"], kind="stable")
    assert (np.diff(moved["p_lowz"].to_numpy()[order]) >= 0).all()


def test_an_estimate_passes_over_what_the_model_does_not_know() -> None:
    scored = _scored()
    _, words = with_base_rate(scored, "estimate", 0.1)
    assert "estimated from 4,000 scores" in words
    assert float(words.split()[0]) == pytest.approx(0.1, rel=0.1)
    artefacts = scored.head(1000).assign(p_lowz=np.float32(0.99), score_flags=np.int32(32))
    _, with_artefacts = with_base_rate(
        pd.concat([scored, artefacts], ignore_index=True), "estimate", 0.1
    )
    assert with_artefacts == words


def test_without_scores_the_card_is_believed() -> None:
    none = _scored(10).iloc[:0]
    assert with_base_rate(none, "estimate", 0.1)[1] == "0.1 (card)"


@pytest.mark.parametrize("choice", ["", "guess", "0", "1.0", "nan", "-0.1"])
def test_another_choice_is_refused(choice: str) -> None:
    with pytest.raises(ConfigError, match=r"rank\.base_rate"):
        with_base_rate(_scored(10), choice, 0.1)


@pytest.fixture(scope="module")
def ranked(sky: SmallSky, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("rates") / "RUN"
    assert xsaga("run", *sky.options, "--out", run).exit_code == 0
    return run


@pytest.mark.parametrize("choice", ["0.3", "estimate"])
def test_targets_are_of_the_chosen_rate_and_scores_of_the_cards(ranked: Path, choice: str) -> None:
    assert xsaga("rank", ranked, "--base-rate", "card").exit_code == 0
    before = targets_of(ranked).set_index("source_id")["p_lowz"]
    scores = {path: path.read_bytes() for path in ranked.rglob("scores.parquet")}
    result = xsaga("rank", ranked, "--base-rate", choice)
    assert result.exit_code == 0, result.output

    after = targets_of(ranked).set_index("source_id")["p_lowz"]
    assert {path: path.read_bytes() for path in ranked.rglob("scores.parquet")} == scores
    words = status_of(ranked)["base_rate"]
    rate = float(words.split()[0])
    wanted, _ = at_base_rate(before, before, CARD_RATE, rate)
    np.testing.assert_allclose(after.loc[before.index], wanted, rtol=2e-3)
    metadata = pq.read_schema(ranked / "targets.parquet").metadata
    assert json.loads(metadata[b"xsaga.provenance"])["base_rate"] == words
    assert f"base rate of z < 0.03: {words}" in result.output
    assert words.split(" (")[0] in (ranked / "report" / "index.html").read_text(encoding="utf-8")
    with fits.open(ranked / "targets.fits") as hdus:
        assert hdus["TARGETS"].header["BASERATE"] == words


def test_going_back_to_the_card_gives_the_same_targets(ranked: Path) -> None:
    assert xsaga("rank", ranked, "--base-rate", "card").exit_code == 0
    before = targets_of(ranked)
    for choice in ("0.5", "card"):
        assert xsaga("rank", ranked, "--base-rate", choice).exit_code == 0
    pd.testing.assert_frame_equal(targets_of(ranked), before)
    assert status_of(ranked)["stage"] == "done"


def test_a_wrong_rate_is_refused_before_the_work(sky: SmallSky, tmp_path: Path) -> None:
    result = xsaga("run", *sky.options, "--base-rate", "often", "--out", tmp_path / "RUN")
    assert result.exit_code == 2
    assert "'often': give card, estimate or a number" in result.stderr
    assert not (tmp_path / "RUN").exists()
