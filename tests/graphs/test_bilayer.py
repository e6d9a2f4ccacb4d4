"""Every export graph against the model it was made from, on a real person and on random inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from avatar_export.graphs.bilayer import (
    EnhanceModule,
    avatar_graph,
    enhance_graph,
    frame_graph,
    graph_parameters,
)
from avatar_export.graphs.export import export_onnx, run_torch
from avatar_export.graphs.spec import Graph, TensorSpec
from avatar_export.networks.arguments import EnhancerArguments, RunArguments, run_arguments
from avatar_export.networks.bilayer import Avatar, BilayerModel, Frame
from avatar_export.networks.run_folder import build_model, load_model
from avatar_export.precision.runner import OnnxRunner, run_onnx
from benchmarks.synthetic_run import write_run

Arrays = dict[str, np.ndarray]

TOLERANCE = 1e-4
GRAPHS = (
    "avatar",
    "enhance scatter",
    "enhance matmul",
    "frame external",
    "frame gather",
    "frame grid_sample",
)


@dataclass(frozen=True)
class Person:
    """What the model itself, not its graphs, makes of the portrait."""

    avatar: Avatar
    source_frame: Frame
    enhanced: Tensor
    frames: list[Frame]


@pytest.fixture(scope="session")
def person(sample_model: BilayerModel, sample_inputs: dict[str, Tensor]) -> Person:
    with torch.no_grad():
        sources = (sample_inputs[f"source_{name}"] for name in ("imgs", "stickmen", "segs"))
        avatar = sample_model.avatar(*sources)
        source_frame = sample_model.frame(sample_inputs["source_poses"][0], avatar)
        enhanced = sample_model.enhance(avatar, sample_inputs["source_imgs"][:, 0], source_frame)
        better = replace(avatar, texture=enhanced)
        poses = sample_inputs["target_poses"][0, :2]
        frames = [sample_model.frame(pose[None], better) for pose in poses]
    return Person(avatar, source_frame, enhanced, frames)


@pytest.fixture(scope="session")
def parameters(person: Person) -> Arrays:
    """The portrait's adaptive parameters by their names in the frame graph."""
    tensors = [x.numpy() for x in graph_parameters(person.avatar.adaptive)]
    kinds = ("weight", "bias")
    return {f"inf_{kinds[k % 2]}_{k // 2:02d}": x for k, x in enumerate(tensors)}


def graph_of(model: BilayerModel, name: str) -> Graph:
    kind, _, form = name.partition(" ")
    if kind == "avatar":
        return avatar_graph(model)
    make = enhance_graph if kind == "enhance" else frame_graph
    return make(model, form)  # type: ignore[arg-type, operator]


@dataclass(frozen=True)
class Exported:
    graph: Graph
    model: onnx.ModelProto
    runner: OnnxRunner


@pytest.fixture(scope="session")
def exports(sample_model: BilayerModel):
    """The sample's graphs by name, each exported once."""

    @cache
    def export(name: str) -> Exported:
        graph = graph_of(sample_model, name)
        model = export_onnx(graph)
        return Exported(graph, model, OnnxRunner(model))

    return export


def assert_close(found: Arrays, expected: dict[str, Tensor] | Arrays) -> None:
    assert list(found) == list(expected)
    for name, reference in expected.items():
        np.testing.assert_allclose(found[name], np.asarray(reference), rtol=0, atol=TOLERANCE)


def drawn(graph: Graph, seed: int = 0) -> Arrays:
    """Random inputs, the texture a faint one: between texels of noise, a position that is rounded
    otherwise shows as an image that differs."""
    inputs = graph.random_inputs(seed)
    return inputs | {name: 0.1 * array for name, array in inputs.items() if name == "texture"}


# The portrait, in ONNX Runtime, is what the model makes of it


def test_avatar(
    exports, person: Person, parameters: Arrays, sample_inputs: dict[str, Tensor]
) -> None:
    sources = {"image": "imgs", "stickman": "stickmen", "mask": "segs"}
    inputs = {f"source_{a}": sample_inputs[f"source_{b}"][0].numpy() for a, b in sources.items()}
    expected = {"texture": person.avatar.texture, **parameters}
    assert_close(exports("avatar").runner.run(inputs), expected)


