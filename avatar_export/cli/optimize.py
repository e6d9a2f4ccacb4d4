"""``avatar-export optimize``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from avatar_export.cli.common import progress, result_format, say, target_options, verbosity

if TYPE_CHECKING:
    from avatar_export.optimizing.options import Options

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("model", type=_PATH)
@click.option("-o", "--out", type=_PATH, metavar="OUT", help="ONNX file to write.")
@target_options
@click.option(
    "--upsample",
    type=click.Choice(["auto", "resize", "deconv", "subpixel"]),
    default="auto",
    show_default=True,
    help="Form of nearest upsampling before a convolution; auto takes the cheapest.",
)
@click.option(
    "--input",
    "shapes",
    multiple=True,
    metavar="NAME:DIMS",
    help="Shape of a graph input, as in x:1,3,256,256. Repeatable.",
)
@click.option(
    "--verify/--no-verify",
    default=True,
    show_default=True,
    help="Run the model after every pass, and compare.",
)
@click.option("--dry-run", is_flag=True, help="Say what the passes do; write nothing.")
@click.option("--explain", is_flag=True, help="List every change, and what was left alone and why.")
@result_format("text", "json")
@verbosity
def optimize(style: str, explain: bool, quiet: bool, verbose: bool, **arguments: Any) -> int:
    """Rewrite an ONNX model into one that computes the same and costs less on a target.

    --target onnxruntime is ONNX Runtime on the CPU of this machine; other names are chips, see
    'avatar-export targets'. Every pass is proved by running the model before and after it; what
    the target does not take, or what would cost more there, is left alone.

    \b
    avatar-export optimize model.onnx --target adreno640 -o faster.onnx
    avatar-export optimize model.onnx --input x:1,3,256,256 --dry-run --explain
    """
    # Here, not above: these import onnx and onnxruntime, and `--help` must answer at once.
    from avatar_export.optimizing.run import optimize as optimize_model
    from avatar_export.report import optimize_json, optimize_text

    result = optimize_model(_options(**arguments), progress(quiet, verbose))
    as_json = style == "json"
    say(optimize_json.render(result) if as_json else optimize_text.render(result, explain))
    return 0


def _options(*, shapes: tuple[str, ...], **arguments: Any) -> Options:
    from avatar_export.onnx_file import parse_input
    from avatar_export.optimizing.options import Options

    return Options(inputs=dict(map(parse_input, shapes)), **arguments)
