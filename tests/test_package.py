"""The package as a whole: one version, documented modules, layers that look down only."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

import avatar_export

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "avatar_export"

# What each room may import of this package, besides itself and the ground floor. The order is
# that of docs/architecture.md: data goes one way, nothing imports from above.
GROUND = {"", "errors", "files", "resources", "onnx_file", "macs", "resize"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "resources": set(),
    "files": set(),
    "macs": set(),
    "resize": set(),
    "onnx_file": set(),
    "networks": set(),
    "graphs": {"networks"},
    "bench": set(),
    "precision": set(),
    "passes": {"precision", "bench"},
    "whitelist": set(),
    "dlc": set(),
    "checking": {"whitelist", "passes", "dlc"},
    "optimizing": {"passes", "whitelist", "bench"},
    "report": {"precision", "whitelist"},
    "conversion": {
        *("networks", "graphs", "passes", "whitelist", "precision", "dlc", "report"),
        "optimizing",
    },
    "doctor": {"dlc"},
    "cli": {"checking", "conversion", "doctor", "optimizing", "report", "whitelist"},
}
# Packages that a room must not know at all.
FOREIGN: dict[str, set[str]] = {
    "networks": {"onnx", "onnx_ir", "onnxruntime", "click"},
    "bench": {"torch", "onnx", "onnx_ir", "onnxruntime", "click"},
    "optimizing": {"torch", "onnxruntime", "click"},
    "passes": {"torch", "click"},
    "onnx_file": {"torch", "onnxruntime", "click"},
    "whitelist": {"torch", "onnxruntime", "onnx_ir", "click"},
    "checking": {"torch", "onnxruntime", "click"},
    "precision": {"torch", "click"},
    "dlc": {"torch", "click"},
    "report": {"torch", "onnx", "onnx_ir", "onnxruntime", "click"},
    "cli": {"torch", "onnx", "onnx_ir", "onnxruntime", "numpy", "cv2"},
    "doctor": {"torch", "onnx", "numpy", "click"},
}


@cache
def imports(path: Path) -> set[str]:
    """Full names of all modules that a file imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    """First folder or module below the package; empty for the package itself."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first in ("__init__", "__main__") else first


def is_room(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def rooms_imported(path: Path) -> set[str]:
    """Rooms of this package that a file imports from."""
    names = [name.split(".") for name in imports(path)]
    own = {name[1] for name in names if name[0] == "avatar_export" and len(name) > 1}
    return {name for name in own if is_room(name)}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_every_room_has_its_place() -> None:
    assert {room(path) for path in modules()} - {""} == set(MAY_IMPORT)


@pytest.mark.parametrize("path", [p for p in modules() if room(p)], ids=relative)
def test_nothing_imports_from_above(path: Path) -> None:
    own = room(path)
    allowed = MAY_IMPORT[own] | GROUND | {own}
    # A report is made from the record of what was done, and from nothing else of it.
    for above in ("conversion", "checking", "optimizing") if own == "report" else ():
        taken = {n for n in imports(path) if n.startswith(f"avatar_export.{above}")}
        assert all(name.startswith(f"avatar_export.{above}.record.") for name in taken)
        allowed |= {above}
    assert rooms_imported(path) - allowed == set()
    packages = {name.split(".")[0] for name in imports(path)}
    assert packages & FOREIGN.get(own, set()) == set()


def test_passes_know_no_more_of_the_bench_than_its_estimates() -> None:
    taken = {n for path in (PACKAGE / "passes").rglob("*.py") for n in imports(path)}
    above = {n for n in taken if n.startswith("avatar_export.bench")}
    assert above == {
        "avatar_export.bench.estimate.work.Shape",
        "avatar_export.bench.estimate.work.Work",
    }


def test_the_record_does_not_know_the_reports() -> None:
    """Else record -> report -> record would be a circle."""
    for name in ("record", "manifest", "options", "person", "build", "verify"):
        assert "report" not in rooms_imported(PACKAGE / "conversion" / f"{name}.py")


def test_the_command_line_holds_no_logic() -> None:
    """A verb parses, calls and prints: it loops over nothing and starts no process."""
    for path in (PACKAGE / "cli").glob("*.py"):
        tree = ast.parse(path.read_text())
        assert not [n for n in ast.walk(tree) if isinstance(n, ast.While)], path
        assert imports(path) & {"subprocess", "shutil", "tempfile"} == set(), path
        longest = max(
            (n.end_lineno or 0) - n.lineno for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)
        )
        assert longest <= 50, path


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_every_module_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text))


def test_the_python_interface_is_all_there() -> None:
    for name in avatar_export.__all__:
        assert callable(getattr(avatar_export, name)), name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        avatar_export.nonsense  # noqa: B018


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, avatar_export; print(*(m for m in sys.modules if 'avatar_export' in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["avatar_export"]


def test_every_folder_is_a_package() -> None:
    folders = {path.parent for path in modules()}
    assert [relative(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_the_version_is_written_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "avatar_export/__init__.py"
    version = re.escape(avatar_export.__version__)
    assigned = re.compile(rf"version\w*\s*=\s*[\"']{version}[\"']", re.IGNORECASE)
    found = [relative(path) for path in modules() if assigned.search(path.read_text())]
    assert found == ["avatar_export/__init__.py"]


def test_an_installed_package_has_the_same_version() -> None:
    try:
        installed = metadata.version("avatar-export")
    except metadata.PackageNotFoundError:
        pytest.skip("runs from a checkout that is not installed")
    assert installed == avatar_export.__version__


def tracked() -> list[Path]:
    """Files of the repository: those git knows, or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git checkout")
    paths = [ROOT / name.decode() for name in done.stdout.split(b"\0") if name]
    return [path for path in paths if path.is_file()]


def test_no_file_names_a_place_outside_the_repository() -> None:
    """Paths of the machines it was made on mean nothing to anybody else."""
    # Spelled so that this file does not find itself.
    outside = re.compile(rb"/(?:work|tmp)/(?:main|shared|dev)\b|\.\./" + rb"shared\b|/home/\w+/")
    found = [relative(path) for path in tracked() if outside.search(path.read_bytes())]
    assert found == []
