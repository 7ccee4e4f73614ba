from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from xsaga.catalog.exclusion_files import (
    read_bright_stars,
    read_large_galaxies,
    read_listed,
    star_mask_radius,
)
from xsaga.errors import CatalogError


def table(path: Path, **columns: object) -> Path:
    Table({name: np.atleast_1d(values) for name, values in columns.items()}).write(path)
    return path


def test_stars_mask_by_their_radius(tmp_path: Path) -> None:
    path = table(tmp_path / "stars.fits", RA=[10.0, 20.0], DEC=[0.0, 5.0], RADIUS=[60.0, np.nan])
    stars = read_bright_stars(path)
    assert len(stars) == 1  # no radius, no mask
    assert stars.contains([10.0, 10.0], [0.016, 0.017]).tolist() == [True, False]


def test_stars_mask_by_their_magnitude_as_the_survey_does(tmp_path: Path) -> None:
    mag = np.array([11.0, 5.0, -1.0, 13.1])
    np.testing.assert_allclose(star_mask_radius(mag[:1]) * 3600, 150 * 0.262)
    np.testing.assert_allclose(star_mask_radius(mag[2:3]) * 3600, 1800 * 0.262)  # at most
    path = table(tmp_path / "gaia.csv", ra=[1.0, 2, 3, 4], dec=[0.0] * 4, phot_g_mean_mag=mag)
    assert len(read_bright_stars(path)) == 3  # G = 13.1 masks nothing


def test_large_galaxies_are_ellipses_and_round_where_their_shape_is_not_known(
    tmp_path: Path,
) -> None:
    path = table(
        tmp_path / "SGA.fits",
        RA=[10.0, 20.0],
        DEC=[0.0, 0.0],
        D26=[12.0, 12.0],
        BA=[0.2, np.nan],
        PA=[0.0, 30.0],
    )
    galaxies = read_large_galaxies(path)
    ra, dec = [10.0, 10.09, 20.0, 20.09], [0.09, 0.0, 0.09, 0.0]
    assert galaxies.contains(ra, dec).tolist() == [True, False, True, True]


@pytest.mark.parametrize(
    ("reader", "columns", "message"),
    [
        (read_bright_stars, {"ra": 1.0, "dec": 2.0}, "no column for radius"),
        (read_bright_stars, {"ra": 1.0, "radius": 2.0}, "no column for dec"),
        (read_bright_stars, {"ra": 1.0, "dec": 95.0, "radius": 2.0}, "row 0: RA 1, Dec 95"),
        (read_large_galaxies, {"ra": 1.0, "dec": 2.0, "ba": 1.0}, "no column for diameter"),
        (read_large_galaxies, {"ra": 1.0, "dec": 2.0, "d26": 9e9}, "check its unit"),
    ],
)
def test_tables_that_cannot_be_used_say_why(
    tmp_path: Path, reader: object, columns: dict[str, float], message: str
) -> None:
    with pytest.raises(CatalogError, match=message) as info:
        reader(table(tmp_path / "wrong.fits", **columns))  # type: ignore[operator]
    assert "wrong.fits" in str(info.value)
    assert "\n" not in str(info.value)


def test_a_list_by_hand_has_ids_positions_or_both(tmp_path: Path) -> None:
    by_id = table(tmp_path / "a.ecsv", TARGETID=[5, 6], reason=["ghost", ""])
    (objects,) = read_listed(by_id)
    assert objects.source_id.tolist() == [5, 6]
    assert np.isnan(objects.ra).all()
    assert objects.reason == ["ghost", ""]
    by_place = table(tmp_path / "b.csv", TARGET_RA=[1.5], TARGET_DEC=[-2.5])
    (objects,) = read_listed(by_place)
    assert (objects.source_id[0], objects.ra[0], objects.dec[0]) == (-1, 1.5, -2.5)


def test_a_plain_text_list_has_one_id_a_line(tmp_path: Path) -> None:
    path = tmp_path / "hand.txt"
    path.write_text("# my list\n39627763027542051  # a ghost\n\n 7\n")
    (objects,) = read_listed(path)
    assert objects.source_id.tolist() == [39627763027542051, 7]
    assert objects.reason == ["a ghost", ""]
    for wrong in ("8.5", "-", str(2**63)):
        path.write_text(f"7\n{wrong}\n")
        with pytest.raises(CatalogError, match=rf"line 2: '{wrong}' is no source_id"):
            next(read_listed(path))


def test_a_list_without_ids_or_positions_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "odd.csv", name=["NGC 1"], ra=[1.0])
    with pytest.raises(CatalogError, match=r"odd.csv: neither source_id or TARGETID nor"):
        next(read_listed(path))
