"""Figures written as PNG, the same bytes for the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from xsaga.paths import placed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_png(figure: Figure, path: Path, dpi: int) -> None:
    """Draw a figure, without a display, and write it.

    `Figure.savefig` draws twice, once for the layout; here that is part of the one drawing. No
    version of matplotlib is in the file.

    Parameters
    ----------
    figure : Figure
        With any layout.
    path : Path
        Appears when it is whole.
    dpi : int
        Dots per inch.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    with placed(path) as temporary:
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        Image.fromarray(pixels).save(temporary, format="png", dpi=(dpi, dpi))
