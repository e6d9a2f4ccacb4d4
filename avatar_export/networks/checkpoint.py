"""Reading one official ``<epoch>_<network>.pth`` into a network.

The files are legacy (pre torch 1.6) pickles of a state dict. They are read with ``weights_only``,
which builds tensors and nothing else, so a hostile pickle is refused before it can act.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from avatar_export.errors import ModelError, UserError
from avatar_export.networks.inference_generator import identity_grid

_SUFFIXES = ("_orig", "_u", "_v")
# Two roundings of the same pixel centres differ by less; any other convention by 1 / image size.
_GRID_TOLERANCE = 1e-5


def load_network(network: nn.Module, path: Path, name: str) -> None:
    """Load a checkpoint into ``network``, spectral norm folded, and switch it to eval mode.

    Args:
        network: built for the run's arguments; its state-dict keys are the official ones with
            spectral norm removed.
        path: the ``.pth`` file.
        name: the network's name, for messages.

    Raises:
        UserError: the file is missing.
        ModelError: it is damaged or hostile, or a key is unknown, missing, of another shape,
            or not finite.
    """
    stored = read_state_dict(path)
    folded = fold_spectral_norm(stored, network.state_dict(), name)
    network.load_state_dict(folded, strict=True)
    network.eval().requires_grad_(False)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by key, as stored.

    Raises:
        UserError: the file is missing.
        ModelError: it is no state dict, damaged, or holds anything but plain tensors.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist", "name the run folder that holds checkpoints/")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle's protocol: ours to judge
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds, by where the bytes stop making sense
        raise ModelError(
            f"{path} was refused: not a plain checkpoint of tensors ({_first_line(error)})",
            "the file is damaged, or its pickle wants to run code; get it again from its author",
        ) from error
    if not isinstance(content, Mapping) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()
    ):
        raise ModelError(f"{path} holds no state dict (a mapping of names to tensors)")
    for key, tensor in content.items():
        if tensor.layout != torch.strided or tensor.is_complex() or tensor.is_quantized:
            raise ModelError(f"{path}: {key} is no plain tensor of numbers ({tensor.dtype})")
    return dict(content)


def fold_spectral_norm(
    stored: Mapping[str, Tensor], expected: Mapping[str, Tensor], name: str
) -> dict[str, Tensor]:
    """Match stored tensors to the expected keys, dividing weights by their *stored* sigma.

    A layer under spectral norm stores ``weight_orig`` and the vectors ``weight_u``, ``weight_v``
    of its last power iteration; its weight is ``weight_orig / (u . (W v))`` with W the weight
    as a matrix of one row per output channel. Recomputing sigma changes the image by 0.09 to 0.5.

    Raises:
        ModelError: naming the network, the key, and the expected and found shape.
    """
    left = dict(stored)
    folded = {key: _take(left, key, tensor, name) for key, tensor in expected.items()}
    if left:
        keys = sorted(left)
        more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
        raise ModelError(
            f"{name}: unknown key {keys[0]} of shape {list(left[keys[0]].shape)}{more}",
            "the checkpoint has layers that args.txt does not describe",
        )
    return folded


def _take(left: dict[str, Tensor], key: str, expected: Tensor, name: str) -> Tensor:
    """Remove from ``left`` what makes up ``key`` and return its value."""
    if key + "_orig" in left:
        return _normalised(left, key, expected, name)
    tensor = left.pop(key, None)
    if tensor is None:
        # A counter of training steps: files before torch 0.4.1 lack it, inference ignores it.
        if key.endswith("num_batches_tracked"):
            return expected
        raise ModelError(f"{name}: key {key} is missing, expected shape {list(expected.shape)}")
    tensor = _checked(tensor, expected.dtype, expected.shape, key, name)
    if key.endswith("running_var") and (tensor < 0).any():
        raise ModelError(f"{name}: key {key} holds negative variances")
    if key == "identity_grid":
        _require_pixel_centres(tensor, name)
    return tensor


def _normalised(left: dict[str, Tensor], key: str, expected: Tensor, name: str) -> Tensor:
    rows = expected.shape[0]
    shapes = (expected.shape, torch.Size([rows]), torch.Size([expected[0].numel()]))
    parts = []
    for suffix, shape in zip(_SUFFIXES, shapes, strict=True):
        if key + suffix not in left:
            raise ModelError(f"{name}: key {key + suffix} is missing, expected shape {list(shape)}")
        parts.append(_checked(left.pop(key + suffix), expected.dtype, shape, key + suffix, name))
    weight, u, v = parts
    sigma = torch.dot(u, torch.mv(weight.reshape(rows, -1), v))
    if not 0 < sigma.abs() < torch.inf:
        raise ModelError(
            f"{name}: spectral norm of {key} is {float(sigma):g}, its weight undefined"
        )
    return weight / sigma


def _checked(tensor: Tensor, dtype: torch.dtype, shape: torch.Size, key: str, name: str) -> Tensor:
    """The tensor in the expected type, once its shape is known to be the expected one.

    In this order: a few stored bytes can claim, by their strides, to be a tensor of terabytes.
    """
    if tensor.shape != shape:
        raise ModelError(
            f"{name}: key {key} has shape {list(tensor.shape)}, expected {list(shape)}",
            "args.txt and checkpoint come from different runs, or an option was changed",
        )
    tensor = tensor.to(dtype)
    if not torch.isfinite(tensor).all():
        raise ModelError(f"{name}: key {key} holds NaN or infinity")
    return tensor


def _require_pixel_centres(grid: Tensor, name: str) -> None:
    worst = float((grid - identity_grid(grid.shape[1])).abs().max())
    if worst > _GRID_TOLERANCE:
        raise ModelError(
            f"{name}: identity_grid is off the pixel centres by {worst:.3g}",
            "the warp assumes pixel centres (corners not aligned)",
        )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
