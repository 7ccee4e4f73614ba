"""What DESI's fiberassign demands of a target table (``fiberassign.targets.load_target_table``)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from xsaga.errors import TargetsError

SCND_ANY: Final = 1 << 62
"""DESI_TARGET of any secondary target (desitarget.targetmask)."""

_INTEGERS: Final = ("PRIORITY", "PRIORITY_INIT", "NUMOBS_MORE", "NUMOBS_INIT", "OBSCONDITIONS")


def check_loadable(rows: NDArray[np.void], path: object) -> None:
    """Check that fiberassign would load a table and take each row for a science target.

    Parameters
    ----------
    rows : structured ndarray
        As read from the file.
    path : object
        Named in messages.

    Raises
    ------
    TargetsError
        For the first rule that is broken.
    """
    names = rows.dtype.names or ()
    surveys = [name for name in names if "SV" in name or "CMX" in name]
    wanted = {"TARGETID": "i8", "DESI_TARGET": "i8", "SUBPRIORITY": "f8", "RA": "f8", "DEC": "f8"}
    types = {**wanted, **dict.fromkeys(_INTEGERS, "i4, i8")}
    wrong = [
        name
        for name, allowed in types.items()
        if name not in names or rows.dtype[name].newbyteorder("=").str[1:] not in allowed
    ]
    if surveys or wrong:
        raise TargetsError(
            f"{path}: fiberassign does not load it for the column {(surveys + wrong)[0]}"
        )
    targetid, sub = rows["TARGETID"], rows["SUBPRIORITY"]
    broken = {
        "TARGETIDs are not unique": len(np.unique(targetid)) != len(rows),
        "a TARGETID is negative": (targetid < 0).any(),
        "a SUBPRIORITY is not inside (0, 1)": not ((sub > 0) & (sub < 1)).all(),
        "a SUBPRIORITY occurs twice": len(np.unique(sub)) != len(rows),
        "a row is no science target": ((rows["DESI_TARGET"] & SCND_ANY) == 0).any(),
        "a row has no OBSCONDITIONS": (rows["OBSCONDITIONS"] <= 0).any(),
        "a row wants no observation": (rows["NUMOBS_MORE"] <= 0).any(),
        "an RA or Dec is out of range": not (
            (rows["RA"] >= 0) & (rows["RA"] < 360) & (np.abs(rows["DEC"]) <= 90)
        ).all(),
    }
    for fault, found in broken.items():
        if found:
            raise TargetsError(f"{path}: {fault}")
