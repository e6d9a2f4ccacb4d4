from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from avatar_export.checking.dlc_model import check_dlc, judge_dlc, read_dlc
from avatar_export.dlc import container
from avatar_export.dlc.netd import DlcTensor
from avatar_export.errors import AvatarExportError, ModelError, UserError
from avatar_export.whitelist.finding import Severity, Verdict
from avatar_export.whitelist.judgement import Judgement, Port
from avatar_export.whitelist.tables import known_sdks, load_sdk
from avatar_export.whitelist.targets import resolve_target

TESTS = Path(__file__).resolve().parent.parent
RECORDED = {path.stem: path for path in sorted((TESTS / "data" / "dlc").glob("*.dlc"))}
BOTH = {path.name: path for path in sorted((TESTS / "dlc" / "data").glob("*.dlc"))}
ALL = [*RECORDED.values(), *BOTH.values()]

# Layer-table names that snpe-onnx-to-dlc 2.25.0.240728 gave the operations of its files.
OPERATIONS = {
    "blk_film": "FullyConnected Split Reshape Transpose Reshape Transpose ElementWiseMultiply"
    " ElementWiseAdd",
    "blk_modconv": "ElementWiseMultiply ElementWiseMultiply ReduceSum ElementWiseAdd"
    " ElementWiseSquareRoot ElementWiseDivide Transpose Reshape Transpose Conv2d",
    "clip11_inputs": "ReluMinMax",
    "ctx_softmax_h": "Conv2d Transpose Softmax Transpose Relu",
    "gap_3d": "Transpose Reshape Transpose PoolAvg2d Transpose Reshape Transpose",
    "gs_bilinear_zeros_ac0": "GridSample",
    "pad_conv_fuse": "Pad Conv2d",
    "resize_nearest_asymmetric_floor": "ResizeNearestNeighbor",
    "rmean_hw_k0": "ReduceMean",
    "split_eq_11": "Split",
}


def judged(path: Path, sdk: str = "2.25", runtime: str = "gpu") -> Judgement:
    return check_dlc(path, resolve_target(sdk=sdk, runtime=runtime))


def saved(folder: Path, members: Mapping[str, bytes]) -> Path:
    path = folder / "made.dlc"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def changed(folder: Path, source: Path, member: str, old: bytes, new: bytes) -> Path:
    members = container.read_members(source.read_bytes())
    assert old in members[member]
    return saved(folder, {**members, member: members[member].replace(old, new, 1)})


@pytest.mark.parametrize("name", RECORDED)
def test_operations_are_named_as_in_the_layer_table(name: str) -> None:
    nodes = judged(RECORDED[name]).node_verdicts
    assert " ".join(o for node in nodes for o in node.operations) == OPERATIONS[name]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_every_file_is_judged_for_every_sdk_and_runtime(path: Path) -> None:
    file = read_dlc(path)
    for sdk in known_sdks():
        for runtime in load_sdk(sdk).facts.runtimes:
            judgement = judge_dlc(file, resolve_target(sdk=sdk, runtime=runtime))
            assert judgement.ports and judgement.node_verdicts
            if sdk.startswith("1."):
                assert [f.code for f in judgement.findings] == ["AX303"]
                assert judgement.counts[Verdict.UNSUPPORTED] == len(judgement.node_verdicts)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("blk_film", []),
        ("ctx_softmax_h", []),
        ("pad_conv_fuse", []),
        ("gs_bilinear_zeros_ac0", ["AX103"]),
        ("resize_nearest_asymmetric_floor", ["AX110"]),
        ("blk_modconv", ["AX107", "AX105"]),
    ],
)
def test_findings_for_the_gpu_of_the_same_sdk(name: str, found: list[str]) -> None:
    assert [f.code for f in judged(RECORDED[name]).findings] == found


def test_ports_are_told_as_stored_and_as_in_onnx() -> None:
    ports = {port.name: port for port in judged(RECORDED["blk_film"]).ports}
    assert ports["x"] == Port("x", "input", "f32", (1, 4, 8, 8), (1, 8, 8, 4), "NCHW -> NHWC")
    assert ports["z"] == Port("z", "input", "f32", (1, 6), (1, 6), "")
    assert (ports["y"].direction, ports["y"].layout) == ("output", "NCHW -> NHWC")
    (untagged, _) = judged(BOTH["conv_3x3_s1_p1.qnnir.dlc"]).ports
    assert (untagged.shape, untagged.stored, untagged.layout) == ((1, 4, 8, 8), (1, 4, 8, 8), "")


@pytest.mark.parametrize("kind", ["sdk", "qnnir"])
def test_both_writers_give_the_same_multiply_adds(kind: str) -> None:
    conv = judged(BOTH[f"conv_3x3_s1_p1.{kind}.dlc"])
    assert conv.macs[Verdict.SUPPORTED] == 64 * 4 * 4 * 9
    transposed = judged(BOTH[f"ct_4x4_s2_p1_bias.{kind}.dlc"])
    assert transposed.macs[Verdict.SUPPORTED] == 64 * 4 * 2 * 16


