"""Parity of every step against the step before it and against PyTorch."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from avatar_export.conversion.person import Person
from avatar_export.conversion.record import GraphRecord
from avatar_export.graphs.warp_reference import compose, warp
from avatar_export.networks.bilayer import Frame
from avatar_export.precision.parity import Parity, Tolerance, compare, require
from avatar_export.precision.runner import OnnxRunner

# Largest difference of an exported graph from PyTorch, and of the baked from the generic graph.
EXACT = Tolerance(max_abs=1e-4)
# Half precision against float32, on every output of the graph.
HALF = Tolerance(psnr_db=40.0)
# The picture an application composes of them. An error of the displacement counts there as much as
# the texture changes from texel to texel; that of an untrained network is noise. So these limits
# only tell a broken composition from a sound one: the limits above are the strict ones.
COMPOSED = Tolerance(psnr_db=60.0)
COMPOSED_HALF = Tolerance(psnr_db=20.0)

_THREADS = os.cpu_count() or 1
Tensors = dict[str, np.ndarray]


def frame_of(outputs: Tensors, texture: np.ndarray) -> Tensors:
    """What an application shows: the image, and the image on black."""
    mask = outputs["mask"]
    if "image" in outputs:
        image = outputs["image"]
        return {"image": image, "masked": image * mask - (1.0 - mask)}
    rgb, warped = outputs["rgb"], warp(texture, outputs["delta_uv"])
    return {"image": compose(rgb, warped), "masked": compose(rgb, warped, mask)}


def on_black(frame: Frame, warp_in_graph: bool) -> np.ndarray:
    """PyTorch's frame on black, composed from the same tensors as :func:`frame_of` has."""
    if warp_in_graph:
        return (frame.image * frame.mask - (1.0 - frame.mask)).numpy()
    return frame.masked_image.numpy()


def once(
    record: GraphRecord, path: Path, inputs: Tensors, expected: Tensors, images: set[str]
) -> list[Parity]:
    """Compare one run of a graph with PyTorch; raise a ParityError when it differs."""
    outputs = OnnxRunner(path, _THREADS).run(inputs)
    record.observe({**inputs, **outputs})
    found = compare("export", path.name, "PyTorch", outputs, expected, EXACT, images)
    require(found)
    return found


class FrameRuns:
    """All poses through one frame graph.

    Args:
        path: the ONNX file.
        person: its poses are run.
        extra: inputs besides the pose.
        record: gets the observed ranges.
    """

    def __init__(self, path: Path, person: Person, extra: Tensors, record: GraphRecord) -> None:
        self.name = path.name
        runner = OnnxRunner(path, _THREADS)
        self.outputs: list[Tensors] = []
        for k in range(len(person.poses)):
            inputs = {**person.pose(k), **extra}
            outputs = runner.run(inputs)
            record.observe({**inputs, **outputs})
            self.outputs.append(outputs)
        texture = person.avatar.texture.numpy()
        self.frames = [frame_of(outputs, texture) for outputs in self.outputs]

    def against(self, other: FrameRuns, step: str, tolerance: Tolerance) -> list[Parity]:
        """Compare the outputs with those of another graph for the same poses."""
        return _stacked(step, self.name, other.name, self.outputs, other.outputs, tolerance)

    def composed_against(self, other: FrameRuns, step: str, tolerance: Tolerance) -> list[Parity]:
        """Compare the composed pictures with those of another graph for the same poses."""
        return _stacked(step, self.name, other.name, self.frames, other.frames, tolerance)

    def against_torch(self, frames: list[Frame]) -> list[Parity]:
        """Compare with PyTorch: every output of the graph, then the composed image."""
        expected = [_torch_outputs(frame, self.outputs[0]) for frame in frames]
        found = _stacked("export", self.name, "PyTorch", self.outputs, expected, EXACT)
        in_graph = "image" in self.outputs[0]
        reference = [
            {"image": frame.image.numpy(), "masked": on_black(frame, in_graph)} for frame in frames
        ]
        return found + _stacked("compose", self.name, "PyTorch", self.frames, reference, COMPOSED)


def _stacked(
    step: str,
    subject: str,
    reference: str,
    outputs: list[Tensors],
    expected: list[Tensors],
    tolerance: Tolerance,
) -> list[Parity]:
    found = compare(
        step,
        subject,
        reference,
        _concatenate(outputs),
        _concatenate(expected),
        tolerance,
        images={"image", "masked", "rgb"},
    )
    require(found)
    return found


def _concatenate(tensors: list[Tensors]) -> Tensors:
    return {name: np.concatenate([t[name] for t in tensors]) for name in tensors[0]}


def _torch_outputs(frame: Frame, like: Tensors) -> Tensors:
    """PyTorch's tensors under the names of a frame graph's outputs."""
    known = {
        "delta_uv": frame.heads.delta_uv,
        "rgb": frame.low_frequency,
        "mask": frame.mask,
        "image": frame.image,
    }
    return {name: known[name].numpy() for name in like}
