from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from avatar_export.errors import UserError
from avatar_export.graphs.warp import GatherWarp, GridSampleWarp
from avatar_export.graphs.warp_reference import compose, warp
from avatar_export.networks.bilayer import Frame
from avatar_export.networks.inference_generator import identity_grid

SIZES = (8, 21, 64, 128)


def _random(size: int, reach: float) -> np.ndarray:
    return np.random.default_rng(size).uniform(-reach, reach, (1, 2, size, size))


def _integers(size: int) -> np.ndarray:
    """Whole pixels, from well outside on one side to well outside on the other."""
    steps = np.random.default_rng(size).integers(-size - 3, size + 4, (1, 2, size, size))
    return steps * (2.0 / size)


def _borders(size: int) -> np.ndarray:
    """Every pixel lands within two pixels of a border or a corner of the texture."""
    rng = np.random.default_rng(size)
    pixel = np.stack(np.meshgrid(np.arange(size), np.arange(size)))[None]
    edge = rng.choice([0.0, size - 1.0], (1, 2, size, size))
    return (edge + rng.uniform(-2, 2, edge.shape) - pixel) * (2.0 / size)


DISPLACEMENTS: dict[str, Callable[[int], np.ndarray]] = {
    "small": lambda size: _random(size, 0.1),
    "whole range": lambda size: _random(size, 1.0),
    "far outside": lambda size: _random(size, 5.0),
    "zero": lambda size: np.zeros((1, 2, size, size)),
    "plus one": lambda size: np.ones((1, 2, size, size)),
    "minus one": lambda size: -np.ones((1, 2, size, size)),
    "integers": _integers,
    "borders": _borders,
}


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=DISPLACEMENTS)
def delta_uv(request: pytest.FixtureRequest, size: int) -> Tensor:
    return torch.from_numpy(DISPLACEMENTS[request.param](size))


def _texture(size: int, count: int = 1) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (count, 3, size, size)))


def _identity_grid(size: int) -> Tensor:
    """Pixel centres [1, s, s, 2], double precision."""
    centre = (2 * torch.arange(size, dtype=torch.float64) + 1) / size - 1
    y, x = torch.meshgrid(centre, centre, indexing="ij")
    return torch.stack([x, y], dim=-1)[None]


def _grid_sample(texture: Tensor, delta_uv: Tensor) -> Tensor:
    """What every form must equal, in double precision."""
    grid = _identity_grid(texture.shape[-1]) + delta_uv.double().permute(0, 2, 3, 1)
    return F.grid_sample(
        texture.double(), grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )


def _largest(difference: Tensor | np.ndarray) -> float:
    return float(abs(difference).max())


def test_reference_is_grid_sample(size: int, delta_uv: Tensor) -> None:
    texture = _texture(size)
    result = warp(texture.numpy(), delta_uv.numpy())
    assert result.dtype == np.float64
    assert _largest(result - _grid_sample(texture, delta_uv).numpy()) < 1e-11


def test_reference_in_single_precision(size: int, delta_uv: Tensor) -> None:
    texture, delta = _texture(size).float(), delta_uv.float()
    result = warp(texture.numpy(), delta.numpy())
    assert result.dtype == np.float32
    assert _largest(result - _grid_sample(texture, delta).numpy()) < 2e-6


def test_gather_form_is_grid_sample(size: int, delta_uv: Tensor) -> None:
    texture, delta = _texture(size).float(), delta_uv.float()
    result = GatherWarp(size)(texture, delta)
    assert _largest(result - _grid_sample(texture, delta)) < 2e-6
    assert _largest(result.numpy() - warp(texture.numpy(), delta.numpy())) < 1e-6


def test_grid_sample_form_is_the_reference(size: int, delta_uv: Tensor) -> None:
    """Single precision, coordinates included: hence the larger bound."""
    texture, delta = _texture(size).float(), delta_uv.float()
    result = GridSampleWarp(identity_grid(size))(texture, delta)
    assert _largest(result.numpy() - warp(texture.numpy(), delta.numpy())) < 2e-5


