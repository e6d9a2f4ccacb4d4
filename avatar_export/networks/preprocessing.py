"""From a photo, its key points and its mask to what the networks read.

The rules are those of the original inference code (docs/bilayer.md, section "Inputs"). Files that
a user hands in are checked here; whatever is wrong with them is a UserError.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from avatar_export.errors import UserError

Array = npt.NDArray[np.float32]

NUM_KEYPOINTS = 68
POSE_SIZE = 2 * NUM_KEYPOINTS

# Face parts of the 68-point convention: points, closed or not, RGB colour.
_WHITE, _RED, _GREEN, _BLUE = (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)
_MAGENTA, _CYAN, _YELLOW = (255, 0, 255), (0, 255, 255), (255, 255, 0)
_PARTS: tuple[tuple[list[int], bool, tuple[int, int, int]], ...] = (
    ([*range(17)], False, _WHITE),  # jaw
    ([*range(17, 22)], False, _RED),  # brows
    ([*range(22, 27)], False, _GREEN),
    ([*range(27, 31), 33], False, _BLUE),  # nose: bridge down to the tip's middle, then nostrils
    ([*range(31, 36)], False, _BLUE),
    ([*range(36, 42)], True, _MAGENTA),  # eyes
    ([*range(42, 48)], True, _CYAN),
    ([*range(48, 60)], True, _YELLOW),  # lips: outer, inner
    ([*range(60, 68)], True, _YELLOW),
)

# A point further out than half a picture beyond its edge (2 where the edge is 1) is no face point:
# swapped axes, or points of another picture.
_FAR = 2.0
# Landmarks that span less are not in pixels.
_MIN_SPAN = 8
_DETECTOR_HINT = (
    "68 points of the face-alignment 2D convention, as (x, y) in pixels of the upright picture"
)
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L")


class Square(NamedTuple):
    """A square of pixels; it may reach beyond the picture."""

    left: int
    top: int
    side: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom, as Pillow wants it."""
        return self.left, self.top, self.left + self.side, self.top + self.side


@dataclass(frozen=True)
class Source:
    """One source frame, H = W = image size.

    image [3, H, W] and stickman [3, H, W] in [-1, 1]; mask [1, H, W] in [0, 1], 1 is the person;
    pose [136], the key points in [-1, 1] of the crop; crop, the square of the photo it shows.
    """

    image: Array
    mask: Array
    stickman: Array
    pose: Array
    crop: Square


