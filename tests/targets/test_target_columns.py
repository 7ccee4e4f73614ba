from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from astropy import units
from astropy.io.votable.ucd import check_ucd

from tests.target_samples import ranked_targets
from xsaga.catalog.schema import SOURCE_SCHEMA
from xsaga.errors import TargetsError
from xsaga.targets.columns import BY_NAME, COLUMNS, Column, columns_of, conform

# Every column that the stages before put into a target list, written out once more on purpose: a
# column added to a stage and not registered must fail here.
PIPELINE_COLUMNS = {
    *(
        "source_id",
        "id_kind",
        "name",
        "ra",
        "dec",
        "radius",
        "radius_err",
        "ba",
        "sb_r",
        "sb_r_err",
    ),
    *("photometric_flags", "release", "brickid", "objid", "type", "ebv", "maskbits", "ref_cat"),
    *("fiberflux_r", "sersic", "shape_e1", "shape_e2", "pmra", "pmdec", "ref_epoch", "photsys"),
    *("input_file", "input_row", "p_lowz", "p_lowz_std", "score_flags", "cutout_origin"),
    *("tier", "rank", "priority"),
    *(f"{name}_{band}" for band in "grz" for name in ("flux", "flux_ivar", "mw_transmission")),
    *(f"{name}_{band}" for band in "grz" for name in ("mag", "fracflux", "rchisq", "coverage")),
    *(f"mag_{band}_err" for band in "grz"),
}


def test_every_column_of_the_pipeline_is_registered() -> None:
    assert {column.name for column in COLUMNS} == PIPELINE_COLUMNS


def test_the_probability_is_described_with_the_models_redshift() -> None:
    described = {
        column.name: column.description for column in columns_of(conform(ranked_targets(3)), 0.015)
    }
    assert described["p_lowz"] == "Calibrated probability of redshift < 0.015"
    assert list(described) == [column.name for column in COLUMNS]
    assert not any("{" in words for words in described.values())


def test_names_are_unique_in_every_format() -> None:
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    assert len({column.fits_name for column in COLUMNS}) == len(COLUMNS)


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_each_column_is_described_as_the_standards_ask(column: Column) -> None:
    assert check_ucd(column.ucd, check_controlled_vocabulary=True)
    # a FITS card holds 68 letters
    assert 0 < len(column.description) <= 68
    assert column.description.isascii()
    assert column.fits_name.isupper()
    # either would break fiberassign's detection of the survey
    assert "SV" not in column.fits_name
    assert "CMX" not in column.fits_name
    if column.unit:
        assert units.Unit(column.unit).is_equivalent(units.Unit(column.unit))
        assert isinstance(units.Unit(column.vounit, format="vounit"), units.UnitBase)


def test_conform_orders_columns_and_keeps_rows() -> None:
    targets = ranked_targets(5)
    mixed = targets[targets.columns[::-1]].set_index(np.array([9, 8, 7, 6, 5]))
    conformed = conform(mixed)
    assert list(conformed.columns) == [column.name for column in COLUMNS]
    assert conformed["source_id"].tolist() == targets["source_id"].tolist()
    assert conformed.index.tolist() == [0, 1, 2, 3, 4]


def test_conform_makes_types_and_fills_missing_strings() -> None:
    frame = pd.DataFrame(
        {
            "source_id": np.array([1, 2], dtype=np.int64),
            "type": ["REX", None],
            "tier": np.array([1, 2], dtype=np.int64),
            "ebv": np.array([0.5, np.nan]),
        }
    )
    conformed = conform(frame)
    assert conformed["type"].tolist() == ["REX", ""]
    assert conformed["tier"].dtype == np.int16
    assert conformed["ebv"].dtype == np.float32
    assert np.isnan(conformed["ebv"][1])


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("surprise", [1, 2], "unknown column surprise"),
        ("tier", [1.0, 2.0], "column tier is float64"),
        ("tier", [1, 40_000], "does not fit int16"),
        ("maskbits", pd.array([1, None], dtype="Int32"), "none missing"),
        ("ebv", ["a", "b"], "must be a number"),
    ],
)
def test_values_that_do_not_fit_are_refused(name: str, values: object, message: str) -> None:
    frame = pd.DataFrame({"source_id": np.array([1, 2], dtype=np.int64), name: values})
    with pytest.raises(TargetsError, match=message):
        conform(frame)


def test_a_list_without_ids_is_refused() -> None:
    with pytest.raises(TargetsError, match="no column source_id"):
        conform(pd.DataFrame({"ra": [1.0]}))


def test_every_source_field_is_registered_with_its_type() -> None:
    """A new field of the sources must get a name, a unit and a description in target lists."""
    for field in SOURCE_SCHEMA:
        kind = field.type
        column = BY_NAME[field.name]
        if pa.types.is_string(kind) or pa.types.is_dictionary(kind):
            assert column.is_text
        else:
            assert np.dtype(column.dtype) == np.dtype(kind.to_pandas_dtype()), field.name
