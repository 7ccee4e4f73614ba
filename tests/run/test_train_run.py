"""Trainings that are killed, resumed, changed or given objects without cutouts."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from astropy.io import fits

from tests.preloaded import Preloaded
from tests.small_runs import xsaga
from tests.toy_labels import SIZE, ToyLabels, make_toy_labels, rewrite_labels
from xsaga.catalog.label_file import write_labels
from xsaga.config import CutsConfig
from xsaga.imaging.cutouts import CutoutSpec
from xsaga.imaging.files import FileSource
from xsaga.model import training
from xsaga.model.calibration import Calibration
from xsaga.model.card import LEARNT_FILE
from xsaga.model.metrics import area_under_curve
from xsaga.model.photometry import catalog_photometry
from xsaga.model.scoring import Scorer
from xsaga.model.weights import load_model
from xsaga.run import training_cutouts
from xsaga.run.base_rates import known_list_rate
from xsaga.run.training_area import read_area
from xsaga.run.training_cutouts import fetch_parts, labelled_cutouts, only_judged, usable_labels
from xsaga.run.training_folder import TrainingPaths, read_record
from xsaga.sky.tiles import tile_pixels

RESULTS = (
    "model/weights.safetensors",
    "model/card.json",
    "model/learnt-from.moc.fits",
    "held-out.parquet",
    "left-out.parquet",
)


@pytest.fixture
def toys(tmp_path: Path) -> ToyLabels:
    return make_toy_labels(tmp_path / "toys")


def table_of(toys: ToyLabels) -> pd.DataFrame:
    return pd.read_parquet(toys.labels)


def test_labels_and_imaging_make_a_model_that_scores(toys: ToyLabels, tmp_path: Path) -> None:
    out = tmp_path / "training"
    result = xsaga("train", *toys.options, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert "SIMULATED: learnt from 96 objects, 0 left out" in result.output
    model = load_model(out / "model")
    card = model.card
    assert (card.name, card.simulated, card.size) == ("training", True, SIZE)
    assert card.image_release == ("toy",)
    assert card.training_set.description.startswith("SIMULATED cutouts of 96")
    assert card.training_set.numbers["z_limit"] == 0.03
    assert hashlib.sha256(toys.labels.read_bytes()).hexdigest() in card.training_set.description
    assert known_list_rate(card, CutsConfig(name="none")) is None  # labels are no fair sample

    labels = table_of(toys).set_index("label_id")
    area = read_area(out / "model" / LEARNT_FILE)
    assert area is not None
    assert area.contains(labels["ra"], labels["dec"]).all()
    pixels = np.unique(tile_pixels(labels["ra"], labels["dec"], 8))
    np.testing.assert_array_equal(area.tiles(8), pixels)
    held_out = pd.read_parquet(out / "held-out.parquet").set_index("label_id")
    assert set(held_out.index) == set(labels.index)
    truth = labels["is_lowz"][held_out.index]
    assert (held_out["is_lowz"] == truth).all()
    assert held_out["logit"][truth].mean() > held_out["logit"][~truth].mean() + 1
    assert area_under_curve(held_out["logit"], truth) > 0.95
    scale = model.networks[0].state_dict()["photometry.mean"].numpy()
    learnt = held_out.index[held_out["fold"] != 0]
    photometry = catalog_photometry(labels.loc[learnt])
    np.testing.assert_allclose(scale, photometry.mean(axis=0), rtol=1e-4)
    patches = pd.concat([labels["group"][held_out.index], held_out["fold"]], axis=1)
    assert (patches.groupby("group")["fold"].nunique() == 1).all()

    source = FileSource(toys.files, CutoutSpec(size=SIZE))
    ids = labels.index.to_numpy()
    (batch,) = source.cutouts(np.zeros(96), np.zeros(96), ids)
    scores = Scorer(model, precision="float32").score(batch.images)
    near = labels["is_lowz"].to_numpy()[batch.index]
    assert scores.p_lowz[near].mean() > 3 * scores.p_lowz[~near].mean()

    history = pd.read_csv(out / "history.csv")
    assert list(zip(history["member"], history["epoch"], strict=True)) == [
        (member, epoch) for member in range(2) for epoch in range(3)
    ]
    if find_spec("matplotlib"):
        assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.trial
def test_a_training_killed_again_and_again_ends_with_the_same_bytes(
    toys: ToyLabels, tmp_path: Path, preloaded: Preloaded
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    command = ("train", *toys.options, "--epochs", 2, "--name", "toy", "--out")
    code, _, errors = preloaded.run(*command, whole)
    assert code == 0, errors
    for line in ("member 1/2 epoch 2/2", "member 2/2 epoch 1/2"):
        process = preloaded.begin(*command, broken)
        assert any(line in said for said in process.errors), line
        process.send(signal.SIGKILL)
        assert process.ended()[0] == -signal.SIGKILL
        assert not (broken / "model").exists()
    code, _, errors = preloaded.run(*command, broken)
    assert code == 0, errors
    assert "member 1/2" not in errors
    for name in RESULTS:
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
    timeless = [
        pd.read_csv(folder / "history.csv").drop(columns="images_per_second")
        for folder in (whole, broken)
    ]
    pd.testing.assert_frame_equal(*timeless)


def test_what_cannot_be_learnt_from_is_listed_with_the_reason(
    toys: ToyLabels, tmp_path: Path
) -> None:
    table = table_of(toys)
    table.loc[0, "conflict"] = True
    table.loc[1, "z"] = np.nan
    table.loc[2, ["z", "kind"]] = [np.nan, "artefact"]
    rewrite_labels(toys, table)
    (toys.files / "1003.fits").unlink()
    (toys.files / "1004.fits").write_bytes(b"half a file")
    out = tmp_path / "training"
    result = xsaga("train", *toys.options, "--epochs", 2, "--out", out)
    assert result.exit_code == 0, result.stderr
    left_out = pd.read_parquet(out / "left-out.parquet").set_index("label_id")
    assert set(left_out.index) == {1000, 1001, 1003, 1004}
    assert left_out["reason"][1000] == "its redshifts disagree"
    assert left_out["reason"][1001] == "no redshift"
    assert (left_out["reason"] != "").all()
    learnt = pd.read_parquet(out / "held-out.parquet")["label_id"]
    assert set(learnt) | set(left_out.index) == set(table["label_id"])
    assert 1002 in set(learnt)


def test_a_resume_with_other_settings_is_refused_by_key(toys: ToyLabels, tmp_path: Path) -> None:
    out = tmp_path / "training"
    assert xsaga("train", *toys.options, "--epochs", 2, "--out", out).exit_code == 0
    weights = (out / "model/weights.safetensors").read_bytes()

    refused = xsaga("train", *toys.options, "--epochs", 3, "--loss", "focal", "--out", out)
    assert refused.exit_code == 1
    assert "epochs: was 2, now 3; loss: was 'bce', now 'focal'" in refused.stderr
    assert "--restart" in refused.stderr
    other_images = ("--release", "other", "--epochs", 2, "--out", out)
    refused = xsaga("train", *toys.options, *other_images)
    assert "imaging.release: was 'toy', now 'other'" in refused.stderr
    assert (out / "model/weights.safetensors").read_bytes() == weights

    fetched = (out / "cutouts/part-00000/cutouts.npy").stat().st_mtime_ns
    again = xsaga("train", *toys.options, "--epochs", 2, "--seed", 4, "--restart", "--out", out)
    assert again.exit_code == 0, again.stderr
    assert (out / "model/weights.safetensors").read_bytes() != weights
    assert (out / "cutouts/part-00000/cutouts.npy").stat().st_mtime_ns == fetched
    again = xsaga("train", *toys.options, *other_images, "--restart")
    assert again.exit_code == 0, again.stderr
    assert (out / "cutouts/part-00000/cutouts.npy").stat().st_mtime_ns != fetched
    assert load_model(out / "model").card.image_release == ("other",)


def test_labels_that_changed_are_another_training(toys: ToyLabels, tmp_path: Path) -> None:
    out = tmp_path / "training"
    assert xsaga("train", *toys.options, "--epochs", 2, "--out", out).exit_code == 0
    table = table_of(toys)
    table["is_lowz"] = ~table["is_lowz"]
    rewrite_labels(toys, table)
    refused = xsaga("train", *toys.options, "--epochs", 2, "--out", out)
    assert refused.exit_code == 1
    assert "labels: was" in refused.stderr


def test_parts_that_are_fetched_are_not_fetched_again(
    toys: ToyLabels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_cutouts, "PART", 20)
    paths = TrainingPaths(tmp_path / "training")
    wanted, left_out = usable_labels(table_of(toys), toys.labels, (None, None))
    source = FileSource(toys.files, CutoutSpec(size=SIZE), release="toy")
    done = 0

    def stop_in_the_third(count: int) -> None:
        nonlocal done
        done += count
        if done > 45:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_parts(paths, wanted, lambda: source, "float16", stop_in_the_third)
    before = {path: path.stat().st_mtime_ns for path in paths.cutouts.rglob("cutouts.npy")}
    assert len(before) == 2
    for path in toys.files.iterdir():
        if int(path.stem) in set(wanted["label_id"][:40]):
            path.unlink()
    fetch_parts(paths, wanted, lambda: source, "float16", lambda _: None)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())

    known = labelled_cutouts(paths, wanted, left_out, min_coverage=0.2)
    assert known.images.shape == (96, 3, SIZE, SIZE)
    assert known.left_out.empty
    rows = np.array([95, 3, 41, 40, 0])
    ids = known.labels["label_id"].to_numpy()
    kept = toys.files / f"{ids[95]}.fits"
    picked = known.images[rows]
    np.testing.assert_array_equal(picked[0], fits.getdata(kept).astype(np.float16))
    np.testing.assert_array_equal(picked, known.images[0:96][rows])


def test_failed_cutouts_are_tried_again_when_asked(toys: ToyLabels, tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    ids = table_of(toys)["label_id"]
    listed = pd.DataFrame({"source_id": ids, "path": [f"files/{number}.fits" for number in ids]})
    listed.to_csv(table, index=False)
    missing = toys.files / "1005.fits"
    (tmp_path / "files").symlink_to(toys.files)
    content = missing.read_bytes()
    missing.unlink()
    missing.mkdir()  # a file that cannot be read is no lasting outcome
    out = tmp_path / "training"
    options = [str(table) if word == str(toys.files) else word for word in toys.options]
    assert xsaga("train", *options, "--epochs", 2, "--out", out).exit_code == 0
    left_out = pd.read_parquet(out / "left-out.parquet")
    assert left_out["label_id"].tolist() == [1005]
    missing.rmdir()
    missing.write_bytes(content)
    refused = xsaga("train", *options, "--epochs", 2, "--retry-failed", "--out", out)
    assert refused.exit_code == 1
    assert "other data or settings" in refused.stderr
    again = xsaga("train", *options, "--epochs", 2, "--restart", "--out", out)
    assert again.exit_code == 0, again.stderr
    assert "learnt from 96 objects" in again.output


def test_nothing_to_learn_from_is_one_line(toys: ToyLabels, tmp_path: Path) -> None:
    for path in toys.files.iterdir():
        path.unlink()
    out = tmp_path / "training"
    result = xsaga("train", *toys.options, "--out", out)
    assert result.exit_code == 1
    assert "none of the 96 labelled objects has a usable cutout" in result.stderr
    assert len(pd.read_parquet(out / "left-out.parquet")) == 96


def test_the_log_holds_each_epoch(toys: ToyLabels, tmp_path: Path) -> None:
    out = tmp_path / "training"
    assert xsaga("train", *toys.options, "--epochs", 2, "--out", out).exit_code == 0
    events = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    epochs = ["epoch"] * 4  # two of either member
    assert [event["event"] for event in events] == ["begin", "fetched", *epochs, "end"]


def test_only_objects_within_the_magnitudes_are_learnt_from(toys: ToyLabels) -> None:
    table = table_of(toys)
    table["mag_r"] = np.linspace(18.0, 22.0, len(table))
    table.loc[0, "mag_r"] = np.nan
    wanted, left_out = usable_labels(table, toys.labels, (19.0, 21.0))
    kept = table["mag_r"].isna() | table["mag_r"].between(19.0, 21.0)
    assert sorted(wanted["label_id"]) == sorted(table["label_id"][kept])
    assert len(wanted) + len(left_out) == len(table)
    assert set(left_out["reason"]) == {"r magnitude outside the limits"}


def test_a_field_may_be_left_out_to_judge_on(toys: ToyLabels, tmp_path: Path) -> None:
    table = table_of(toys)
    table["host"] = "host-" + (table["group"] % 2).astype(str)
    rewrite_labels(toys, table)
    first = str(table["group"].min())
    out = tmp_path / "training"
    leave_out = ("--leave-out", "host-1", "--leave-out", first)
    result = xsaga("train", *toys.options, *leave_out, "--out", out)
    assert result.exit_code == 0, result.stderr
    unseen = (table["host"] == "host-1") | (table["group"].astype(str) == first)
    left_out = pd.read_parquet(out / "left-out.parquet")
    assert set(left_out["label_id"]) == set(table["label_id"][unseen])
    assert set(left_out["reason"]) == {"of a field that is left out"}
    learnt = pd.read_parquet(out / "held-out.parquet")["label_id"]
    assert set(learnt) == set(table["label_id"][~unseen])
    refused = xsaga("train", *toys.options, *leave_out[:2], "--out", out)
    assert "leave out: was ['0', 'host-1'], now ['host-1']" in refused.stderr
    unknown = xsaga("train", *toys.options, "--leave-out", "NGC", "--out", tmp_path / "other")
    assert unknown.exit_code == 1
    assert "no label is of host or group 'NGC'" in unknown.stderr


def test_what_is_known_of_the_looks_is_learnt_too(toys: ToyLabels, tmp_path: Path) -> None:
    options = (*toys.options, "--epochs", 2, "--members", 1)
    without = tmp_path / "without"
    assert xsaga("train", *options, "--out", without).exit_code == 0
    table = table_of(toys)
    table["morphology_arms"] = np.linspace(0, 1, len(table)).astype(np.float32)
    rewrite_labels(toys, table)
    known = tmp_path / "known"
    assert xsaga("train", *options, "--out", known).exit_code == 0
    losses = [pd.read_csv(each / "history.csv")["loss"].tolist() for each in (without, known)]
    assert not set(losses[0]) & set(losses[1])


def test_a_sky_with_objects_added_is_only_judged_on_its_own_galaxies() -> None:
    table = pd.DataFrame(
        {
            "kind": ["galaxy", "galaxy", "galaxy", "star", "artefact", ""],
            "shred": [False, False, True, False, False, False],
            "training": [True, False, False, False, False, False],
        }
    )
    assert only_judged(table).tolist() == [False, True, False, False, False, False]
    assert not only_judged(table.assign(training=False)).any()


def test_objects_added_for_training_calibrate_nothing(toys: ToyLabels, tmp_path: Path) -> None:
    table = table_of(toys)
    near = np.flatnonzero(table["is_lowz"])
    table["training"] = ~table["is_lowz"] & (np.arange(len(table)) % 2 == 0)
    table.loc[near[::3], "training"] = True
    rewrite_labels(toys, table)
    out = tmp_path / "training"
    result = xsaga("train", *toys.options, "--epochs", 2, "--out", out)
    assert result.exit_code == 0, result.output
    card = json.loads((out / "model" / "card.json").read_text())
    natural = table[~table["training"]]
    assert card["metrics"]["held_out"] == len(natural)
    assert card["calibration"]["train_rate"] == pytest.approx(natural["is_lowz"].mean())
    assert card["calibration"]["target_rate"] == card["calibration"]["train_rate"]
    assert card["training_set"]["numbers"]["natural"] == len(natural)
    assert card["training_set"]["numbers"]["learnt"] == len(table) - len(natural)


def test_too_few_natural_objects_do_not_calibrate_alone(toys: ToyLabels, tmp_path: Path) -> None:
    table = table_of(toys)
    near = np.flatnonzero(table["is_lowz"])
    table["training"] = np.arange(len(table)) % 2 == 0
    table.loc[near, "training"] = True
    table.loc[near[:2], "training"] = False
    rewrite_labels(toys, table)
    out = tmp_path / "training"
    result = xsaga("train", *toys.options, "--epochs", 2, "--out", out)
    assert result.exit_code == 0, result.output
    assert "calibrated and judged on added ones too" in result.stderr.replace("\n", " ")
    card = json.loads((out / "model" / "card.json").read_text())
    natural = table[~table["training"]]
    assert card["metrics"]["held_out"] == len(table)
    assert card["calibration"]["train_rate"] == pytest.approx(table["is_lowz"].mean())
    assert card["calibration"]["target_rate"] == pytest.approx(natural["is_lowz"].mean())
    assert "calibration and metrics on all of them" in card["training_set"]["description"]


def test_a_training_that_learnt_the_reverse_writes_no_model(
    toys: ToyLabels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "training"
    reverse = Calibration(slope=-1.0, train_rate=0.4, target_rate=0.4)
    monkeypatch.setattr(training, "fit_calibration", lambda *_: reverse)
    result = xsaga("train", *toys.options, "--epochs", 2, "--out", out)
    assert result.exit_code == 1
    assert "no model is written" in result.stderr
    assert not (out / "model" / "card.json").exists()
    assert (out / "held-out.parquet").is_file()


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Set the number of threads, for the time of a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.trial
def test_a_resume_learns_with_the_threads_that_it_began_with(
    toys: ToyLabels, tmp_path: Path, threads: Callable[[int], None]
) -> None:
    def weights(out: Path) -> bytes:
        result = xsaga("train", *toys.options, "--epochs", 2, "--out", out)
        assert result.exit_code == 0, result.stderr
        return (out / "model/weights.safetensors").read_bytes()

    threads(1)
    wanted = weights(tmp_path / "one")
    threads(2)
    assert weights(tmp_path / "two") != wanted  # else this tests nothing
    paths = TrainingPaths(tmp_path / "one")
    second = list(paths.checkpoints.glob("member-1*"))
    assert second
    for path in second:
        path.unlink()
    shutil.rmtree(paths.model)
    assert weights(tmp_path / "one") == wanted
    assert torch.get_num_threads() == 2
    assert read_record(paths).threads == 1
    assert "1 threads, as this training began with" in paths.log.read_text(encoding="utf-8")


def test_a_record_without_threads_is_resumed(toys: ToyLabels, tmp_path: Path) -> None:
    out = tmp_path / "training"
    options = (*toys.options, "--epochs", 2, "--out", out)
    assert xsaga("train", *options).exit_code == 0
    path = out / "training.json"
    record = json.loads(path.read_text())
    del record["threads"]
    path.write_text(json.dumps(record))
    again = xsaga("train", *options)
    assert again.exit_code == 0, again.stderr


@pytest.mark.parametrize(
    ("separation", "code", "words"),
    [
        (0.0, 1, "share pixels, so that no fold is held out: make them anew"),
        (8.0, 1, "`xsaga labels --separation 12`"),
        (9.0, 0, "warning: "),
        (12.0, 0, ""),
    ],
)
def test_folds_must_be_further_apart_than_cutouts_are_wide(
    toys: ToyLabels, tmp_path: Path, separation: float, code: int, words: str
) -> None:
    """A toy cutout is 8.4 arcsec wide, and its diagonal is 11.9 arcsec."""
    table = table_of(toys)
    record = {"z_limit": 0.03, "min_quality": 3, "simulated": True, "separation": separation}
    write_labels(toys.labels, table, table.iloc[:0], record)
    out = tmp_path / "training"
    result = xsaga("train", *toys.options, "--epochs", 2, "--members", 1, "--out", out)
    assert result.exit_code == code, result.stderr
    assert words in result.stderr
    assert (out / "model").exists() == (code == 0)
    if code == 0:
        warned = "--separation 12" in (out / "log.jsonl").read_text(encoding="utf-8")
        assert warned == bool(words)
