"""The export graphs of the bi-layer model: avatar, enhance, frame."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from avatar_export.graphs.sampling import HatSampler, ScatterSampler
from avatar_export.graphs.spec import Graph, TensorSpec
from avatar_export.graphs.warp import GatherWarp, GridSampleWarp, WarpForm
from avatar_export.networks.bilayer import BilayerModel
from avatar_export.networks.blocks import AdaptiveParameter, widths_up
from avatar_export.networks.texture_enhancer import TextureEnhancer

EnhanceForm = Literal["scatter", "matmul"]

# The largest matrix of the matmul form, in numbers: 4 MiB of float32.
_TILE_NUMBERS = 2**20


class AvatarModule(nn.Module):
    """image, stickman [1, 3, H, W], mask [1, 1, H, W] -> texture, then weight and bias of each
    adaptive layer in the form that the frame graph reads.

    Stickman and mask are given only where the run's embedder reads them.
    """

    def __init__(self, model: BilayerModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        model = self.model
        given = iter(others)
        stickman = image if model.args.emb_no_stickman else next(given)
        mask = next(given) if model.args.emb_apply_masks else image
        embeddings = model.identity_embedder.embed(image, stickman, mask)
        adaptive = model.inference_generator.project(embeddings)
        return (model.texture_generator(embeddings), *graph_parameters(adaptive))


class EnhanceModule(nn.Module):
    """texture, source_uv, source_rgb, source, source_mask -> enhanced texture."""

    def __init__(self, enhancer: TextureEnhancer, form: EnhanceForm, size: int) -> None:
        super().__init__()
        self.enhancer = enhancer
        self.form = form
        self.tile_rows = max(1, min(size, _TILE_NUMBERS // (size * size)))

    def forward(
        self, texture: Tensor, uv: Tensor, rgb: Tensor, source: Tensor, mask: Tensor
    ) -> Tensor:
        sampler = ScatterSampler(uv) if self.form == "scatter" else HatSampler(uv, self.tile_rows)
        enhanced: Tensor = self.enhancer(texture, sampler, rgb, source, mask)
        return enhanced


class FrameModule(nn.Module):
    """pose [1, 136] (, texture), adaptive parameters -> delta_uv, rgb, mask or image, mask."""

    def __init__(self, model: BilayerModel, warp: WarpForm) -> None:
        super().__init__()
        self.keypoints_embedder = model.keypoints_embedder
        self.gen_inf = model.inference_generator.gen_inf
        self.warp: nn.Module | None = None
        if warp == "gather":
            self.warp = GatherWarp(model.args.image_size)
        elif warp == "grid_sample":
            self.warp = GridSampleWarp(model.inference_generator.identity_grid)

    def forward(self, pose: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        if self.warp is not None:
            texture, *tensors = tensors  # type: ignore[assignment]
        pairs = zip(tensors[::2], tensors[1::2], strict=True)
        parameters = [AdaptiveParameter(weight, bias) for weight, bias in pairs]
        heads = self.gen_inf(self.keypoints_embedder(pose), parameters)
        mask = torch.sigmoid(heads.mask_logit)
        if self.warp is None:
            return heads.delta_uv, heads.rgb, mask
        return heads.rgb + self.warp(texture, heads.delta_uv), mask


def graph_parameters(parameters: list[AdaptiveParameter]) -> list[Tensor]:
    """Parameters of one person in the form of the frame graph's inputs, weight and bias in turn.

    A norm's become [1, C, 1, 1]; a convolution's [C, C_in, 1, 1] and [C].
    """
    tensors = []
    for p in parameters:
        if p.weight.ndim == 2:
            tensors += [x.reshape(1, -1, 1, 1) for x in (p.weight, p.bias)]
        else:
            tensors += [p.weight.reshape(p.weight.shape[1:]), p.bias.reshape(-1)]
    return tensors


def avatar_graph(model: BilayerModel) -> Graph:
    """Once a person: source image, stickman, mask -> texture and adaptive parameters.

    A run that embeds no stickman, or applies no mask, has no such input.
    """
    size = model.args.image_size
    inputs = [_image("source_image", size, "source photo, RGB, cropped to the face")]
    if not model.args.emb_no_stickman:
        meaning = "stickman drawn from the photo's key points, RGB"
        inputs.append(_image("source_stickman", size, meaning))
    if model.args.emb_apply_masks:
        inputs.append(_mask("source_mask", size, "foreground of the photo"))
    outputs = (_texture("texture", size, -1.0, 1.0, "high-frequency texture"),)
    module: nn.Module = AvatarModule(model)
    return Graph("avatar", module, tuple(inputs), outputs + _parameter_specs(model))


def enhance_graph(model: BilayerModel, form: EnhanceForm) -> Graph:
    """Once a person: the texture enhancer, its gradient steps unrolled, no autograd.

    Raises:
        ValueError: the model has no enhancer.
    """
    if model.texture_enhancer is None:
        raise ValueError("the model has no texture enhancer")
    size = model.args.image_size
    inputs = (
        _texture("texture", size, -1.0, 1.0, "texture of the avatar graph"),
        TensorSpec(
            "source_uv",
            (1, 2, size, size),
            "NCHW",
            -2.0,
            2.0,
            "sampling positions of the source frame: identity grid + delta_uv; channel 0 is x",
        ),
        _image("source_rgb", size, "rgb output of the frame graph at the source's own pose"),
        _image("source_image", size, "source photo, RGB, not masked"),
        _mask("source_mask", size, "mask output of the frame graph at the source's own pose"),
    )
    outputs = (_texture("enhanced_texture", size, None, None, "texture, enhanced; not clamped"),)
    module = EnhanceModule(model.texture_enhancer, form, size)
    return Graph("enhance", module, inputs, outputs)


def frame_graph(model: BilayerModel, warp: WarpForm) -> Graph:
    """Every frame: pose (, texture), adaptive parameters -> the frame."""
    size = model.args.image_size
    pose = TensorSpec(
        "pose",
        (1, model.args.pse_in_channels),
        "NC",
        -1.0,
        1.0,
        "key points x0, y0, x1, y1, ... in the crop, -1 left or top, 1 right or bottom",
    )
    texture = _texture("texture", size, None, None, "texture, enhanced or not")
    textures = () if warp == "external" else (texture,)
    return Graph(
        "frame",
        FrameModule(model, warp),
        (pose, *textures, *_parameter_specs(model)),
        _frame_outputs(size, warp),
    )


def _frame_outputs(size: int, warp: WarpForm) -> tuple[TensorSpec, ...]:
    mask = _mask("mask", size, "foreground")
    if warp != "external":
        image = TensorSpec(
            "image", (1, 3, size, size), "NCHW", None, None, "frame, RGB, not clamped, not masked"
        )
        return image, mask
    uv = TensorSpec(
        "delta_uv",
        (1, 2, size, size),
        "NCHW",
        -1.0,
        1.0,
        "displacement of the sampling position, unit half an image, channel 0 is x",
    )
    return uv, _image("rgb", size, "low-frequency layer, RGB"), mask


def _parameter_specs(model: BilayerModel) -> tuple[TensorSpec, ...]:
    """Names and shapes of the adaptive parameters, found by projecting empty embeddings."""
    args = model.args
    side = args.emb_output_tensor_size
    widths = widths_up(args.emb_num_channels, args.emb_max_channels, args.num_up_blocks)[1:]
    blank = [torch.zeros(1, width, side, side) for width in widths]
    specs: list[TensorSpec] = []
    for k, parameter in enumerate(model.inference_generator.project(blank)):
        norm = parameter.weight.ndim == 2
        weight, bias = (tuple(x.shape) for x in graph_parameters([parameter]))
        layouts = ("NCHW", "NCHW") if norm else ("OIHW", "C")
        meanings = ("norm scale - 1", "norm shift") if norm else ("1x1 weight", "1x1 bias")
        for kind, shape, layout, meaning in zip(
            ("weight", "bias"), (weight, bias), layouts, meanings, strict=True
        ):
            specs.append(TensorSpec(f"inf_{kind}_{k:02d}", shape, layout, None, None, meaning))
    return tuple(specs)


def _image(name: str, size: int, meaning: str) -> TensorSpec:
    return TensorSpec(name, (1, 3, size, size), "NCHW", -1.0, 1.0, meaning)


def _mask(name: str, size: int, meaning: str) -> TensorSpec:
    return TensorSpec(name, (1, 1, size, size), "NCHW", 0.0, 1.0, meaning)


def _texture(
    name: str, size: int, low: float | None, high: float | None, meaning: str
) -> TensorSpec:
    return TensorSpec(name, (1, 3, size, size), "NCHW", low, high, meaning)
