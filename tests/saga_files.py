"""Tables in the format of SAGA DR3 (AAS machine-readable), made from other rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from xsaga.catalog.saga_tables import SAGA_TABLES

C1_COLUMNS = (
    ("1-10", "A10", "---", "Name"),
    ("12-20", "A9", "---", "HOSTID"),
    ("22-26", "I5", "---", "PGC"),
    ("28-38", "F11.7", "deg", "RAdeg"),
    ("40-50", "F11.7", "deg", "DEdeg"),
    ("52-57", "F6.1", "km/s", "HRV"),
    ("59-64", "F6.3", "mag", "rmag"),
    ("66-70", "F5.3", "mag", "gr"),
    ("72-77", "F6.3", "mag/arcsec2", "sb"),
    ("79-83", "F5.3", "---", "ba"),
    ("85-89", "F5.3", "---", "Sersic"),
)
C2_COLUMNS = (
    ("1-18", "I18", "---", "OBJID"),
    ("20-28", "A9", "---", "HOSTID"),
    ("30-36", "I7", "---", "PGC"),
    ("38-48", "F11.7", "deg", "RAdeg"),
    ("50-60", "F11.7", "deg", "DEdeg"),
    ("62-67", "F6.3", "mag", "rmag"),
    ("69-75", "F7.4", "mag", "e_rmag"),
    ("77-83", "F7.3", "mag", "gr"),
    ("85-90", "F6.3", "mag", "rmag-fiber"),
    ("92-97", "F6.3", "mag/arcsec2", "sb"),
    ("99-103", "F5.3", "---", "ba"),
    ("105-111", "F7.3", "deg", "PA"),
    ("113-117", "F5.3", "---", "Sersic"),
    ("119-124", "A6", "---", "TELNAME"),
    ("126-132", "F7.5", "---", "z"),
    ("134-139", "F6.3", "[solMass]", "log(M*)"),
    ("141-141", "I1", "---", "sample"),
)
"""Bytes of the published table C2 (../shared/saga/README.md)."""

_TITLE = """\
Title: The SAGA Survey. III. A Census of 101 Satellite Systems around
       Milky Way-mass Galaxies
Authors: (none: written by a test)
Table: {0}
================================================================================
Byte-by-byte Description of file: {0}
--------------------------------------------------------------------------------
   Bytes Format Units        Label       Explanations
