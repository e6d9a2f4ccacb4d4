from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import parser

from avatar_export.conversion import verify
from avatar_export.conversion.person import Person, stand_in, torch_frames
from avatar_export.conversion.verify import EXACT, HALF, FrameRuns, frame_of, on_black, once
from avatar_export.errors import ParityError
from avatar_export.graphs.warp_reference import warp
from avatar_export.networks.bilayer import BilayerModel
from avatar_export.precision.parity import Tolerance
from tests.conversion.records import graph

# rgb is one pose number over all pixels, plus what a test adds; mask is 1, nothing is warped.
TOY = """
<ir_version: 8, opset_import: ["" : 13]>
g (float[1,136] pose) => (float[1,2,64,64] delta_uv, float[1,3,64,64] rgb, float[1,1,64,64] mask)
<int64[1] zero = {0}, int64[1] one = {1}, int64[1] axis = {1}, int64[4] image = {1, 3, 64, 64},
 int64[4] pair = {1, 2, 64, 64}, int64[4] single = {1, 1, 64, 64}, int64[4] dot = {1, 1, 1, 1},
 float[1] none = {0}, float[1] full = {1}, float[1] added = {ADDED}> {
  first = Slice(pose, zero, one, axis)
  pixel = Reshape(first, dot)
  shifted = Add(pixel, added)
  rgb = Expand(shifted, image)
  delta_uv = Expand(none, pair)
  mask = Expand(full, single)
}
"""


@pytest.fixture(scope="module")
def person(parity_model: BilayerModel) -> Person:
    return stand_in(parity_model)


@pytest.fixture
def toy(tmp_path: Path, person: Person) -> Callable[..., FrameRuns]:
    """Run a toy frame graph over the person's poses."""

    def run(added: str = "0", name: str = "toy.onnx") -> FrameRuns:
        path = tmp_path / name
        onnx.save(parser.parse_model(TOY.replace("ADDED", added)), path)
        return FrameRuns(path, person, {}, graph())

    return run


def test_frame_is_composed_as_the_model_does(parity_model: BilayerModel, person: Person) -> None:
    frame = torch_frames(parity_model, person)[1]
    texture = person.avatar.texture.numpy()
    heads = {
        "delta_uv": frame.heads.delta_uv.numpy(),
        "rgb": frame.low_frequency.numpy(),
        "mask": frame.mask.numpy(),
    }
    composed = frame_of(heads, texture)
    np.testing.assert_allclose(composed["image"], frame.image, atol=1e-5)
    np.testing.assert_allclose(composed["masked"], frame.masked_image, atol=1e-5)
    np.testing.assert_array_equal(on_black(frame, False), frame.masked_image)


def test_image_outputs_are_composed_on_black() -> None:
    image, mask = np.full((1, 3, 2, 2), 0.5, np.float32), np.full((1, 1, 2, 2), 0.25, np.float32)
    composed = frame_of({"image": image, "mask": mask}, np.zeros((1, 3, 2, 2), np.float32))
    np.testing.assert_array_equal(composed["image"], image)
    np.testing.assert_allclose(composed["masked"], 0.5 * 0.25 - 0.75)


def test_on_black_of_a_graph_that_warps(parity_model: BilayerModel, person: Person) -> None:
    frame = torch_frames(parity_model, person)[0]
    heads = {"image": frame.image.numpy(), "mask": frame.mask.numpy()}
    expected = frame_of(heads, person.avatar.texture.numpy())["masked"]
    np.testing.assert_allclose(on_black(frame, True), expected, atol=1e-6)


def test_all_poses_are_run_and_observed(tmp_path: Path, person: Person, toy) -> None:
    record = graph()
    onnx.save(parser.parse_model(TOY.replace("ADDED", "0")), tmp_path / "toy.onnx")
    runs = FrameRuns(tmp_path / "toy.onnx", person, {}, record)
    first = person.poses[:, 0]
    assert [float(outputs["rgb"][0, 0, 0, 0]) for outputs in runs.outputs] == first.tolist()
    assert record.observed["rgb"] == (float(first.min()), float(first.max()))
    assert record.observed["mask"] == (1.0, 1.0)
    low, high = record.observed["pose"]
    assert (low, high) == (float(person.poses.min()), float(person.poses.max()))
    texture = person.avatar.texture.numpy()
    still = warp(texture, np.zeros((1, 2, 64, 64), np.float32))
    np.testing.assert_allclose(runs.frames[0]["image"], first[0] + still, atol=1e-6)


