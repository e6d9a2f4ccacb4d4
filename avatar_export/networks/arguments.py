"""The options of a training run, as the official code stores them in ``args.txt``.

Format (github saic-violet/bilayer-model, commit c01cebe, as recorded in docs/bilayer.md): one
``key: value`` a line, keys sorted, values written with ``str()``. Only the options that shape the
networks or the data that feeds them are read; the rest of the file is ignored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from avatar_export.errors import ModelError, UserError

# Options whose other values name layers that no published run uses. Guessing what they would
# compute is worse than refusing them.
_ONLY_VALUE: dict[str, str] = {
    "emb_norm_layer_type": "none",
    "emb_activation_type": "leakyrelu",
    "emb_downsampling_type": "avgpool",
    "tex_norm_layer_type": "ada_spade_bn",
    "tex_activation_type": "leakyrelu",
    "tex_upsampling_type": "nearest",
    "tex_skip_layer_type": "ada_conv",
    "tex_pixelwise_bias_type": "none",
    "pse_norm_layer_type": "none",
    "pse_activation_type": "leakyrelu",
    "inf_norm_layer_type": "ada_bn",
    "inf_activation_type": "leakyrelu",
    "inf_upsampling_type": "nearest",
    "inf_skip_layer_type": "ada_conv",
    "inf_pred_segmentation": "True",
    "enh_norm_layer_type": "none",
    "enh_activation_type": "leakyrelu",
    "enh_downsampling_type": "avgpool",
    "enh_upsampling_type": "nearest",
    "enh_guiding_rgb_loss_type": "sse",
}


# Published runs stay far below. Beyond, args.txt is damaged, and obeying it would fill the memory.
_MOST: dict[str, int] = {
    "image_size": 1024,
    "pse_num_blocks": 64,
    "pse_num_harmonics": 64,
    "enh_num_blocks": 128,
    "enh_unrolling_depth": 64,
    "stickmen_thickness": 64,
}
_MOST_OTHERWISE = 4096


@dataclass(frozen=True)
class RunArguments:
    """What a run's ``args.txt`` says about its networks. Sizes are in pixels or channels."""

    image_size: int
    emb_num_channels: int
    emb_max_channels: int
    emb_output_tensor_size: int
    tex_num_channels: int
    tex_max_channels: int
    tex_input_tensor_size: int
    inf_num_channels: int
    inf_max_channels: int
    inf_input_tensor_size: int
    pse_in_channels: int
    pse_num_channels: int
    pse_num_blocks: int
    pse_num_harmonics: int = 4
    pse_use_harmonic_enc: bool = False
    emb_apply_masks: bool = True
    emb_no_stickman: bool = False
    num_source_frames: int = 1
    stickmen_thickness: int = 2
    eps: float = 1e-7

    def __post_init__(self) -> None:
        for name in ("emb_output_tensor_size", "tex_input_tensor_size", "inf_input_tensor_size"):
            _doublings(self.image_size, getattr(self, name), name)
        if self.pse_in_channels % 2:
            raise ModelError(f"args.txt: pse_in_channels {self.pse_in_channels} is no pairs x, y")
        if self.inf_input_tensor_size != self.tex_input_tensor_size:
            raise ModelError(
                f"args.txt: inf_input_tensor_size {self.inf_input_tensor_size} differs from "
                f"tex_input_tensor_size {self.tex_input_tensor_size}",
                "the two generators share one embedding per block, so they need as many blocks",
            )

    @property
    def num_up_blocks(self) -> int:
        """Blocks of either generator, and so the number of embeddings."""
        return _doublings(self.image_size, self.tex_input_tensor_size, "tex_input_tensor_size")

    @property
    def num_down_blocks(self) -> int:
        """Downsampling blocks of the embedder."""
        return _doublings(self.image_size, self.emb_output_tensor_size, "emb_output_tensor_size")


@dataclass(frozen=True)
class EnhancerArguments:
    """What an enhancer run's ``args.txt`` says about the texture enhancer."""

    image_size: int
    enh_num_channels: int
    enh_max_channels: int
    enh_bottleneck_tensor_size: int
    enh_num_blocks: int
    enh_unrolling_depth: int
    eps: float = 1e-7

    def __post_init__(self) -> None:
        _doublings(self.image_size, self.enh_bottleneck_tensor_size, "enh_bottleneck_tensor_size")

    @property
    def num_scale_blocks(self) -> int:
        """Downsampling blocks, and as many upsampling blocks."""
        return _doublings(
            self.image_size, self.enh_bottleneck_tensor_size, "enh_bottleneck_tensor_size"
        )


def parse_args_txt(path: Path) -> dict[str, str]:
    """Read ``args.txt`` into text values.

    Raises:
        UserError: the file is missing.
        ModelError: the file is not text, or a line is not ``key: value``.
    """
    if path.exists() and not path.is_file():  # a pipe would never end
        raise ModelError(f"{path} cannot be read as text: it is no regular file")
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{path} does not exist",
            "name a run folder of the official code: it holds args.txt and checkpoints/",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} cannot be read as text: {error}") from error
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        key, separator, value = line.partition(":")
        if not separator:
            raise ModelError(f"{path} line {number}: expected 'key: value', found {line[:60]!r}")
        values[key.strip()] = value.strip()
    return values


def run_arguments(path: Path) -> RunArguments:
    """The network options of a base run.

    Raises:
        UserError, ModelError: as :func:`parse_args_txt`, or an option is missing, out of range
            or names a layer that is not supported.
    """
    return RunArguments(**_typed(RunArguments, parse_args_txt(path), path))


def enhancer_arguments(path: Path) -> EnhancerArguments:
    """The network options of an enhancer run; errors as :func:`run_arguments`."""
    return EnhancerArguments(**_typed(EnhancerArguments, parse_args_txt(path), path))


def _typed(kind: type, values: Mapping[str, str], path: Path) -> dict[str, Any]:
    for key, wanted in _ONLY_VALUE.items():
        if values.get(key, wanted) != wanted:
            raise ModelError(
                f"{path}: {key} is {values[key]!r}, only {wanted!r} is supported",
                "published runs use no other value; please open an issue with your args.txt",
            )
    typed: dict[str, Any] = {}
    for field in fields(kind):
        if field.name in values:
            typed[field.name] = _convert(str(field.type), field.name, values[field.name], path)
        elif field.default is MISSING:
            raise ModelError(f"{path}: option {field.name} is missing")
    return typed


def _convert(kind: str, key: str, text: str, path: Path) -> int | float | bool:
    try:
        if kind == "bool":
            return {"True": True, "False": False}[text]
        number = float(text)
        if not math.isfinite(number) or number <= 0 or (kind == "int" and number != int(number)):
            raise ValueError
        if number > _MOST.get(key, _MOST_OTHERWISE):
            raise ValueError
        return int(number) if kind == "int" else number
    except (KeyError, ValueError):
        most = _MOST.get(key, _MOST_OTHERWISE)
        wanted = kind if kind == "bool" else f"positive {kind} up to {most}"
        raise ModelError(f"{path}: option {key} is {text!r}, expected a {wanted}") from None


def _doublings(large: int, small: int, name: str) -> int:
    """How often ``small`` doubles to reach ``large``; a ModelError when it does not."""
    count = round(math.log2(large / small))
    if count < 1 or small * 2**count != large:
        raise ModelError(
            f"args.txt: image_size {large} is not {name} {small} doubled a whole number of times"
        )
    return count
