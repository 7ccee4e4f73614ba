from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from xsaga.catalog.cut_steps import PhotometricFlag as F
from xsaga.catalog.cutflow import CutFlow
from xsaga.catalog.cuts import (
    CUT_NAMES,
    apply_cuts,
    named_cuts,
)
from xsaga.catalog.matching import BrightObjects
from xsaga.errors import ConfigError

PLAIN = {
    "ra": 10.0,
    "dec": 0.0,
    "mag_g": 20.4,
    "mag_r": 20.0,
    "mag_z": 19.8,
    "mag_g_err": 0.0,
    "mag_r_err": 0.0,
    "mag_z_err": 0.0,
    "sb_r": 23.5,
    "sb_r_err": 0.0,
    "ba": 1.0,
    "radius": 2.0,
    "type": "EXP",
    "ref_cat": "",
    "maskbits": 0,
    **{f"flux_{b}": 10.0 for b in "grz"},
    **{f"flux_ivar_{b}": 100.0 for b in "grz"},
    **{f"fracflux_{b}": 0.0 for b in "grz"},
    **{f"rchisq_{b}": 1.0 for b in "grz"},
}


def flags_of(name: str, *changes: dict[str, object], **options: object) -> list[int]:
    frame = pd.DataFrame([PLAIN | change for change in changes])
    return apply_cuts(frame, named_cuts(name, **options))[0].tolist()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CUT_NAMES)
def test_a_plain_galaxy_passes_everything(name: str) -> None:
    assert flags_of(name, {}) == [0]


def test_bits_are_part_of_the_file_format() -> None:
    assert {flag.name: flag.value for flag in F} == {
        "NO_MAGNITUDE": 1,
        "BRIGHT": 2,
        "FAINT": 4,
        "COLOUR_GR": 8,
        "SURFACE_BRIGHTNESS": 16,
        "AXIS_RATIO": 32,
        "COLOUR_RI": 64,
        "COLOUR_RZ": 128,
        "POINT_SOURCE": 256,
        "DUPLICATE_TYPE": 512,
        "MASKBITS": 1024,
        "SIGNAL_TO_NOISE": 2048,
        "FRACFLUX": 4096,
        "RCHISQ": 8192,
        "TOO_BLUE": 16384,
        "NEAR_BRIGHT_OBJECT": 32768,
    }


# At r = 20 the tilt is 0.06 · 6 = 0.36 in colour (g−r < 0.54) and 0.7 · 6 = 4.2 in surface
# brightness (sb_r > 22.7).
@pytest.mark.parametrize("name", ["xsaga", "saga2", "saga3"])
@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"mag_g": 20.539}, 0),
        ({"mag_g": 20.541}, F.COLOUR_GR),
        ({"mag_g": 20.59, "mag_g_err": 0.04, "mag_r_err": 0.04}, 0),  # hypot = 0.0566
        ({"mag_g": 20.61, "mag_g_err": 0.04, "mag_r_err": 0.04}, F.COLOUR_GR),
        ({"mag_g": np.nan}, 0),
        ({"sb_r": 22.71}, 0),
        ({"sb_r": 22.69}, F.SURFACE_BRIGHTNESS),
        ({"sb_r": 22.69, "sb_r_err": 0.02}, 0),
        ({"sb_r": np.nan}, 0),
        ({"mag_r_err": np.nan, "mag_g_err": np.nan, "sb_r_err": np.nan}, 0),
        ({"type": "PSF"}, F.POINT_SOURCE),
        ({"type": "", "radius": 0.0}, F.POINT_SOURCE),
        ({"type": "", "radius": np.nan}, 0),
    ],
)
def test_tilted_cuts(name: str, change: dict[str, object], flag: int) -> None:
    assert flags_of(name, change) == [flag]


@pytest.mark.parametrize(
    ("name", "limit", "at_limit"),
    [("xsaga", 21.0, 0), ("saga1", 20.75, F.FAINT), ("saga2", 20.75, F.FAINT)],
)
def test_faint_limits(name: str, limit: float, at_limit: int) -> None:
    blue = {"mag_g": np.nan, "mag_z": np.nan, "sb_r": np.nan}
    magnitudes = [limit - 0.001, limit, limit + 0.001]
    found = flags_of(name, *({**blue, "mag_r": m} for m in magnitudes))
    assert found == [0, at_limit, F.FAINT]


