"""Cutouts as colour pictures, with the colours of the Legacy Surveys viewer."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xsaga.paths import placed

SCALES = (6.0, 3.4, 2.2)
"""Of g, r, z, which become blue, green and red."""

OFFSET, SOFTENING = 0.03, 20.0
"""m and Q of the viewer's asinh stretch (legacysurvey.org viewer, ``sdss_rgb``; Lupton+04)."""


def viewer_rgb(images: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colour pictures as the Legacy Surveys viewer shows them.

    Parameters
    ----------
    images : ndarray, shape (N, 3, H, W) or (3, H, W)
        g, r and z in nanomaggies per pixel, row 0 south.

    Returns
    -------
    ndarray of uint8, shape (N, H, W, 3) or (H, W, 3)
        Red, green, blue; row 0 is north, as pictures are shown.
    """
    scales = np.array(SCALES, dtype=np.float32)[:, np.newaxis, np.newaxis]
    raised = np.asarray(images, dtype=np.float32) * scales + np.float32(OFFSET)
    intensity = raised.clip(0, None).mean(axis=-3, keepdims=True)
    safe = np.where(intensity > 0, intensity, np.float32(1))
    stretched = raised * (np.arcsinh(SOFTENING * safe) / (np.sqrt(SOFTENING) * safe))
    channels = np.where(intensity > 0, stretched, 0).clip(0, 1)
    rgb = np.moveaxis(channels[..., ::-1, ::-1, :], -3, -1)  # z first, north at the top
    return np.ascontiguousarray(np.rint(rgb * 255).astype(np.uint8))


def write_png(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Write one picture, shape (H, W, 3), as PNG.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    with placed(path) as temporary:
        temporary.write_bytes(png_bytes(rgb))


def png_bytes(rgb: NDArray[np.uint8]) -> bytes:
    """Encode one picture, shape (H, W, 3), as PNG."""
    content = BytesIO()
    Image.fromarray(rgb).save(content, format="PNG", optimize=True)
    return content.getvalue()