--------------------------------------------------------------------------------
"""


def mrt_text(
    name: str,
    columns: Sequence[tuple[str, str, str, str]],
    values: Mapping[str, Sequence[object]],
) -> str:
    """A machine-readable table; missing values are blank."""
    head = [_TITLE.format(name)]
    cells = []
    last = 0
    for span, kind, unit, label in columns:
        first, end = (int(word) for word in span.split("-"))
        head.append(f"{first:4d}-{end:3d} {kind:6} {unit:12} {label:11} ? of a test\n")
        cells.append([" " * (first - last - 1)] * len(values["RAdeg"]))
        cells.append([_cell(value, kind, end - first + 1) for value in values[label]])
        last = end
    head.append("-" * 80 + "\n")
    return "".join(head) + "\n".join(map("".join, zip(*cells, strict=True))) + "\n"


def _cell(value: object, kind: str, width: int) -> str:
    if value is None:
        return " " * width
    if kind[0] == "F":
        return f"{value:{width}.{kind.partition('.')[2]}f}"[:width]
    return f"{value:>{width}}" if kind[0] == "I" else f"{value:{width}}"


def table_c2_of(sample: pd.DataFrame) -> str:
    """Rows of ``saga-dr3-tableC2-sample.csv`` in the format of the full table C2.

    The index of the rows numbers the objects.
    """
    n = len(sample)
    return mrt_text(
        "datafileC2.txt",
        C2_COLUMNS,
        {
            "OBJID": [902300000000000000 + int(i) for i in sample.index],
            "HOSTID": sample["host"].tolist(),
            "PGC": [None] * n,
            "RAdeg": sample["ra"].tolist(),
            "DEdeg": sample["dec"].tolist(),
            "rmag": sample["rmag"].tolist(),
            "e_rmag": sample["e_rmag"].tolist(),
            "gr": sample["gr"].tolist(),
            "rmag-fiber": sample["rfiber"].tolist(),
            "sb": sample["sb"].tolist(),
            "ba": sample["ba"].tolist(),
            "PA": sample["pa"].tolist(),
            "Sersic": sample["sersic"].tolist(),
            "TELNAME": sample["tel"].tolist(),
            "z": sample["z"].tolist(),
            "log(M*)": sample["logmstar"].tolist(),
            "sample": sample["sample"].tolist(),
        },
    )


def table_c1_of(hosts: pd.DataFrame) -> str:
    """Hosts (HOSTID, RAdeg, DEdeg, HRV) in the format of table C1."""
    n = len(hosts)
    same = {name: [0.5] * n for name in ("gr", "ba", "Sersic")}
    return mrt_text(
        "datafileC1.txt",
        C1_COLUMNS,
        {
            **{name: hosts[name].tolist() for name in hosts},
            "Name": ["NGC"] * n,
            "PGC": list(range(n)),
            "rmag": [11.0] * n,
            **same,
            "sb": [20.0] * n,
        },
    )


def write_saga_tables(
    folder: Path, hosts: pd.DataFrame, galaxies: pd.DataFrame, satellites: pd.DataFrame
) -> list[Path]:
    """Write tables C1, C2 and C3 under their published names; give their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / table.name for table in SAGA_TABLES]
    texts = (table_c1_of(hosts), table_c2_of(galaxies), table_c2_of(satellites))
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


def write_saga_like_tables(folder: Path, seed: int = 1) -> dict[str, int]:
    """Write three tables as long as the published ones, of random rows around random hosts.

    C3 repeats the satellites of C2; one row of C2 in a thousand has no redshift. Returns counts.
    """
    random = np.random.default_rng(seed)
    n_hosts, n_rows, n_satellites = (table.rows for table in SAGA_TABLES)
    hosts = pd.DataFrame(
        {
            "HOSTID": [f"pgc{1000 + i}" for i in range(n_hosts)],
            "RAdeg": np.arange(n_hosts) * 3.5,
            "DEdeg": random.uniform(-30, 30, n_hosts),
            "HRV": random.uniform(1500, 3000, n_hosts),
        }
    )
    of_host = np.sort(random.integers(0, n_hosts, n_rows))
    z = random.uniform(0.04, 0.4, n_rows)
    near = random.choice(n_rows, 600, replace=False)
    z[near] = random.uniform(0.004, 0.029, 600)
    none = random.choice(np.setdiff1d(np.arange(n_rows), near), n_rows // 1000, replace=False)
    z[none] = -1
    sample = pd.DataFrame(
        {
            "host": hosts["HOSTID"].to_numpy()[of_host],
            "ra": (hosts["RAdeg"].to_numpy()[of_host] + random.uniform(-0.5, 0.5, n_rows)) % 360,
            "dec": hosts["DEdeg"].to_numpy()[of_host] + random.uniform(-0.5, 0.5, n_rows),
            "rmag": random.uniform(16, 21.4, n_rows),
            "e_rmag": 0.01,
            "gr": random.uniform(0.1, 1.1, n_rows),
            "rfiber": 21.0,
            "sb": random.uniform(20, 24, n_rows),
            "ba": random.uniform(0.2, 1, n_rows),
            "pa": 10.0,
            "sersic": 1.0,
            "tel": "AAT",
            "z": z,
            "logmstar": 9.0,
            "sample": 0,
        }
    )
    satellites = sample.iloc[np.sort(near[:n_satellites])]
    write_saga_tables(folder, hosts, sample, satellites)
    return {"unmeasured": len(none), "near": len(near)}
