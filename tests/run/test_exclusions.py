from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.coordinates import Latitude, Longitude
from astropy.table import Table
from mocpy import MOC

from tests.shared_data import shared
from xsaga.catalog.matching import BrightObjects
from xsaga.catalog.standard import ReadingNotes
from xsaga.config import ExcludeConfig
from xsaga.errors import CatalogError, ConfigError, FootprintError
from xsaga.run.exclusions import (
    BRIGHT_STAR,
    BY_HAND,
    LARGE_GALAXY,
    MASKED,
    OBSERVED,
    REDSHIFT,
    SHRED,
    ExclusionFiles,
    SkyMasks,
    exclude,
)
from xsaga.targets.selection import Exclusions

ARCSEC = 1 / 3600


def sources(count: int = 5) -> pd.DataFrame:
    """A row of sources 0.1 degrees apart; the first is at RA = 0."""
    return pd.DataFrame(
        {
            "source_id": np.arange(100, 100 + count, dtype=np.int64),
            "ra": 0.1 * np.arange(count),
            "dec": np.zeros(count),
            "mag_r": np.full(count, 20.0, np.float32),
            "radius": np.full(count, 2.0, np.float32),
            "maskbits": np.zeros(count, np.int32),
            "ref_cat": pd.Series([""] * count, dtype=str),
        }
    )


def excluded(
    among: pd.DataFrame,
    *,
    refill: bool = False,
    bright: BrightObjects | None = None,
    notes: ReadingNotes | None = None,
    **keys: object,
) -> Exclusions:
    config = replace(ExcludeConfig(), **keys)  # type: ignore[arg-type]
    files = ExclusionFiles.of(config)
    masks = SkyMasks.read(config, files, bright)
    return exclude(among, config, files, masks, notes or ReadingNotes(), refill=refill)


def table(path: Path, **columns: object) -> str:
    Table({name: np.atleast_1d(values) for name, values in columns.items()}).write(path)
    return str(path)


def test_nothing_asked_for_excludes_nothing() -> None:
    found = excluded(sources())
    assert found.reason.tolist() == [""] * 5
    assert not found.keeps_place.any()


def test_bits_of_maskbits_tell_why_and_spare_the_large_galaxy_itself() -> None:
    among = sources()
    among["maskbits"] = [1 << 1, 1 << 5, 1 << 12, 1 << 12, 1 << 11]
    among.loc[3, "ref_cat"] = "L3"
    found = excluded(among)
    assert found.reason.tolist() == [BRIGHT_STAR, MASKED, LARGE_GALAXY, "", ""]
    assert found.detail.tolist()[:2] == ["MASKBITS bit 1", "MASKBITS bit 5"]
    assert excluded(among, maskbits=()).reason.tolist() == [""] * 5


def test_good_redshifts_exclude_and_keep_their_place(tmp_path: Path) -> None:
    path = table(
        tmp_path / "zcat.fits",
        TARGET_RA=[360.0, 0.1, 0.2, 0.3],
        TARGET_DEC=[0.9 * ARCSEC, 0.0, 0.0, 1.1 * ARCSEC],
        Z=[0.021, 0.5, np.nan, 0.4],
        ZWARN=[0, 4, 0, 0],
    )
    found = excluded(sources(), redshifts=(path,))
    # the second has a warning, the third no redshift, the fourth lies too far away
    assert found.reason.tolist() == [REDSHIFT, "", "", "", ""]
    assert found.detail[0] == "z = 0.0210, zcat.fits row 0"
    assert found.keeps_place.tolist() == [True, False, False, False, False]
    assert not excluded(sources(), redshifts=(path,), refill=True).keeps_place.any()
    assert excluded(sources(), redshifts=(path,), match_radius=2.0).reason[3] == REDSHIFT


def test_redshift_catalogs_with_other_columns_say_which_option_names_them(tmp_path: Path) -> None:
    path = table(tmp_path / "odd.fits", lon=[0.0], lat=[0.0], zbest=[0.01])
    with pytest.raises(CatalogError, match=r"odd.fits.*--redshift-column"):
        excluded(sources(), redshifts=(path,))
    names = {"ra": "lon", "dec": "lat", "z": "zbest"}
    found = excluded(sources(), redshifts=(path,), redshift_column=names)
    assert found.reason[0] == REDSHIFT
    with pytest.raises(ConfigError, match="unknown name 'rra'"):
        excluded(sources(), redshifts=(path,), redshift_column={"rra": "lon"})


