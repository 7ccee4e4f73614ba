"""How many sources pass each step of a series of cuts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class CutFlow:
    """Table of how many sources enter and pass each step, one after another.

    Parameters
    ----------
    steps : tuple of str
        What each step asks for.
    n_in : tuple of int
        Sources that passed all steps before.
    n_passed : tuple of int
        Of those, sources that pass this step too.
    """

    steps: tuple[str, ...]
    n_in: tuple[int, ...]
    n_passed: tuple[int, ...]

    @classmethod
    def of_masks(cls, n_sources: int, masks: Sequence[tuple[str, NDArray[np.bool_]]]) -> CutFlow:
        """Count sources through steps in order.

        Parameters
        ----------
        n_sources : int
            Sources before the first step.
        masks : sequence of (str, ndarray of bool)
            What each step asks for and which sources pass it on its own.
        """
        n_in, n_passed = [], []
        alive = np.ones(n_sources, bool)
        for _, passed in masks:
            n_in.append(int(alive.sum()))
            alive &= passed
            n_passed.append(int(alive.sum()))
        return cls(tuple(step for step, _ in masks), tuple(n_in), tuple(n_passed))

    def __add__(self, other: CutFlow) -> CutFlow:
        if self.steps != other.steps:
            raise ValueError("cut flows of different cuts cannot be added")
        return CutFlow(
            self.steps,
            tuple(a + b for a, b in zip(self.n_in, other.n_in, strict=True)),
            tuple(a + b for a, b in zip(self.n_passed, other.n_passed, strict=True)),
        )

    def to_frame(self) -> pd.DataFrame:
        """Table with columns step, n_in, n_passed and fraction (of the sources of that step)."""
        frame = pd.DataFrame(
            {
                "step": np.array(self.steps, dtype=object),
                "n_in": np.array(self.n_in, np.int64),
                "n_passed": np.array(self.n_passed, np.int64),
            }
        )
        frame["fraction"] = frame["n_passed"] / frame["n_in"].where(frame["n_in"] > 0)
        return frame

    def format(self) -> str:
        """Plain-text table, one line a step."""
        rows = [("step", "in", "passed", "%")]
        for step, n_in, n_passed in zip(self.steps, self.n_in, self.n_passed, strict=True):
            share = f"{100 * n_passed / n_in:.1f}" if n_in else "-"
            rows.append((step, f"{n_in:,}", f"{n_passed:,}", share))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        return "\n".join(
            "  ".join(
                [row[0].ljust(widths[0])]
                + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            )
            for row in rows
        )
