"""TARGETIDs for all sources of a list, the same from night to night."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.catalog.identifiers import OBJID_BITS, decode_targetid, encode_targetid
from xsaga.errors import TargetsError
from xsaga.sky.brick_grid import brick_ids
from xsaga.targets.exports.settings import ExportSettings

FIRST_BIT: Final = 15
"""Bit of LOW_Z_TIER1 in SCND_TARGET; TIER2 and TIER3 follow."""

N_BITS: Final = 3

KNOWN_RELEASES: Final = (
    *(3000, 4000, 5000, 6000, 7000, 7999, 8000, 8001),
    *range(9000, 9014),
    10000,
)
"""Releases in desitarget's table (``desitarget.io.releasedict``, version 4.4)."""

_FIRST_IMAGING_RELEASE = 1000
_HIGHEST_PLAIN = 1 << 58
_MAX_OBJID = (1 << OBJID_BITS) - 1


def scnd_bits(tier: NDArray[np.integer]) -> NDArray[np.int64]:
    """Tell each tier's bit in DESI's SCND_TARGET.

    DESI has three bits for low-redshift targets (LOW_Z_TIER1 to LOW_Z_TIER3): tiers beyond the
    third share the third's bit, and differ by priority only.

    Parameters
    ----------
    tier : ndarray of int, shape (N,)
        1 = best.

    Returns
    -------
    ndarray of int64, shape (N,)
        15 to 17.
    """
    return FIRST_BIT - 1 + np.clip(tier.astype(np.int64), 1, N_BITS)


def assign_targetids(targets: pd.DataFrame, settings: ExportSettings) -> NDArray[np.int64]:
    """Give each target its TARGETID.

    Sources with `id_kind` 'targetid' keep theirs. Others get, by DESI's rule for secondary targets
    (desitarget ``secondary.finalize_secondary``), RELEASE = 500 + the bit of their tier in survey
    main (600 + bit in main2, …), the BRICKID of their position on the 0.25° grid, and OBJID =
    their order within that brick and bit, by tier, then by rank. Sources among
    `ExportSettings.known_ids` keep what they were given, whatever their tier now; new ones then
    go on behind the highest OBJID of their brick and bit, so that no number is given twice.

    Parameters
    ----------
    targets : DataFrame, N rows
        Columns `source_id`, `id_kind`, `ra`, `dec`, `tier` and `rank` of a target list.
    settings : ExportSettings
        `survey`, `known_ids` and `unknown_release` are read.

    Returns
    -------
    ndarray of int64, shape (N,)
        Unique, 0 or more, in the order of the rows.

    Raises
    ------
    TargetsError
        For a TARGETID or a RELEASE that DESI does not know, a position that is none, more sources
        in a brick than OBJID can count, and known ids that contradict each other.
    """
    for name in ("source_id", "id_kind", "ra", "dec", "tier", "rank"):
        if name not in targets:
            raise TargetsError(f"target list has no column {name}: TARGETIDs cannot be given")
    source_id = targets["source_id"].to_numpy(dtype=np.int64)
    known_source, known_target = _known(settings.known_ids)
    own = keeps_targetid(targets, settings)
    place = np.searchsorted(known_source, source_id)
    given = ~own & (np.append(known_source, -1)[place] == source_id) & (place < len(known_source))
    new = ~own & ~given
    targetid = np.where(own, source_id, -1)
    targetid[given] = known_target[place[given]]
    if new.any():
        taken = np.concatenate([known_target, source_id[own]])
        targetid[new] = _new_ids(targets[new], taken, settings)
    _refuse_repeated(targetid, source_id)
    return targetid


def ids_after(
    targets: pd.DataFrame, targetid: NDArray[np.int64], settings: ExportSettings
) -> pd.DataFrame:
    """Return the known ids of the next night: those of before and those of this list.

    Sources that are listed no more stay in it: their numbers must not be given to others.

    Parameters
    ----------
    targets : DataFrame, N rows
        The target list.
    targetid : ndarray of int64, shape (N,)
        Of `assign_targetids` with the same settings.

    Returns
    -------
    DataFrame
        Columns `source_id` and `targetid`, by `source_id`.
    """
    known_source, known_target = _known(settings.known_ids)
    now = pd.DataFrame({"source_id": targets["source_id"].to_numpy(), "targetid": targetid})
    before = pd.DataFrame({"source_id": known_source, "targetid": known_target})
    after = pd.concat([now, before[~np.isin(known_source, now["source_id"])]])
    return after.sort_values("source_id", ignore_index=True)


