"""Size and time of a fresh installation, against PyTorch alone.

python -m benchmarks.install          # makes three environments, about 3 minutes
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

RESULT = Path(__file__).parent / "results" / "install.json"
_ROOT = Path(__file__).parent.parent
_TORCH = "torch==2.13.0"
_SETS = {
    "torch alone": [_TORCH],
    "avatar-export": [_TORCH, str(_ROOT)],
    "avatar-export[dlc]": [_TORCH, f"{_ROOT}[dlc]"],
}


def install(packages: list[str]) -> dict[str, float]:
    """Seconds and bytes of a new environment with these packages."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [f"{folder}/bin/python", "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *packages], check=True)
        seconds = time.perf_counter() - start
        size = sum(p.lstat().st_size for p in Path(folder).rglob("*") if not p.is_dir())
    return {"seconds": round(seconds, 1), "gb": round(size / 1e9, 2)}


@click.command()
def main() -> None:
    """Measure each set and record it."""
    rows = {label: install(packages) for label, packages in _SETS.items()}
    for label, row in rows.items():
        click.echo(f"{label:24} {row['gb']:5.2f} GB  {row['seconds']:6.1f} s")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