def test_saga3_axis_ratio() -> None:
    # b/a > 0.08 · (20 − 20.75) + 0.3 = 0.24
    found = flags_of("saga3", *({"ba": ba, "sb_r": 26.0} for ba in (0.25, 0.23, np.nan)))
    assert found == [0, F.AXIS_RATIO, 0]
    assert flags_of("saga3", {"mag_r": 20.66, "mag_g": 20.7, "sb_r": 24.0}) == [F.FAINT]


def test_saga1_colours() -> None:
    changes = (
        {"mag_g": 20.84},
        {"mag_g": 20.86},
        {"mag_g": 20.94, "mag_g_err": 0.05},
        {"mag_z": 18.99},
        {"mag_z": np.nan},
        {"mag_i": 19.44, "mag_i_err": 0.0},
        {"mag_i": 19.46, "mag_i_err": 0.0},
    )
    expected = [0, F.COLOUR_GR, 0, F.COLOUR_RZ, 0, F.COLOUR_RI, 0]
    assert flags_of("saga1", *changes) == expected
    assert named_cuts("saga1").uses_i_band
    assert not named_cuts("saga2").uses_i_band


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"type": "DUP"}, F.DUPLICATE_TYPE),
        ({"type": "PSF"}, F.POINT_SOURCE),
        ({"type": "PSF", "ref_cat": "L3"}, 0),
        *(({"maskbits": 1 << bit}, F.MASKBITS) for bit in (1, 5, 6, 7, 12, 13)),
        *(({"maskbits": 1 << bit}, 0) for bit in (0, 2, 3, 4, 8, 9, 10, 11, 14, 15, 16)),
        ({"flux_ivar_g": 0.2}, 0),  # S/N = 10 √0.2 = 4.5 in one band only
        ({"flux_ivar_g": 0.2, "flux_ivar_z": 0.2}, F.SIGNAL_TO_NOISE),
        ({"flux_g": -1.0, "flux_ivar_z": 0.0}, F.SIGNAL_TO_NOISE),
        ({"flux_ivar_g": np.nan, "flux_ivar_z": np.nan}, 0),
        ({"fracflux_g": 0.36}, 0),
        ({"fracflux_g": 0.36, "fracflux_r": 0.36}, F.FRACFLUX),
        ({"rchisq_g": 2.1, "rchisq_z": 2.1}, F.RCHISQ),
        ({"rchisq_g": 2.1, "fracflux_z": 0.5}, 0),
        ({"mag_g": 19.89}, F.TOO_BLUE),
        ({"mag_g": 19.91}, 0),
        ({"mag_r": 19.0, "mag_g": 19.4}, F.BRIGHT),
        ({"mag_r": 21.15, "mag_g": 21.2}, F.FAINT),
        ({"mag_g": 20.62}, 0),  # 0.99 − 0.36 = 0.63
        ({"mag_g": 20.64}, F.COLOUR_GR),
        ({"sb_r": 21.01}, 0),  # 16.8 + 4.2 = 21
        ({"sb_r": 20.99}, F.SURFACE_BRIGHTNESS),
    ],
)
def test_desi_lowz(change: dict[str, object], flag: int) -> None:
    assert flags_of("desi-lowz", change) == [flag]


def test_pieces_of_bright_galaxies() -> None:
    arcsec = 1 / 3600
    bright = BrightObjects(np.array([10.0]), np.array([0.0]), np.array([5.0]))
    offsets = [0.0, 19.0, 21.0]
    frame = pd.DataFrame([PLAIN | {"dec": offset * arcsec} for offset in offsets])
    flags, _ = apply_cuts(frame, named_cuts("desi-lowz"), bright)
    assert flags.tolist() == [F.NEAR_BRIGHT_OBJECT, F.NEAR_BRIGHT_OBJECT, 0]
    frame["mag_r"], frame["mag_g"] = 15.0, 15.4
    flags, _ = apply_cuts(frame, named_cuts("desi-lowz"), bright)
    assert not (flags & F.NEAR_BRIGHT_OBJECT).any()
    assert named_cuts("desi-lowz").bright_object_limit == 16.0
    assert named_cuts("saga2").bright_object_limit is None


