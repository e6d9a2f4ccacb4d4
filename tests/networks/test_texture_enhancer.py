from __future__ import annotations

import pytest
import torch
from torch import Tensor

from avatar_export.networks.bilayer import BilayerModel, GridSampler
from avatar_export.networks.identity_embedder import apply_mask


@pytest.fixture
def case() -> dict[str, Tensor]:
    """Random inputs of the enhancer; some of uv lies outside the texture."""
    generator = torch.Generator().manual_seed(0)

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    return {
        "texture": rand(1, 3, 64, 64) * 2 - 1,
        "uv": rand(1, 64, 64, 2) * 2.2 - 1.1,
        "low_frequency": rand(1, 3, 64, 64) - 0.5,
        "source": rand(1, 3, 64, 64) * 2 - 1,
        "mask": rand(1, 1, 64, 64),
    }


def loss(texture: Tensor, case: dict[str, Tensor]) -> Tensor:
    """Half the summed squared error of the masked source frame."""
    drawn = case["low_frequency"] + GridSampler(case["uv"]).sample(texture)
    error = apply_mask(case["source"], case["mask"]) - apply_mask(drawn, case["mask"])
    return (error**2).sum() / 2


def test_closed_form_gradient_equals_autograd_at_every_step(
    parity_model: BilayerModel, case: dict[str, Tensor]
) -> None:
    inputs = [case[key] for key in ("texture", "low_frequency", "source", "mask")]
    texture, *rest = inputs
    assert parity_model.texture_enhancer is not None
    *steps, last = parity_model.texture_enhancer.unroll(texture, GridSampler(case["uv"]), *rest)
    assert len(steps) == 4
    for step in steps:
        variable = step.texture.clone().requires_grad_()
        (expected,) = torch.autograd.grad(loss(variable, case), variable)
        torch.testing.assert_close(step.gradient, expected, rtol=1e-5, atol=1e-5)
    end = steps[-1].texture + torch.tanh(steps[-1].net_out)
    torch.testing.assert_close(last.texture, end, rtol=0, atol=0)
