"""The baked frame graph at full size: as PyTorch and onnxsim leave it, and as we write it.

The widths are the published ones (256 px, 32/256 inference generator) and the weights random; the
person is noise. Nothing of that changes what a frame costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxsim
import torch
from torch import Tensor, nn

from avatar_export.conversion.build import Built, build
from avatar_export.conversion.person import Person, stand_in
from avatar_export.graphs.bilayer import frame_graph
from avatar_export.graphs.spec import Graph
from avatar_export.networks.bilayer import BilayerModel
from avatar_export.networks.run_folder import load_model
from avatar_export.whitelist.target import Target
from benchmarks.synthetic_run import write_run

# What one would ask torch.onnx.export for today, were it not for a phone.
_PLAIN_OPSET = 17


class BakedModule(nn.Module):
    """pose [1, 136] -> outputs of a frame graph whose other inputs are buffers."""

    def __init__(self, graph: Graph, constants: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.frame = graph.module
        self.names = [spec.name for spec in graph.inputs if spec.name in constants]
        for name in self.names:
            self.register_buffer(name, torch.from_numpy(constants[name]))

    def forward(self, pose: Tensor) -> tuple[Tensor, ...]:
        outputs: tuple[Tensor, ...] = self.frame(pose, *map(self.get_buffer, self.names))
        return outputs


@dataclass(frozen=True)
class BakedFrame:
    """The frame graph of one person, warp left to the application.

    Attributes:
        graph: the frame graph, any person.
        constants: the person's adaptive parameters by input name.
        person: with the poses.
        module: graph and constants as one PyTorch module of the pose.
    """

    graph: Graph
    constants: dict[str, np.ndarray]
    person: Person
    module: BakedModule

    @property
    def pose(self) -> np.ndarray:
        """[1, 136] float32, the pose that everything is run at."""
        return self.person.poses[:1]

    def by_pytorch(self) -> list[np.ndarray]:
        """delta_uv, rgb, mask of the pose."""
        with torch.no_grad():
            return [x.numpy() for x in self.module(torch.from_numpy(self.pose))]

    def plain(self, path: Path) -> onnx.ModelProto:
        """What torch.onnx.export and onnxsim make of the module; also written to ``path``."""
        torch.onnx.export(
            self.module,
            (torch.from_numpy(self.pose),),
            path,
            opset_version=_PLAIN_OPSET,
            input_names=["pose"],
            output_names=[spec.name for spec in self.graph.outputs],
            dynamo=False,
        )
        simplified, _ = onnxsim.simplify(onnx.load(path))
        onnx.save(simplified, path)
        return simplified

    def ours(self, target: Target) -> Built:
        """What ``avatar-export convert`` writes for a target, every pass verified."""
        poses = [self.person.pose(k) for k in range(len(self.person.poses))]
        return build(self.graph, target, {**poses[0], **self.constants}, self.constants, poses)


def full_size_model(folder: Path) -> BilayerModel:
    """An untrained run of the published size, written to ``folder`` and read back."""
    base, _ = write_run(folder, enhancer=False)
    return load_model(base)


def baked_frame(model: BilayerModel) -> BakedFrame:
    """The frame graph of a person made of noise."""
    person = stand_in(model)
    graph = frame_graph(model, "external")
    constants = person.frame_constants()
    del constants["texture"]  # the application's, with this form of the warp
    module = BakedModule(graph, constants).eval()
    return BakedFrame(graph, constants, person, module)