def test_a_source_without_magnitude_has_its_own_bit() -> None:
    missing = {"mag_r": np.nan, "sb_r": np.nan}
    assert flags_of("saga2", missing) == [F.NO_MAGNITUDE]
    assert flags_of("none", missing) == [0]
    assert flags_of("none", missing, r_max=20.0) == [F.NO_MAGNITUDE]


def test_general_limits_go_with_any_cuts() -> None:
    found = flags_of(
        "none", {"mag_r": 16.9}, {"mag_r": 17}, {"mag_r": 19}, {"mag_r": 19.1}, r_min=17, r_max=19
    )
    assert found == [F.BRIGHT, 0, 0, F.FAINT]
    with pytest.raises(ConfigError, match="no source can pass"):
        named_cuts("none", r_min=20, r_max=19)


def test_coefficients_can_be_overridden() -> None:
    assert flags_of("saga2", {}, overrides={"r_faint": 19}) == [F.FAINT]
    assert flags_of("saga2", {"type": "PSF"}, overrides={"reject_point_sources": False}) == [0]
    assert flags_of("desi-lowz", {"maskbits": 4}, overrides={"maskbits": [2]}) == [F.MASKBITS]
    assert named_cuts("saga2").coefficients["r_faint"] == 20.75


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"r_fiant": 19}, "did you mean 'r_faint'"),
        ({"r_faint": "19"}, "must be a number"),
        ({"r_faint": float("nan")}, "must be a number"),
        ({"r_faint": True}, "must be a number"),
        ({"reject_point_sources": 1}, "must be true or false"),
    ],
)
def test_bad_coefficients(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        named_cuts("saga2", overrides)


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match="did you mean 'saga2'"):
        named_cuts("sagga2")
    with pytest.raises(ConfigError, match="no coefficient 'r_faint': they have none"):
        named_cuts("none", {"r_faint": 20})
    with pytest.raises(ConfigError, match="bit numbers"):
        named_cuts("desi-lowz", {"maskbits": [-1]})


def test_cut_flow_counts_survivors() -> None:
    frame = pd.DataFrame(
        [PLAIN, PLAIN | {"mag_r": 22.0}, PLAIN | {"mag_g": 22.0}, PLAIN | {"mag_r": np.nan}]
    )
    _, flow = apply_cuts(frame, named_cuts("saga2"))
    table = flow.to_frame()
    assert table["n_in"].tolist() == [4, 3, 3, 2, 1]
    assert table["n_passed"].tolist() == [3, 3, 2, 1, 1]
    assert table["step"][2] == "r < 20.75"
    twice = flow + flow
    assert twice.n_passed == (6, 6, 4, 2, 2)
    lines = twice.format().splitlines()
    assert len(lines) == 6
    assert lines[3].split() == ["r", "<", "20.75", "6", "4", "66.7"]
    with pytest.raises(ValueError, match="different cuts"):
        flow + CutFlow(("x",), (1,), (1,))


@pytest.mark.parametrize("name", ["xsaga", "saga2", "saga3"])
def test_saga_measures_surface_brightness_in_the_circularised_radius(name: str) -> None:
    """At b/a = 0.5 the circle R √(b/a) is 0.753 mag brighter than R."""
    assert flags_of(name, {"ba": 0.5, "sb_r": 22.7 + 0.754}) == [0]
    assert flags_of(name, {"ba": 0.5, "sb_r": 22.7 + 0.752}) == [F.SURFACE_BRIGHTNESS]
    as_is = {"circularise": False}
    assert flags_of(name, {"ba": 0.5, "sb_r": 22.71}, overrides=as_is) == [0]
    assert flags_of(name, {"ba": np.nan, "sb_r": 22.71}) == [0]


def test_desi_measures_it_in_the_semi_major_axis() -> None:
    assert flags_of("desi-lowz", {"ba": 0.5, "sb_r": 21.01}) == [0]