def test_each_of_a_batch_has_its_own_texture() -> None:
    texture = _texture(8, count=3)
    delta = torch.from_numpy(np.random.default_rng(2).uniform(-0.5, 0.5, (3, 2, 8, 8)))
    result = warp(texture.numpy(), delta.numpy())
    assert _largest(result - _grid_sample(texture, delta).numpy()) < 1e-12


@pytest.mark.filterwarnings("error")
def test_numbers_beyond_every_integer_are_outside() -> None:
    delta = np.full((1, 2, 8, 8), 1e30, dtype=np.float32)
    assert not warp(np.ones((1, 3, 8, 8), dtype=np.float32), delta).any()


def test_half_precision_spoils_a_coordinate_but_not_a_displacement() -> None:
    """The reason for the displacement form, in pixels, with a texture that holds its own x."""
    size = 256
    assert np.float16(2049) == 2048
    assert np.spacing(np.float16(128)) == 1 / 8
    texture = np.broadcast_to(np.arange(size, dtype=np.float64), (1, 3, size, size))
    delta = np.random.default_rng(3).uniform(-0.05, 0.05, (1, 2, size, size)).astype(np.float16)
    columns = np.arange(size)
    truth = columns + delta[:, 0].astype(np.float64) * (size / 2)
    inside = (truth > 128) & (truth < size - 1)
    # Rows too: the displacement must not leave the texture upwards or downwards.
    inside[:, :8] = inside[:, -8:] = False
    naive = columns.astype(np.float16) + delta[:, 0] * np.float16(size / 2)
    result = warp(texture, delta)[:, 0]
    assert _largest((naive - truth)[inside]) > 1 / 20
    assert _largest((result - truth)[inside]) < 1e-3


def test_composition_is_that_of_the_model() -> None:
    rng = np.random.default_rng(4)
    rgb, warped = (rng.uniform(-1, 1, (2, 3, 8, 8)) for _ in range(2))
    mask = rng.uniform(0, 1, (2, 1, 8, 8))
    layers = [torch.from_numpy(x) for x in (rgb, warped, mask)]
    frame = Frame(None, torch.empty(0), *layers)  # type: ignore[arg-type]  # heads are not read
    assert _largest(compose(rgb, warped) - frame.image.numpy()) == 0
    assert _largest(compose(rgb, warped, mask) - frame.masked_image.numpy()) < 1e-15


@pytest.mark.parametrize(
    ("texture", "delta_uv", "words"),
    [
        ((1, 3, 8, 8), (1, 8, 8, 2), "delta_uv is (1, 8, 8, 2), not (1, 2, 8, 8)"),
        ((1, 3, 8, 8), (1, 2, 16, 16), "delta_uv is (1, 2, 16, 16), not (1, 2, 8, 8)"),
        ((2, 3, 8, 8), (1, 2, 8, 8), "not (2, 2, 8, 8)"),
        ((1, 8, 8, 3), (1, 2, 8, 8), "texture is (1, 8, 8, 3), not (N, 3, s, s)"),
        ((1, 3, 8, 4), (1, 2, 8, 4), "texture is (1, 3, 8, 4)"),
        ((3, 8, 8), (1, 2, 8, 8), "texture is (3, 8, 8)"),
    ],
)
def test_wrong_shapes_of_a_warp(
    texture: tuple[int, ...], delta_uv: tuple[int, ...], words: str
) -> None:
    with pytest.raises(UserError) as caught:
        warp(np.zeros(texture), np.zeros(delta_uv))
    assert words in caught.value.message


def test_wrong_shapes_of_a_composition() -> None:
    layer = np.zeros((1, 3, 8, 8))
    with pytest.raises(UserError, match="differ in shape"):
        compose(layer, np.zeros((1, 3, 4, 4)))
    with pytest.raises(UserError, match="mask"):
        compose(layer, layer, np.zeros((1, 8, 8, 1)))
