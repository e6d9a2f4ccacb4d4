"""``avatar-export check``."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from avatar_export.cli.common import (
    coloured,
    complain,
    progress,
    result_format,
    say,
    terminal,
    verbosity,
)

if TYPE_CHECKING:
    from avatar_export.checking.options import Options
    from avatar_export.checking.record import CheckRun


class _NamedPath(click.Path):
    """A path that has a name: ``""``, a variable that is not set, would be the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if not value:
            self.fail("the path is empty", param, ctx)
        return Path(os.fsdecode(super().convert(value, param, ctx)))


_PATH = _NamedPath()
_STYLES = ("text", "json", "sarif", "junit", "markdown", "github")


def _target_options(command: Any) -> Any:
    """Add --target, --sdk and --runtime; unlike elsewhere, each may be given several times."""
    options = {
        "--target": ("NAME", "Chip to judge for; see 'avatar-export targets'."),
        "--sdk": ("VERSION", "SNPE version instead of the chip's usual one."),
        "--runtime": ("NAME", "Runtime instead of the chip's usual one."),
    }
    for name, (metavar, text) in reversed(options.items()):
        help_text = f"{text} Repeatable; every combination is judged."
        variable = f"{name[2:]}s"
        command = click.option(name, variable, multiple=True, metavar=metavar, help=help_text)(
            command
        )
    return command


def _print_page(context: click.Context, parameter: click.Parameter, code: str | None) -> None:
    """Print the page of a code and end: no model is needed for that."""
    if code is None or context.resilient_parsing:
        return
    from avatar_export.checking.explain import page

    say(page(code))
    context.exit()


@click.command()
@click.argument("models", nargs=-1, type=_PATH, metavar="MODEL...")
@_target_options
@click.option(
    "--input",
    "shapes",
    multiple=True,
    metavar="NAME:DIMS",
    help="Shape of a graph input, as in x:1,3,256,256. Repeatable.",
)
@click.option("--strict", is_flag=True, help="An unknown verdict is an error.")
@click.option(
    "--select",
    multiple=True,
    metavar="CODE",
    help="Count these codes only; AX2 is all that begin so. Repeatable, or with commas.",
)
@click.option(
    "--ignore", multiple=True, metavar="CODE", help="Leave out these codes, likewise; beats select."
)
@click.option("--baseline", type=_PATH, metavar="FILE", help="Leave out the findings it lists.")
@click.option(
    "--write-baseline", type=_PATH, metavar="FILE", help="List what is found now in this file."
)
@click.option(
    "--fix", type=_PATH, metavar="OUT", help="Apply the cures found, write OUT, check that instead."
)
@click.option(
    "--verify/--no-verify",
    default=True,
    show_default=True,
    help="With --fix: prove each cure by running the model before and after it.",
)
@click.option("--dry-run", is_flag=True, help="With --fix: say what would be applied.")
@click.option(
    "--second-opinion",
    type=click.Choice(["qnn-gpu"]),
    help="Ask the op validator of this backend too (extra 'dlc'); adds warnings only.",
)
@click.option("-j", "--jobs", type=click.IntRange(0), default=1, help="Processes; 0: one a core.")
@click.option(
    "--explain",
    metavar="CODE",
    expose_value=False,
    is_eager=True,
    callback=_print_page,
    help="Say what a code means, and end.",
)
@result_format(*_STYLES)
@click.option("--out", type=_PATH, metavar="FILE", help="Write the result here, not to stdout.")
@verbosity
def check(
    style: str, quiet: bool, verbose: bool, second_opinion: str | None, **arguments: Any
) -> int:
    """Judge ONNX or DLC files for SNPE versions and runtimes, from tables, without the SDK.

    MODEL is a file, or a folder that stands for every .onnx and .dlc below it. Exits 1 if a
    finding is an error for a target that was asked for, 2 if a model cannot be read.

    \b
    avatar-export check model.onnx --target adreno640
    avatar-export check models/ --sdk 2.5 --sdk 2.35 --runtime gpu --format sarif --out out.sarif
    """
    from avatar_export.checking.run import run_checks

    options = _options(second_opinion=second_opinion is not None, **arguments)
    outcome = run_checks(options, progress(quiet, verbose))
    if outcome.run.models:
        _deliver(_rendered(outcome.run, style, verbose, options.out is None), options.out)
    for failure in outcome.failures:
        complain(failure.message, failure.hint)
    return outcome.exit_code


def _options(*, shapes: tuple[str, ...], select: Any, ignore: Any, **arguments: Any) -> Options:
    from avatar_export.checking.options import Options
    from avatar_export.checking.selection import read_selection
    from avatar_export.onnx_file import parse_input

    inputs = dict(map(parse_input, shapes))
    return Options(inputs=inputs, selection=read_selection(select, ignore), **arguments)


def _rendered(run: CheckRun, style: str, verbose: bool, printed: bool) -> str:
    """The result by ``avatar_export.report.check_<style>``; text in colour on a terminal."""
    render: Callable[..., str] = import_module(f"avatar_export.report.check_{style}").render
    if style != "text":
        return render(run)
    colour = printed and terminal() and coloured() is not False
    return render(run, colour, verbose)


def _deliver(result: str, out: Path | None) -> None:
    if out is None:
        say(result)
        return
    from avatar_export.files import write_atomically

    write_atomically(out, result.encode())