@pytest.mark.parametrize("form", ["scatter", "matmul"])
def test_enhance(form: str, exports, person: Person, sample_inputs: dict[str, Tensor]) -> None:
    frame = person.source_frame
    inputs = {
        "texture": person.avatar.texture,
        "source_uv": frame.uv.permute(0, 3, 1, 2),
        "source_rgb": frame.low_frequency,
        "source_image": sample_inputs["source_imgs"][0],
        "source_mask": frame.mask,
    }
    found = exports(f"enhance {form}").runner.run({k: v.numpy() for k, v in inputs.items()})
    assert_close(found, {"enhanced_texture": person.enhanced})
    assert (person.enhanced - person.avatar.texture).abs().max() > 0.1


@pytest.mark.parametrize("warp", ["external", "gather", "grid_sample"])
def test_frame(
    warp: str, exports, person: Person, parameters: Arrays, sample_inputs: dict[str, Tensor]
) -> None:
    for pose, frame in zip(sample_inputs["target_poses"][0], person.frames, strict=False):
        inputs = {"pose": pose[None].numpy(), **parameters}
        expected = {"delta_uv": frame.heads.delta_uv, "rgb": frame.low_frequency}
        if warp != "external":
            inputs["texture"] = person.enhanced.numpy()
            expected = {"image": frame.image}
        expected["mask"] = frame.mask
        assert_close(exports(f"frame {warp}").runner.run(inputs), expected)


def test_avatar_feeds_frame(exports, person: Person, sample_inputs: dict[str, Tensor]) -> None:
    """Outputs of one graph are inputs of the other as they are: same names, no reshaping."""
    sources = {"image": "imgs", "stickman": "stickmen", "mask": "segs"}
    inputs = {f"source_{a}": sample_inputs[f"source_{b}"][0].numpy() for a, b in sources.items()}
    made = exports("avatar").runner.run(inputs)
    made["texture"] = person.enhanced.numpy()
    pose = sample_inputs["target_poses"][0, :1].numpy()
    found = exports("frame gather").runner.run({"pose": pose, **made})
    assert_close(found, {"image": person.frames[0].image, "mask": person.frames[0].mask})


# The interface that applications see


@pytest.mark.parametrize("name", GRAPHS)
def test_names_and_shapes_are_those_declared(name: str, exports) -> None:
    graph, model = exports(name).graph, exports(name).model
    onnx.checker.check_model(model, full_check=True)
    assert model.graph.name == graph.name == name.split()[0]
    for values, specs in ((model.graph.input, graph.inputs), (model.graph.output, graph.outputs)):
        found = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in values}
        assert list(found.items()) == [(spec.name, spec.shape) for spec in specs]
        assert {v.type.tensor_type.elem_type for v in values} == {onnx.TensorProto.FLOAT}


@pytest.mark.parametrize("name", GRAPHS)
def test_random_inputs_give_declared_outputs(name: str, exports, parameters: Arrays) -> None:
    """Shapes and ranges of all outputs; adaptive parameters are real, random ones saturate."""
    graph = exports(name).graph
    inputs = {name: parameters.get(name, array) for name, array in drawn(graph, 5).items()}
    found = exports(name).runner.run(inputs)
    assert_close(found, run_torch(graph, inputs))
    for spec in graph.outputs:
        assert found[spec.name].shape == spec.shape
        assert spec.low is None or found[spec.name].min() >= spec.low - 1e-6
        assert spec.high is None or found[spec.name].max() <= spec.high + 1e-6


@pytest.mark.parametrize("name", GRAPHS)
def test_every_tensor_says_what_it_is(name: str, exports) -> None:
    graph = exports(name).graph
    for spec in (*graph.inputs, *graph.outputs):
        assert len(spec.layout) == len(spec.shape)
        assert spec.meaning
        assert spec.dtype == "float32"


