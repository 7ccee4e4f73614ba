from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from tests.small_runs import SmallSky, status_of, targets_of, xsaga
from tests.toy_model import toy_card
from xsaga.config import CutsConfig
from xsaga.errors import ConfigError
from xsaga.model.base_rate import shift_to_rate, with_shifted_odds
from xsaga.model.calibration import log_odds_shift
from xsaga.model.card import ModelCard, read_card, write_card
from xsaga.run.base_rates import (
    known_list_rate,
    list_rate,
    refuse_estimate,
    with_base_rate,
    without_list_rates,
)

CARD_RATE = toy_card().calibration.target_rate
SKY_CUTS = CutsConfig(name="none", r_max=23.0)


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
    same, words = with_base_rate(scored, "card", 0.2)
    assert same is scored
    assert words == f"{scored['p_lowz'].mean():.4g} (card)"


def test_a_given_rate_becomes_the_mean_and_the_order_stays() -> None:
    scored = _scored()
    moved, words = with_base_rate(scored, "0.01", None)
    assert moved["p_lowz"].mean() == pytest.approx(0.01, rel=1e-5)
    shift = shift_to_rate(scored["p_lowz"], 0.01)
    _, spread = with_shifted_odds(scored["p_lowz"], scored["p_lowz_std"], shift)
    np.testing.assert_allclose(moved["p_lowz_std"], spread, rtol=1e-6)
    assert moved.dtypes.equals(scored.dtypes)
    assert words == f"0.01 (given; card {scored['p_lowz'].mean():.4g})"
    order = np.argsort(scored["p_lowz"], kind="stable")
    assert (np.diff(moved["p_lowz"].to_numpy()[order]) >= 0).all()


def test_the_rate_that_a_list_has_already_changes_nothing() -> None:
    scored = _scored()
    mean = scored["p_lowz"].astype(np.float64).mean()
    moved, _ = with_base_rate(scored, f"{mean:.17g}", None)
    np.testing.assert_allclose(moved["p_lowz"], scored["p_lowz"], rtol=1e-6)


@pytest.mark.parametrize("choice", ["estimate", "0.02"])
def test_no_rate_counts_what_the_model_does_not_know(choice: str) -> None:
    scored = _scored()
    moved, words = with_base_rate(scored, choice, 0.1)
    if choice == "estimate":
        assert "estimated from 4,000 scores" in words
        assert float(words.split()[0]) == pytest.approx(0.1, rel=0.1)
    artefacts = scored.head(1000).assign(p_lowz=np.float32(0.99), score_flags=np.int32(32))
    with_artefacts = pd.concat([scored, artefacts], ignore_index=True)
    again, same_words = with_base_rate(with_artefacts, choice, 0.1)
    assert same_words == words
    pd.testing.assert_frame_equal(again.head(4000), moved)


@pytest.mark.parametrize("choice", ["card", "estimate", "0.3"])
def test_without_scores_there_is_no_rate(choice: str) -> None:
    none = _scored(10).iloc[:0]
    same, words = with_base_rate(none, choice, 0.1)
    assert same is none
    assert words == ""


def _card(**numbers: float) -> ModelCard:
    card = toy_card()
    kept = dataclasses.replace(card.training_set, numbers={"images": 1.0, **numbers})
    return dataclasses.replace(card, training_set=kept)


def test_a_rate_is_known_within_the_cuts_of_the_calibration_only() -> None:
    cuts = CutsConfig(name="desi-lowz", r_max=20.5, coefficients={"a": 0.9, "b": (1, 5)})
    card = _card(**list_rate(cuts, 0.015))
    assert known_list_rate(card, cuts) == 0.015
    others = [
        CutsConfig(name="none"),
        dataclasses.replace(cuts, r_max=None),
        dataclasses.replace(cuts, r_min=20.5),
        dataclasses.replace(cuts, coefficients={}),
        dataclasses.replace(cuts, name="saga2"),
    ]
    for other in others:
        assert known_list_rate(card, other) is None
        with pytest.raises(ConfigError, match=r"xsaga calibrate.*with these cuts"):
            refuse_estimate("estimate", card, other)
        refuse_estimate("card", card, other)
    refuse_estimate("estimate", card, cuts)
    assert without_list_rates(card.training_set.numbers) == {"images": 1.0}


def test_a_card_that_was_not_calibrated_on_a_run_knows_no_rate() -> None:
    assert known_list_rate(_card(), CutsConfig(name="none")) is None


@pytest.mark.parametrize("choice", ["", "guess", "0", "1.0", "nan", "-0.1"])
def test_another_choice_is_refused(choice: str) -> None:
    with pytest.raises(ConfigError, match=r"rank\.base_rate"):
        with_base_rate(_scored(10), choice, 0.1)


@pytest.fixture(scope="module")
def ranked(sky: SmallSky, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a model that tells its rate within the cuts of the run, and z_limit 0.025."""
    folder = tmp_path_factory.mktemp("rates")
    weights = Path(shutil.copytree(sky.weights, folder / "toy"))
    card = read_card(weights / "card.json")
    numbers = {"z_limit": 0.025, **list_rate(SKY_CUTS, CARD_RATE)}
    kept = dataclasses.replace(card.training_set, numbers=numbers)
    write_card(weights / "card.json", dataclasses.replace(card, training_set=kept))
    run = folder / "RUN"
    assert xsaga("run", *sky.options, "--weights", weights, "--out", run).exit_code == 0
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
    estimated = choice == "estimate"
    shift = log_odds_shift(CARD_RATE, rate) if estimated else shift_to_rate(before, rate)
    wanted, _ = with_shifted_odds(before, before, shift)
    np.testing.assert_allclose(after.loc[before.index], wanted, rtol=2e-3)
    metadata = pq.read_schema(ranked / "targets.parquet").metadata
    assert json.loads(metadata[b"xsaga.provenance"])["base_rate"] == words
    assert f"base rate of z < 0.025: {words}" in result.output
    page = (ranked / "report" / "index.html").read_text(encoding="utf-8")
    assert words.split(" (")[0] in page
    assert "Base rate of z &lt; 0.025" in page
    assert "0.03" not in result.output
    with fits.open(ranked / "targets.fits") as hdus:
        assert hdus["TARGETS"].header["BASERATE"] == words
        assert "probability of redshift < 0.025" in str(hdus["TARGETS"].header)


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


def test_an_estimate_without_a_rate_to_compare_with_is_refused_before_the_work(
    sky: SmallSky, ranked: Path, tmp_path: Path
) -> None:
    options = (*sky.options, "--base-rate", "estimate", "--cuts", "desi-lowz")
    result = xsaga("run", *options, "--out", tmp_path / "RUN")
    assert result.exit_code == 2
    assert "within the cuts desi-lowz, r <= 23: give card" in result.stderr
    assert not (tmp_path / "RUN").exists()
    weights = ranked.parent / "toy"
    result = xsaga("run", *options, "--weights", weights, "--out", tmp_path / "RUN")
    assert result.exit_code == 2
