from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from avatar_export.conversion.person import Person, meet, motions, spread, stand_in, torch_frames
from avatar_export.errors import UserError
from avatar_export.graphs.bilayer import avatar_graph, enhance_graph, frame_graph
from avatar_export.graphs.spec import TensorSpec
from avatar_export.networks.bilayer import BilayerModel


@pytest.fixture(scope="module")
def person(parity_model: BilayerModel) -> Person:
    return stand_in(parity_model)


def shapes(specs: tuple[TensorSpec, ...]) -> dict[str, tuple[int, ...]]:
    return {spec.name: spec.shape for spec in specs}


def test_inputs_are_those_of_the_graphs(parity_model: BilayerModel, person: Person) -> None:
    frame = {**person.pose(0), **person.frame_constants()}
    for given, graph in (
        (person.avatar_inputs(), avatar_graph(parity_model)),
        (person.enhance_inputs(), enhance_graph(parity_model, "matmul")),
        (frame, frame_graph(parity_model, "gather")),
    ):
        assert {name: x.shape for name, x in given.items()} == shapes(graph.inputs)
        assert {x.dtype for x in given.values()} == {np.dtype(np.float32)}


def test_enhancement_changes_the_texture_only(person: Person) -> None:
    assert not np.array_equal(person.avatar.texture, person.generated.texture)
    assert person.avatar.adaptive is person.generated.adaptive
    np.testing.assert_array_equal(person.frame_constants()["texture"], person.avatar.texture)


def test_without_an_enhancer_the_texture_is_the_generators(sample_model: BilayerModel) -> None:
    enhancer, sample_model.texture_enhancer = sample_model.texture_enhancer, None
    try:
        plain = stand_in(sample_model)
    finally:
        sample_model.texture_enhancer = enhancer
    np.testing.assert_array_equal(plain.avatar.texture, plain.generated.texture)


def test_the_stand_in_is_the_same_every_time(parity_model: BilayerModel, person: Person) -> None:
    again = stand_in(parity_model)
    np.testing.assert_array_equal(again.poses, person.poses)
    np.testing.assert_array_equal(again.avatar.texture, person.avatar.texture)


def test_given_poses_are_used_twelve_at_most(parity_model: BilayerModel, person: Person) -> None:
    driving = np.random.default_rng(0).uniform(-1, 1, (30, 136)).astype(np.float32)
    poses = meet(parity_model, person.source, driving).poses
    assert poses.shape == (12, 136)
    np.testing.assert_array_equal(poses[[0, -1]], driving[[0, -1]])
    np.testing.assert_array_equal(meet(parity_model, person.source, driving[:2]).poses, driving[:2])


def test_a_run_of_other_key_points_is_refused(parity_model: BilayerModel, person: Person) -> None:
    short = replace(person.source, pose=person.source.pose[:100])
    with pytest.raises(UserError, match="the run reads 136 pose numbers, the key points give 100"):
        meet(parity_model, short, None)


def test_frames_are_one_a_pose(parity_model: BilayerModel, person: Person) -> None:
    frames = torch_frames(parity_model, person)
    assert len(frames) == len(person.poses)
    assert frames[0].image.shape == (1, 3, 64, 64)
    np.testing.assert_array_equal(frames[0].heads.delta_uv, person.source_frame.heads.delta_uv)


def test_motions_begin_with_the_pose_and_stay_near_it(person: Person) -> None:
    pose = person.source.pose
    moved = motions(pose)
    assert moved.shape == (6, 136)
    assert moved.dtype == np.float32
    np.testing.assert_array_equal(moved[0], pose)
    for other in moved[1:]:
        assert 0.005 < np.abs(other - pose).max() < 0.3


@pytest.mark.parametrize(
    ("count", "most", "kept"),
    [(1, 5, [0]), (5, 5, [0, 1, 2, 3, 4]), (9, 5, [0, 2, 4, 6, 8]), (6, 2, [0, 5])],
)
def test_spread(count: int, most: int, kept: list[int]) -> None:
    assert spread(np.arange(count), most).tolist() == kept
