"""check, as a user runs it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from avatar_export.whitelist.codes import known_codes
from tests.checking.judged import BAD, GOOD, write
from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """good.onnx, bad.onnx and junk.onnx in the current folder."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "good.onnx", GOOD)
    write(tmp_path / "bad.onnx", BAD)
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    return tmp_path


def found(text: str) -> list[tuple[str, str, list[str]]]:
    """Path, SDK and codes of each model of a JSON result."""
    models = json.loads(text)["models"]
    return [(m["path"], m["target"]["sdk"], [f["code"] for f in m["findings"]]) for m in models]


def test_exit_codes(run: Run) -> None:
    assert run("check", "good.onnx").status == 0
    assert run("check", "bad.onnx").status == 1
    assert run("check", "bad.onnx", "junk.onnx").status == 2


def test_an_unreadable_model_is_named_and_the_others_reported(run: Run) -> None:
    said = run("check", "bad.onnx", "junk.onnx", "good.onnx", "--format", "json")
    assert [path for path, _, _ in found(said.out)] == ["bad.onnx", "good.onnx"]
    assert said.err.startswith("error: junk.onnx ") and "Traceback" not in said.err


def test_nothing_is_printed_when_no_model_can_be_read(run: Run, tmp_path: Path) -> None:
    said = run("check", "junk.onnx", "--format", "json", "--out", "result.json")
    assert (said.status, said.out) == (2, "")
    assert not (tmp_path / "result.json").exists()


def test_targets_combine(run: Run) -> None:
    said = run(
        "check", "good.onnx", "--target", "adreno640", "--sdk", "2.5", "--sdk", "2.25",
        "--runtime", "cpu", "--runtime", "gpu", "--format", "json", "-j", "2",
    )  # fmt: skip
    assert [sdk for _, sdk, _ in found(said.out)] == ["2.5", "2.5", "2.25", "2.25"]


@pytest.mark.parametrize("style", ["text", "json", "sarif", "junit", "markdown", "github"])
def test_every_format_to_stdout_and_to_a_file(style: str, run: Run, tmp_path: Path) -> None:
    printed = run("check", "bad.onnx", "--format", style)
    written = run("check", "bad.onnx", "--format", style, "--out", "sub/result")
    assert "AX101" in printed.out
    assert (written.status, written.out) == (1, "")
    assert (tmp_path / "sub" / "result").read_text(encoding="utf-8") == printed.out


def test_selection(run: Run) -> None:
    assert run("check", "bad.onnx", "--ignore", "AX101").status == 0
    assert run("check", "bad.onnx", "--select", "AX2,AX3").status == 0
    assert run("check", "bad.onnx", "--select", "AX2", "--select", "ax1").status == 1


def test_an_unknown_code_lists_the_known_ones(run: Run) -> None:
    for words in (("--explain", "AX999"), ("good.onnx", "--select", "AX9")):
        said = run("check", *words)
        assert (said.status, said.out) == (2, "")
        assert "AX101, AX102" in said.err


def test_explain_needs_no_model(run: Run) -> None:
    said = run("check", "--explain", "AX108")
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(f"# AX108: {known_codes()['AX108'].title}")


def test_a_baseline(run: Run) -> None:
    assert run("check", "bad.onnx", "--write-baseline", "b.json").status == 0
    assert run("check", "bad.onnx", "--baseline", "b.json").status == 0
    write(Path("bad.onnx"), GOOD)
    said = run("check", "bad.onnx", "--baseline", "b.json")
    assert said.status == 1 and "AX301" in said.out


def test_fix(run: Run) -> None:
    assert run("check", "good.onnx", "--fix", "out.onnx").status == 0
    assert Path("out.onnx").is_file()
    assert run("check", "good.onnx", "--fix", "good.onnx").status == 2
    assert run("check", "good.onnx", "--fix", "dry.onnx", "--dry-run").status == 0
    assert not Path("dry.onnx").exists()


def test_shapes(run: Run) -> None:
    write(Path("open.onnx"), GOOD.replace("[1,", "[N,"))
    assert run("check", "open.onnx", "--strict").status == 1
    assert run("check", "open.onnx", "--strict", "--input", "x:1,4,8,8").status == 0
    assert run("check", "open.onnx", "--input", "x").status == 2


