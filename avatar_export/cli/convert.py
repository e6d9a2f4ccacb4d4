"""``avatar-export convert``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from avatar_export.cli.common import progress, result_format, say, target_options, verbosity

_PATH = click.Path(path_type=Path)


def output_options(command: Any) -> Any:
    """Options that convert and demo share."""
    options = [
        click.option(
            "--warp",
            type=click.Choice(["external", "gather", "grid_sample"]),
            default="external",
            show_default=True,
            help="Where the texture is sampled: by the app's shader, by Gather, by GridSample.",
        ),
        click.option(
            "--enhance-form",
            type=click.Choice(["auto", "scatter", "matmul"]),
            default="auto",
            show_default=True,
            help="How the enhancer's gradient is spelled; auto takes what the target takes best.",
        ),
        click.option(
            "--upsample",
            type=click.Choice(["auto", "resize", "deconv", "subpixel"]),
            default="auto",
            show_default=True,
            help="Form of upsampling before a convolution; auto takes the cheapest for the target.",
        ),
        click.option("--dlc/--no-dlc", default=None, help="Demand, or leave out, DLC files."),
        click.option("--dry-run", is_flag=True, help="Say what would be written; write nothing."),
        click.option("--explain", is_flag=True, help="List every pass and what it changed."),
        result_format("text", "json"),
    ]
    for option in reversed(options):
        command = option(command)
    return verbosity(target_options(command))


@click.command()
@click.argument("run", type=_PATH)
@click.option("--enhancer", type=_PATH, metavar="RUN", help="Run folder of the texture enhancer.")
@click.option("--source", type=_PATH, metavar="IMAGE", help="Photo of the person to bake in.")
@click.option("--keypoints", type=_PATH, metavar="NPY", help="Its 68 face points, in pixels.")
@click.option("--mask", type=_PATH, metavar="IMAGE", help="Its foreground, white on black.")
@click.option("--driving", type=_PATH, metavar="NPY", help="Poses to compare frames at, (N, 136).")
@click.option("--crop/--no-crop", default=True, show_default=True, help="Cut the face out.")
@click.option("--epoch", type=int, help="Epoch of the run.  [default: newest]")
@click.option("--enhancer-epoch", type=int, help="Epoch of the enhancer.  [default: newest]")
@click.option("--out", type=_PATH, required=True, metavar="DIR", help="Folder to write into.")
@output_options
def convert(**arguments: Any) -> int:
    """Convert a trained bi-layer run to ONNX and DLC files, checked and in FP16.

    RUN is a run folder of the official code: args.txt and checkpoints/. Without --source only the
    generic graphs are written. Exits 1 if the per-frame graph does not fit the target.

    \b
    avatar-export convert runs/my_base --enhancer runs/my_enhancer \\
        --source face.png --keypoints face.npy --mask mask.png \\
        --target adreno640 --out build/
    """
    return run_conversion(**arguments)


def run_conversion(
    *, dry_run: bool, explain: bool, style: str, quiet: bool, verbose: bool, **options: Any
) -> int:
    """Convert, print the result, and return the exit code."""
    # Here, not above: these import torch, and `--help` must answer at once.
    from avatar_export.conversion.convert import convert as convert_run
    from avatar_export.conversion.convert import planned_files, prepare
    from avatar_export.conversion.options import Options
    from avatar_export.report import json_report, text

    asked = Options(**options)
    show = progress(quiet, verbose)
    if dry_run:
        files = [str(asked.out / name) for name in planned_files(prepare(asked, show))]
        click.echo(json.dumps({"files": files}, indent=2) if style == "json" else "\n".join(files))
        return 0
    conversion = convert_run(asked, show)
    as_json = style == "json"
    say(json_report.render(conversion) if as_json else text.render(conversion, asked.out, explain))
    return 0 if conversion.fits else 1
