"""What all verbs share: help, exit codes, imports, pipes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from avatar_export import __version__
from tests.cli.conftest import Run

VERBS = ["check", "convert", "demo", "doctor", "targets"]
HEAVY = {"cv2", "numpy", "onnx", "onnx_ir", "onnxruntime", "onnxsim", "PIL", "torch"}


def python(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, **options)  # type: ignore[call-overload, no-any-return]


def test_help_names_every_verb_and_exit_code(run: Run) -> None:
    said = run("--help")
    assert said.status == 0
    assert said.err == ""
    for word in [*VERBS, "0 fine", "1 findings", "2 bad", "3 the", "4 parity", "130"]:
        assert word in " ".join(said.out.split())


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, run: Run) -> None:
    long, short = run(verb, "--help"), run(verb, "-h")
    assert (long.status, long.err) == (0, "")
    assert long.out.startswith(f"Usage: avatar-export {verb}")
    assert short.out == long.out


def test_every_option_is_explained() -> None:
    from avatar_export.cli import cli

    silent = [
        f"{name} {option.name}"
        for name, verb in cli.commands.items()
        for option in verb.params
        if option.param_type_name == "option" and not getattr(option, "help", "")
    ]
    assert silent == []


def test_version(run: Run) -> None:
    assert run("--version").out == f"avatar-export, version {__version__}\n"


def test_module_is_the_program() -> None:
    done = python("-m", "avatar_export", "--version")
    assert (done.returncode, done.stdout) == (0, f"avatar-export, version {__version__}\n")


def test_importing_the_command_line_imports_nothing_heavy() -> None:
    code = "import sys, avatar_export.cli; print(*{m.split('.')[0] for m in sys.modules})"
    imported = set(python("-c", code).stdout.split())
    assert "avatar_export" in imported
    assert imported & HEAVY == set()


def test_listing_targets_imports_no_torch() -> None:
    code = (
        "import sys\nfrom avatar_export.cli import cli\n"
        "cli(['targets'], standalone_mode=False)\nprint('torch' in sys.modules)"
    )
    assert python("-c", code).stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    "words",
    [("frobnicate",), ("convert",), ("convert", "run"), ("targets", "--format", "xml"), ("-x",)],
)
def test_bad_usage_is_2(words: tuple[str, ...], run: Run) -> None:
    said = run(*words)
    assert (said.status, said.out) == (2, "")
    error, hint = said.err.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: see 'avatar-export") and hint.endswith(" --help'")
    assert "Traceback" not in said.err


def test_without_a_verb_the_help_is_shown(run: Run) -> None:
    said = run()
    assert said.status == 2
    assert "Usage: avatar-export" in said.err


@pytest.mark.parametrize("words", [("targets",), ("--help",)])
def test_a_reader_that_is_gone_is_no_error(words: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "avatar_export", *words], stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
