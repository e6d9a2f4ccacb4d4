from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from avatar_export.graphs.sampling import HatSampler, ScatterSampler, pixel_positions

SIZES = (8, 13, 16)
Sampler = ScatterSampler | HatSampler


def _rand(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64) * 2 - 1


def _from_pixels(pixels: Tensor) -> Tensor:
    """Positions in pixels [1, 2, s, s] as uv."""
    return (pixels + 0.5) * (2 / pixels.shape[-1]) - 1


def _integers(size: int) -> Tensor:
    """Whole pixels, from outside on one side to outside on the other."""
    return _from_pixels(torch.round(_rand(1, 2, size, size) * size + size / 2))


def _borders(size: int) -> Tensor:
    """Within two pixels of the first or the last texel, in both directions."""
    edge = torch.where(_rand(1, 2, size, size) < 0, 0.0, size - 1.0)
    return _from_pixels(edge + 2 * _rand(1, 2, size, size, seed=1))


def _exactly_on_borders(size: int) -> Tensor:
    """Last texels, image edges, and where the weight of the last texel ends."""
    places = torch.tensor([-1.0, -0.5, 0.0, size - 1.0, size - 0.5, size], dtype=torch.float64)
    pick = ((_rand(1, 2, size, size) + 1) * 3).long().clamp(0, 5)
    return _from_pixels(places[pick])


POSITIONS: dict[str, Callable[[int], Tensor]] = {
    "inside": lambda size: _rand(1, 2, size, size) * 0.9,
    "partly outside": lambda size: _rand(1, 2, size, size) * 1.5,
    "far outside": lambda size: _rand(1, 2, size, size) * 1e4,
    "integers": _integers,
    "around borders": _borders,
    "exactly on borders": _exactly_on_borders,
    "all in one texel": lambda size: torch.full((1, 2, size, size), 0.1, dtype=torch.float64),
    "all between four texels": lambda size: torch.zeros(1, 2, size, size, dtype=torch.float64),
}


def _scatter(uv: Tensor) -> Sampler:
    return ScatterSampler(uv)


def _hat(rows: Callable[[int], int]) -> Callable[[Tensor], Sampler]:
    return lambda uv: HatSampler(uv, rows(uv.shape[-1]))


SAMPLERS: dict[str, Callable[[Tensor], Sampler]] = {
    "scatter": _scatter,
    "hat, row by row": _hat(lambda size: 1),
    "hat, tiles that do not divide the size": _hat(lambda size: 5),
    "hat, a last tile of one row": _hat(lambda size: size - 1),
    "hat, one tile": _hat(lambda size: size),
    "hat, a tile larger than the image": _hat(lambda size: size + 3),
}


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=POSITIONS)
def uv(request: pytest.FixtureRequest, size: int) -> Tensor:
    return POSITIONS[request.param](size)


@pytest.fixture(params=SAMPLERS)
def make(request: pytest.FixtureRequest) -> Callable[[Tensor], Sampler]:
    return SAMPLERS[request.param]


def _grid_sample(texture: Tensor, uv: Tensor) -> Tensor:
    grid = uv.permute(0, 2, 3, 1)
    return F.grid_sample(texture, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _gradient(residual: Tensor, uv: Tensor) -> Tensor:
    texture = torch.zeros_like(residual, requires_grad=True)
    (result,) = torch.autograd.grad(_grid_sample(texture, uv), texture, residual)
    return result


def test_sample_is_grid_sample(make: Callable[[Tensor], Sampler], size: int, uv: Tensor) -> None:
    texture = _rand(1, 3, size, size, seed=2)
    found = make(uv).sample(texture)
    assert found.shape == texture.shape
    torch.testing.assert_close(found, _grid_sample(texture, uv), rtol=0, atol=1e-9)


def test_adjoint_is_autograds_gradient(
    make: Callable[[Tensor], Sampler], size: int, uv: Tensor
) -> None:
    residual = _rand(1, 3, size, size, seed=3)
    found = make(uv).adjoint(residual)
    assert found.shape == residual.shape
    torch.testing.assert_close(found, _gradient(residual, uv), rtol=0, atol=1e-9)


def test_single_precision(make: Callable[[Tensor], Sampler], size: int) -> None:
    uv, texture = POSITIONS["partly outside"](size).float(), _rand(1, 3, size, size).float()
    sampler = make(uv)
    for found, expected in (
        (sampler.sample(texture), _grid_sample(texture, uv)),
        (sampler.adjoint(texture), _gradient(texture, uv)),
    ):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 4])
def test_any_number_of_channels(make: Callable[[Tensor], Sampler], channels: int) -> None:
    uv, texture = POSITIONS["partly outside"](8), _rand(1, channels, 8, 8)
    sampler = make(uv)
    expected = _grid_sample(texture, uv)
    torch.testing.assert_close(sampler.sample(texture), expected, rtol=0, atol=1e-9)
    expected = _gradient(texture, uv)
    torch.testing.assert_close(sampler.adjoint(texture), expected, rtol=0, atol=1e-9)


@given(
    name=st.sampled_from(sorted(SAMPLERS)),
    size=st.integers(2, 12),
    reach=st.floats(0.01, 4),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=30, deadline=None)
def test_the_adjoint_is_the_transpose(name: str, size: int, reach: float, seed: int) -> None:
    """<sample(t), r> = <t, adjoint(r)> for every texture t and residual r."""
    sampler = SAMPLERS[name](_rand(1, 2, size, size, seed=seed) * reach)
    texture, residual = (
        _rand(1, 3, size, size, seed=seed + 1),
        _rand(1, 3, size, size, seed=seed + 2),
    )
    one = (sampler.sample(texture) * residual).sum()
    other = (texture * sampler.adjoint(residual)).sum()
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_the_identity_grid_lies_on_whole_pixels(size: int) -> None:
    line = (2 * torch.arange(size, dtype=torch.float64) + 1) / size - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    columns, rows = pixel_positions(torch.stack([x, y])[None], size)
    count = torch.arange(size, dtype=torch.float64)
    torch.testing.assert_close(columns[0, 0], count.expand(size, size))
    torch.testing.assert_close(rows[0, 0], count[:, None].expand(size, size))


def test_no_matrix_is_larger_than_a_tile() -> None:
    sampler = HatSampler(POSITIONS["inside"](13), tile_rows=5)
    assert [tuple(x.shape) for x, _ in sampler.tiles] == [(65, 13), (65, 13), (39, 13)]
    assert [tuple(y.shape) for _, y in sampler.tiles] == [(65, 13), (65, 13), (39, 13)]