def test_observed_targets_are_known_by_id_or_place(tmp_path: Path) -> None:
    by_id = table(tmp_path / "fba.fits", TARGETID=[102, 999])
    by_place = table(tmp_path / "done.csv", ra=[0.3], dec=[0.0])
    found = excluded(sources(), observed=(by_id, by_place))
    assert found.reason.tolist() == ["", "", OBSERVED, OBSERVED, ""]
    assert found.detail.tolist()[2:4] == ["fba.fits row 0", "done.csv row 0"]
    assert found.keeps_place.tolist() == [False, False, True, True, False]


def test_a_list_of_which_nothing_is_found_is_told(tmp_path: Path) -> None:
    by_id = table(tmp_path / "ids.fits", TARGETID=[7, 8])
    by_place = table(tmp_path / "far.csv", ra=[200.0], dec=[0.0])
    some = table(tmp_path / "some.fits", TARGETID=[7, 100])
    notes = ReadingNotes()
    excluded(sources(), observed=(by_id, some), by_hand=(by_place,), notes=notes)
    far, ids = notes.warnings
    assert "far.csv: none of its 1 objects" in far
    assert "ids.fits: none of its 2 objects" in ids
    assert "give positions too" in ids
    assert "give positions too" not in far


def test_an_object_with_several_redshifts_is_excluded_by_its_first_good_one(
    tmp_path: Path,
) -> None:
    path = table(
        tmp_path / "zcat.fits",
        TARGETID=[100, 100, 100, 101, 102],
        TARGET_RA=[0.0, 0.0, 360.0, 0.1, 0.2],
        TARGET_DEC=np.zeros(5),
        Z=[0.5, 0.02, 0.03, -9.0, -0.0003],
        ZWARN=[4, 0, 0, 0, 0],
    )
    found = excluded(sources(), redshifts=(path,))
    # -9 stands for none; a slightly negative one is a redshift, of a star or a very near galaxy
    assert found.reason.tolist() == [REDSHIFT, "", REDSHIFT, "", ""]
    assert found.detail[0] == "z = 0.0200, zcat.fits row 1"


def test_stars_galaxies_shreds_masks_and_hands(tmp_path: Path) -> None:
    stars = table(tmp_path / "stars.fits", ra=[0.0], dec=[0.01], radius=[60.0])
    galaxies = table(tmp_path / "sga.fits", ra=[0.1], dec=[0.02], d26=[4.0], ba=[0.5], pa=[0.0])
    mask = tmp_path / "mask.fits"
    moc = MOC.from_cone(
        lon=Longitude(0.3 * u.deg), lat=Latitude(0 * u.deg), radius=0.01 * u.deg, max_depth=14
    )
    moc.save(str(mask), format="fits")
    hand = tmp_path / "hand.txt"
    hand.write_text("104 # a satellite trail\n")
    bright = BrightObjects(np.array([0.2]), np.array([0.003]), np.array([5.0]))
    found = excluded(
        sources(),
        bright=bright,
        bright_stars=(stars,),
        large_galaxies=(galaxies,),
        mask=(str(mask),),
        by_hand=(str(hand),),
    )
    assert found.reason.tolist() == [BRIGHT_STAR, LARGE_GALAXY, SHRED, MASKED, BY_HAND]
    assert found.detail[4] == "a satellite trail"
    assert not found.keeps_place.any()
    assert excluded(sources(), bright=bright, shred_radii=0.0).reason[2] == ""


def test_a_bright_galaxy_is_no_piece_of_itself() -> None:
    among = sources()
    among.loc[2, "mag_r"] = 15.0
    bright = BrightObjects.among(among, 16.0)
    assert excluded(among, bright=bright).reason.tolist() == [""] * 5


def test_a_pattern_may_match_nothing_yet_but_a_name_must_be_there(tmp_path: Path) -> None:
    assert excluded(sources(), redshifts=(str(tmp_path / "z-*.fits"),)).reason[0] == ""
    with pytest.raises(CatalogError, match="no such file"):
        excluded(sources(), redshifts=(str(tmp_path / "z.fits"),))
    broken = tmp_path / "broken.moc.fits"
    broken.write_bytes(b"SIMPLE")
    with pytest.raises(FootprintError, match="cannot be read"):
        excluded(sources(), mask=(str(broken),))


def test_real_redshifts_of_many_surveys() -> None:
    path = shared("redshifts/zcompile.fits")
    known = Table.read(path)[:2000:40].to_pandas()
    among = sources(len(known)).assign(ra=known["ra"] % 360, dec=known["dec"])
    notes = ReadingNotes()
    found = excluded(among, redshifts=(str(path),), notes=notes)
    assert (found.reason == REDSHIFT).all()
    assert "every redshift in it counts as good" in notes.warnings[0]
