from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path

import onnx
import pytest

from avatar_export.conversion.manifest import listed_files, manifest, write_manifest
from avatar_export.conversion.record import hash_files
from tests.conversion.converted import Converted
from tests.conversion.records import conversion, dlc, files_of, graph


def test_every_file_is_listed_with_its_hash(sample_made: Converted) -> None:
    files = sample_made.manifest["files"]
    assert set(files) == sample_made.files - {"manifest.json"}
    for name, entry in files.items():
        content = (sample_made.folder / name).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest(), name


def test_graphs_are_described_as_they_are(sample_made: Converted) -> None:
    for record in sample_made.record.graphs:
        model, entry = sample_made.model(record.file), sample_made.manifest["files"][record.file]
        assert entry["opset"] == model.opset_import[0].version
        assert entry["ir_version"] == model.ir_version
        assert entry["nodes"] == len(model.graph.node)
        for kind, values in (("inputs", model.graph.input), ("outputs", model.graph.output)):
            described = [(t["name"], tuple(t["shape"]), t["dtype"]) for t in entry[kind]]
            assert described == [interface(value) for value in values]


def interface(value: onnx.ValueInfoProto) -> tuple[str, tuple[int, ...], str]:
    kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    return value.name, shape, kind.name


def test_tensors_have_layout_and_ranges(sample_made: Converted) -> None:
    for record in sample_made.record.graphs:
        entry = sample_made.manifest["files"][record.file]
        for tensor in (*entry["inputs"], *entry["outputs"]):
            assert len(tensor["layout"]) == len(tensor["shape"])
            assert tensor["meaning"]
            low, high = tensor["range"]
            seen_low, seen_high = tensor["observed"]
            # A sum of float32 numbers may round to a hair beyond a bound such as that of tanh.
            assert low is None or seen_low >= low - 1e-6
            assert high is None or seen_high <= high + 1e-6


def test_baked_frame_takes_the_pose_alone(sample_made: Converted) -> None:
    entry = sample_made.manifest["files"]["frame_baked.onnx"]
    (pose,) = entry["inputs"]
    assert (pose["name"], pose["shape"], pose["range"]) == ("pose", [1, 136], [-1.0, 1.0])
    assert [t["name"] for t in entry["outputs"]] == ["delta_uv", "rgb", "mask"]
    assert entry["precision"] == "float32"
    assert entry["dlc"] == "frame_baked.dlc"
    assert {"bind-inputs", "fold-adaptive", "fold-batch-norm"} <= set(entry["passes"])
    assert 0 < entry["macs_after"] <= entry["macs_before"]
    half = sample_made.manifest["files"]["frame_baked.fp16.onnx"]
    assert half["precision"] == "float16"


def test_target_and_tools_are_named(sample_made: Converted) -> None:
    content = sample_made.manifest
    assert content["target"]["name"] == "adreno640"
    assert (content["target"]["sdk"], content["target"]["runtime"]) == ("2.5", "gpu_float16")
    for tool in ("torch", "onnx", "onnxruntime", "onnxsim", "numpy"):
        assert content["tools"][tool] == metadata.version(tool)
    assert content["image_size"] == 128
    assert content["run"] == "portrait_main, epoch 2225"


def test_dlc_says_who_wrote_it_and_who_can_read_it(sample_made: Converted) -> None:
    entry = sample_made.manifest["files"]["frame_baked.dlc"]
    assert entry["made_from"] == "frame_baked.onnx"
    assert entry["writer"] and entry["writer_version"] and entry["format_version"]
    assert entry["readers"]["expected"]
    assert [t["onnx_name"] for t in entry["io"]] == ["pose", "delta_uv", "rgb", "mask"]


def test_it_is_not_in_its_own_list_and_ends_with_a_newline(tmp_path: Path) -> None:
    record = conversion(graph("frame.onnx"))
    files_of(record, tmp_path)
    record.hashes = hash_files(tmp_path)
    write_manifest(record, tmp_path / "manifest.json")
    text = (tmp_path / "manifest.json").read_text()
    assert text.endswith("}\n")
    assert set(json.loads(text)["files"]) == {"frame.onnx"}


def test_only_passes_that_changed_something_are_named(tmp_path: Path) -> None:
    record = conversion(graph("frame.onnx"))
    files_of(record, tmp_path)
    record.hashes = hash_files(tmp_path)
    files = manifest(record)["files"]
    assert isinstance(files, dict)
    assert files["frame.onnx"]["passes"] == ["bind-inputs", "lower-opset"]
    assert files["frame.onnx"]["dlc"] is None
    assert files["frame.onnx"]["dlc_note"] == "nothing writes it"


def test_a_dlc_that_was_not_hashed_is_a_bug() -> None:
    entry = graph("frame.onnx")
    entry.dlc, entry.dlc_file = dlc(), "frame.dlc"
    with pytest.raises(KeyError):
        manifest(conversion(entry))


def test_files_of_an_earlier_conversion(tmp_path: Path) -> None:
    files: dict[str, dict[str, str]] = {"frame.onnx": {}, "../outside": {}, "/etc/passwd": {}}
    listed = {"format": 1, "tools": {"avatar-export": "0.1.0"}, "files": files}
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    assert listed_files(tmp_path) == ["frame.onnx"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        '{"name": "my web app", "files": ["index.html"]}',
        '{"format": 1, "tools": {}, "files": {"index.html": 1}}',
        '{"format": 1, "tools": {"avatar-export": ""}, "files": "abc"}',
        '{"format": 1, "tools": {"avatar-export": ""}, "files": 3}',
    ],
)
def test_files_of_something_else(tmp_path: Path, text: str) -> None:
    assert listed_files(tmp_path / "nowhere") == []
    (tmp_path / "manifest.json").write_text(text)
    assert listed_files(tmp_path) == []
