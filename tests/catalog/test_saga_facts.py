"""Published facts of SAGA DR3 that the column map and the cuts must reproduce."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.shared_data import shared
from xsaga.catalog.cuts import apply_cuts, named_cuts
from xsaga.catalog.readers import Catalog
from xsaga.catalog.sources import complete_sources


def sources_of(name: str) -> pd.DataFrame:
    (batch,) = Catalog.of([shared("saga", name)]).batches()
    assert batch.rejected.num_rows == 0
    return complete_sources(batch.sources)


def test_satellites() -> None:
    satellites = sources_of("saga-dr3-tableC3.txt")
    assert len(satellites) == 378
    assert satellites["source_id"][0] == 900315730000006229
    assert set(satellites["id_kind"]) == {"catalog"}


def test_most_satellites_pass_the_saga2_cuts() -> None:
    satellites = sources_of("saga-dr3-tableC3.txt")
    flags, _ = apply_cuts(satellites, named_cuts("saga2"))
    assert (flags == 0).mean() == pytest.approx(0.913, abs=0.001)


def test_sample_of_redshifts() -> None:
    sample = sources_of("saga-dr3-tableC2-sample.csv")
    raw = pd.read_csv(shared("saga", "saga-dr3-tableC2-sample.csv"))
    assert len(sample) == 1331
    np.testing.assert_allclose(sample["mag_r"], raw["rmag"], atol=1e-4)
    np.testing.assert_allclose(sample["mag_g"] - sample["mag_r"], raw["gr"], atol=1e-4)
    circle = sample["sb_r"] + 2.5 * np.log10(
        raw["ba"]
    )  # SAGA prints it for the circularised radius
    np.testing.assert_allclose(circle, raw["sb"], atol=1e-4)
    np.testing.assert_allclose(sample["mag_r_err"], raw["e_rmag"], rtol=1e-3)
    np.testing.assert_allclose(sample["ba"], raw["ba"], rtol=1e-6)