def crop_square(keypoints: Array) -> Square:
    """The square around a face, from its landmarks [68, 2] in pixels.

    Twice as large as the longer side of the landmark box, centred on it, then moved up by a
    sixth of that longer side to make room for the hair.

    Raises:
        UserError: the landmarks span too few pixels.
    """
    low, high = keypoints.min(axis=0), keypoints.max(axis=0)
    half = int((high - low).max())
    if half < _MIN_SPAN:
        raise UserError(f"key points span {half} pixels of the picture only", _DETECTOR_HINT)
    x, y = np.round((low + high) / 2).astype(int).tolist()
    return Square(x - half, y - half // 6 - half, 2 * half)


def prepare_source(
    image: Image.Image,
    keypoints: Array,
    mask: Image.Image | None,
    image_size: int,
    *,
    crop: bool = True,
    thickness: int = 2,
) -> Source:
    """Crop, resize and scale a source frame.

    Args:
        image: the photo, any mode; transparent pixels become black.
        keypoints: [68, 2] (x, y) in its pixels.
        mask: white on the person, as large as the photo; all of the photo when None.
        image_size: of the networks.
        crop: cut out the face; otherwise the picture must be the square crop already.
        thickness: of the stickman's lines, in pixels (``stickmen_thickness`` of the run).

    Raises:
        UserError: key points lie far outside the photo or span too little of it, the mask has
            another size, or the photo is not square although ``crop`` is off.
    """
    photo = _rgb(image)
    mask = Image.new("L", photo.size, 255) if mask is None else _mask_channel(mask)
    if mask.size != photo.size:
        raise UserError(
            f"the mask is {_size(mask)} pixels, the source picture {_size(photo)}",
            "a mask covers its picture pixel by pixel",
        )
    _require_near(keypoints / np.array(photo.size) * 2 - 1, "the source picture", _DETECTOR_HINT)
    square = crop_square(keypoints) if crop else _whole(photo)
    corner = np.array([square.left, square.top])
    pose = ((keypoints - corner) / square.side * 2 - 1).astype(np.float32).reshape(POSE_SIZE)
    return Source(
        image=_resized(photo, square, image_size) * 2 - 1,
        mask=_resized(mask, square, image_size),
        stickman=draw_stickman(pose, image_size, thickness),
        pose=pose,
        crop=square,
    )


def draw_stickman(pose: Array, image_size: int, thickness: int = 2) -> Array:
    """Draw a pose [136] in [-1, 1] as coloured lines: [3, image_size, image_size] in [-1, 1].

    The canvas holds ones, not zeros, before it is divided by 255, so the background is -0.99216:
    the networks were trained on that.
    """
    points = (pose.astype(np.float32).reshape(NUM_KEYPOINTS, 2) + 1) / 2 * image_size
    pixels = points.astype(np.int32)
    canvas = np.ones((image_size, image_size, 3), np.uint8)
    for part, closed, colour in _PARTS:
        cv2.polylines(canvas, [pixels[part]], closed, colour, thickness)
    return _planes(canvas) * 2 - 1


def load_image(path: Path) -> Image.Image:
    """Read a picture as upright RGB (turned as its EXIF data says).

    Raises:
        UserError: the file is missing, damaged, too large, or not a picture.
    """
    return _rgb(_open(path))


def load_mask(path: Path, size: tuple[int, int]) -> Image.Image:
    """Read a foreground mask (mode L, white is the person) for a picture of ``size``.

    A picture with a transparent background is taken by its alpha channel.

    Raises:
        UserError: as :func:`load_image`, the size differs, or the mask has no foreground.
    """
    mask = _mask_channel(_open(path))
    if mask.size != size:
        raise UserError(
            f"{path} is {_size(mask)} pixels, the source picture {size[0]}x{size[1]}",
            "a mask covers its picture pixel by pixel",
        )
    brightest = int(np.asarray(mask).max())
    if brightest <= 1:
        raise UserError(
            f"{path} has no foreground: its brightest pixel is {brightest} of 255",
            "the person is white (255); multiply a mask of zeros and ones by 255",
        )
    return mask


def load_keypoints(path: Path) -> Array:
    """Read 68 landmarks as [68, 2]: .npy, or .json, .csv or .txt holding plain numbers.

    Shapes (68, 2), (1, 68, 2), (136,) and (1, 136) are understood.

    Raises:
        UserError: the file is missing or damaged, has another shape, or is not finite.
    """
    numbers = _read_numbers(path)
    if numbers.shape not in {(68, 2), (1, 68, 2), (136,), (1, 136)}:
        raise UserError(f"{path} has shape {numbers.shape}, expected (68, 2)", _DETECTOR_HINT)
    return numbers.reshape(NUM_KEYPOINTS, 2)


def load_poses(path: Path) -> Array:
    """Read a driving sequence as [N, 136], key points in [-1, 1]; files as key points.

    Shapes (N, 136), (N, 68, 2) and, for a single pose, (136,) and (68, 2) are understood.

    Raises:
        UserError: as :func:`load_keypoints`, or the numbers are not in the unit of the crop.
    """
    numbers = _read_numbers(path)
    one_pose = numbers.shape in {(136,), (68, 2)}
    if numbers.size == 0 or not (one_pose or numbers.shape[1:] in {(136,), (68, 2)}):
        raise UserError(f"{path} has shape {numbers.shape}, expected (N, 136) or (N, 68, 2)")
    poses = numbers.reshape(-1, POSE_SIZE)
    _require_near(poses, str(path), "poses are key points scaled to [-1, 1] of the face crop")
    return poses


def _open(path: Path) -> Image.Image:
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return ImageOps.exif_transpose(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"{path} is too large: {error}", "scale it down first") from error
    except Exception as error:  # Pillow's decoders raise many kinds on damaged bytes
        raise UserError(
            f"{path} cannot be read as a picture: {error}", "PNG, JPEG and WebP are understood"
        ) from error


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode to 8-bit RGB; what is transparent becomes black, like the masked background."""
    image = _eight_bit(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    return image.convert("RGB")


def _mask_channel(image: Image.Image) -> Image.Image:
    """Any mode to 8-bit grey; a picture with transparency is a mask by its alpha."""
    image = _eight_bit(image)
    if image.has_transparency_data:
        return image.convert("RGBA").getchannel("A")
    return image.convert("L")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bit: Pillow's own conversion clips it instead."""
    if image.mode == "F":
        raise UserError("pictures of floating-point numbers are not understood", "save as 8 bit")
    if image.mode not in _SIXTEEN_BIT:
        return image
    return Image.fromarray((np.asarray(image).clip(0, 65535) / 257).round().astype(np.uint8))


def _resized(image: Image.Image, square: Square, image_size: int) -> Array:
    """[C, image_size, image_size] in [0, 1]; black where the square leaves the picture."""
    cut = image.crop(square.box)
    return _planes(np.asarray(cut.resize((image_size, image_size), Image.Resampling.BICUBIC)))


def _planes(pixels: npt.NDArray[np.uint8]) -> Array:
    """[H, W] or [H, W, C] of 0..255 -> [C, H, W] in [0, 1]."""
    planes = np.atleast_3d(pixels).transpose(2, 0, 1)
    return np.ascontiguousarray(planes, dtype=np.float32) / np.float32(255)


def _whole(image: Image.Image) -> Square:
    if image.width != image.height:
        raise UserError(
            f"the source picture is {_size(image)} pixels: without a crop it must be square",
            "let the face be cropped, or hand in the square crop",
        )
    return Square(0, 0, image.width)


def _size(image: Image.Image) -> str:
    return f"{image.width}x{image.height}"


def _require_near(points: npt.NDArray[Any], what: str, hint: str) -> None:
    worst = float(np.abs(points).max())
    if worst > _FAR:
        raise UserError(
            f"{what}: a key point lies at {worst:.3g} where the edge of the picture is 1", hint
        )


def _read_numbers(path: Path) -> Array:
    """The numbers of a .npy, .json, .csv or .txt file, finite, as float32."""
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    readers = {".npy": _read_npy, ".json": _read_json, ".csv": _read_text, ".txt": _read_text}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: unknown kind of file", f"understood: {', '.join(readers)}")
    try:
        numbers = np.array(reader(path), dtype=np.float32)
    except Exception as error:  # numpy raises many kinds, by where the bytes stop making sense
        raise UserError(f"{path} cannot be read as numbers: {error}") from error
    if not np.isfinite(numbers).all():
        raise UserError(f"{path} holds NaN or infinity", "was a face found in every frame?")
    return numbers


def _read_npy(path: Path) -> npt.NDArray[Any]:
    # Mapped, not read: a header that promises more than the file holds is refused at once.
    array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise ValueError("not an array of real numbers")
    return array


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _read_text(path: Path) -> list[list[float]]:
    """Numbers separated by commas or spaces, a point (or a pose) a line."""
    lines = path.read_text(encoding="utf-8").replace(",", " ").splitlines()
    return [[float(word) for word in line.split()] for line in lines if line.strip()]
