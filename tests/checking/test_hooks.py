"""The pre-commit hook and the GitHub Action: their files are sound, and what they run runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from avatar_export.cli import cli

from .judged import BAD, GOOD, write

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
(HOOK,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
STEPS = {step.get("name", ""): step for step in ACTION["runs"]["steps"]}
EXPRESSION = re.compile(r"\$\{\{\s*([\w.-]+)\s*\}\}")


def samples(page: str) -> list[Any]:
    """The YAML blocks of a page."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [
        yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S)
    ]


def options_of(words: list[str]) -> set[str]:
    return {word for word in words if word.startswith("--") and word != "--"}


KNOWN = {name for option in cli.commands["check"].params for name in option.opts}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with models, and avatar-export where the action and the hook look for it."""
    write(tmp_path / "a b" / "good.onnx", GOOD)
    write(tmp_path / "c" / "bad.onnx", BAD)
    program = tmp_path / "runner" / "avatar-export" / "bin" / "avatar-export"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m avatar_export "$@"\n')
    program.chmod(0o755)
    return tmp_path


def run(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """As GitHub's runner does for ``shell: bash``."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RUNNER_TEMP": str(folder / "runner"),
        "GITHUB_OUTPUT": str(folder / "outputs"),
        **variables,
    }
    bash = shutil.which("bash")
    assert bash
    words = [bash, "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


def check_step(folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """The action's step with these inputs, and the defaults for the rest."""
    values = {name: spec.get("default", "") for name, spec in ACTION["inputs"].items()} | inputs
    step = STEPS["Check"]
    variables = {
        name: values[EXPRESSION.fullmatch(text)[1].removeprefix("inputs.")]  # type: ignore[index]
        for name, text in step["env"].items()
    }
    return run(step["run"], folder, **variables)


def outputs(folder: Path) -> dict[str, str]:
    lines = (folder / "outputs").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_the_hook_runs_a_verb_on_models_only() -> None:
    assert HOOK["entry"].split() == ["avatar-export", "check"]
    assert HOOK["language"] == "python"
    names = ["m.onnx", "a/m.dlc", "m.onnx.data", "onnx", "m.onnx/readme.md"]
    assert [n for n in names if re.search(HOOK["files"], n)] == ["m.onnx", "a/m.dlc"]


def test_the_hook_judges_what_pre_commit_hands_it(place: Path) -> None:
    path = f"PATH={place}/runner/avatar-export/bin:$PATH"
    fine = run(f'{path} {HOOK["entry"]} --target adreno640 "a b/good.onnx"', place)
    bad = run(f'{path} {HOOK["entry"]} "a b/good.onnx" c/bad.onnx', place)
    assert (fine.returncode, bad.returncode) == (0, 1)
    assert "AX101" in bad.stdout


def test_the_sample_configuration_fits_the_hook() -> None:
    remote, local = samples("pre-commit.md")
    (hook,) = remote["repos"][0]["hooks"]
    assert hook["id"] == HOOK["id"]
    assert options_of(hook["args"]) <= KNOWN
    (hook,) = local["repos"][0]["hooks"]
    assert hook["entry"].startswith(HOOK["entry"])
    assert options_of(hook["entry"].split()) <= KNOWN
    assert hook["files"] == HOOK["files"]


def test_the_action_reads_inputs_that_exist_and_never_inside_a_script() -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    used = {name.removeprefix("inputs.") for name in EXPRESSION.findall(text) if "inputs." in name}
    assert used == set(ACTION["inputs"])
    for step in STEPS.values():
        assert "${{" not in step.get("run", "")
    for output in ACTION["outputs"].values():
        assert EXPRESSION.fullmatch(output["value"])
        assert output["value"].split(".")[1] == STEPS["Check"]["id"]


def test_the_action_passes_options_that_exist() -> None:
    script = STEPS["Check"]["run"]
    assert set(re.findall(r"--\w[\w-]*", script)) <= KNOWN


def test_the_action_installs_the_pytorch_of_the_makefile() -> None:
    pinned = re.search(r"^TORCH \?= (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert pinned and pinned[1] in shlex.split(STEPS["Install"]["run"], comments=True)


def test_the_install_step_makes_an_environment_of_its_own(place: Path) -> None:
    """With stand-ins for python and pip, which say what they were asked."""
    stand_ins = place / "stand-ins"
    stand_ins.mkdir()
    for name in ("python", "pip"):
        (stand_ins / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (stand_ins / name).chmod(0o755)
    done = run(
        STEPS["Install"]["run"],
        place,
        PATH=f"{stand_ins}:{os.environ['PATH']}",
        GITHUB_ACTION_PATH="/the action",
    )
    made, torch, package = done.stdout.splitlines()
    assert made == f"python -m venv {place}/runner/avatar-export"
    assert "download.pytorch.org/whl/cpu" in torch
    assert package == "pip install --quiet /the action"


def test_the_action_judges_patterns_and_names_with_blanks(place: Path) -> None:
    done = check_step(place, model="a b/good.onnx")
    assert (done.returncode, outputs(place)["exit-code"]) == (0, "0"), done.stderr
    done = check_step(place, model="a b\n**/bad.onnx", target="adreno640", sdk="2.5\n2.25")
    assert done.returncode == 1
    assert "::error" in done.stdout and "AX101" in done.stdout
    assert outputs(place)["exit-code"] == "1"


def test_the_action_writes_sarif(place: Path) -> None:
    done = check_step(place, model="c", format="sarif", output="out/check.sarif", strict="true")
    assert (done.returncode, done.stdout) == (1, "")
    assert outputs(place)["output"] == "out/check.sarif"
    assert '"version": "2.1.0"' in (place / "out" / "check.sarif").read_text()


def test_the_action_passes_every_input_on(place: Path) -> None:
    done = check_step(
        place,
        model="c/bad.onnx",
        runtime="cpu",
        input="x:1,4,8,8",
        select="AX1,AX2",
        ignore="AX101",
        format="text",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "cpu" in done.stdout


@pytest.mark.parametrize("model", ["", "none/*.onnx", "$(touch pwned)", "; touch pwned", "-x"])
def test_what_is_no_model_is_an_error_and_runs_nothing(place: Path, model: str) -> None:
    done = check_step(place, model=model, target="")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert not (place / "pwned").exists()


def test_the_sample_workflow_fits_the_action() -> None:
    (workflow,) = samples("github-action.md")
    (action,) = [s for s in workflow["jobs"]["check"]["steps"] if "avatar-export" in s["uses"]]
    (upload,) = [s for s in workflow["jobs"]["check"]["steps"] if "upload-sarif" in s["uses"]]
    assert set(action["with"]) <= set(ACTION["inputs"])
    assert upload["with"]["sarif_file"] == action["with"]["output"]


def test_the_table_of_inputs_is_complete() -> None:
    text = (ROOT / "docs" / "github-action.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([\w-]+)`", row)} == set(
        ACTION["inputs"]
    )
