"""How long a full-size conversion takes, and how much memory.

The published widths (256 px, 32/256 inference generator, about 100 million parameters in all) with
random weights. Side by side with what one would do by hand: torch.onnx.export and onnxsim for the
same graphs, nothing folded, judged, compared or written as DLC.

    python -m benchmarks.full_size            # about 4 minutes; writes results/full_size.json
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image

from benchmarks.synthetic_run import write_run

RESULT = Path(__file__).parent / "results" / "full_size.json"

_BY_HAND = """
import sys, io, torch, onnx, onnxsim
from pathlib import Path
from avatar_export.graphs.bilayer import avatar_graph, enhance_graph, frame_graph
from avatar_export.networks.run_folder import load_model
base, enhancer, out = map(Path, sys.argv[1:])
model = load_model(base, enhancer)
graphs = [avatar_graph(model), enhance_graph(model, "scatter"), frame_graph(model, "external")]
for graph in graphs:
    graph.module.eval()
    inputs = tuple(torch.from_numpy(x) for x in graph.random_inputs().values())
    path = out / f"{graph.name}.onnx"
    torch.onnx.export(graph.module, inputs, path, opset_version=16, dynamo=False)
    simplified, _ = onnxsim.simplify(onnx.load(path))
    onnx.save(simplified, path)
"""


class MemoryWatch(threading.Thread):
    """Samples the resident memory of a process and all its descendants, ten times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak, self.done = pid, 0, threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.1):
            self.peak = max(self.peak, sum(_resident(pid) for pid in _tree(self.pid)))


def _tree(root: int) -> list[int]:
    """A process and its descendants, from /proc."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue  # it ended while we looked
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    tree = [root]
    for pid in tree:
        tree += [child for child, parent in parents.items() if parent == pid]
    return tree


def _resident(pid: int) -> int:
    """Proportional resident bytes: memory shared by several processes counts once."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def measure(command: list[str]) -> dict[str, float]:
    """Seconds and peak bytes of one command and its children.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    watch = MemoryWatch(process.pid)
    watch.start()
    code = process.wait()
    seconds = time.perf_counter() - start
    watch.done.set()
    watch.join()
    if code not in (0, 1):  # 1: converted, with findings
        raise subprocess.CalledProcessError(code, command)
    return {"seconds": round(seconds, 1), "peak_gb": round(watch.peak / 1e9, 2)}


def write_photo(folder: Path) -> tuple[Path, Path]:
    """A picture of noise and 68 points in it: what the run sees does not change its cost."""
    rng = np.random.default_rng(0)
    image, points = folder / "face.png", folder / "face.npy"
    Image.fromarray(rng.integers(0, 256, (512, 512, 3), np.uint8)).save(image)
    np.save(points, rng.uniform(150, 360, (68, 2)).astype(np.float32))
    return image, points


@click.command()
@click.option("--image-size", default=256, show_default=True)
def main(image_size: int) -> None:
    """Measure, print a table, and record it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base, enhancer = write_run(folder / "runs", image_size=image_size)
        image, points = write_photo(folder)
        convert = [sys.executable, "-m", "avatar_export", "convert", str(base)]
        convert += ["--enhancer", str(enhancer), "--source", str(image)]
        convert += ["--keypoints", str(points), "--out", str(folder / "build")]
        by_hand = [sys.executable, "-c", _BY_HAND, str(base), str(enhancer), name]
        rows = {"avatar-export convert": measure(convert), "by hand": measure(by_hand)}
        size = sum(path.stat().st_size for path in (folder / "build").iterdir())
    ratio = rows["avatar-export convert"]["seconds"] / rows["by hand"]["seconds"]
    for label, row in rows.items():
        click.echo(f"{label:24} {row['seconds']:7.1f} s  {row['peak_gb']:6.2f} GB peak")
    click.echo(f"ratio of times {ratio:.2f}; files written {size / 1e9:.2f} GB")
    record = {"image_size": image_size, "cores": os.cpu_count(), "rows": rows, "ratio": ratio}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
