from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.toy_cutouts import toy_cutouts
from tests.toy_model import TINY
from xsaga.errors import ModelError
from xsaga.model.architecture import Architecture
from xsaga.model.checkpoints import Checkpoints
from xsaga.model.fit_settings import FitSettings
from xsaga.model.training import EpochRecord, Fit, fit

SETTINGS = FitSettings(members=2, folds=2, epochs=3, batch_size=16, learning_rate=1e-2, seed=3)
IMAGES, WIDE = toy_cutouts(96, 32, seed=21)
XRESNET = Architecture(kind="xresnet", stem_channels=4, stage_channels=(6, 8), stage_blocks=(1, 1))


def train(
    checkpoints: Checkpoints | None,
    *,
    stop_after: int = 100,
    settings: FitSettings = SETTINGS,
    architecture: Architecture = TINY,
) -> tuple[Fit | None, int]:
    """Train, or stop after so many epochs; give the fit and the epochs that were done here."""
    done = 0

    def count(_: EpochRecord) -> None:
        nonlocal done
        done += 1
        if done == stop_after:
            raise KeyboardInterrupt

    try:
        result = fit(
            IMAGES,
            WIDE,
            architecture=architecture,
            settings=settings,
            device="cpu",
            checkpoints=checkpoints,
            progress=count,
        )
    except KeyboardInterrupt:
        return None, done
    return result, done


def same(one: Fit, other: Fit) -> bool:
    states = [[network.state_dict() for network in each.networks] for each in (one, other)]
    weights = all(
        torch.equal(left[name], right[name])
        for left, right in zip(*states, strict=True)
        for name in left
    )
    return (
        weights
        and one.history == other.history
        and np.array_equal(one.held_out_logit, other.held_out_logit, equal_nan=True)
    )


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"optimizer": "ranger", "loss": "focal", "sampling": "balanced"},
    ],
)
@pytest.mark.parametrize("architecture", [TINY, XRESNET], ids=["foveal", "xresnet"])
def test_a_training_that_stops_after_any_epoch_ends_with_the_same_weights(
    tmp_path: Path, variant: dict[str, str], architecture: Architecture
) -> None:
    settings = dataclasses.replace(SETTINGS, **variant)  # type: ignore[arg-type]
    whole, _ = train(None, settings=settings, architecture=architecture)
    assert whole is not None
    epochs = settings.epochs * settings.members
    for stop_after in (1, 3, 4):
        kept = Checkpoints(tmp_path / str(stop_after), "one")
        stopped, _ = train(
            kept, stop_after=stop_after, settings=settings, architecture=architecture
        )
        assert stopped is None
        resumed, done = train(kept, settings=settings, architecture=architecture)
        assert done == epochs - stop_after
        assert resumed is not None
        assert same(resumed, whole)


def test_a_finished_training_is_not_done_again(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, "one")
    first, _ = train(kept)
    again, done = train(kept)
    assert done == 0
    assert first is not None
    assert again is not None
    assert same(first, again)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "member-0-epoch-3.safetensors",
        "member-0.json",
        "member-1-epoch-3.safetensors",
        "member-1.json",
    ]


def test_a_checkpoint_whose_json_was_not_reached_leaves_the_one_before(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, "one")
    kept.save(0, 1, {"a": torch.ones(2)}, {"note": 1})
    (tmp_path / "member-0-epoch-2.safetensors").write_bytes(b"half of it")
    found = kept.load(0)
    assert found is not None
    assert (found.epochs, found.notes) == (1, {"note": 1})
    assert torch.equal(found.tensors["a"], torch.ones(2))
    assert kept.load(1) is None


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "one").save(0, 1, {"a": torch.ones(2)}, {})
    with pytest.raises(ModelError, match="other data or settings"):
        Checkpoints(tmp_path, "two").load(0)


@pytest.mark.parametrize(
    "damage",
    ["tensors", "no tensors", "json", "no list", "sha256"],
)
def test_a_damaged_checkpoint_is_one_line(tmp_path: Path, damage: str) -> None:
    kept = Checkpoints(tmp_path, "one")
    kept.save(0, 1, {"a": torch.ones(2)}, {})
    record, tensors = tmp_path / "member-0.json", tmp_path / "member-0-epoch-1.safetensors"
    if damage == "tensors":
        tensors.write_bytes(b"\x80\x04\x95" + bytes(50))
    elif damage == "no tensors":
        tensors.unlink()
    elif damage == "json":
        record.write_text("{")
    elif damage == "no list":
        record.write_text("[]")
    else:
        content = json.loads(record.read_text())
        record.write_text(json.dumps(content | {"sha256": "0" * 64}))
    with pytest.raises(ModelError, match="begin anew with --restart") as caught:
        kept.load(0)
    assert "\n" not in str(caught.value)


def test_tensors_of_another_network_are_refused(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, "one")
    train(kept, stop_after=1, architecture=XRESNET)
    with pytest.raises(ModelError, match="not a checkpoint of this training"):
        train(kept)
