"""What the verbs share: progress on stderr, and options that several of them take."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from avatar_export.errors import UserError

Command = TypeVar("Command", bound=Callable[..., Any])


def verbosity(command: Command) -> Command:
    """Add --quiet and --verbose."""
    command = click.option("-q", "--quiet", is_flag=True, help="No progress.")(command)
    return click.option(
        "-v", "--verbose", is_flag=True, help="Progress even if stderr is no terminal."
    )(command)


def target_options(command: Command) -> Command:
    """Add --target, --sdk and --runtime."""
    command = click.option("--runtime", metavar="NAME", help="Override the target's runtime.")(
        command
    )
    command = click.option("--sdk", metavar="VERSION", help="Override the target's SNPE version.")(
        command
    )
    return click.option(
        "--target", metavar="NAME", help="Chip to judge for; see 'avatar-export targets'."
    )(command)


def result_format(*styles: str) -> Callable[[Command], Command]:
    """Add --format with these choices, the first the default, as the argument ``style``."""
    return click.option(
        "--format",
        "style",
        type=click.Choice(styles),
        default=styles[0],
        show_default=True,
        help="Form of the result on stdout.",
    )


def complain(message: str, hint: str = "") -> None:
    """Tell of an error on stderr: one line, and one for the hint."""
    click.echo(f"error: {message}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)


def progress(quiet: bool, verbose: bool) -> Callable[[str], None]:
    """A function that prints a stage with the seconds since the start.

    To a terminal unless ``quiet``; to anything else only if ``verbose``.
    """
    start = time.monotonic()
    shown = verbose or (sys.stderr.isatty() and not quiet)

    def show(line: str) -> None:
        if shown:
            seconds = click.style(f"{time.monotonic() - start:6.1f} s", dim=True)
            with contextlib.suppress(BrokenPipeError):  # nobody listens; the work goes on
                click.echo(f"{seconds}  {line}", err=True, color=coloured())

    return show


def say(result: str) -> None:
    """Print a result. A reader that is gone, as in ``| head``, does not change the exit code.

    Raises:
        UserError: stdout cannot take it, as on a full disk.
    """
    if getattr(sys, "stdout", None) is None:  # closed before we started: nobody asked for it
        return
    try:
        click.echo(result, nl=False)
        sys.stdout.flush()
    except OSError as error:
        # What is still to be flushed at the end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise UserError(f"cannot print the result: {error.strerror}") from error


def terminal() -> bool:
    """Whether the result goes to a terminal; stdout may be closed."""
    return getattr(sys, "stdout", None) is not None and sys.stdout.isatty()


def coloured() -> bool | None:
    """False where NO_COLOR is set (no-color.org); None lets click look at the terminal."""
    return False if os.environ.get("NO_COLOR") else None
