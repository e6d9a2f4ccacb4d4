"""The contact sheet: where images land, what is enlarged, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from avatar_export.errors import UserError
from avatar_export.report.pictures import contact_sheet, difference, save_png


def images(count: int, value: float = 0.0, size: int = 128) -> np.ndarray:
    return np.full((count, 3, size, size), value, np.float32)


def pixels(rows) -> np.ndarray:
    return np.asarray(contact_sheet(rows))


def cells(sheet: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int]:
    """Height and width of the bounding box of a colour."""
    where = np.argwhere((sheet == colour).all(-1))
    height, width = where.max(0) - where.min(0) + 1
    return int(height), int(width)


def test_values_become_the_nearest_of_256_levels_and_are_clamped():
    for value, level in [(-1.0, 0), (1.0, 255), (0.2, 153), (-7.0, 0), (7.0, 255)]:
        assert (pixels([("a", images(1, value, 64))]) == level).all(-1).any()


def test_small_images_are_enlarged_by_a_whole_factor():
    red = images(1, -1.0)
    red[:, 0] = 1.0
    assert cells(pixels([("a", red)]), (255, 0, 0)) == (256, 256)


@pytest.mark.parametrize("count", [1, 4, 5, 6, 9])
def test_the_sheet_stays_within_its_width(count):
    sheet = contact_sheet([("Exported ONNX\n51.3 dB", images(count)), ("b", images(1))])
    assert sheet.width <= 1600


def test_rows_keep_their_order_and_their_pixels():
    noise = np.random.default_rng(0).uniform(-1, 1, (2, 3, 64, 64)).astype(np.float32)
    sheet = pixels([("first", images(2, 1.0, 64)), ("second", noise)])
    expected = np.rint((noise[0] + 1) * 127.5).astype(np.uint8).transpose(1, 2, 0)
    expected = expected.repeat(4, 0).repeat(4, 1)
    below = sheet[24 + 256 + 6 : 24 + 256 + 6 + 256]
    found = [x for x in range(sheet.shape[1] - 256) if (below[:, x : x + 256] == expected).all()]
    assert len(found) == 1


def test_images_that_do_not_fit_are_counted_beside_the_row():
    crowded, fitting = pixels([("a", images(48, -1.0))]), pixels([("a", images(9, -1.0))])
    assert crowded.shape[1] <= 1600
    # The count is a line below the label, wholly on the page left of the first image.
    left = int(np.argwhere((crowded == 0).all(-1).sum(0) > 100)[0, 0])
    label = (crowded[:, :left] < 200).any(-1)
    assert label.any(0).sum() > 50
    assert not label[:, -10:].any()
    assert (fitting[:, :40] < 200).any(-1).any(0).sum() < 20


def test_a_pixel_that_is_not_finite_is_magenta():
    broken = images(1)
    broken[0, 1, 5, 5] = np.nan
    assert cells(pixels([("a", broken)]), (255, 0, 255)) == (2, 2)


def test_difference_is_on_black_and_white_at_two_over_gain():
    a = np.array([0.0, 0.1, 0.2, 0.9], np.float32)
    np.testing.assert_allclose(difference(a, 0 * a), [-1.0, 0.0, 1.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(difference(0 * a, a, gain=1.0), [-1.0, -0.9, -0.8, -0.1], atol=1e-6)


def test_difference_of_other_shapes_is_refused():
    with pytest.raises(UserError, match="shape"):
        difference(images(1), images(2))


def test_png_bytes_are_the_same_again(tmp_path):
    sheet = contact_sheet([("a", images(2)), ("b", images(1, 0.5))])
    save_png(sheet, tmp_path / "1.png")
    save_png(contact_sheet([("a", images(2)), ("b", images(1, 0.5))]), tmp_path / "2.png")
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()
    with Image.open(tmp_path / "1.png") as read:
        np.testing.assert_array_equal(np.asarray(read), np.asarray(sheet))


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [("a", np.zeros((3, 8, 8)))],
        [("a", np.zeros((1, 1, 8, 8)))],
        [("a", np.zeros((0, 3, 8, 8)))],
        [("a", np.zeros((1, 3, 8, 8))), ("b", np.zeros((1, 3, 8, 9)))],
    ],
)
def test_what_is_no_row_of_images_is_refused(rows):
    with pytest.raises(UserError):
        contact_sheet(rows)
