"""Cutouts as colour pictures, with the colours of the Legacy Surveys viewer."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from xsaga.paths import placed

SCALES = (6.0, 3.4, 2.2)
"""Of g, r, z, which become blue, green and red."""

OFFSET, SOFTENING = 0.03, 20.0
"""m and Q of the viewer's asinh stretch (legacysurvey.org viewer, ``sdss_rgb``; Lupton+04)."""

GAP, LABEL_HEIGHT = 2, 13
"""Pixels between the pictures of a contact sheet, and for the text below each."""


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


def contact_sheet(
    images: NDArray[np.floating], columns: int, labels: Sequence[str] | None = None
) -> NDArray[np.uint8]:
    """Lay colour pictures of cutouts side by side.

    Parameters
    ----------
    images : ndarray, shape (N, 3, H, W)
        g, r and z in nanomaggies per pixel, row 0 south; at least one.
    columns : int
        Pictures in a row; the first is at the top left.
    labels : sequence of str, length N, optional
        A short text below each picture.

    Returns
    -------
    ndarray of uint8, shape (rows · …, columns · …, 3)
        The sheet, white where nothing is.
    """
    pictures = viewer_rgb(images)
    count, height, width, _ = pictures.shape
    if labels is not None and len(labels) != count:
        raise ValueError(f"{len(labels)} labels for {count} pictures")
    step_y = height + GAP + (LABEL_HEIGHT if labels is not None else 0)
    step_x = width + GAP
    rows = -(-count // columns)
    sheet = Image.new("RGB", (columns * step_x - GAP, rows * step_y - GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for number, picture in enumerate(pictures):
        x, y = number % columns * step_x, number // columns * step_y
        sheet.paste(Image.fromarray(picture), (x, y))
        if labels is not None:
            pen.text((x + 1, y + height + 1), labels[number], fill="black")
    return np.asarray(sheet)