def test_equal_graphs_agree(toy: Callable[..., FrameRuns]) -> None:
    found = toy().against(toy(name="other.onnx"), "bake", EXACT)
    assert [(p.output, p.max_abs) for p in found] == [("delta_uv", 0), ("rgb", 0), ("mask", 0)]
    assert {(p.step, p.subject, p.reference) for p in found} == {("bake", "toy.onnx", "other.onnx")}
    assert {p.output for p in found if p.psnr_db is not None} == {"rgb"}


def test_a_difference_beyond_the_tolerance_is_raised(toy: Callable[..., FrameRuns]) -> None:
    with pytest.raises(ParityError, match=r"bake: output 'rgb' of toy.onnx is not that of o.onnx"):
        toy("0.0002").against(toy(name="o.onnx"), "bake", EXACT)
    toy("0.00005").against(toy(name="o.onnx"), "bake", EXACT)


def test_composed_images_are_compared_in_decibels(toy: Callable[..., FrameRuns]) -> None:
    other = toy(name="other.onnx")
    # 20 log10(2 / 0.019) is 40.4 dB, 20 log10(2 / 0.021) is 39.6 dB.
    found = toy("0.019").composed_against(other, "fp16", HALF)
    assert [p.output for p in found] == ["image", "masked"]
    with pytest.raises(ParityError, match=r"PSNR 39\.6 dB"):
        toy("0.021").composed_against(other, "fp16", HALF)


def test_one_bad_pose_is_enough(toy: Callable[..., FrameRuns]) -> None:
    good, bad = toy(), toy(name="other.onnx")
    bad.outputs[-1]["rgb"] = bad.outputs[-1]["rgb"] + np.float32(1e-3)
    with pytest.raises(ParityError, match="'rgb'"):
        good.against(bad, "bake", EXACT)


def test_a_number_that_is_not_finite_is_raised(toy: Callable[..., FrameRuns]) -> None:
    with pytest.raises(ParityError, match="not finite"):
        toy("nan").composed_against(toy(name="o.onnx"), "fp16", HALF)


def test_frames_of_pytorch_are_demanded(
    parity_model: BilayerModel, person: Person, toy: Callable[..., FrameRuns]
) -> None:
    with pytest.raises(ParityError, match="export: output"):
        toy().against_torch(torch_frames(parity_model, person))


def test_frames_of_pytorch_agree_with_themselves(
    parity_model: BilayerModel, person: Person, toy: Callable[..., FrameRuns]
) -> None:
    runs, frames = toy(), torch_frames(parity_model, person)
    runs.outputs = [verify._torch_outputs(frame, runs.outputs[0]) for frame in frames]
    texture = person.avatar.texture.numpy()
    runs.frames = [frame_of(outputs, texture) for outputs in runs.outputs]
    found = runs.against_torch(frames)
    assert [p.output for p in found] == ["delta_uv", "rgb", "mask", "image", "masked"]
    shifted = [replace(f, mask=f.mask + torch.tensor(2e-4)) for f in frames]
    with pytest.raises(ParityError, match="'mask'"):
        runs.against_torch(shifted)


def test_once_compares_and_observes(tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["" : 13]> g (float[1,2] x) => (float[1,2] y) {'
    path = tmp_path / "neg.onnx"
    onnx.save(parser.parse_model(text + " y = Neg(x) }"), path)
    x, record = np.array([[1, 2]], np.float32), graph()
    (found,) = once(record, path, {"x": x}, {"y": -x}, set())
    assert (found.step, found.subject, found.reference) == ("export", "neg.onnx", "PyTorch")
    assert record.observed == {"x": (1.0, 2.0), "y": (-2.0, -1.0)}
    with pytest.raises(ParityError, match=r"output 'y' of neg\.onnx"):
        once(record, path, {"x": x}, {"y": x}, set())
    with pytest.raises(ParityError, match="missing"):
        once(record, path, {"x": x}, {"y": -x, "z": x}, set())


def test_the_tolerances_are_those_promised() -> None:
    assert Tolerance(max_abs=1e-4) == EXACT
    assert Tolerance(psnr_db=40.0) == HALF