def keeps_targetid(targets: pd.DataFrame, settings: ExportSettings) -> NDArray[np.bool_]:
    """Tell which sources keep the TARGETID that they have from the Legacy Surveys.

    Raises
    ------
    TargetsError
        For a TARGETID or a RELEASE that DESI does not know.
    """
    source_id = targets["source_id"].to_numpy(dtype=np.int64)
    own = (targets["id_kind"] == "targetid").to_numpy(dtype=bool)
    wrong = own & ((source_id < 0) | (source_id >= _HIGHEST_PLAIN))
    if wrong.any():
        raise TargetsError(
            f"source_id {source_id[wrong][0]}: as a TARGETID it is negative or marks a mock, sky "
            "or Gaia target, which fiber assignment would not take for a galaxy; check the "
            "catalog's RELEASE, BRICKID and OBJID"
        )
    release = decode_targetid(source_id)[0]
    unknown = own & ~np.isin(release, KNOWN_RELEASES) & (release >= _FIRST_IMAGING_RELEASE)
    if not unknown.any():
        return own
    if settings.unknown_release == "refuse":
        raise TargetsError(
            f"source_id {source_id[unknown][0]} has RELEASE {release[unknown][0]}, which "
            f"desitarget's table of releases (up to {max(KNOWN_RELEASES)}) does not know "
            f"({unknown.sum()} sources); `--unknown-release secondary` gives them the TARGETIDs "
            "of secondary targets"
        )
    return own & ~unknown


def _new_ids(
    new: pd.DataFrame, taken: NDArray[np.int64], settings: ExportSettings
) -> NDArray[np.int64]:
    ra, dec = new["ra"].to_numpy(dtype=float), new["dec"].to_numpy(dtype=float)
    source_id = new["source_id"].to_numpy()
    wrong = ~(np.isfinite(ra) & (np.abs(dec) <= 90))
    if wrong.any():
        raise TargetsError(
            f"source_id {source_id[wrong][0]}: RA {ra[wrong][0]}, Dec {dec[wrong][0]} is no "
            "position, so it lies in no brick; remove it from the catalog"
        )
    tier, rank = new["tier"].to_numpy(), new["rank"].to_numpy()
    release = release_of_survey(settings.survey) + scnd_bits(tier)
    block = encode_targetid(release, brick_ids(ra, dec), np.zeros(len(new), np.int64))
    objid = _first_free(block, taken) + _order_within(block, tier, rank)
    over = objid > _MAX_OBJID
    if over.any():
        raise TargetsError(
            f"source_id {source_id[over][0]}: OBJID {objid[over][0]} in its brick does not fit the "
            f"{OBJID_BITS} bits it has in a TARGETID; begin a new table of known ids, or another "
            "survey"
        )
    return block + objid


def release_of_survey(survey: str) -> int:
    """RELEASE of bit 0 of a survey's secondary targets: 500 for main, 600 for main2, …."""
    return 500 if survey == "main" else 100 * (int(survey.removeprefix("main")) + 4)


def _order_within(
    block: NDArray[np.int64], tier: NDArray[np.integer], rank: NDArray[np.integer]
) -> NDArray[np.int64]:
    """Count each row within its block from 0, by tier, then by rank."""
    order = np.lexsort((rank, tier, block))
    in_order = block[order]
    starts = np.flatnonzero(np.r_[True, in_order[1:] != in_order[:-1]])
    lengths = np.diff(np.r_[starts, len(in_order)])
    counted = np.empty(len(block), dtype=np.int64)
    counted[order] = np.arange(len(block)) - np.repeat(starts, lengths)
    return counted


def _first_free(block: NDArray[np.int64], taken: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the OBJID behind the highest one that is taken in each row's block."""
    highest_last = np.sort(taken)
    end = np.searchsorted(highest_last, block | _MAX_OBJID, side="right")
    highest = np.where(end > 0, highest_last[np.maximum(end, 1) - 1], -1) if len(taken) else -1
    return np.where(highest >= block, highest - block + 1, 0)


def _known(
    known: pd.DataFrame | Mapping[int, int] | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if known is None:
        none = np.empty(0, dtype=np.int64)
        return none, none
    if not isinstance(known, pd.DataFrame):
        known = pd.DataFrame({"source_id": list(known), "targetid": list(known.values())})
        known = known.astype(np.int64)
    for name in ("source_id", "targetid"):
        if name not in known or known[name].dtype != np.int64:
            raise TargetsError(f"known ids have no int64 column {name}")
        repeated = known[name][known[name].duplicated()]
        if len(repeated):
            raise TargetsError(f"known ids hold {name} {repeated.iloc[0]} more than once")
    targetid = known["targetid"].to_numpy()
    release = decode_targetid(targetid)[0]
    foreign = (targetid < 0) | (targetid >= _HIGHEST_PLAIN)
    foreign |= (release >= _FIRST_IMAGING_RELEASE) & ~np.isin(release, KNOWN_RELEASES)
    if foreign.any():
        raise TargetsError(f"known ids hold {targetid[foreign][0]}, which is no TARGETID of DESI's")
    known = known.sort_values("source_id")
    return known["source_id"].to_numpy(), known["targetid"].to_numpy()


def _refuse_repeated(targetid: NDArray[np.int64], source_id: NDArray[np.int64]) -> None:
    order = np.argsort(targetid, kind="stable")
    same = np.flatnonzero(targetid[order][1:] == targetid[order][:-1])
    if len(same):
        first, second = source_id[order[same[0]]], source_id[order[same[0] + 1]]
        raise TargetsError(
            f"source_id {first} and {second} both have TARGETID {targetid[order[same[0]]]}: "
            "the table of known ids does not belong to this list, or the list repeats a source"
        )
