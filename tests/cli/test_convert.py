from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from avatar_export.conversion import convert as stages
from avatar_export.conversion import verify
from avatar_export.passes.order import optimize_order
from avatar_export.precision.parity import Tolerance
from tests.cli.conftest import Run, Said
from tests.conversion.converted import photo, small_by_command, synthetic_runs
from tests.dlc.conftest import without_qnn  # noqa: F401 - a fixture

Words = list[object]


@pytest.fixture
def frames_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the avatar graph, which takes longest."""
    monkeypatch.setattr(stages._Run, "_avatar", lambda self: None)


def assert_one_line(said: Said, status: int, message: str) -> None:
    """One error line with ``message``, at most one hint, and nothing else anywhere."""
    assert said.status == status
    assert said.out == ""
    lines = said.err.splitlines()
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert [line[:6] for line in lines[1:]] in ([], ["hint: "])


# What it says and writes


def test_json_on_stdout_is_report_json() -> None:
    done = small_by_command()
    assert done.status == 0
    assert done.stdout == (done.folder / "report.json").read_text()
    assert json.loads(done.stdout)["fits"] is True


def test_verbose_tells_every_stage_on_stderr() -> None:
    stages_told = [line.split(" s  ", 1)[1] for line in small_by_command().stderr.splitlines()]
    assert stages_told[0] == "reading the run"
    assert stages_told[-1] == "writing the report"
    assert {"avatar graph", "enhance graph", "half precision"} <= set(stages_told)


def test_dry_run_names_what_a_run_writes(run: Run, tmp_path: Path) -> None:
    base, enhancer = synthetic_runs()
    given = [f"--{name}={path}" for name, path in photo().items()]
    out = tmp_path / "out"
    words = ["convert", base, f"--enhancer={enhancer}", *given, "--dlc", "--out", out, "--dry-run"]
    said = run(*words)
    assert (said.status, said.err) == (0, "")
    named = [Path(line) for line in said.out.splitlines()]
    assert {path.parent for path in named} == {out}
    written = {path.name for path in small_by_command().folder.iterdir()}
    assert written - {path.name for path in named} <= {"avatar.dlc", "enhance.dlc"}
    assert {path.name for path in named} <= written
    assert json.loads(run(*words, "--format", "json").out) == {"files": said.out.splitlines()}
    assert not list(tmp_path.iterdir())


def test_findings_are_1_and_explained(run: Run, tmp_path: Path, frames_only: None) -> None:
    out = tmp_path / "out"
    said = run(
        *("convert", synthetic_runs()[0], "--out", out, "--no-dlc", "--explain"),
        *("--target", "adreno330", "--warp", "gather"),
    )
    assert (said.status, said.err) == (1, "")
    assert said.out.startswith("frame.onnx does NOT fit Adreno 330 (Snapdragon 800 (MSM8974)), ")
    for step in optimize_order(9):
        assert f"    {step.rewrite.name}: " in said.out
    assert "      operator set 16 became 9\n" in said.out
    assert said.out.endswith(f"report: {out / 'report.md'}\n")
    assert (out / "frame.onnx").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("form", ["deconv", "resize"])
def test_upsampling_is_spelled_as_asked(
    form: str, run: Run, tmp_path: Path, frames_only: None
) -> None:
    words = (*with_photo(), "--upsample", form, "--no-dlc", "--out", tmp_path)
    assert run("convert", synthetic_runs()[0], *words).status == 0
    for name in ("frame.onnx", "frame_baked.onnx"):
        operators = {node.op_type for node in onnx.load(tmp_path / name).graph.node}
        assert ("ConvTranspose" in operators) == (form == "deconv"), name


# What it refuses


@pytest.fixture
def spoilt(tmp_path: Path) -> Callable[[bytes], Path]:
    """A copy of the run whose key points embedder holds these bytes."""

    def spoil(content: bytes) -> Path:
        run = shutil.copytree(synthetic_runs()[0], tmp_path / "spoilt")
        (run / "checkpoints" / "1_keypoints_embedder.pth").write_bytes(content)
        return run

    return spoil


def test_a_run_that_is_not_there(run: Run, tmp_path: Path) -> None:
    for path in (tmp_path / "none", Path(__file__)):
        assert_one_line(run("convert", path, "--out", tmp_path / "out"), 2, "is no run folder")


def test_a_run_without_checkpoints(run: Run, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    said = run("convert", tmp_path, "--out", tmp_path / "out")
    assert_one_line(said, 2, "lacks checkpoints")


def test_an_epoch_that_is_not_there(run: Run, tmp_path: Path) -> None:
    said = run("convert", synthetic_runs()[0], "--epoch", 7, "--out", tmp_path / "out")
    assert_one_line(said, 2, "lacks checkpoints of epoch 7")


def test_a_truncated_checkpoint(run: Run, spoilt: Callable[[bytes], Path], tmp_path: Path) -> None:
    whole = (synthetic_runs()[0] / "checkpoints" / "1_keypoints_embedder.pth").read_bytes()
    path = spoilt(whole[: len(whole) // 2])
    assert_one_line(run("convert", path, "--out", tmp_path / "out"), 2, "was refused")
    assert not (tmp_path / "out").exists()


def test_a_hostile_checkpoint_is_not_run(
    run: Run, spoilt: Callable[[bytes], Path], tmp_path: Path
) -> None:
    marker = tmp_path / "marker"

    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {marker}",)

    path = spoilt(pickle.dumps({"weight": Hostile()}, protocol=2))
    assert_one_line(run("convert", path, "--out", tmp_path / "out"), 2, "was refused")
    assert not marker.exists()


def with_photo(**changed: Path) -> Words:
    return [f"--{name}={path}" for name, path in {**photo(), **changed}.items()]


def a_text_file(folder: Path) -> Words:
    (folder / "face.png").write_text("this is no picture")
    return with_photo(source=folder / "face.png")


def wrong_points(folder: Path) -> Words:
    np.save(folder / "points.npy", np.zeros((5, 2), np.float32))
    return with_photo(keypoints=folder / "points.npy")


def pickled_points(folder: Path) -> Words:
    np.save(folder / "points.npy", np.array([{"a": 1}]), allow_pickle=True)
    return with_photo(keypoints=folder / "points.npy")


def small_mask(folder: Path) -> Words:
    Image.new("L", (10, 10), 255).save(folder / "mask.png")
    return with_photo(mask=folder / "mask.png")


def wrong_poses(folder: Path) -> Words:
    np.save(folder / "poses.npy", np.zeros((3, 99), np.float32))
    return [*with_photo(), f"--driving={folder / 'poses.npy'}"]


def missing_photo(folder: Path) -> Words:
    return with_photo(source=folder / "none.png")


def photo_alone(folder: Path) -> Words:
    return [f"--source={photo()['source']}"]


def mask_alone(folder: Path) -> Words:
    return [f"--mask={photo()['mask']}"]


def small_enhancer(folder: Path) -> Words:
    return [f"--enhancer={photo()['source'].parent / 'runs' / 'portrait_enhancer'}"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (a_text_file, "cannot be read as a picture"),
        (wrong_points, "has shape (5, 2), expected (68, 2)"),
        (pickled_points, "cannot be read as numbers"),
        (small_mask, "is 10x10 pixels"),
        (wrong_poses, "has shape (3, 99)"),
        (missing_photo, "none.png does not exist"),
        (photo_alone, "--source needs --keypoints"),
        (mask_alone, "--mask needs --source"),
        (small_enhancer, "was trained at 128 px"),
        (lambda folder: ["--target", "nokia3310"], "unknown target 'nokia3310'"),
        (lambda folder: ["--sdk", "9.9"], "unknown SDK '9.9'"),
        (lambda folder: ["--runtime", "abacus"], "unknown runtime 'abacus'"),
        (lambda folder: ["--enhance-form", "scatter"], "--enhance-form needs --enhancer"),
    ],
)
def test_bad_input_is_one_line(
    words: Callable[[Path], Words], message: str, run: Run, tmp_path: Path
) -> None:
    given = words(tmp_path)
    before = sorted(tmp_path.iterdir())
    out = tmp_path / "out"
    assert_one_line(run("convert", synthetic_runs()[0], *given, "--out", out), 2, message)
    assert sorted(tmp_path.iterdir()) == before


def test_out_must_be_a_folder_that_can_be_made(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    for out, message in ((mine, "mine is a file"), (mine / "out", "cannot write to")):
        said = run("convert", synthetic_runs()[0], "--no-dlc", "--out", out)
        assert_one_line(said, 2, message)
    assert mine.read_text() == "mine"


def test_dlc_that_nothing_can_write_is_3(
    without_qnn: None,  # noqa: F811
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SNPE_ROOT", "QAIRT_SDK_ROOT", "QNN_SDK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    said = run("convert", synthetic_runs()[0], "--dlc", "--out", tmp_path / "out")
    assert_one_line(said, 3, "nothing on this machine writes DLC files")
    assert "pip install" in said.err


def test_parity_that_fails_is_4(
    run: Run, tmp_path: Path, frames_only: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "EXACT", Tolerance(max_abs=0.0))
    said = run("convert", synthetic_runs()[0], "--no-dlc", "--out", tmp_path / "out")
    assert_one_line(said, 4, "frame.onnx is not that of PyTorch")
    assert not list(tmp_path.iterdir())


def test_an_interrupt_is_130_and_leaves_nothing(tmp_path: Path) -> None:
    """As from a terminal: the signal goes to the children too."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    program = [sys.executable, "-m", "avatar_export", "convert", str(synthetic_runs()[0])]
    process = subprocess.Popen(
        [*program, "-v", "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "avatar graph" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert err.strip() == "error: interrupted"
    assert list(tmp_path.iterdir()) == [scratch]
    assert not list(scratch.iterdir())
