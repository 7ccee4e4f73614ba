from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.toy_cutouts import toy_cutouts
from tests.toy_model import TINY, toy_card, toy_model, toy_network
from xsaga.errors import ModelError
from xsaga.model import weights
from xsaga.model.card import read_card, write_card
from xsaga.model.scoring import Scorer
from xsaga.model.weights import copy_model, load_model, save_model, shipped_models


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = toy_model()
    save_model(tmp_path / "toy", model.card, model.networks)
    return tmp_path / "toy"


def _accept(folder: Path) -> None:
    """Make the card vouch for whatever the weights file holds now."""
    path = folder / "card.json"
    data = (folder / "weights.safetensors").read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    write_card(path, dataclasses.replace(read_card(path), sha256=sha256))


def _refused(folder: Path, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)
    assert "weights.safetensors" in str(caught.value)


def test_a_model_scores_the_same_after_a_round_trip(saved: Path) -> None:
    images, _ = toy_cutouts(6, 48, seed=1)
    before = Scorer(toy_model(), precision="float32").score(images)
    loaded = load_model(saved)
    after = Scorer(loaded, precision="float32").score(images)
    np.testing.assert_array_equal(before.p_lowz, after.p_lowz)
    np.testing.assert_array_equal(before.p_lowz_std, after.p_lowz_std)
    assert sorted(path.name for path in saved.iterdir()) == ["card.json", "weights.safetensors"]
    assert loaded.card == read_card(saved / "card.json")


def test_saving_twice_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    model = load_model(saved)
    save_model(tmp_path / "again", model.card, model.networks)
    for name in ("card.json", "weights.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


def test_a_copy_under_another_card_has_the_same_weights(saved: Path, tmp_path: Path) -> None:
    card = dataclasses.replace(read_card(saved / "card.json"), name="other", version="2")
    copy_model(saved, tmp_path / "other", card)
    weights_file = card.weights_file
    assert (tmp_path / "other" / weights_file).read_bytes() == (saved / weights_file).read_bytes()
    assert load_model(tmp_path / "other").card == card
    (saved / weights_file).write_bytes(b"damaged")
    with pytest.raises(ModelError, match="SHA-256"):
        copy_model(saved, tmp_path / "third", card)
    assert not (tmp_path / "third").exists()


@pytest.mark.parametrize("place", [0, 7, 8, 100, -1, -5000])
def test_any_flipped_byte_is_found_by_the_hash(saved: Path, place: int) -> None:
    path = saved / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)
    _refused(saved, "SHA-256")


def _header(data: bytes) -> tuple[dict[str, dict[str, object]], bytes]:
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def _with_header(header: dict[str, dict[str, object]], body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def _lie(key: str, value: object) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        header, body = _header(data)
        header["members.0.head.weight"][key] = value
        return _with_header(header, body)

    return change


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "short": lambda data: data[:5],
    "cut": lambda data: data[: len(data) // 2],
    "text": lambda _: b"<html>no such file</html>" * 100,
    "pickle": lambda _: b"\x80\x04\x95" + bytes(200),
    "header length": lambda data: struct.pack("<Q", 2**63) + data[8:],
    "header too short": lambda data: struct.pack("<Q", 10) + data[8:],
    "header no JSON": lambda data: data[:8] + b"x" + data[9:],
    "trailing bytes": lambda data: data + b"more",
    "shape lie": _lie("shape", [2**40, 2**40]),
    "type lie": _lie("dtype", "F64"),
    "unknown type": _lie("dtype", "PICKLE"),
    "offset lie": _lie("data_offsets", [0, 2**60]),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_garbage_that_the_card_vouches_for_is_refused(saved: Path, kind: str) -> None:
    path = saved / "weights.safetensors"
    path.write_bytes(DAMAGE[kind](path.read_bytes()))
    _accept(saved)
    _refused(saved, "not a safetensors file")


def test_weights_of_another_architecture_are_refused(saved: Path) -> None:
    path = saved / "card.json"
    other = dataclasses.replace(TINY, stem_channels=5)
    write_card(path, dataclasses.replace(read_card(path), architecture=other))
    _refused(saved, r"tensor members\.0\.stem.* needs .*float32 \(5, 3, 5, 5\)")


def test_missing_and_leftover_members_are_refused(saved: Path) -> None:
    path = saved / "card.json"
    card = read_card(path)
    write_card(path, dataclasses.replace(card, members=3))
    _refused(saved, r"tensor members\.2\..* is missing")
    write_card(path, dataclasses.replace(card, members=1))
    _refused(saved, r"tensor 'members\.1\..*' is not part of")


def test_weights_that_are_not_finite_are_neither_written_nor_read(
    saved: Path, tmp_path: Path
) -> None:
    network = toy_network(TINY, seed=1)
    with torch.no_grad():
        network.head.bias.fill_(torch.nan)
    with pytest.raises(ModelError, match=r"members\.0\.head\.bias .*not finite"):
        save_model(tmp_path / "bad", toy_card(), [network])
    assert not (tmp_path / "bad").exists()
    path = saved / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + struct.pack("<f", float("nan")))
    _accept(saved)
    _refused(saved, "not finite")


def test_a_network_that_is_not_the_cards_is_not_written(tmp_path: Path) -> None:
    other = toy_network(dataclasses.replace(TINY, stem_channels=5), seed=1)
    with pytest.raises(ModelError, match="architecture"):
        save_model(tmp_path, toy_card(), [other])


def test_a_missing_weights_file_is_named(saved: Path) -> None:
    (saved / "weights.safetensors").unlink()
    _refused(saved, "cannot be read")


def test_models_are_found_by_name_where_they_ship(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "weights_folder", lambda: saved.parent)
    (saved.parent / "no-model").mkdir()
    assert shipped_models() == ("toy",)
    assert load_model("toy").card.name == "toy"
    with pytest.raises(ModelError, match=r"no model 'nothing'.*shipped models: toy"):
        load_model("nothing")


@pytest.mark.parametrize("name", shipped_models())
def test_every_shipped_model_loads_and_is_small_and_judged(name: str) -> None:
    model = load_model(name)
    assert model.card.name == name
    folder = weights.weights_folder() / name
    assert (folder / model.card.weights_file).stat().st_size <= 20e6
    judged = json.loads((folder / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))
    assert judged["run"]["weights"]["sha256"] == model.card.sha256
    assert judged["simulated_weights"] == model.card.simulated
    assert (folder / "evaluation" / "evaluation.md").is_file()