INTERFACES: dict[str, tuple[str, str]] = {
    "avatar": ("source_image source_stickman source_mask", "texture"),
    "enhance scatter": (
        "texture source_uv source_rgb source_image source_mask",
        "enhanced_texture",
    ),
    "frame external": ("pose", "delta_uv rgb mask"),
    "frame gather": ("pose texture", "image mask"),
    "frame grid_sample": ("pose texture", "image mask"),
}


@pytest.mark.parametrize("name", INTERFACES)
def test_names_besides_the_adaptive_parameters(name: str, sample_model: BilayerModel) -> None:
    graph = graph_of(sample_model, name)
    for specs, names in zip((graph.inputs, graph.outputs), INTERFACES[name], strict=True):
        assert [s.name for s in specs if not s.name.startswith("inf_")] == names.split()


def adaptive(specs: tuple[TensorSpec, ...]) -> list[TensorSpec]:
    return [spec for spec in specs if spec.name.startswith("inf_")]


@pytest.mark.parametrize("warp", ["external", "gather", "grid_sample"])
def test_avatar_emits_what_frame_reads(warp: str, sample_model: BilayerModel) -> None:
    emitted = adaptive(avatar_graph(sample_model).outputs)
    assert adaptive(graph_of(sample_model, f"frame {warp}").inputs) == emitted
    # A norm, a skip, a norm for each of five blocks, from 4 to 128 px.
    assert [spec.name for spec in emitted] == [
        f"inf_{kind}_{k:02d}" for k in range(15) for kind in ("weight", "bias")
    ]


def test_shapes_and_layouts_of_adaptive_parameters(sample_model: BilayerModel) -> None:
    specs = adaptive(avatar_graph(sample_model).outputs)
    described = [(spec.shape, spec.layout) for spec in specs]
    assert described[:4] == [
        ((1, 64, 1, 1), "NCHW"),
        ((1, 64, 1, 1), "NCHW"),
        ((64, 64, 1, 1), "OIHW"),
        ((64,), "C"),
    ]
    assert described[-4:] == [
        ((16, 32, 1, 1), "OIHW"),
        ((16,), "C"),
        ((1, 16, 1, 1), "NCHW"),
        ((1, 16, 1, 1), "NCHW"),
    ]


# Operators


def test_the_matmul_form_neither_scatters_nor_gathers(exports) -> None:
    operators = {node.op_type for node in exports("enhance matmul").model.graph.node}
    forbidden = {"ScatterElements", "ScatterND", "GridSample", "Gather", "GatherND", "Where"}
    assert not operators & {*forbidden, "GatherElements", "Floor", "Cast", "Expand"}
    assert "MatMul" in operators


def test_the_scatter_form_adds(exports) -> None:
    nodes = exports("enhance scatter").model.graph.node
    reductions = [a.s for n in nodes if n.op_type == "ScatterElements" for a in n.attribute]
    assert reductions.count(b"add") == 4 * 4  # four corners in each of four steps


@pytest.mark.parametrize(
    ("warp", "operator"), [("external", None), ("gather", "Gather"), ("grid_sample", "GridSample")]
)
def test_each_warp_has_its_operator(warp: str, operator: str | None, exports) -> None:
    operators = {node.op_type for node in exports(f"frame {warp}").model.graph.node}
    assert operators & {"Gather", "GridSample"} == ({operator} if operator else set())


@pytest.mark.parametrize(("size", "rows"), [(8, 8), (64, 64), (128, 64), (256, 16), (2048, 1)])
def test_tiles_of_the_matmul_form_are_at_most_four_mebibytes(size: int, rows: int) -> None:
    tile = EnhanceModule(None, "matmul", size).tile_rows  # type: ignore[arg-type]
    assert tile == rows
    assert tile == 1 or tile * size * size * 4 <= 2**22


# Other runs


SMALL = RunArguments(
    image_size=16,
    emb_num_channels=4,
    emb_max_channels=8,
    emb_output_tensor_size=8,
    tex_num_channels=4,
    tex_max_channels=8,
    tex_input_tensor_size=4,
    inf_num_channels=4,
    inf_max_channels=8,
    inf_input_tensor_size=4,
    pse_in_channels=136,
    pse_num_channels=8,
    pse_num_blocks=2,
)


