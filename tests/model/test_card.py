from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tests.toy_model import toy_card
from xsaga.errors import ModelError
from xsaga.model.card import read_card, write_card
from xsaga.model.novelty import Novelty


def _altered(tmp_path: Path, keys: str, value: Any) -> Path:
    """Write the toy card with one key (a.b.c) set, or taken away where `value` is ``...``."""
    path = tmp_path / "card.json"
    write_card(path, toy_card())
    data = json.loads(path.read_text(encoding="utf-8"))
    *parents, last = keys.split(".")
    inner = data
    for parent in parents:
        inner = inner[parent]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_a_card_comes_back_equal(tmp_path: Path) -> None:
    card = dataclasses.replace(toy_card(), kind="provisional, simulated: z < 0.03 ± σ")
    write_card(tmp_path / "model" / "card.json", card)
    assert read_card(tmp_path / "model" / "card.json") == card
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["card.json"]


def test_a_card_with_a_feature_space_comes_back_equal(tmp_path: Path) -> None:
    card = dataclasses.replace(toy_card(), novelty=Novelty({"complete": 0.004}, {"blank": 1.0}, 9))
    write_card(tmp_path / "card.json", card)
    assert read_card(tmp_path / "card.json") == card


def test_a_card_from_before_photometry_is_of_images_alone(tmp_path: Path) -> None:
    card = read_card(_altered(tmp_path, "architecture.photometry", ...))
    assert card == toy_card()
    assert card.architecture.photometry == 0
    with pytest.raises(ModelError, match=r"key architecture\.features is missing"):
        read_card(_altered(tmp_path, "architecture.features", ...))


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(toy_card())])
def test_every_key_is_needed_and_typed(tmp_path: Path, key: str) -> None:
    path = _altered(tmp_path, key, ...)
    with pytest.raises(ModelError, match=rf"card\.json: key {key} is missing"):
        read_card(path)
    path = _altered(tmp_path, key, 3 if key == "novelty" else None)  # that may be null
    with pytest.raises(ModelError, match=rf"card\.json: {key} must be of type"):
        read_card(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("colour", "blue", "unknown key colour"),
        ("two\nlines", 1, "unknown key two lines"),
        ("stretch.look", "log", "unknown key stretch.look"),
        ("calibration.slope", ..., "key calibration.slope is missing"),
        ("architecture.stage_channels", [8, "12"], r"architecture.stage_channels\[1\] must be"),
        ("architecture.stage_blocks", [1, 1, 1], "stage_blocks"),
        ("size", 48.0, "size must be of type int"),
        ("size", True, "size must be of type int"),
        ("size", 49, "field_of_view"),
        ("simulated", 1, "simulated must be of type bool"),
        ("pixel_scale", float("nan"), "pixel_scale is not a finite number"),
        ("pixel_scale", 10**400, "pixel_scale is not a finite number"),
        ("pixel_scale", -0.262, "pixel_scale"),
        ("bands", ["g", "g", "z"], "bands"),
        ("bands", "grz", "bands must be of type list"),
        ("bands", ["g", "r"], "bands"),
        ("stretch.softening", [0.1], "softening"),
        ("metrics", {"auc": "high"}, "metrics.auc must be"),
        ("metrics", [], "metrics must be of type object"),
        ("image_release", [], "image_release"),
        ("sha256", "abc", "sha256"),
        ("weights_file", "../../etc/passwd", "weights_file"),
        ("members", 0, "members"),
        ("calibration.target_rate", 0, "target_rate"),
        ("calibration.bend", -1, "bend"),
        ("novelty", {"images": 3}, r"key novelty\.\w+ is missing"),
        ("novelty", {"images": 3, "catches": {"blank": 2}, "false_alarms": {}}, "blank is 2"),
    ],
)
def test_a_wrong_card_is_refused_by_key_and_file(
    tmp_path: Path, key: str, value: Any, message: str
) -> None:
    path = _altered(tmp_path, key, value)
    with pytest.raises(ModelError, match=message) as caught:
        read_card(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'"card"'])
def test_a_file_that_is_no_card_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"card\.json"):
        read_card(path)


def test_a_missing_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_card(tmp_path / "card.json")
