"""Contact sheets: the frames of a parity record as one picture a person can judge."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from avatar_export.errors import UserError
from avatar_export.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_MAX_WIDTH = 1600  # pixels: a README shows that much without scrolling
_MAX_SCALE = 8
_CELL = 256  # pixels: a cell is not enlarged beyond this height
_GAP, _MARGIN, _GUTTER = 6, 24, 20
_PAGE, _INK, _MUTED, _BROKEN = (250, 250, 249), (38, 41, 46), (122, 127, 135), (255, 0, 255)


def contact_sheet(rows: Sequence[tuple[str, NDArray[Any]]]) -> Image.Image:
    """Draw labelled rows of images, a row a (label, images) pair, labels in a column to the left.

    The first line of a label is dark, further lines are muted (``"FP16\\n58.2 dB"``).

    Args:
        rows: images are [N,3,H,W] in [-1, 1]; values outside are clamped for display, pixels that
            are not finite are magenta. H and W are the same everywhere, N may differ. Images are
            enlarged by a whole factor, to at most 256 pixels in height and while the sheet stays
            within 1600 pixels in width. Images that do not fit at factor 1 are left out at the
            right, and the row's label counts those shown.

    Raises:
        UserError: no rows, or images that are not [N,3,H,W] of one size.
    """
    height, width = _image_size(rows)
    layout = _layout(rows, height, width)
    cell = (width * layout.scale, height * layout.scale)
    sheet = Image.new("RGB", layout.size(len(rows), cell), _PAGE)
    for index, (label, images) in enumerate(rows):
        top = _MARGIN + index * (cell[1] + _GAP)
        shown = images[: layout.columns]
        if len(shown) < len(images):
            label = f"{label}\n{_count(len(shown), len(images))}"
        _draw_label(sheet, label, layout.font, top + cell[1] // 2)
        for column, image in enumerate(shown):
            picture = _to_picture(image).resize(cell, Image.Resampling.NEAREST)
            sheet.paste(picture, (layout.left + column * (cell[0] + _GAP), top))
    return sheet


def difference(a: NDArray[Any], b: NDArray[Any], gain: float = 10.0) -> NDArray[np.float32]:
    """|a - b| * gain on black, as an image in [-1, 1]: a difference of 2 / gain is white.

    Raises:
        UserError: the shapes differ.
    """
    if np.shape(a) != np.shape(b):
        raise UserError(f"cannot show the difference of shape {np.shape(a)} and {np.shape(b)}")
    distance = np.abs(np.asarray(a, np.float32) - np.asarray(b, np.float32))
    shown: NDArray[np.float32] = np.clip(distance * np.float32(gain) - 1.0, -1.0, 1.0)
    return shown.astype(np.float32)


def save_png(image: Image.Image, path: Path) -> None:
    """Write a PNG whole or not at all; the same pixels give the same bytes.

    Raises:
        UserError: the file cannot be written.
    """
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=9)  # Pillow adds no time stamp
    write_atomically(path, data.getvalue())


@dataclass(frozen=True)
class _Layout:
    scale: int
    columns: int
    left: int  # where the images begin
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont

    def size(self, rows: int, cell: tuple[int, int]) -> tuple[int, int]:
        """Width and height of the sheet in pixels."""
        width = self.left + self.columns * (cell[0] + _GAP) - _GAP + _MARGIN
        return width, 2 * _MARGIN + rows * (cell[1] + _GAP) - _GAP


def _layout(rows: Sequence[tuple[str, NDArray[Any]]], height: int, width: int) -> _Layout:
    """The largest whole factor at which the longest row fits; else as many columns as fit."""
    longest = max(len(images) for _, images in rows)
    lines = [line for label, _ in rows for line in label.split("\n")]
    for scale in range(max(1, min(_MAX_SCALE, _CELL // height)), 0, -1):
        layout = _fit(lines, longest, scale, height, width)
        if layout.columns == longest:
            return layout
    return _fit([*lines, _count(longest, longest)], longest, 1, height, width)


def _fit(lines: Sequence[str], longest: int, scale: int, height: int, width: int) -> _Layout:
    """The layout at one factor, with at least one column and no more than ``longest``."""
    font = ImageFont.load_default(size=max(15, min(26, height * scale // 9)))
    left = _MARGIN + math.ceil(max(font.getlength(line) for line in lines)) + _GUTTER
    columns = (_MAX_WIDTH - left - _MARGIN + _GAP) // (width * scale + _GAP)
    return _Layout(scale, max(1, min(columns, longest)), left, font)


def _count(shown: int, given: int) -> str:
    return f"{shown} of {given} shown"


def _draw_label(
    sheet: Image.Image,
    label: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    middle: int,
) -> None:
    """Lines of text, left-aligned at the margin, centred on the height ``middle``."""
    draw = ImageDraw.Draw(sheet)
    lines = label.split("\n")
    pitch = round(1.35 * (font.getbbox("Ag")[3] - font.getbbox("Ag")[1]))
    for index, line in enumerate(lines):
        height = middle + (index - (len(lines) - 1) / 2) * pitch
        draw.text((_MARGIN, height), line, _MUTED if index else _INK, font, anchor="lm")


def _to_picture(image: NDArray[Any]) -> Image.Image:
    """One [3,H,W] float image in [-1, 1] as 8-bit RGB."""
    values = np.moveaxis(np.asarray(image, np.float64), 0, -1)
    finite = np.isfinite(values)
    bytes_ = np.rint((np.clip(np.where(finite, values, 0.0), -1.0, 1.0) + 1.0) * 127.5)
    pixels = np.where(finite.all(-1, keepdims=True), bytes_, np.array(_BROKEN)).astype(np.uint8)
    return Image.fromarray(pixels)


def _image_size(rows: Sequence[tuple[str, NDArray[Any]]]) -> tuple[int, int]:
    """Height and width that all images share."""
    if not rows:
        raise UserError("a contact sheet needs at least one row")
    for label, images in rows:
        if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
            raise UserError(f"row {label!r} is not images [N,3,H,W]: shape {images.shape}")
        if images.shape[2:] != rows[0][1].shape[2:]:
            raise UserError(
                f"row {label!r} is {images.shape[2:]} pixels, the first row {rows[0][1].shape[2:]}"
            )
    height, width = rows[0][1].shape[2:]
    return int(height), int(width)
