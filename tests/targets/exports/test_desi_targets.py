"""Target files by the rules of fiberassign's loader and desitarget's readers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import healpy
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from tests.desi_lists import (
    THIRD_PARTY,
    WHOLE,
    contents,
    desi_targets,
    desitarget,
    listed,
    positioned,
    with_gaps,
)
from tests.target_samples import ranked_targets
from xsaga.errors import TargetsError
from xsaga.targets.exports.export import export
from xsaga.targets.exports.known_ids import read_known_ids
from xsaga.targets.exports.settings import ExportSettings

fitsio = pytest.importorskip("fitsio", reason="reads as DESI does, with fitsio: not installed")

pytestmark = [pytest.mark.filterwarnings(each) for each in THIRD_PARTY]

SCIENCE = 1 << 62
NAME = "targets-dark-secondary.fits"


def written(
    folder: Path, targets: pd.DataFrame, settings: ExportSettings = WHOLE
) -> tuple[Path, np.ndarray]:
    place = folder / "desi-targets"
    export(listed(folder, targets), "desi-targets", place, settings)
    (name,) = [path.name for path in place.glob("*targets-*.fits")]
    return place, fitsio.read(place / name, "TARGETS")


@dataclass(frozen=True)
class Exported:
    """A list and what became of it."""

    targets: pd.DataFrame
    place: Path
    rows: np.ndarray


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A list of Legacy Surveys sources without gaps."""
    targets = desi_targets(200)
    return Exported(targets, *written(tmp_path_factory.mktemp("legacy"), targets))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The same sources from a catalog without ids."""
    targets = positioned(desi_targets(200))
    return Exported(targets, *written(tmp_path_factory.mktemp("elsewhere"), targets))


def load_as_fiberassign_does(path: Path) -> dict[str, np.ndarray]:
    """Copy columns as ``fiberassign.targets`` does, with the types and refusals of its loader."""
    data, header = fitsio.read(path, 1, header=True)
    assert header["EXTNAME"].strip() == "TARGETS"
    names = data.dtype.names
    # desitarget.targets.main_cmx_or_sv takes such a name for another survey
    assert not [name for name in names if "SV" in name or "CMX" in name]
    data = data.astype(data.dtype.newbyteorder("="))
    assert data.dtype["TARGETID"] == np.int64
    assert data.dtype["SUBPRIORITY"] == np.float64
    assert data.dtype["DESI_TARGET"] == np.int64
    for name in ("PRIORITY", "PRIORITY_INIT", "NUMOBS_MORE", "NUMOBS_INIT", "OBSCONDITIONS"):
        assert data.dtype[name] in (np.int32, np.int64), name
    loaded = {
        "targetid": data["TARGETID"],
        "ra": data["RA"],
        "dec": data["DEC"],
        "bits": data["DESI_TARGET"],
        "numobs": data["NUMOBS_MORE"].astype(np.int32),
        "priority": data["PRIORITY"].astype(np.int32),
        "subpriority": data["SUBPRIORITY"],
        "obsconditions": data["OBSCONDITIONS"].astype(np.int32),
    }
    assert (loaded["targetid"] >= 0).all()
    assert len(np.unique(loaded["targetid"])) == len(data)
    assert ((loaded["bits"] & SCIENCE) != 0).all()
    assert ((loaded["subpriority"] > 0) & (loaded["subpriority"] < 1)).all()
    assert (loaded["numobs"] > 0).all()
    assert (loaded["obsconditions"] & 0b1111 != 0).all()
    assert ((loaded["ra"] >= 0) & (loaded["ra"] < 360) & (np.abs(loaded["dec"]) <= 90)).all()
    return loaded


@pytest.mark.parametrize("positions_only", [False, True])
def test_fiberassign_orders_targets_as_they_are_ranked(
    tmp_path: Path, positions_only: bool
) -> None:
    targets = with_gaps(desi_targets(400, shift=0.3))
    targets = positioned(targets) if positions_only else targets
    place, _ = written(tmp_path, targets)
    loaded = load_as_fiberassign_does(place / NAME)
    # the sort key of its assignment: priority, observations remaining, subpriority
    key = loaded["priority"] * 100 + loaded["numobs"] + loaded["subpriority"]
    order = np.argsort(-key)
    by_tier = targets.sort_values(["tier", "rank"])
    assert len(np.unique(key)) == len(targets)
    np.testing.assert_array_equal(
        loaded["ra"][order], np.where(by_tier["ra"] == 360, 0, by_tier["ra"])
    )
    assert set(loaded["priority"]) == {60, 70, 80}


def test_values_are_those_of_the_list(legacy: Exported) -> None:
    targets, rows = legacy.targets, legacy.rows
    for name, column in (
        ("TARGETID", "source_id"),
        ("RELEASE", "release"),
        ("BRICKID", "brickid"),
        ("BRICK_OBJID", "objid"),
        ("RA", "ra"),
        ("DEC", "dec"),
        ("FLUX_G", "flux_g"),
        ("FLUX_IVAR_Z", "flux_ivar_z"),
        ("MW_TRANSMISSION_R", "mw_transmission_r"),
        ("EBV", "ebv"),
        ("PMRA", "pmra"),
        ("PRIORITY_INIT", "priority"),
    ):
        np.testing.assert_array_equal(rows[name], targets[column], err_msg=name)
    tier = targets["tier"].to_numpy()
    np.testing.assert_array_equal(rows["SCND_TARGET"], 1 << (14 + tier.astype(np.int64)))
    np.testing.assert_array_equal(
        rows["HPXPIXEL"],
        healpy.ang2pix(64, targets["ra"], targets["dec"], lonlat=True, nest=True),
    )
    assert set(rows["MORPHTYPE"]) == {b"SER"} or set(rows["MORPHTYPE"]) == {"SER"}
    assert (rows["REF_EPOCH"] == 2015.5).all()


def test_bits_priorities_and_conditions_are_those_of_desitarget(tmp_path: Path) -> None:
    masks = desitarget("targetmask")
    targets = desi_targets(60, shift=0.3)
    _, rows = written(tmp_path, targets, ExportSettings(obsconditions="DARK|GRAY", numobs=2))
    assert masks.desi_mask["SCND_ANY"] == SCIENCE
    for tier in (1, 2, 3):
        bit = masks.scnd_mask[f"LOW_Z_TIER{tier}"]
        of_tier = rows[targets["tier"] == tier]
        assert (of_tier["SCND_TARGET"] == bit).all()
        assert (of_tier["PRIORITY_INIT"] == bit.priorities["UNOBS"]).all()
    assert (rows["OBSCONDITIONS"] == masks.obsconditions.mask("DARK|GRAY")).all()
    assert (rows["NUMOBS_MORE"] == 2).all()


def test_desitarget_decodes_the_ids_and_knows_the_survey(elsewhere: Exported) -> None:
    module = desitarget("targets")
    targets, rows = elsewhere.targets, elsewhere.rows
    objid, brickid, release, mock, sky, gaia = module.decode_targetid(rows["TARGETID"])
    np.testing.assert_array_equal(objid, rows["BRICK_OBJID"])
    np.testing.assert_array_equal(brickid, rows["BRICKID"])
    np.testing.assert_array_equal(release, 514 + targets["tier"])
    assert not np.any([mock, sky, gaia])
    assert module.main_cmx_or_sv(rows, scnd=True)[2] == "main"
    model = desitarget("secondary").outdatamodel.dtype
    assert set(model.names) <= set(rows.dtype.names)
    for name in model.names:
        assert rows.dtype[name] == model[name], name


def test_bricknames_are_those_of_desiutil(elsewhere: Exported) -> None:
    brick = pytest.importorskip("desiutil.brick", reason="compares with desiutil")
    rows = elsewhere.rows
    names = brick.Bricks(0.25).brickname(rows["RA"], rows["DEC"])
    assert [name.decode() if isinstance(name, bytes) else name for name in rows["BRICKNAME"]] == (
        names.tolist()
    )


def test_desitarget_finds_targets_by_pixel_in_the_files(legacy: Exported) -> None:
    io = desitarget("io")
    place, rows = legacy.place, legacy.rows
    nside, files = io.check_hp_target_dir(str(place / "hpx"))
    assert nside == 8
    pixels = healpy.ang2pix(8, rows["RA"], rows["DEC"], lonlat=True, nest=True)
    assert set(files) == set(pixels)
    assert len(files) > 1
    for pixel in files:
        found = io.read_targets_in_hp(str(place / "hpx"), 8, [pixel])
        np.testing.assert_array_equal(found["TARGETID"], rows["TARGETID"][pixels == pixel])
    header = io.read_targets_header(str(place / "hpx"))
    assert header["FILENEST"]
    assert header["HPXNSIDE"] == 64


def test_headers_tell_survey_conditions_and_provenance(tmp_path: Path) -> None:
    settings = ExportSettings(survey="main2", obsconditions="BRIGHT")
    place, _ = written(tmp_path, positioned(desi_targets(20, shift=0.3)), settings)
    path = place / "main2targets-bright-secondary.fits"
    with fits.open(path) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "TARGETS", "INPUTS"]
        header = hdus["TARGETS"].header
        assert (header["SURVEY"], header["OBSCON"]) == ("main2", "BRIGHT")
        assert (header["HPXNSIDE"], header["HPXNEST"]) == (64, True)
        assert "FILEHPX" not in header
        assert (header["DEPNAM00"], header["DEPVER00"]) == ("xsaga", "0.1.0")
        assert header["SIMULATD"] is True
        assert "SIMULATED WEIGHTS" in str(header["COMMENT"])
        assert hdus["INPUTS"].data["SHA256"].tolist() == ["cd" * 32, "ef" * 32]
        units = dict(zip(hdus["TARGETS"].columns.names, hdus["TARGETS"].columns.units, strict=True))
    assert (units["RA"], units["FLUX_G"], units["PMRA"]) == ("deg", "nanomaggy", "mas yr^-1")
    assert b"secret" not in path.read_bytes()


def test_what_a_catalog_lacks_becomes_what_desi_writes_for_it(tmp_path: Path) -> None:
    _, rows = written(tmp_path, with_gaps(desi_targets(30, shift=0.3)))
    assert rows["RA"][0] == 0.0
    assert (rows["PMRA"][1], rows["PMDEC"][1], rows["REF_EPOCH"][1]) == (0, 0, 2015.5)
    assert (rows["FLUX_G"][2], rows["FLUX_IVAR_G"][2]) == (0, 0)
    assert (rows["FLUX_R"][3], rows["FLUX_IVAR_R"][3]) == (0, 0)
    assert rows["FLUX_Z"][4] == -0.25
    assert rows["FLUX_IVAR_Z"][4] > 0
    for name in rows.dtype.names:
        if rows.dtype[name].kind == "f":
            assert np.isfinite(rows[name]).all(), name


def test_a_list_with_positions_only_is_enough(tmp_path: Path) -> None:
    few = ["source_id", "id_kind", "ra", "dec", "rank", "tier", "priority"]
    place, rows = written(tmp_path, positioned(desi_targets(25, shift=0.3))[few])
    assert load_as_fiberassign_does(place / NAME)["ra"].size == 25
    assert (rows["FLUX_IVAR_R"] == 0).all()


def test_subpriority_is_unique_and_falls_with_the_rank_for_a_million() -> None:
    from xsaga.targets.exports.desi_values import subpriorities

    count = 1_000_000
    targets = pd.DataFrame(
        {"tier": np.ones(count, dtype=np.int16), "rank": np.arange(1, count + 1)}
    )
    sub = subpriorities(targets)
    assert (np.diff(sub) < 0).all()
    assert 0 < sub[-1] < sub[0] < 1


def test_no_targets_make_a_file_of_no_rows(tmp_path: Path) -> None:
    place, rows = written(tmp_path, desi_targets(0))
    assert len(rows) == 0
    assert "SUBPRIORITY" in rows.dtype.names
    assert list((place / "hpx").iterdir()) == []


def test_ids_go_on_from_night_to_night_through_the_table_in_the_export(tmp_path: Path) -> None:
    targets = positioned(desi_targets(80, shift=0.3))
    first, _ = written(tmp_path / "1", targets)
    known = read_known_ids(first / "target-ids.parquet")
    few, _ = written(tmp_path / "2", targets.iloc[40:].reset_index(drop=True))
    some = read_known_ids(few / "target-ids.parquet")
    assert len(some) == 40
    second, rows = written(
        tmp_path / "3",
        targets.iloc[::-2].assign(rank=np.arange(1, 41), tier=np.int16(3)).reset_index(drop=True),
        ExportSettings(known_ids=known),
    )
    kept = known.set_index("source_id")["targetid"].loc[targets["source_id"].iloc[::-2]]
    np.testing.assert_array_equal(rows["TARGETID"], kept)
    # those that are listed no more stay in the table: their numbers are not free
    pd.testing.assert_frame_equal(read_known_ids(second / "target-ids.parquet"), known)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("type", "SERSIC", "type 'SERSIC' does not fit the 4 plain letters"),
        ("photsys", "Nord", "photsys 'Nord' does not fit the 1 plain"),
        ("ref_cat", "é", "ref_cat 'é' does not fit the 2 plain letters"),
        ("dec", 91.0, "Dec 91.0 is no position"),
    ],
)
def test_what_a_column_cannot_hold_is_refused_with_the_source(
    legacy: Exported, column: str, value: object, words: str
) -> None:
    before = contents(legacy.place)
    targets = desi_targets(20)
    targets.loc[7, column] = value
    with pytest.raises(TargetsError, match=r"^desi-targets: source_id ") as info:
        written(legacy.place.parent, targets)
    assert words in str(info.value)
    assert str(targets.loc[7, "source_id"]) in str(info.value)
    assert contents(legacy.place) == before


def test_ids_that_are_no_targetids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetsError, match=r"desi-targets: source_id \d+: as a TARGETID it"):
        written(tmp_path, ranked_targets(5))