def test_a_newer_converter_is_a_warning() -> None:
    (finding,) = judged(RECORDED["split_eq_11"], "2.5").findings
    assert (finding.code, finding.severity) == ("AX304", Severity.WARNING)
    assert "2.25.0.240728104910_97711" in finding.reason
    assert judged(RECORDED["split_eq_11"], "2.35").clean


@pytest.mark.parametrize(("sdk", "severity"), [("2.25", "error"), ("2.35", "warning")])
def test_weights_that_an_older_reader_does_not_find(sdk: str, severity: str) -> None:
    (finding,) = judged(BOTH["conv_3x3_s1_p1.qnnir.dlc"], sdk).findings
    assert (finding.code, finding.severity) == ("AX304", severity)


def test_another_generation_is_one_error() -> None:
    judgement = judged(RECORDED["blk_film"], "1.43")
    (finding,) = judgement.errors
    assert (finding.code, finding.node, finding.operator) == ("AX303", "blk_film.dlc", "DLC")
    assert "format 4.0 is that of SNPE 2.x (converter 2.25" in finding.reason
    assert [n.operator for n in judgement.node_verdicts][:2] == ["FullyConnected", "Split"]


def test_a_1_x_dlc_is_refused_for_2_x_and_not_judged_for_1_x(tmp_path: Path) -> None:
    old = b"\xd5\x0a\x04\x00"
    path = changed(tmp_path, RECORDED["blk_film"], "model", old, b"\xd5\x0a\x03\x00")
    (finding,) = judged(path, "2.5").findings
    assert finding.code == "AX303"
    with pytest.raises(ModelError, match=r"format 3\.0 is not decoded here") as caught:
        judged(path, "1.43")
    assert "ONNX model" in caught.value.hint


def test_a_dlc_without_outputs(tmp_path: Path) -> None:
    """As the converter writes it when the last operations are fused under another name."""
    file = read_dlc(RECORDED["split_eq_11"])
    assert file.graph
    bare = replace(file, graph=replace(file.graph, outputs=()))
    judgement = judge_dlc(bare, resolve_target(sdk="2.25", runtime="cpu"))
    assert [f.code for f in judgement.findings] == ["AX209"]


def test_an_input_that_is_left_out_is_not_judged() -> None:
    """libQnnIr names it ``null_tensor``, of a type that no rule knows."""
    file = read_dlc(BOTH["conv_3x3_s1_p1.sdk.dlc"])
    assert file.graph
    (node,) = file.graph.nodes
    null = DlcTensor("null_tensor", (), "", "0x7fffffff", absent=True)
    graph = replace(
        file.graph,
        nodes=(replace(node, inputs=(*node.inputs[:2], null.name)),),
        tensors=(*file.graph.tensors, null),
    )
    target = resolve_target(sdk="2.25", runtime="gpu")
    assert judge_dlc(replace(file, graph=graph), target).clean
    present = replace(graph, tensors=(*file.graph.tensors, replace(null, absent=False)))
    assert not judge_dlc(replace(file, graph=present), target).clean


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        judged(tmp_path / "gone.dlc")
    with pytest.raises(UserError, match="cannot read"):
        judged(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\0" * 5000, b"no DLC at all" * 99])
def test_a_file_that_is_no_dlc(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.dlc"
    path.write_bytes(content)
    with pytest.raises(ModelError):
        judged(path)


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Truncated; or with bytes changed inside the members, their checksums right."""
    if chance.random() < 0.2:
        return data[: chance.randrange(len(data))]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in container.read_members(data).items():
            bytes_ = bytearray(content)
            for _ in range(chance.randint(0, 4) if bytes_ else 0):
                at = chance.randrange(len(bytes_))
                bytes_[at : at + 4] = chance.choice(
                    [bytes(4), b"\xff" * 4, b"\1\0\0\0", b"\0\0\0\x80", chance.randbytes(1)]
                )
            archive.writestr(name, bytes(bytes_))
    return buffer.getvalue()


@pytest.mark.parametrize("seed", range(60))
def test_damaged_files_give_a_judgement_or_one_line(tmp_path: Path, seed: int) -> None:
    chance, path = random.Random(seed), tmp_path / "damaged.dlc"
    target = resolve_target(sdk="2.25", runtime="gpu")
    for source in chance.sample(ALL, 10):
        path.write_bytes(damaged(source.read_bytes(), chance))
        try:
            judgement = check_dlc(path, target)
        except AvatarExportError as error:
            assert error.exit_code == 2
            assert len(str(error.message).splitlines()) == 1
        else:
            lines = [f"{f.node}{f.operator}{f.reason}" for f in judgement.findings]
            assert all(len(line.splitlines()) == 1 for line in lines)
