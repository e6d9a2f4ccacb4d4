from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from avatar_export.networks.bilayer import BilayerModel
from avatar_export.networks.projector import resize_embedding


@pytest.mark.parametrize("size", [2, 4, 8, 12, 16, 24, 32])
def test_resizing_is_adaptive_average_pooling(size: int) -> None:
    embedding = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = F.adaptive_avg_pool2d(embedding, size)
    assert torch.equal(resize_embedding(embedding, size), expected)


def test_three_linear_layers_are_one(sample_model: BilayerModel) -> None:
    """No activation stands between them; export may fold them."""
    branch = sample_model.inference_generator.prj_inf.fc_blocks[0][1]
    first, second, third = branch
    weight = third.weight @ second.weight @ first.weight
    bias = third.weight @ (second.weight @ first.bias + second.bias) + third.bias
    rows = torch.randn(1, 64, first.in_features, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(branch(rows), rows @ weight.T + bias, rtol=0, atol=1e-5)
