"""optimize, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from avatar_export.errors import ParityError
from tests.cli.conftest import Run
from tests.optimizing.small import UPSAMPLED, operators, saved, upsampled
from tests.report.schemas import complaints


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """m.onnx in the current folder."""
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "m.onnx", upsampled())
    return tmp_path


def names() -> list[str]:
    """Of what lies in the current folder."""
    return sorted(path.name for path in Path().iterdir())


def test_it_writes_the_model_and_says_what_it_did(run: Run) -> None:
    said = run("optimize", "m.onnx", "--target", "adreno640", "-o", "out.onnx")
    assert (said.status, said.err) == (0, "")
    assert operators(Path("out.onnx")) == ["ConvTranspose", "Relu"]
    lines = said.out.splitlines()
    assert lines[0].split()[:3] == ["pass", "changes", "nodes"]
    assert any(line.startswith("0.295 -> 0.131 MMAC, 3 -> 2 nodes, estimated ") for line in lines)
    assert lines[-2:] == [
        "findings for SNPE 2.5 gpu_float16 (adreno640): 1 warning -> none",
        "written: out.onnx",
    ]


def test_the_target_is_that_of_a_check_where_none_is_named(run: Run) -> None:
    content = json.loads(run("optimize", "m.onnx", "--dry-run", "--format", "json").out)
    assert content["target"] == {"name": "adreno640", "sdk": "2.5", "runtime": "gpu_float16"}


def test_another_sdk_and_runtime(run: Run) -> None:
    words = ("--sdk", "2.35", "--runtime", "cpu", "--dry-run", "--format", "json")
    content = json.loads(run("optimize", "m.onnx", *words).out)
    assert content["target"] == {"name": "adreno640", "sdk": "2.35", "runtime": "cpu"}


def test_onnx_runtime_is_a_target(run: Run) -> None:
    said = run("optimize", "m.onnx", "--target", "onnxruntime", "-o", "out.onnx")
    assert said.status == 0 and "findings" not in said.out
    assert onnx.load("out.onnx").opset_import[0].version == 16


def test_json_fits_the_schema(run: Run) -> None:
    for words in (("--dry-run",), ("-o", "out.onnx", "--target", "onnxruntime", "--no-verify")):
        said = run("optimize", "m.onnx", "--format", "json", *words)
        assert complaints("optimize", json.loads(said.out)) == []


@pytest.mark.parametrize(
    ("form", "operator"),
    [("resize", "Upsample"), ("deconv", "ConvTranspose"), ("subpixel", "DepthToSpace")],
)
def test_upsample(form: str, operator: str, run: Run) -> None:
    assert run("optimize", "m.onnx", "-o", "out.onnx", "--upsample", form).status == 0
    assert operator in operators(Path("out.onnx"))


def test_a_dry_run_writes_nothing(run: Run) -> None:
    for words in (("--dry-run",), ("--dry-run", "-o", "out.onnx")):
        said = run("optimize", "m.onnx", *words)
        assert said.status == 0 and said.out.endswith("\nnothing written\n")
    assert names() == ["m.onnx"]


def test_explain_lists_changes_and_notes(run: Run) -> None:
    said = run("optimize", "m.onnx", "--dry-run", "--explain", "--upsample", "resize")
    assert "\n  note: conv stays: " in said.out
    assert "operator set 16 became 9" in said.out


def test_shapes(run: Run) -> None:
    body = UPSAMPLED.replace("[1,8,16,16]", "[N,8,16,W]").replace("[1,4,32,32]", "[N,4,32,V]")
    saved(Path("open.onnx"), upsampled(body))
    said = run("optimize", "open.onnx", "-o", "out.onnx")
    assert said.status == 2
    assert (
        "input 'x' has open dimensions: N,8,16,W" in said.err and "--input x:N,8,16,W" in said.err
    )
    assert run("optimize", "open.onnx", "-o", "out.onnx", "--input", "x:1,8,16,16").status == 0


def test_a_model_that_cannot_be_run_needs_no_verify(run: Run) -> None:
    saved(Path("own.onnx"), "g (float[4] x) => (float[4] y) { y = custom.Thing (x) }")
    said = run("optimize", "own.onnx", "-o", "out.onnx")
    assert said.status == 2 and "hint: --no-verify" in said.err
    said = run("optimize", "own.onnx", "-o", "out.onnx", "--no-verify")
    assert said.status == 0
    assert said.out.endswith("written: out.onnx; not verified: the model was not run\n")


def test_parity_that_is_lost_is_4(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise ParityError("after pass x the result differs")

    monkeypatch.setattr("avatar_export.optimizing.run.rewrite", lost)
    said = run("optimize", "m.onnx", "-o", "out.onnx")
    assert (said.status, said.out, said.err) == (4, "", "error: after pass x the result differs\n")
    assert not Path("out.onnx").exists()


def test_a_missing_folder_is_made(run: Run) -> None:
    assert run("optimize", "m.onnx", "-o", "new/below/out.onnx").status == 0
    assert Path("new/below/out.onnx").is_file()


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "no file to write": (("m.onnx",), "no file to write"),
    "missing": (("gone.onnx", "-o", "out"), "cannot read gone.onnx: No such file"),
    "empty": (("", "-o", "out"), "is a folder"),
    "folder": ((".", "-o", "out"), "is a folder"),
    "pipe": (("pipe", "-o", "out"), "is no regular file"),
    "junk": (("junk.onnx", "-o", "out"), "is no ONNX model"),
    "truncated": (("cut.onnx", "-o", "out"), "is truncated"),
    "DLC": (("model.dlc", "-o", "out"), "it looks like a DLC"),
    "same file": (("m.onnx", "-o", "m.onnx"), "already in use"),
    "same file by a link": (("m.onnx", "-o", "link.onnx"), "already in use"),
    "over a folder": (("m.onnx", "-o", "."), "is a folder"),
    "below a file": (("m.onnx", "-o", "junk.onnx/out"), "cannot write"),
    "name too long": (("m.onnx", "-o", "a" * 300), "File name too long"),
    "unknown input": (("m.onnx", "-o", "out", "--input", "z:1,2"), "no input 'z'"),
    "input without a shape": (("m.onnx", "-o", "out", "--input", "x"), "is no shape"),
    "shape that does not fit": (("m.onnx", "-o", "out", "--input", "x:2,8,16,16"), "is fixed at 1"),
    "unknown target": (("m.onnx", "-o", "out", "--target", "phone"), "unknown target 'phone'"),
    "unknown SDK": (("m.onnx", "-o", "out", "--sdk", "9"), "unknown SDK '9'"),
    "onnxruntime and an SDK": (
        ("m.onnx", "-o", "out", "--target", "onnxruntime", "--sdk", "2.5"),
        "neither --sdk nor --runtime",
    ),
    "unknown form": (("m.onnx", "-o", "out", "--upsample", "cubic"), "'cubic' is not one of"),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
def test_bad_usage_is_one_line_and_2(words: tuple[str, ...], message: str, run: Run) -> None:
    content = Path("m.onnx").read_bytes()
    os.mkfifo("pipe")
    Path("junk.onnx").write_bytes(b"junk")
    Path("cut.onnx").write_bytes(content[:-100])
    Path("model.dlc").write_bytes(b"PK\x03\x04" + bytes(26) + b"model.params")
    Path("link.onnx").symlink_to("m.onnx")
    before = names()
    said = run("optimize", *words)
    assert (said.status, said.out) == (2, "")
    first, *more = said.err.splitlines()
    assert first.startswith("error: ") and message in first
    assert len(more) <= 1 and all(line.startswith("hint: ") for line in more)
    assert names() == before and Path("m.onnx").read_bytes() == content


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder here that root cannot fill")
def test_a_read_only_folder_is_one_line(run: Run) -> None:
    said = run("optimize", "m.onnx", "-o", "/proc/out.onnx")
    assert said.status == 2 and said.err.startswith("error: cannot write /proc/out.onnx: ")
    assert len(said.err.splitlines()) == 1


def test_a_stdout_that_is_closed_does_not_keep_the_file_from_being_written() -> None:
    line = f"{sys.executable} -m avatar_export optimize m.onnx -o out.onnx >&-"
    done = subprocess.run(["sh", "-c", line], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("out.onnx").is_file()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_stdout_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        line = [sys.executable, "-m", "avatar_export", "optimize", "m.onnx", "--dry-run"]
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot print the result: ")
    assert "Traceback" not in done.stderr


def test_progress_only_when_asked_for(run: Run) -> None:
    assert run("optimize", "m.onnx", "--dry-run").err == ""
    assert "rewriting" in run("optimize", "m.onnx", "--dry-run", "-v").err
    assert run("optimize", "m.onnx", "--dry-run", "-q").err == ""


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom avatar_export.cli import cli\n"
        "cli(['optimize', '--help'], standalone_mode=False)\n"
        "print({'torch', 'onnxruntime', 'onnx', 'onnx_ir', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()", done.stderr
