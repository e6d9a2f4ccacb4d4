"""The projector: identity embeddings -> parameters of the adaptive layers."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from avatar_export.networks.blocks import AdaptiveParameter

# A row of the factored matrix has this many numbers when generator and embedder are equally wide.
ROW_LENGTH = 1024


def resize_embedding(embedding: Tensor, size: int) -> Tensor:
    """Adaptive average pooling of [B, C, H, W] to [B, C, size, size].

    For a target that is a multiple of H this *is* repetition, bit for bit, and is written so:
    exporters refuse adaptive pooling that enlarges.
    """
    height = embedding.shape[-1]
    if size % height == 0:
        factor = size // height
        if factor == 1:
            return embedding
        return F.interpolate(embedding, scale_factor=float(factor), mode="nearest")
    return F.adaptive_avg_pool2d(embedding, size)


class Projector(nn.Module):
    """Predicts weight and bias of every adaptive layer of one generator.

    Embedding k, [B, C, 8, 8], is resized and viewed as rows, one per output channel of generator
    block k; each row goes through three linear layers without activations (a low-rank factored
    matrix). The result of a row is that channel's input weights, then its bias.

    Args:
        embedding_widths: channels of the embeddings, as :func:`widths_up` of the embedder.
        generator_widths: channels of the generator, as :func:`widths_up`.
        kinds: for each block, the kinds of its adaptive layers in the order in which the
            official projector emits them: "norm" or "conv" or "skip".
    """

    def __init__(
        self, embedding_widths: list[int], generator_widths: list[int], kinds: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.kinds = kinds
        self.grids: list[tuple[int, int]] = []  # (spatial size, rows) of each block
        blocks = []
        for k, out_channels in enumerate(generator_widths[1:]):
            ratio = out_channels / embedding_widths[k + 1]
            size = int(math.sqrt(ROW_LENGTH) * ratio)
            row_length = size * size * embedding_widths[k + 1] // out_channels
            hidden = embedding_widths[k]
            outputs = {"norm": 2, "conv": out_channels + 1, "skip": generator_widths[k] + 1}
            self.grids.append((size, out_channels))
            blocks.append(
                nn.ModuleList(_factored(row_length, hidden, outputs[kind]) for kind in kinds)
            )
        self.fc_blocks = nn.ModuleList(blocks)

    def forward(self, embeddings: list[Tensor]) -> list[AdaptiveParameter]:
        """Embeddings [B, C_k, S, S] -> parameters in the order in which the generator uses them."""
        parameters = []
        for embedding, (size, rows), branches in zip(
            embeddings, self.grids, self.fc_blocks, strict=True
        ):
            grid = resize_embedding(embedding, size)
            row = grid.reshape(grid.shape[0] * rows, -1)
            for kind, branch in zip(self.kinds, branches, strict=True):  # type: ignore[call-overload]
                parameters.append(_predict(kind, branch, row, (grid.shape[0], rows)))
        return parameters


def _factored(row_length: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(row_length, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, outputs)
    )


def _predict(
    kind: str, branch: nn.Sequential, row: Tensor, shape: tuple[int, int]
) -> AdaptiveParameter:
    """Rows [B * C, R] -> weight [B, C] or [B, C, n, 1, 1], and bias [B, C]; shape is (B, C).

    The last layer is applied in two parts, so that nothing has to be cut apart after it.
    """
    first, second, last = branch
    hidden = second(first(row))
    matrix, offset = last.weight, last.bias
    assert isinstance(matrix, Tensor) and isinstance(offset, Tensor)
    weight = F.linear(hidden, matrix[:-1], offset[:-1])
    bias = F.linear(hidden, matrix[-1:], offset[-1:]).reshape(shape)
    full = shape if kind == "norm" else (*shape, weight.shape[1], 1, 1)
    return AdaptiveParameter(weight.reshape(full), bias)
