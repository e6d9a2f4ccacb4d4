from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from avatar_export.errors import UserError
from avatar_export.networks.preprocessing import (
    Square,
    crop_square,
    draw_stickman,
    load_image,
    load_keypoints,
    load_mask,
    load_poses,
    prepare_source,
)
from tests.conftest import DATA, load_npz

BACKGROUND = 1 / 255 * 2 - 1
INPUTS = ["parity_small/inputs.npz", "parity_small/inputs_b2.npz", "portrait/inputs.npz"]


@pytest.fixture(scope="module")
def keypoints(sample_folder: Path) -> np.ndarray:
    return load_keypoints(sample_folder / "keypoints.npy")


@pytest.fixture(scope="module")
def photo(sample_folder: Path) -> Image.Image:
    return load_image(sample_folder / "source.png")


# --- what the networks read


@pytest.mark.parametrize("kind", ["source", "target"])
@pytest.mark.parametrize("inputs", INPUTS)
def test_stickmen_of_the_original_code_are_drawn_exactly(inputs: str, kind: str) -> None:
    arrays = load_npz(DATA / inputs)
    poses = arrays[f"{kind}_poses"].flatten(0, 1).numpy()
    drawings = arrays[f"{kind}_stickmen"].flatten(0, 1).numpy()
    assert len(poses) == len(drawings) > 0
    for pose, drawing in zip(poses, drawings, strict=True):
        np.testing.assert_array_equal(draw_stickman(pose, drawing.shape[-1]), drawing)


def test_stickman_background_is_one_level_above_black() -> None:
    """Training saw it so; -1 would move the final image by 0.01."""
    far_away = np.full(136, 1.9, np.float32)
    drawing = draw_stickman(far_away, 32)
    assert drawing.dtype == np.float32
    np.testing.assert_allclose(drawing, BACKGROUND, atol=1e-7)


def test_stickman_thickness() -> None:
    pose = np.linspace(-0.9, 0.9, 136, dtype=np.float32)
    thin, thick = (draw_stickman(pose, 64, thickness) for thickness in (1, 4))
    drawn = [np.abs(drawing - BACKGROUND).max(axis=0) > 1e-3 for drawing in (thin, thick)]
    assert drawn[1].sum() > 2 * drawn[0].sum() > 0


def test_crop_of_the_sample(keypoints: np.ndarray) -> None:
    square = crop_square(keypoints)
    assert square == Square(left=133, top=24, side=186)
    assert square.box == (133, 24, 319, 210)


@pytest.mark.parametrize(("width", "height", "half"), [(90, 60, 90), (60, 96, 96)])
def test_crop_is_twice_the_longer_side_and_moved_up_by_a_sixth_of_it(
    width: int, height: int, half: int
) -> None:
    corners = np.array([[100, 200], [100 + width, 200 + height]], np.float32)
    square = crop_square(np.resize(corners, (68, 2)))
    assert square.side == 2 * half
    assert square.left + half == 100 + width // 2
    assert square.top + half == 200 + height // 2 - half // 6


def test_sample_is_prepared_as_its_training_saw_it(
    photo: Image.Image,
    keypoints: np.ndarray,
    sample_folder: Path,
    sample_inputs: dict[str, Tensor],
) -> None:
    """The recorded frame was made by the warper: key points equal, pixels nearly."""
    mask = load_mask(sample_folder / "mask.png", photo.size)
    source = prepare_source(photo, keypoints, mask, 128)
    want = {key: tensor[0, 0].numpy() for key, tensor in sample_inputs.items()}
    np.testing.assert_array_equal(source.pose, want["source_poses"])
    np.testing.assert_array_equal(source.stickman, want["source_stickmen"])
    assert source.image.shape == (3, 128, 128)
    assert source.mask.shape == (1, 128, 128)
    assert np.abs(source.image - want["source_imgs"]).mean() < 0.005
    assert np.abs(source.mask - want["source_segs"]).mean() < 0.001
    assert {array.dtype for array in (source.image, source.mask, source.pose)} == {
        np.dtype(np.float32)
    }


def test_crop_beyond_the_border_is_black_and_background() -> None:
    white = Image.new("RGB", (100, 100), "white")
    points = np.resize(np.array([[10, 10], [60, 60]], np.float32), (68, 2))
    source = prepare_source(white, points, None, 64)
    assert source.crop.left < 0
    np.testing.assert_array_equal(source.image[:, :4, :4], -1)
    np.testing.assert_array_equal(source.mask[:, :4, :4], 0)
    np.testing.assert_array_equal(source.image[:, 40, 40], 1)
    np.testing.assert_array_equal(source.mask[:, 40, 40], 1)


def test_without_crop_the_whole_square_is_taken(photo: Image.Image, keypoints: np.ndarray) -> None:
    source = prepare_source(photo, keypoints, None, 64, crop=False)
    assert source.crop == Square(0, 0, 512)
    np.testing.assert_allclose(source.pose.reshape(68, 2), keypoints / 256 - 1, atol=1e-6)


def test_without_crop_the_picture_must_be_square(keypoints: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"512x400.*square"):
        prepare_source(Image.new("RGB", (512, 400)), keypoints, None, 64, crop=False)


