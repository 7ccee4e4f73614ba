"""A target list as an astropy table with units, descriptions and provenance."""

from __future__ import annotations

import numpy as np
import pandas as pd
from astropy.table import Column as TableColumn
from astropy.table import Table

from xsaga.targets.columns import columns_of
from xsaga.targets.provenance import Provenance


def described_table(targets: pd.DataFrame, provenance: Provenance) -> Table:
    """Make an astropy table of a conformed target list.

    Parameters
    ----------
    targets : DataFrame
        As `xsaga.targets.columns.conform` gives it.
    provenance : Provenance
        Goes into ``Table.meta``.

    Returns
    -------
    Table
        Columns with unit, description and, in their meta, the UCD.
    """
    table = Table(meta=provenance.to_dict())
    for column in columns_of(targets, provenance.weights.z_limit):
        values = targets[column.name]
        data = np.asarray(values, dtype=str) if column.is_text else values.to_numpy()
        table[column.name] = TableColumn(
            data,
            unit=column.unit or None,
            description=column.description,
            meta={"ucd": column.ucd},
        )
    return table