def test_a_second_opinion_never_decides(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from avatar_export.dlc.qnngpu import NodeOpinion, SecondOpinion

    opinion = SecondOpinion("2.51", (NodeOpinion("Relu_0", "Relu", "refused", "3110"),))
    monkeypatch.setattr("avatar_export.dlc.qnngpu.ask", lambda _: opinion)
    said = run("check", "good.onnx", "--second-opinion", "qnn-gpu")
    assert said.status == 0
    assert "AX302" in said.out and "2.51" in said.out


def test_a_second_opinion_that_is_not_installed_is_3(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avatar_export.dlc.qnngpu.find", lambda: None)
    said = run("check", "good.onnx", "--second-opinion", "qnn-gpu")
    assert (said.status, said.out) == (3, "")
    assert "pip install 'avatar-export[dlc]'" in said.err


def test_progress_only_when_asked_for(run: Run) -> None:
    assert run("check", "good.onnx").err == ""
    assert "good.onnx" in run("check", "good.onnx", "-v").err
    assert run("check", "good.onnx", "-q").err == ""


def test_colours_are_for_terminals(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" not in run("check", "bad.onnx").out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert "\x1b" in run("check", "bad.onnx").out
    assert "\x1b" not in run("check", "bad.onnx", "--format", "json").out
    run("check", "bad.onnx", "--out", "result")
    assert "\x1b" not in Path("result").read_text(encoding="utf-8")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("check", "bad.onnx").out


@pytest.mark.parametrize(
    "words",
    [
        ("a" * 300,),
        ("",),
        ("loop",),
        ("pipe",),
        ("two\nlines",),
        (".", "--out", "."),
        ("good.onnx", "--out", "good.onnx/below"),
        ("good.onnx", "--fix", "loop/x"),
        ("good.onnx", "--baseline", "pipe"),
        ("good.onnx", "--baseline", "gone"),
        ("good.onnx", "--baseline", "junk.onnx"),
        ("good.onnx", "--write-baseline", "junk.onnx"),
        ("good.onnx", "--baseline", ""),
        ("good.onnx", "-j", "-1"),
        ("good.onnx", "--target", "phone"),
        ("good.onnx", "--dry-run"),
    ],
)
def test_bad_usage_is_one_line_and_2(words: tuple[str, ...], run: Run) -> None:
    Path("loop").symlink_to("loop")
    os.mkfifo("pipe")
    said = run("check", *words)
    assert (said.status, "Traceback" in said.err) == (2, False)
    errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert errors and all(line.startswith(("error: ", "hint: ")) for line in said.err.splitlines())
    assert Path("junk.onnx").read_bytes() == b"junk"


def test_a_check_imports_neither_torch_nor_onnxruntime() -> None:
    code = (
        "import sys\nfrom avatar_export.cli import cli\n"
        "cli(['check', 'good.onnx'], standalone_mode=False)\n"
        "print({'torch', 'onnxruntime', 'onnx_ir', 'onnxsim', 'cv2', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()", done.stderr


def test_an_interrupt_is_130() -> None:
    code = (
        "import sys\nfrom avatar_export.cli import main\n"
        "import avatar_export.checking.judging as judging\n"
        "def stop(*_): raise KeyboardInterrupt\n"
        "judging.read_model = stop\n"
        "sys.argv = ['avatar-export', 'check', 'good.onnx']\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.strip() == "error: interrupted"  # after the line that ^C stands on


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_all_processes(number: int) -> None:
    """As Ctrl-C does, the signal goes to the whole group; the workers say nothing of their own."""
    code = (
        "import os, sys, time\nimport avatar_export.checking.judging as judging\n"
        "def slow(*_): os.write(1, b'at it.'); time.sleep(300)\n"
        "judging.read_model = slow\n"
        "from avatar_export.cli import main\n"
        "sys.argv = ['avatar-export', 'check', 'good.onnx', 'bad.onnx', '-j', '2']\nmain()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=0,
        start_new_session=True,
    )
    try:
        assert process.stdout
        assert process.stdout.read(6) + process.stdout.read(6) == "at it.at it."
        os.killpg(process.pid, number) if number == signal.SIGINT else process.terminate()
        out, err = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert (process.returncode, err.strip()) == (130, "error: interrupted")
    assert out == ""
