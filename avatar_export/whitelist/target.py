"""The chip, runtime and SDK version that a model is judged for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One chip with the SDK and runtime to judge for.

    Attributes:
        name: key in ``layer_whitelist/targets.toml``.
        chip: system on chip, such as ``Snapdragon 855 (SM8150)``.
        gpu: GPU name.
        sdk: version folder of ``layer_whitelist/``.
        runtime: key of the runtimes in ``targets.toml``, such as ``gpu_float16``.
        column: column of ``layers.csv`` that speaks for the runtime.
        max_image_width: OpenCL image2d width in texels; MaxPerGPUSize of limitations.html.
        source: where the width comes from.
    """

    name: str
    chip: str
    gpu: str
    sdk: str
    runtime: str
    column: str
    max_image_width: int
    source: str
