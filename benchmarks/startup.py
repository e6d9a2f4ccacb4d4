"""How fast the command line answers, against the imports that its verbs put off.

python -m benchmarks.startup
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import click

RESULT = Path(__file__).parent / "results" / "startup.json"
_COMMANDS = {
    "avatar-export --help": ["-m", "avatar_export", "--help"],
    "python, nothing": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
}


def seconds(command: list[str]) -> float:
    """Wall time of one process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


@click.command()
@click.option("--rounds", default=15, show_default=True)
def main(rounds: int) -> None:
    """Interleaved rounds after one for warming up; medians."""
    samples: dict[str, list[float]] = {label: [] for label in _COMMANDS}
    for round_number in range(rounds + 1):
        for label, command in _COMMANDS.items():
            sample = seconds(command)
            if round_number:
                samples[label].append(sample)
    medians = {label: round(statistics.median(times), 3) for label, times in samples.items()}
    for label, median in medians.items():
        click.echo(f"{label:24} {median:6.3f} s")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"medians_s": medians}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