def small(enhancer: EnhancerArguments | None = None, **changes: int | bool) -> BilayerModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_model(replace(SMALL, **changes), enhancer)  # type: ignore[arg-type]


def reproduced(graph: Graph) -> Arrays:
    """Export a graph, compare it with its module on random inputs; the outputs."""
    inputs = drawn(graph)
    found = run_onnx(export_onnx(graph), inputs)
    assert_close(found, run_torch(graph, inputs))
    return found


def test_a_run_without_stickman_has_no_such_input() -> None:
    model = small(emb_no_stickman=True)
    graph = avatar_graph(model)
    assert [spec.name for spec in graph.inputs] == ["source_image", "source_mask"]
    found = reproduced(graph)
    image, mask = (torch.from_numpy(x)[None] for x in graph.random_inputs().values())
    expected = model.avatar(image, torch.full_like(image, torch.nan), mask).texture
    np.testing.assert_allclose(found["texture"], expected.numpy(), rtol=0, atol=TOLERANCE)


def test_a_run_without_masks_has_no_such_input() -> None:
    model = small(emb_apply_masks=False)
    graph = avatar_graph(model)
    assert [spec.name for spec in graph.inputs] == ["source_image", "source_stickman"]
    found = reproduced(graph)
    image, stickman = (torch.from_numpy(x)[None] for x in graph.random_inputs().values())
    expected = model.avatar(image, stickman, torch.full_like(image, torch.nan)).texture
    np.testing.assert_allclose(found["texture"], expected.numpy(), rtol=0, atol=TOLERANCE)


def test_a_run_that_reads_nothing_but_the_photo() -> None:
    graph = avatar_graph(small(emb_apply_masks=False, emb_no_stickman=True))
    assert [spec.name for spec in graph.inputs] == ["source_image"]
    reproduced(graph)


def test_a_run_trained_with_several_source_frames() -> None:
    """One photo at a time in the graph, and embeddings averaged after the last layer: no matter."""
    reproduced(avatar_graph(small(num_source_frames=2)))


@pytest.mark.parametrize("warp", ["external", "gather", "grid_sample"])
def test_harmonic_key_points(warp: str) -> None:
    graph = graph_of(small(pse_use_harmonic_enc=True, pse_num_harmonics=3), f"frame {warp}")
    assert graph.inputs[0].shape == (1, 136)
    reproduced(graph)


def test_a_trained_harmonic_embedder(data_folder: Path) -> None:
    args = run_arguments(data_folder / "parity_small" / "harmonic" / "args.txt")
    assert args.pse_use_harmonic_enc
    model = export_onnx(frame_graph(build_model(args, None), "external"))
    assert {"Sin", "Cos"} <= {node.op_type for node in model.graph.node}


def test_another_number_of_key_points() -> None:
    graph = frame_graph(small(pse_in_channels=40), "external")
    assert graph.inputs[0].shape == (1, 40)
    reproduced(graph)


@pytest.mark.parametrize("form", ["scatter", "matmul"])
def test_any_number_of_steps(form: str) -> None:
    options = EnhancerArguments(
        image_size=16,
        enh_num_channels=4,
        enh_max_channels=8,
        enh_bottleneck_tensor_size=8,
        enh_num_blocks=1,
        enh_unrolling_depth=2,
    )
    reproduced(graph_of(small(options), f"enhance {form}"))


@pytest.mark.parametrize("form", ["scatter", "matmul"])
def test_no_enhancer(form: str) -> None:
    with pytest.raises(ValueError, match="no texture enhancer"):
        graph_of(small(), f"enhance {form}")


def test_other_widths_and_blocks(tmp_path: Path) -> None:
    """A synthetic run: 32 px, widths that grow to their limit, statistics of a batch."""
    sizes = {"inf": (4, 16), "emb": (8, 16), "tex": (8, 16), "enh": (4, 8)}
    runs = write_run(tmp_path, 32, **sizes, enh_blocks=1, pose_width=16)
    model = load_model(*runs)
    for name in ("avatar", "enhance matmul", "frame gather"):
        reproduced(graph_of(model, name))
