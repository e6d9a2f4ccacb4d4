"""One person: what PyTorch computes once from the source photo. The reference of every step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from avatar_export.errors import UserError
from avatar_export.graphs.bilayer import graph_parameters
from avatar_export.networks.bilayer import Avatar, BilayerModel, Frame
from avatar_export.networks.preprocessing import Source, Square

# Poses for the comparison when the user gives none: the source's own, then this many motions.
_MOTIONS = 5
# More poses than this make the comparison slower, not stricter.
_MOST_POSES = 12


@dataclass(frozen=True)
class Person:
    """An avatar and the poses it is compared at.

    Args:
        source: the prepared photo.
        generated: the texture as the generator made it, with the adaptive parameters.
        avatar: the same with the enhanced texture, if the model has an enhancer.
        source_frame: the generated avatar at the source's own pose.
        poses: [N, 136] float32.
    """

    source: Source
    generated: Avatar
    avatar: Avatar
    source_frame: Frame
    poses: np.ndarray

    def avatar_inputs(self) -> dict[str, np.ndarray]:
        """Inputs of the avatar graph."""
        return {
            "source_image": self.source.image[None],
            "source_stickman": self.source.stickman[None],
            "source_mask": self.source.mask[None],
        }

    def enhance_inputs(self) -> dict[str, np.ndarray]:
        """Inputs of the enhance graph."""
        frame = self.source_frame
        return {
            "texture": self.generated.texture.numpy(),
            "source_uv": np.ascontiguousarray(frame.uv.permute(0, 3, 1, 2).numpy()),
            "source_rgb": frame.low_frequency.numpy(),
            "source_image": self.source.image[None],
            "source_mask": frame.mask.numpy(),
        }

    def frame_constants(self) -> dict[str, np.ndarray]:
        """Texture and adaptive parameters under the names of the frame graph's inputs."""
        tensors = [x.numpy() for x in graph_parameters(self.avatar.adaptive)]
        named = {"texture": self.avatar.texture.numpy()}
        for k in range(0, len(tensors), 2):
            named[f"inf_weight_{k // 2:02d}"] = tensors[k]
            named[f"inf_bias_{k // 2:02d}"] = tensors[k + 1]
        return named

    def pose(self, k: int) -> dict[str, np.ndarray]:
        """Pose k as the input of a frame graph."""
        return {"pose": self.poses[k : k + 1]}


def meet(model: BilayerModel, source: Source, poses: np.ndarray | None) -> Person:
    """Run the once-a-person half of the model in PyTorch.

    Args:
        source: images of shape [C, H, W], H = W = the run's image size.
        poses: [N, 136]; at most twelve are used. None moves the source's pose.

    Raises:
        UserError: the run reads another number of key points.
    """
    wanted = model.args.pse_in_channels
    if source.pose.size != wanted:
        raise UserError(
            f"the run reads {wanted} pose numbers, the key points give {source.pose.size}"
        )
    image, stickman, mask, pose = (
        torch.from_numpy(x)[None] for x in (source.image, source.stickman, source.mask, source.pose)
    )
    with torch.no_grad():
        generated = model.avatar(image[:, None], stickman[:, None], mask[:, None])
        source_frame = model.frame(pose, generated)
        texture = model.enhance(generated, image, source_frame)
    avatar = Avatar(texture, generated.adaptive)
    chosen = motions(source.pose) if poses is None else spread(poses, _MOST_POSES)
    return Person(source, generated, avatar, source_frame, chosen)


def spread(rows: np.ndarray, most: int) -> np.ndarray:
    """At most ``most`` rows of an array, evenly spaced, the first and the last included."""
    if len(rows) <= most:
        return rows
    chosen: np.ndarray = rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]
    return chosen


def stand_in(model: BilayerModel, seed: int = 0) -> Person:
    """A person made of noise, for graphs that are written without a photo."""
    rng = np.random.default_rng(seed)
    size = model.args.image_size
    source = Source(
        image=rng.uniform(-1, 1, (3, size, size)).astype(np.float32),
        mask=np.ones((1, size, size), np.float32),
        stickman=rng.uniform(-1, 1, (3, size, size)).astype(np.float32),
        pose=rng.uniform(-0.8, 0.8, model.args.pse_in_channels).astype(np.float32),
        crop=Square(0, 0, size),
    )
    return meet(model, source, None)


def motions(pose: np.ndarray) -> np.ndarray:
    """The pose and small turns, shifts and scalings of it: [6, 136]."""
    points = pose.reshape(-1, 2)
    centre = points.mean(0)
    moved = [points]
    for k in range(1, _MOTIONS + 1):
        angle = 0.08 * np.sin(1.3 * k)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = 0.05 * np.array([np.cos(2.1 * k), np.sin(2.1 * k)])
        scale = 1.0 + 0.04 * np.cos(1.7 * k)
        moved.append((points - centre) @ turn.T * scale + centre + shift)
    return np.stack(moved).reshape(len(moved), -1).astype(np.float32)


def torch_frames(model: BilayerModel, person: Person) -> list[Frame]:
    """Every pose rendered by PyTorch, one at a time as a phone would."""
    with torch.no_grad():
        return [model.frame(torch.from_numpy(p[None]), person.avatar) for p in person.poses]
