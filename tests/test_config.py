from __future__ import annotations

from pathlib import Path

import pytest

from xsaga.config import RunConfig, config_keys, result_settings
from xsaga.config_file import (
    commented_config,
    read_config,
    with_paths_from,
    with_values,
    write_config,
)
from xsaga.errors import ConfigError


def written(folder: Path, text: str) -> Path:
    path = folder / "lowz.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_written_configuration_reads_back_the_same(tmp_path: Path) -> None:
    config = with_values(
        RunConfig(),
        {
            "footprint.circle": ("0.0,0.7,0.5", "10,20,1"),
            "catalog.path": (str(tmp_path / "sweep.fits"),),
            "catalog.column": {"ra": "RAJ2000"},
            "cuts.r_max": 21,
            "cuts.coefficients": {"bright_r": 18.5, "maskbits": [1, 5]},
            "rank.tiers": ("20/deg2", "saga2, p>=0.3"),
            "exclude.redshifts": (str(tmp_path / "z-*.fits"),),
        },
        "test",
    )
    assert read_config(written(tmp_path, write_config(config))) == config


def test_commented_configuration_is_all_defaults_and_names_every_key(tmp_path: Path) -> None:
    text = commented_config()
    assert read_config(written(tmp_path, text)) == RunConfig()
    for key in config_keys():
        assert f"# {key.name} =" in text
        assert f"# {key.info.help}" in text


def test_commented_defaults_are_the_defaults(tmp_path: Path) -> None:
    lines = [line.removeprefix("# ") for line in commented_config().splitlines()]
    kept = [
        line
        for line in lines
        if line.startswith(("[", "    ", "]"))
        or (" = " in line and line.split(" = ")[0].isidentifier())
    ]
    assert read_config(written(tmp_path, "\n".join(kept))) == RunConfig()


def test_numbers_may_stand_for_a_region(tmp_path: Path) -> None:
    flat = read_config(written(tmp_path, "[footprint]\ncircle = [0.0, 0.7, 0.5]\n"))
    nested = read_config(written(tmp_path, "[footprint]\ncircle = [[0.0, 0.7, 0.5]]\n"))
    assert flat.footprint.circle == nested.footprint.circle == ("0.0,0.7,0.5",)


def test_a_number_may_stand_for_text(tmp_path: Path) -> None:
    assert read_config(written(tmp_path, "[rank]\nbase_rate = 0.01\n")).rank.base_rate == "0.01"
    assert read_config(written(tmp_path, "[rank]\nbase_rate = 'card'\n")) == RunConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[imagin]\n", r"unknown section \[imagin\]: did you mean 'imaging'"),
        ("[cuts]\nnam = 'xsaga'\n", r"unknown key 'nam' in \[cuts\]: did you mean 'name'"),
        ("[cuts]\nr_max = 'faint'\n", r"cuts.r_max: needs a number, got 'faint'"),
        ("[store]\ndtype = 'float64'\n", "store.dtype: 'float64' is none of float16, float32"),
        ("[footprint]\norder = true\n", "footprint.order: needs a whole number, got True"),
        ("[catalog]\ncolumn = 3\n", "catalog.column: needs a table"),
        ("cuts = 'xsaga'\n", r"'cuts' must be a section"),
        ("[cuts\n", "is not TOML"),
    ],
)
def test_wrong_configuration_is_refused_with_the_place(
    tmp_path: Path, text: str, message: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(path)
    assert str(path) in str(caught.value)


def test_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read configuration .*nowhere\.toml"):
        read_config(tmp_path / "nowhere.toml")


def test_paths_are_relative_to_the_file_and_names_stay_names(tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    config = read_config(
        written(
            tmp_path,
            "[catalog]\npath = ['sweep/*.fits']\n"
            "[imaging]\nbricks = 'https://example.org/dr9/'\n"
            "[model]\nweights = 'my-model'\n",
        )
    )
    assert config.catalog.path == (str(tmp_path / "sweep/*.fits"),)
    assert config.imaging.bricks == "https://example.org/dr9/"
    assert config.model.weights == str(tmp_path / "my-model")
    other = with_paths_from(with_values(config, {"model.weights": "shipped"}, "test"), tmp_path)
    assert other.model.weights == "shipped"


def test_speed_and_ranking_are_not_part_of_what_scores_depend_on() -> None:
    settings = result_settings(RunConfig())
    assert "imaging.rate" not in settings
    assert not any(name.startswith("rank.") for name in settings)
    assert {"cuts.name", "imaging.size", "model.weights", "store.dtype"} <= settings.keys()