def test_mask_of_another_size_is_refused(photo: Image.Image, keypoints: np.ndarray) -> None:
    with pytest.raises(UserError, match="128x128 pixels, the source picture 512x512"):
        prepare_source(photo, keypoints, Image.new("L", (128, 128), 255), 64)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda k: k * 4, "key point lies at"),
        (lambda k: k - 2000, "key point lies at"),
        (lambda k: k / 256 - 1, "span 0 pixels"),
        (lambda k: k * 0 + 7, "span 0 pixels"),
    ],
)
def test_key_points_of_another_unit_or_picture_are_refused(
    change: Callable[[np.ndarray], np.ndarray],
    words: str,
    photo: Image.Image,
    keypoints: np.ndarray,
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        prepare_source(photo, change(keypoints), None, 64)
    assert "pixels" in caught.value.hint


# --- pictures of any kind


def gradient(size: int = 16) -> np.ndarray:
    return np.linspace(0, 255, size * size).round().astype(np.uint8).reshape(size, size)


def stored(path: Path, image: Image.Image, **options: Any) -> np.ndarray:
    image.save(path, **options)
    return np.asarray(load_image(path))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "CMYK"])
def test_every_mode_gives_the_same_grey(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(gradient()).convert(mode)
    name = "x.tif" if mode == "CMYK" else "x.png"
    pixels = stored(tmp_path / name, image)
    np.testing.assert_array_equal(pixels, np.repeat(gradient()[..., None], 3, axis=2))


def test_one_bit_picture(tmp_path: Path) -> None:
    pixels = stored(tmp_path / "x.png", Image.fromarray(gradient() > 127))
    assert set(np.unique(pixels)) == {0, 255}


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    pixels = stored(tmp_path / "x.png", Image.fromarray(gradient().astype(np.uint16) * 257))
    np.testing.assert_array_equal(pixels[..., 0], gradient())


def test_floating_point_picture_is_refused(tmp_path: Path) -> None:
    Image.fromarray(gradient().astype(np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(UserError, match="floating-point"):
        load_image(tmp_path / "x.tif")


def test_transparent_pixels_are_black_whatever_they_hide(tmp_path: Path) -> None:
    rgba = np.full((4, 4, 4), 200, np.uint8)
    rgba[..., 3] = np.array([0, 255, 255, 255])
    pixels = stored(tmp_path / "x.png", Image.fromarray(rgba))
    np.testing.assert_array_equal(pixels[:, 0], 0)
    np.testing.assert_array_equal(pixels[:, 1:], 200)


def test_picture_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    image = Image.fromarray(gradient()[:8])
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn clockwise
    pixels = stored(tmp_path / "x.png", image, exif=exif)
    np.testing.assert_array_equal(pixels[..., 0], np.rot90(gradient()[:8], -1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_truncated_picture_is_refused(
    kind: str, share: float, photo: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / "x"
    photo.save(path, kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match="cannot be read as a picture"):
        load_image(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(60)])
def test_file_that_is_no_picture_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as a picture"):
        load_image(tmp_path / "x.png")


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_decompression_bomb_is_refused_unread(side: int, tmp_path: Path) -> None:
    """The header of a one-pixel PNG is made to promise side x side pixels."""
    path = tmp_path / "x.png"
    Image.new("L", (1, 1)).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", side, side)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    with pytest.raises(UserError, match="too large"):
        load_image(path)


@pytest.mark.parametrize("load", [load_image, lambda p: load_mask(p, (1, 1)), load_keypoints])
def test_missing_file_and_folder(load: Callable[[Path], object], tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(UserError, match="does not exist"):
            load(path)


# --- masks


def test_mask_by_alpha_channel(tmp_path: Path) -> None:
    """What background removers write."""
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[1:3, 1:3, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "m.png")
    np.testing.assert_array_equal(np.asarray(load_mask(tmp_path / "m.png", (4, 4))), rgba[..., 3])


def test_mask_of_another_size_is_refused_with_its_name(tmp_path: Path) -> None:
    Image.new("L", (4, 6), 255).save(tmp_path / "m.png")
    with pytest.raises(UserError, match=r"m\.png is 4x6 pixels, the source picture 6x4"):
        load_mask(tmp_path / "m.png", (6, 4))


@pytest.mark.parametrize("value", [0, 1])
def test_mask_without_foreground_is_refused(value: int, tmp_path: Path) -> None:
    Image.new("L", (4, 4), value).save(tmp_path / "m.png")
    with pytest.raises(UserError, match="no foreground") as caught:
        load_mask(tmp_path / "m.png", (4, 4))
    assert "255" in caught.value.hint


# --- numbers


def write_numbers(path: Path, values: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".json":
        path.write_text(json.dumps(values.tolist()))
    else:
        separator = "," if path.suffix == ".csv" else " "
        rows = np.atleast_2d(values)
        path.write_text("\n".join(separator.join(map(str, row)) for row in rows) + "\n")
    return path


@pytest.mark.parametrize("suffix", [".npy", ".json", ".csv", ".txt", ".NPY"])
@pytest.mark.parametrize("shape", [(68, 2), (136,)])
def test_key_points_are_read_from_every_kind_of_file(
    suffix: str, shape: tuple[int, ...], keypoints: np.ndarray, tmp_path: Path
) -> None:
    path = write_numbers(tmp_path / f"k{suffix.lower()}", keypoints.reshape(shape))
    read = load_keypoints(path.rename(tmp_path / f"k{suffix}"))
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, keypoints)


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<f2", "<i2", "u2"])
def test_key_points_of_any_number_type(dtype: str, keypoints: np.ndarray, tmp_path: Path) -> None:
    whole = keypoints.round()
    path = write_numbers(tmp_path / "k.npy", whole[None].astype(dtype))
    np.testing.assert_array_equal(load_keypoints(path), whole)


@pytest.mark.parametrize("shape", [(68, 3), (67, 2), (2, 68), (2, 68, 2), (), (0,)])
def test_key_points_of_another_shape_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = write_numbers(tmp_path / "k.npy", np.ones(shape))
    with pytest.raises(UserError):
        load_keypoints(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("suffix", [".npy", ".json", ".csv"])
@pytest.mark.filterwarnings("ignore:overflow")
def test_numbers_that_are_not_finite_are_refused(bad: float, suffix: str, tmp_path: Path) -> None:
    values = np.ones((68, 2))
    values[3, 1] = bad
    path = write_numbers(tmp_path / f"k{suffix}", values)
    with pytest.raises(UserError, match="NaN or infinity"):
        load_keypoints(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("k.npy", b""),
        ("k.npy", b"\x93NUMPY\x01\x00"),
        ("k.npy", b"not numpy"),
        ("k.json", b"{"),
        ("k.json", b'{"points": []}'),
        ("k.json", b"[[1, 2], [3]]"),
        ("k.json", b'"12"'),
        ("k.csv", b"x,y\n1,2\n"),
        ("k.csv", b"1,2\n3\n"),
        ("k.txt", b"\xff\xfe\x00"),
        ("k.pts", b"1 2\n"),
        ("k", b"1 2\n"),
    ],
)
def test_file_that_holds_no_key_points(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        load_keypoints(tmp_path / name)


def test_npy_with_objects_is_not_unpickled(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
            return Path.mkdir, (tmp_path / "mark",)  # type: ignore[return-value]

    np.save(tmp_path / "k.npy", np.array([Hostile()], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="cannot be read as numbers"):
        load_keypoints(tmp_path / "k.npy")
    assert not (tmp_path / "mark").exists()


def test_npy_whose_header_promises_too_much_is_refused(tmp_path: Path) -> None:
    header = io.BytesIO()
    promise = {"descr": "<f8", "fortran_order": False, "shape": (68 * 10**9, 2)}
    np.lib.format.write_array_header_1_0(header, promise)
    path = tmp_path / "k.npy"
    path.write_bytes(header.getvalue() + bytes(1088))
    with pytest.raises(UserError, match="cannot be read as numbers"):
        load_keypoints(path)


@pytest.mark.parametrize("kind", [complex, bool, str])
def test_npy_of_other_types_is_refused(kind: type, tmp_path: Path) -> None:
    path = write_numbers(tmp_path / "k.npy", np.ones((68, 2)).astype(kind))
    with pytest.raises(UserError, match="not an array of real numbers"):
        load_keypoints(path)


def test_archive_of_arrays_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "k.npz", np.ones((68, 2)))
    path = (tmp_path / "k.npz").rename(tmp_path / "k.npy")
    with pytest.raises(UserError, match="not an array"):
        load_keypoints(path)


# --- driving sequences


def test_driving_sequence_of_the_sample(
    sample_folder: Path, sample_inputs: dict[str, Tensor]
) -> None:
    poses = load_poses(sample_folder / "driving.npy")
    assert poses.shape == (48, 136)
    np.testing.assert_array_equal(poses[:6], sample_inputs["target_poses"][0].numpy())


@pytest.mark.parametrize(
    ("shape", "frames"), [((5, 136), 5), ((5, 68, 2), 5), ((136,), 1), ((68, 2), 1), ((1, 136), 1)]
)
def test_shapes_of_a_driving_sequence(shape: tuple[int, ...], frames: int, tmp_path: Path) -> None:
    values = np.linspace(-1, 1, int(np.prod(shape)))
    poses = load_poses(write_numbers(tmp_path / "p.npy", values.reshape(shape)))
    assert poses.shape == (frames, 136)
    np.testing.assert_allclose(poses.ravel(), values, atol=1e-6)


@pytest.mark.parametrize("shape", [(0, 136), (5, 135), (136, 5), (5, 68, 3), (1, 5, 136), ()])
def test_driving_sequence_of_another_shape_is_refused(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    with pytest.raises(UserError):
        load_poses(write_numbers(tmp_path / "p.npy", np.zeros(shape)))


def test_driving_sequence_in_pixels_is_refused(keypoints: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="key point lies at") as caught:
        load_poses(write_numbers(tmp_path / "p.npy", keypoints[None]))
    assert "[-1, 1]" in caught.value.hint
